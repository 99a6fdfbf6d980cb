//! A GitLab instance as directory. Everything is read with the caller's own token, so that GitLab itself
//! decides what the caller may read, and two callers never share an answer.
//!
//! | what | read from |
//! |---|---|
//! | an issue, merge request or work item by its global id | GraphQL: REST finds them by project and number only |
//! | an epic by its global id | REST, among the caller's groups: GitLab finds epics by group and number only |
//! | a project, group or commit | REST |
//! | comments | REST, those of a work item GraphQL |
//! | groups and projects, `duoFeaturesEnabled`, the caller's role in a project | GraphQL: REST shows the settings to owners only |
//! | the caller's role in a group | REST: GraphQL knows direct members of a group only |
//! | the caller's groups, plans, `experiment_features_enabled` | REST |
//!
//! `experiment_features_enabled` is documented of `GET /groups/:id`, and many versions of GitLab show it to
//! nobody, owners included. There `gitlab.experiment_features_when_hidden` decides, which is logged once.
//!
//! What is below a top-level group that the caller may not see is not there for this directory: the group's
//! id and switches govern it, and GitLab shows neither. (GitLab hides a group only from those who belong to
//! no project anywhere below it, such as a member of a private subgroup that is empty.)
//!
//! Each answer is kept for `gitlab.cache_seconds`. A directory without its caller's token knows nothing:
//! a request that is taken up again after a restart ends there.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use duologue_actors::{
    ports::{Caller, Directory, DirectoryError, ResourceFacts, ResourceName, RootNamespace, User},
    protocol::{GlobalId, UserId},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::{ActorName, ActorNames};
use crate::{
    config::{Config, DeploymentConfig, DuoFeatures},
    gitlab::{CallError, Fresh, Gitlab, Shared},
    identity::{GitlabTokens, TokenHash},
};

mod comments;
mod discussions;
mod epics;
mod groups;
mod names;
mod places;
mod resources;
mod settings;

use settings::RootSettings;

/// An answer is made of several calls. It may take this many times what one of them may take.
const CALLS_IN_A_ROW: u32 = 4;

/// Bytes of text that count as one entry of the cache.
const ENTRY_BYTES: usize = 4 * 1_024;

/// What does not come from GitLab.
#[derive(Clone, Debug)]
pub struct Settings {
    pub deployment: DeploymentConfig,
    /// Comments of one resource, the newest.
    pub max_comments: usize,
    /// What counts where GitLab does not show it to the caller.
    pub plan_when_hidden: Option<String>,
    pub experiment_features_when_hidden: bool,
    pub cache_lifetime: Duration,
    pub cache_entries: u64,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let gitlab = &config.gitlab;
        Self {
            deployment: config.deployment,
            max_comments: gitlab.max_comments,
            plan_when_hidden: gitlab.plan_when_hidden.clone(),
            experiment_features_when_hidden: gitlab.experiment_features_when_hidden,
            cache_lifetime: gitlab.cache_lifetime(),
            cache_entries: gitlab.cache_entries,
        }
    }
}

impl Settings {
    /// Whether AI features are on where GitLab says `own`, after the deployment has had its say.
    /// GitLab's word has every default in it already: where it says nothing they are off.
    fn duo_features(&self, own: Option<bool>) -> bool {
        self.deployment.duo_features() != DuoFeatures::AlwaysOff && own.unwrap_or(false)
    }
}

/// Answers for one kind of question. What is asked is kept apart by who asks: the hash of the token.
type Answers<K, V> = Shared<(TokenHash, K), Result<V, DirectoryError>>;

pub struct GitlabDirectory {
    gitlab: Gitlab,
    settings: Settings,
    /// Hears of tokens that GitLab refuses.
    tokens: Option<Arc<GitlabTokens>>,
    resources: Answers<ResourceName, Option<ResourceFacts>>,
    groups: Answers<(), Vec<RootNamespace>>,
    roots: Answers<String, RootSettings>,
    /// Whether it has been logged that GitLab does not show `experiment_features_enabled`.
    hidden_experiments: Once,
}

