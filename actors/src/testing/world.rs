//! Who there is, what is switched on and who may what: small worlds with switches.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::a_user;
use crate::{
    action::Action,
    ports::{
        Caller, Comment, Credentials, Directory, DirectoryError, Entitlement, FlagSource, Flags, Identity,
        LicenceSource, Resource, ResourceFacts, ResourceName, RootNamespace, Scope, TokenVerifier, User,
        VerifyError,
    },
    protocol::{GlobalId, UserId},
};

fn users() -> Vec<User> {
    let root = User { admin: true, ..a_user(1, "root") };
    vec![root, a_user(2, "alice"), a_user(3, "mallory")]
}

/// A user's token is their username, until something else is said of it.
#[derive(Debug, Default)]
pub struct FakeVerifier {
    pub is_down: AtomicBool,
    /// How often it was asked.
    pub asked: AtomicUsize,
    said: Mutex<HashMap<String, Result<Identity, VerifyError>>>,
}

impl FakeVerifier {
    /// What `token` is from now on; `""` stands for no token.
    pub fn say(&self, token: &str, verdict: Result<Identity, VerifyError>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(token.to_owned(), verdict);
    }

    /// A user's token is good for less than everything from now on.
    pub fn narrow(&self, username: &str, scope: Scope) {
        if let Some(identity) = known(username) {
            self.say(username, Ok(Identity { scope, ..identity }));
        }
    }

    fn verdict(&self, token: &str) -> Result<Identity, VerifyError> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(token).cloned().unwrap_or_else(|| known(token).ok_or(VerifyError::Invalid))
    }
}

fn known(username: &str) -> Option<Identity> {
    // Any number of further users, for tests that need a crowd: `user-17`.
    let numbered = username.strip_prefix("user-").and_then(|number| number.parse().ok());
    let user = users()
        .into_iter()
        .find(|user| user.username == username)
        .or_else(|| numbered.map(|id| a_user(id, username)))?;
    Some(Identity { user, expires_at: None, scope: Scope::Everything })
}

#[async_trait]
impl TokenVerifier for FakeVerifier {
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        self.asked.fetch_add(1, SeqCst);
        if self.is_down.load(SeqCst) {
            return Err(VerifyError::Unavailable);
        }
        self.verdict(credentials.token.as_ref().map_or("", |token| token.expose_secret()))
    }
}

/// Flags that are what their default says until they are set.
#[derive(Debug, Default)]
pub struct FakeFlags {
    set: Mutex<FlagSet>,
}

#[derive(Clone, Debug, Default)]
struct FlagSet {
    states: HashMap<String, bool>,
    actors: HashMap<String, HashSet<GlobalId>>,
}

impl FakeFlags {
    pub fn set(&self, flag: &str, on: bool) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.states.insert(flag.to_owned(), on);
    }

    /// Switches a flag on for one actor and off for everybody else.
    pub fn set_for(&self, flag: &str, actor: GlobalId) {
        self.set(flag, false);
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.actors.entry(flag.to_owned()).or_default().insert(actor);
    }
}

