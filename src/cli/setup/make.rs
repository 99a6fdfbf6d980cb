//! Makes what is missing, or completes what is there. Everything is written into the additions; the file at
//! `directory.path` is somebody's own.

use anyhow::{Context, bail};
use duologue_actors::{
    ports::User,
    protocol::{GlobalId, UserId},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{names, report::Report};
use crate::{
    config::{Config, DeploymentMode, DuoFeatures},
    directory::{AccountKey, Accounts, Additions, FileDirectory, Section},
};

/// A plan with everything in it.
const PLAN: &str = "ultimate";
const ROLE: &str = "developer";

/// What there is to be at the end.
pub(super) struct Wanted {
    pub group: String,
    /// The whole path.
    pub project: String,
    pub user: String,
}

/// The directory and what has been added to it so far.
pub(super) struct Maker<'a> {
    config: &'a Config,
    wanted: &'a Wanted,
    directory: FileDirectory,
    additions: Additions,
    report: &'a mut Report,
}

/// What there is now.
pub(super) struct Made {
    pub directory: FileDirectory,
    pub user: User,
    pub project: GlobalId,
    /// The user's development token, if it is new.
    pub token: Option<String>,
}

impl<'a> Maker<'a> {
    pub fn new(config: &'a Config, wanted: &'a Wanted, report: &'a mut Report) -> anyhow::Result<Self> {
        // First: from here on nobody else adds anything.
        let additions = Additions::open(&config.directory.additions)?;
        let directory = load(config)?;
        Ok(Self { config, wanted, directory, additions, report })
    }

    pub fn make(mut self) -> anyhow::Result<Made> {
        self.is_possible()?;
        self.group()?;
        self.project()?;
        let user = self.user()?;
        let token = self.token(&user)?;
        self.membership(&user)?;
        let project = self.directory.id_of(&self.wanted.project).cloned();
        let project = project.context("the project is gone again: somebody else writes the additions")?;
        Ok(Made { directory: self.directory, user, project, token })
    }

    /// Looks before anything is written.
    fn is_possible(&self) -> anyhow::Result<()> {
        self.is_told_apart()?;
        let Wanted { project, group, .. } = self.wanted;
        if self.directory.id_of(project).is_some_and(|id| id.model() != "Project") {
            bail!("{project} is a group: give another path with --project");
        }
        let above = project.rsplit_once('/').map_or(group.as_str(), |(above, _)| above);
        let is_group = self.directory.id_of(above).map(|id| id.model() == "Group");
        if is_group.unwrap_or(above == group) {
            return Ok(());
        }
        let path = self.config.directory.path.display();
        bail!(
            "there is no group {above} for the project {project}: declare it in {path}, or choose another --project"
        )
    }

    /// Two names that differ by case only are one to GitLab.
    fn is_told_apart(&self) -> anyhow::Result<()> {
        let refuse = |name: &str, alike: Option<&str>| match alike {
            Some(there) => {
                bail!("there is {there} already, and to GitLab {name} is the same: write it as {there}")
            }
            None => Ok(()),
        };
        let Wanted { project, user, .. } = self.wanted;
        let ends = project.match_indices('/').map(|(end, _)| end).chain([project.len()]);
        for path in ends.filter_map(|end| project.get(..end)) {
            refuse(path, names::differs_by_case(path, self.directory.paths()))?;
        }
        refuse(user, names::differs_by_case(user, self.directory.usernames()))
    }

    fn group(&mut self) -> anyhow::Result<()> {
        let path = self.wanted.group.as_str();
        let Some(root) = self.directory.root_of(path) else {
            let id = self.directory.next_id("Group");
            let mut fields = fields(json!({
                "id": id, "name": path, "duo_features_enabled": true, "experiment_features_enabled": true,
            }));
            if self.has_plans() {
                fields.insert("plan".to_owned(), PLAN.into());
            }
            self.additions.complete(Section::Groups, path, fields);
            return self.write(Report::made, format!("group {path} ({})", GlobalId::of("Group", id)));
        };
        let what = format!("group {path} ({})", root.id);
        let mut missing = Map::new();
        if !root.duo_features_enabled && self.may_turn_on() {
            missing.insert("duo_features_enabled".to_owned(), true.into());
        }
        if self.has_plans() && !root.experiment_features_enabled {
            missing.insert("experiment_features_enabled".to_owned(), true.into());
        }
        if self.has_plans() && root.plan.as_deref() != Some(PLAN) {
            missing.insert("plan".to_owned(), PLAN.into());
        }
        self.complete(Section::Groups, path, missing, &what)
    }