impl GitlabDirectory {
    pub fn new(gitlab: Gitlab, settings: Settings, tokens: Option<Arc<GitlabTokens>>) -> Self {
        let (entries, lifetime) = (settings.cache_entries, settings.cache_lifetime);
        Self {
            gitlab,
            settings,
            tokens,
            resources: Shared::new(entries, lifetime, weight_of_resource),
            groups: Shared::new(entries, lifetime, |_| 1),
            roots: Shared::new(entries, lifetime, |_| 1),
            hidden_experiments: Once::new(),
        }
    }

    /// The directory as `caller` sees it.
    fn reader<'a>(&'a self, caller: &'a Caller) -> Result<Reader<'a>, DirectoryError> {
        let token = caller.credentials.as_ref().and_then(|credentials| credentials.token.as_ref());
        let token = token.ok_or(DirectoryError::NeedsCredentials)?;
        Ok(Reader {
            directory: self,
            token,
            who: TokenHash::of(token.expose_secret()),
            user: caller.user.id,
            admin: caller.user.admin,
        })
    }

    /// Waits for an answer, no longer than it may take.
    async fn answer<T>(
        &self,
        who: TokenHash,
        answer: impl Future<Output = Result<T, DirectoryError>> + Send,
    ) -> Result<T, DirectoryError> {
        let patience = self.gitlab.timeout() * CALLS_IN_A_ROW;
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or(Err(DirectoryError::Unavailable));
        if let (Err(DirectoryError::CredentialsRefused), Some(tokens)) = (&answer, &self.tokens) {
            tokens.forget(who).await;
        }
        answer
    }

    fn kept<T>(&self, answer: Result<T, DirectoryError>) -> Fresh<Result<T, DirectoryError>> {
        let lifetime = if answer.is_ok() { self.settings.cache_lifetime } else { Duration::ZERO };
        Fresh { answer, lifetime }
    }
}

#[async_trait]
impl Directory for GitlabDirectory {
    /// GitLab answers nobody's questions: there is no token at hand to ask with.
    async fn user(&self, _: UserId) -> Result<Option<User>, DirectoryError> {
        Err(DirectoryError::NeedsCredentials)
    }

    async fn resource(
        &self,
        caller: &Caller,
        name: &ResourceName,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        let reader = self.reader(caller)?;
        let key = (reader.who, name.clone());
        let fetch = async { self.kept(reader.resource(name).await) };
        self.answer(reader.who, self.resources.get(&key, fetch)).await
    }

    async fn root_namespaces(&self, caller: &Caller) -> Result<Vec<RootNamespace>, DirectoryError> {
        let reader = self.reader(caller)?;
        let fetch = async { self.kept(reader.root_namespaces().await) };
        self.answer(reader.who, self.groups.get(&(reader.who, ()), fetch)).await
    }
}

#[async_trait]
impl ActorNames for GitlabDirectory {
    async fn actor(&self, caller: &Caller, name: ActorName<'_>) -> Result<Option<GlobalId>, DirectoryError> {
        let reader = self.reader(caller)?;
        self.answer(reader.who, reader.actor(name)).await
    }
}

/// A field that was asked for and may be `null`, but not missing: that is not the answer to the question.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// The directory as one caller sees it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    directory: &'a GitlabDirectory,
    token: &'a SecretString,
    who: TokenHash,
    user: UserId,
    admin: bool,
}

impl Reader<'_> {
    fn settings(&self) -> &Settings {
        &self.directory.settings
    }

    fn gitlab(&self) -> &Gitlab {
        &self.directory.gitlab
    }
}

impl From<CallError> for DirectoryError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused => Self::CredentialsRefused,
            // Where nothing being there is an answer, it has been made one before.
            _ => Self::Unavailable,
        }
    }
}

/// What GitLab does not show is not there.
fn found<T>(answer: Result<T, CallError>) -> Result<Option<T>, DirectoryError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::NotFound | CallError::Forbidden | CallError::Barred) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn weight_of_resource(answer: &Result<Option<ResourceFacts>, DirectoryError>) -> u32 {
    let Ok(Some(facts)) = answer else { return 1 };
    let resource = &facts.resource;
    let comments = resource.comments.iter().map(|comment| comment.author.len() + comment.text.len());
    let bytes = resource.title.len() + resource.description.len() + comments.sum::<usize>();
    u32::try_from(bytes / ENTRY_BYTES).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests;
