//! Looks at everything a request of the new user depends on, and says how to mend what is not right.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::{
    action::{Action, Maturity},
    feature_flag::{CHAT_SWITCH, GLOBAL_SWITCH},
    policy::{self, Explanation, checks::Inquiry},
    ports::{Caller, Directory, DirectoryError, Entitlement, Flags, LicenceSource, ResourceFacts},
    protocol::GlobalId,
};

use super::{commands::Commands, make::Made, report::Report};
use crate::{
    config::{Config, DeploymentMode, DuoFeatures},
    offer::Offer,
};

/// The action that shows whether everything works together.
const PROOF: &str = "chat";

/// Everything that is looked at.
pub(super) struct Checks<'a> {
    pub config: &'a Config,
    pub offer: &'a Offer,
    /// One snapshot for all that is said about flags.
    pub flags: Arc<dyn Flags>,
    pub made: &'a Made,
    pub commands: &'a Commands,
    pub report: &'a mut Report,
}

impl Checks<'_> {
    /// What the six checks find for a chat about the project; `None` without such an action in the catalogue.
    pub async fn make(mut self) -> Result<Option<Explanation>, DirectoryError> {
        self.sign_in();
        self.instance();
        self.files();
        let caller = Caller { user: self.made.user.clone(), credentials: None };
        if let Some(facts) = self.made.directory.resource(&caller, &self.made.project.clone().into()).await? {
            self.settings(&facts);
            self.flags(&facts);
            self.licence(&facts);
        }
        let Some(chat) = self.offer.catalogue.get(PROOF) else {
            return Ok(None);
        };
        let explanation = self.proof(&chat, &caller).await?;
        if let Some(refusal) = &explanation.refusal
            && self.report.remaining() == 0
        {
            let mend = "see which of the checks below has refused it";
            self.report.wrong(format!("{PROOF}: it would be refused: {}", refusal.text), mend);
        }
        Ok(Some(explanation))
    }

    /// Whether the user can say who they are.
    fn sign_in(&mut self) {
        let (auth, user) = (&self.config.auth, &self.made.user);
        let username = user.username.as_str();
        if auth.bypass_external && auth.bypass_user != username {
            let somebody = &auth.bypass_user;
            let mend = format!("give --user {somebody}, or set auth.bypass_external: false");
            self.report.wrong(format!("sign-in: every caller is {somebody}, by auth.bypass_external"), mend);
        } else if auth.bypass_external {
            self.report.right(format!("sign-in: every caller is {username}, by auth.bypass_external"));
        } else if auth.development_tokens {
            self.report.right(format!("sign-in: {username} has a development token"));
        } else if auth.gitlab_tokens || auth.takes_jwts() {
            self.sign_in_from_outside();
        } else {
            let mend = "set auth.development_tokens: true, or auth.gitlab_url";
            self.report.wrong("sign-in: no kind of token is taken", mend);
        }
    }

    /// Tokens from outside speak for users of whom the directory says what they are called there.
    fn sign_in_from_outside(&mut self) {
        let (auth, user) = (&self.config.auth, &self.made.user);
        let (username, additions) = (user.username.as_str(), self.config.directory.additions.display());
        let (token, names) = match auth.gitlab_tokens {
            true => ("GitLab token", "`identities`, the number there by gitlab.url,"),
            false => ("JWT", "`identities` or a `global_user_id`"),
        };
        if self.made.directory.is_known_outside(user.id) {
            self.report.right(format!("sign-in: with a {token} that speaks for {username}"));
        } else {
            let mend = format!("give {username} {names} in {additions}");
            self.report.wrong(format!("sign-in: no {token} can speak for {username}"), mend);
        }
    }

    /// What the instance decides for everything in it.
    fn instance(&mut self) {
        let deployment = &self.config.deployment;
        if deployment.duo_features() == DuoFeatures::AlwaysOff {
            let mend = "set deployment.duo_features: on_by_default";
            self.report.wrong("instance: AI features are always off", mend);
        }
        let unfinished =
            |action: &&Arc<Action>| matches!(action.maturity, Maturity::Experimental | Maturity::Beta);
        let unfinished: Vec<&str> =
            self.offer.catalogue.iter().filter(unfinished).map(|action| action.name.as_str()).collect();
        if !unfinished.is_empty() && !deployment.experiments(true) {
            let what =
                format!("instance: no consent to what is experimental or beta ({})", unfinished.join(", "));
            self.report.wrong(what, "set deployment.experiment_features_enabled: true");
        }
    }

    /// What the files say that is no fault, and yet keeps something from working.
    fn files(&mut self) {
        let catalogue = &self.config.catalogue.path;
        for action in self.offer.catalogue.iter().filter(|action| action.maturity == Maturity::Unlisted) {
            let name = &action.name;
            let file = catalogue.join(format!("{name}.yaml"));
            let mend = format!("add `maturity:` to {}", file.display());
            self.report.wrong(format!("action {name}: it is in no list of stages, and refused"), mend);
        }
        if let Some(fault) = self.offer.flags.fault() {
            let (path, changes) = (self.config.flags.path.display(), self.config.flags.changes.display());
            let mend = format!("mend {path} (flags.path) or {changes} (flags.changes)");
            self.report.wrong(format!("flags: {fault}"), mend);
        }
    }

    fn settings(&mut self, facts: &ResourceFacts) {
        let project = &facts.resource.id;
        if facts.duo_features_enabled {
            self.report.right(format!("settings: AI features are on in {project}"));
        } else if self.config.deployment.duo_features() != DuoFeatures::AlwaysOff {
            let mend = "remove lock_duo_features_enabled from the group above it that has it";
            self.report.wrong(format!("settings: AI features are locked off in {project}"), mend);
        }
    }

    /// The two switches and the flag of every action, as they are for this user in this project.
    fn flags(&mut self, facts: &ResourceFacts) {
        let user = self.made.user.id.global_id();
        // The switches are looked at before it is known what a request is about.
        for switch in [CHAT_SWITCH, GLOBAL_SWITCH] {
            self.flag(switch, true, std::slice::from_ref(&user));
        }
        let actors: Vec<GlobalId> = std::iter::once(user).chain(facts.containers.iter().cloned()).collect();
        for action in self.offer.catalogue.iter() {
            self.flag(&action.feature_flag, action.flag_default, &actors);
        }
    }

    fn flag(&mut self, name: &str, default: bool, actors: &[GlobalId]) {
        let username = &self.made.user.username;
        if self.flags.enabled(name, default, actors) {
            self.report.right(format!("flag {name}: on for {username}"));
        } else {
            let mend = self.commands.duologue(["flags", "enable", name]);
            self.report.wrong(format!("flag {name}: off for {username}"), mend);
        }
    }

    fn licence(&mut self, facts: &ResourceFacts) {
        let mend = match self.config.deployment.mode {
            DeploymentMode::Saas => {
                let (group, file) = (&facts.root.path, self.config.directory.additions.display());
                format!(
                    "give {group} the plan or the add-on that has it: `plan` or `add_ons` of its entry in {file}"
                )
            }
            DeploymentMode::SelfManaged | DeploymentMode::Dedicated => {
                self.commands.duologue(["licence", "upload", "FILE"])
            }
        };
        // What is missing altogether is missing for all actions, and one thing to mend.
        let mut found: BTreeMap<(bool, String), Vec<&str>> = BTreeMap::new();
        for action in self.offer.catalogue.iter() {
            let Entitlement { granted, because } = self.offer.licences.entitlement(&facts.root, action);
            found.entry((granted, because)).or_default().push(&action.name);
        }
        for ((granted, because), actions) in found {
            let what = format!("licence for {}: {because}", actions.join(", "));
            if granted {
                self.report.right(what);
            } else {
                self.report.wrong(what, mend.as_str());
            }
        }
    }

    async fn proof(&self, action: &Action, caller: &Caller) -> Result<Explanation, DirectoryError> {
        let (flags, licences) = (&*self.flags, &*self.offer.licences);
        let inquiry = Inquiry { action, user: &caller.user, flags, licences };
        let name = self.made.project.clone().into();
        policy::explain(inquiry, &self.made.directory, caller, Some(&name)).await
    }
}