    fn project(&mut self) -> anyhow::Result<()> {
        let path = self.wanted.project.as_str();
        let Some(id) = self.directory.id_of(path) else {
            let (id, name) = (self.directory.next_id("Project"), path.rsplit('/').next().unwrap_or(path));
            let description = "A project to try AI features on, made by duologue setup.";
            let fields = fields(json!({ "id": id, "name": name, "description": description }));
            self.additions.complete(Section::Projects, path, fields);
            return self.write(Report::made, format!("project {path} ({})", GlobalId::of("Project", id)));
        };
        let what = format!("project {path} ({id})");
        let mut missing = Map::new();
        if self.directory.duo_features_enabled(path) == Some(false) && self.may_turn_on() {
            // Of no use where a group above has locked it: the checks will say so.
            missing.insert("duo_features_enabled".to_owned(), true.into());
        }
        self.complete(Section::Projects, path, missing, &what)
    }

    fn user(&mut self) -> anyhow::Result<User> {
        let name = self.wanted.user.as_str();
        if let Some(user) = self.directory.account(AccountKey::Username(name)) {
            self.report.kept(format_args!("user {name} ({})", user.id.global_id()));
            return Ok(user);
        }
        let id = self.directory.next_id("User");
        self.additions.complete(Section::Users, name, fields(json!({ "id": id, "name": name })));
        self.write(Report::made, format!("user {name} ({})", UserId(id).global_id()))?;
        let user = self.directory.account(AccountKey::Username(name));
        user.context("the user is gone again: somebody else writes the additions")
    }

    fn token(&mut self, user: &User) -> anyhow::Result<Option<String>> {
        let name = user.username.as_str();
        if !self.config.auth.development_tokens {
            return Ok(None);
        }
        if self.directory.development_tokens().any(|(owner, _)| owner.id == user.id) {
            self.report.kept(format_args!("development token of {name}"));
            return Ok(None);
        }
        let token = format!("dev-{}", Uuid::new_v4().simple());
        self.additions.complete(Section::Users, name, fields(json!({ "development_token": token })));
        let place = self.config.directory.additions.display();
        let what = format!("development token of {name}: {token} (shown this once; it is in {place})");
        self.write(Report::made, what)?;
        Ok(Some(token))
    }

    fn membership(&mut self, user: &User) -> anyhow::Result<()> {
        let (name, group) = (user.username.as_str(), self.wanted.group.as_str());
        let what = format!("membership of {name} in {group}");
        if self.directory.is_member(user.id, group) {
            self.report.kept(what);
            return Ok(());
        }
        self.additions.complete(Section::Groups, group, fields(json!({ "members": { name: ROLE } })));
        self.write(Report::made, format!("{what}, as {ROLE}"))
    }

    /// Only there a group has a plan and consents for itself; elsewhere the instance does.
    fn has_plans(&self) -> bool {
        self.config.deployment.mode == DeploymentMode::Saas
    }

    /// Where the instance has AI features always off, nothing below it can turn them on.
    fn may_turn_on(&self) -> bool {
        self.config.deployment.duo_features() != DuoFeatures::AlwaysOff
    }

    fn complete(
        &mut self,
        section: Section,
        path: &str,
        missing: Map<String, Value>,
        what: &str,
    ) -> anyhow::Result<()> {
        let settings: Vec<String> = missing.iter().map(|(key, value)| setting(key, value)).collect();
        if settings.is_empty() || !self.additions.complete(section, path, missing) {
            self.report.kept(what);
            return Ok(());
        }
        self.write(Report::changed, format!("{what}: {}", settings.join(", ")))
    }

    /// Writes what was added, says so, and reads everything again: what is decided next is decided on what is
    /// there.
    fn write(&mut self, say: fn(&mut Report, String), what: String) -> anyhow::Result<()> {
        self.additions.save()?;
        say(self.report, what);
        self.directory = load(self.config)?;
        Ok(())
    }
}

fn load(config: &Config) -> anyhow::Result<FileDirectory> {
    Ok(FileDirectory::load(&config.directory, &config.deployment)?)
}

fn setting(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("{key}: {text}"),
        other => format!("{key}: {other}"),
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
