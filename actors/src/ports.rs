//! What the outside must supply. The actors know the world only through these traits; `src/` holds
//! the real implementations, `testing` the fakes.
//!
//! Every method may be called from any thread and must bound its own time; none may block.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    protocol::{GlobalId, UserId},
};

mod kept;
mod model;

pub use kept::{
    Acceptance, AcceptedRecord, ConversationLimits, ConversationStore, IdempotencyKey, Journal, Question,
    StoreError, Taken, TerminalRecord,
};
pub use model::{
    Cause, KeptPrompt, ModelCall, ModelError, ModelEvent, ModelProvider, Models, Retry, StopReason, Turn,
    Usage,
};

// === Who is asking ===

/// What a client presented. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// `None` for a client that shows none.
    pub token: Option<SecretString>,
    pub stated: Stated,
}

impl Credentials {
    #[must_use]
    pub fn token(token: impl Into<String>) -> Self {
        Self { token: Some(SecretString::from(token.into())), stated: Stated::default() }
    }
}

/// What the client's headers say of the token beside them. A token that says otherwise is not good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stated {
    /// `X-Gitlab-Realm`: `saas` or `self-managed`.
    pub realm: Option<String>,
    /// `X-Gitlab-Instance-Id`.
    pub instance_id: Option<String>,
    /// `X-Gitlab-Global-User-Id`: the user for whom an instance asks.
    pub global_user_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub username: String,
    pub name: String,
    pub admin: bool,
}

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: User,
    /// When the credentials stop being good; `None` for credentials that do not expire.
    pub expires_at: Option<SystemTime>,
    pub scope: Scope,
}

/// What credentials are good for. It narrows what their user may do, and never widens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whatever their user may do.
    Everything,
    /// The unit primitives a JWT was issued for.
    UnitPrimitives(Arc<BTreeSet<String>>),
    /// The scopes of a GitLab token: `api`, `read_api`, `ai_features` ...
    Gitlab(Arc<BTreeSet<String>>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Absent, malformed, unknown, expired or revoked: the client is told no more than this.
    #[error("invalid credentials")]
    Invalid,
    #[error("the identity provider does not answer")]
    Unavailable,
}

#[async_trait]
pub trait TokenVerifier: Send + Sync {
    /// # Errors
    /// [`VerifyError::Invalid`] for any credentials that identify nobody.
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError>;
}

// === What is switched on ===

/// Gives the flags as they are now. One snapshot serves a request from its first check to its last,
/// so that no request is half-governed by a flip.
pub trait FlagSource: Send + Sync {
    fn snapshot(&self) -> Arc<dyn Flags>;
}

/// All flags at one moment.
pub trait Flags: Send + Sync + std::fmt::Debug {
    /// Whether `flag` is on for any of `actors` (users, groups, projects). `default` counts while
    /// nothing is known of the flag.
    fn enabled(&self, flag: &str, default: bool, actors: &[GlobalId]) -> bool;

    /// Whether the flag may be on for some groups or projects only, so that a closed user gate
    /// decides nothing yet.
    fn depends_on_container(&self, flag: &str) -> bool;

    /// The flag's gates for people: `on`, `off`, `on for 25 % of the users`; `None` while nothing is known of it.
    fn describe(&self, flag: &str) -> Option<String>;
}

// === What may be done where ===

/// A verified user and, while their request is in hand, the credentials a directory may need.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: User,
    /// Absent for a request recovered after a restart: credentials are never stored.
    pub credentials: Option<Credentials>,
}

/// A top-level group with the settings that govern AI features below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootNamespace {
    pub id: GlobalId,
    pub path: String,
    /// The name of its plan, e.g. `ultimate`; `None` without a licence.
    pub plan: Option<String>,
    /// What was bought beside the plan, e.g. `duo_pro`.
    pub add_ons: Vec<String>,
    /// Whether experimental and beta features are consented to.
    pub experiment_features_enabled: bool,
    /// Whether AI features are on here, after whatever stands above it has had its say.
    pub duo_features_enabled: bool,
}

/// The text of a resource, for the prompt. Data, never instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub id: GlobalId,
    pub title: String,
    pub description: String,
    pub comments: Vec<Comment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub author: String,
    pub text: String,
}

/// A resource and what the policy must know about where it lives.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceFacts {
    pub resource: Arc<Resource>,
    /// Whether this caller may read it.
    pub readable: bool,
    /// Whether this caller is a member of its project or group.
    pub member: bool,
    /// Its project and groups, nearest first, as flag actors.
    pub containers: Vec<GlobalId>,
    /// Whether AI features are on in its nearest container.
    pub duo_features_enabled: bool,
    pub root: RootNamespace,
}

/// What a request is about, as the client named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceName {
    pub id: GlobalId,
    /// The project a commit is in: its id alone does not say.
    pub project: Option<GlobalId>,
}

impl From<GlobalId> for ResourceName {
    fn from(id: GlobalId) -> Self {
        Self { id, project: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The directory decides with the caller's own credentials, and there are none any more.
    #[error("the directory needs the caller's credentials")]
    NeedsCredentials,
    /// The credentials were good when they were verified and are not any more.
    #[error("the directory refuses the caller's credentials")]
    CredentialsRefused,
    #[error("the directory does not answer")]
    Unavailable,
}

#[async_trait]
pub trait Directory: Send + Sync {
    /// The user as known now, or `None` when gone.
    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError>;

    /// The resource, or `None` when there is no such thing.
    async fn resource(
        &self,
        caller: &Caller,
        name: &ResourceName,
    ) -> Result<Option<ResourceFacts>, DirectoryError>;

    /// The top-level groups the caller belongs to; all of them for an admin.
    async fn root_namespaces(&self, caller: &Caller) -> Result<Vec<RootNamespace>, DirectoryError>;
}

/// Knows what has been bought.
pub trait LicenceSource: Send + Sync + std::fmt::Debug {
    /// Whether the licence that governs `namespace` contains what `action` needs.
    fn entitlement(&self, namespace: &RootNamespace, action: &Action) -> Entitlement;

    /// Another number whenever what it knows has changed. That time passes is no change.
    fn version(&self) -> u64;
}

/// What a licence says about one action in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    pub granted: bool,
    /// For people: `the plan ultimate contains ai_chat`.
    pub because: String,
}