impl FlagSource for FakeFlags {
    fn snapshot(&self) -> Arc<dyn Flags> {
        Arc::new(self.set.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Flags for FlagSet {
    fn enabled(&self, flag: &str, default: bool, actors: &[GlobalId]) -> bool {
        let for_an_actor =
            self.actors.get(flag).is_some_and(|set| actors.iter().any(|actor| set.contains(actor)));
        for_an_actor || self.states.get(flag).copied().unwrap_or(default)
    }

    fn depends_on_container(&self, flag: &str) -> bool {
        self.actors.get(flag).is_some_and(|set| set.iter().any(|actor| actor.model() != "User"))
    }

    fn describe(&self, flag: &str) -> Option<String> {
        self.states.get(flag).map(|is_on| if *is_on { "on" } else { "off" }.to_owned())
    }
}

/// One group, `demo`, with one project and issue 52; Alice is its only member.
#[derive(Debug)]
pub struct FakeDirectory {
    pub is_down: AtomicBool,
    pub needs_credentials: AtomicBool,
    /// How long it takes to answer.
    pub takes: Mutex<Duration>,
    pub experiments: AtomicBool,
    pub gone: Mutex<HashSet<UserId>>,
    pub members: Mutex<HashSet<UserId>>,
}

impl Default for FakeDirectory {
    fn default() -> Self {
        Self {
            is_down: AtomicBool::default(),
            needs_credentials: AtomicBool::default(),
            takes: Mutex::default(),
            experiments: AtomicBool::new(true),
            gone: Mutex::default(),
            members: Mutex::new(HashSet::from([UserId(2)])),
        }
    }
}

/// Issue 52 of the demo group.
#[must_use]
pub fn an_issue() -> Resource {
    Resource {
        id: GlobalId::of("Issue", 52),
        title: "Export times out".to_owned(),
        description: "Large exports time out after a minute.".to_owned(),
        comments: vec![Comment { author: "bob".to_owned(), text: "Let us stream it.".to_owned() }],
    }
}

impl FakeDirectory {
    fn root(&self) -> RootNamespace {
        RootNamespace {
            id: GlobalId::of("Group", 10),
            path: "demo".to_owned(),
            plan: Some("ultimate".to_owned()),
            add_ons: Vec::new(),
            experiment_features_enabled: self.experiments.load(SeqCst),
            duo_features_enabled: true,
        }
    }

    fn is_member(&self, user: &User) -> bool {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).contains(&user.id) || user.id.0 > 100
    }

    async fn reachable(&self, caller: &Caller) -> Result<(), DirectoryError> {
        let takes = *self.takes.lock().unwrap_or_else(PoisonError::into_inner);
        if takes > Duration::ZERO {
            tokio::time::sleep(takes).await;
        }
        if self.is_down.load(SeqCst) {
            Err(DirectoryError::Unavailable)
        } else if self.needs_credentials.load(SeqCst) && caller.credentials.is_none() {
            Err(DirectoryError::NeedsCredentials)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Directory for FakeDirectory {
    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        if self.is_down.load(SeqCst) {
            return Err(DirectoryError::Unavailable);
        }
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&id);
        let known = users().into_iter().find(|user| user.id == id);
        let numbered = (id.0 > 100).then(|| a_user(id.0, &format!("user-{id}")));
        Ok(known.or(numbered).filter(|_| !gone))
    }

    async fn resource(
        &self,
        caller: &Caller,
        name: &ResourceName,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        self.reachable(caller).await?;
        let issue = an_issue();
        let is_member = self.is_member(&caller.user);
        Ok((name.id == issue.id).then(|| ResourceFacts {
            resource: Arc::new(issue),
            readable: is_member || caller.user.admin,
            member: is_member,
            containers: vec![GlobalId::of("Project", 20), GlobalId::of("Group", 10)],
            duo_features_enabled: true,
            root: self.root(),
        }))
    }

    async fn root_namespaces(&self, caller: &Caller) -> Result<Vec<RootNamespace>, DirectoryError> {
        self.reachable(caller).await?;
        let belongs = self.is_member(&caller.user) || caller.user.admin;
        Ok(if belongs { vec![self.root()] } else { Vec::new() })
    }
}

/// Licences contain everything unless they are withdrawn.
#[derive(Debug, Default)]
pub struct FakeLicences {
    pub withdrawn: AtomicBool,
}

impl LicenceSource for FakeLicences {
    fn entitlement(&self, namespace: &RootNamespace, _: &Action) -> Entitlement {
        let granted = namespace.plan.is_some() && !self.withdrawn.load(SeqCst);
        Entitlement { granted, because: "as the test has it".to_owned() }
    }

    fn version(&self) -> u64 {
        u64::from(self.withdrawn.load(SeqCst))
    }
}
