//! Users, groups, projects and resources from a file, and from what `duologue setup` adds to it.
//!
//! Who belongs to a group belongs to its subgroups and projects. Everything is readable for members and
//! admins, and what is marked `public` for everyone.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use duologue_actors::{
    ports::{Caller, Directory, DirectoryError, Resource, ResourceFacts, ResourceName, RootNamespace, User},
    protocol::{GlobalId, UserId},
};
use secrecy::SecretString;

use crate::{
    builtin,
    config::{DeploymentConfig, DirectoryConfig},
    document::{self, Fault, Faults},
};

mod additions;
mod cascade;
mod complete;
mod file;
mod gitlab;
mod outside_names;
mod tree;

use tree::Tree;

pub use additions::{Additions, AdditionsError, Section};
pub use gitlab::{GitlabDirectory, Settings};

use outside_names::OutsideNames;

/// Where the directory lies unless the configuration says otherwise.
pub const SHIPPED: &str = "demo/directory.yaml";

/// By what the outside knows a user.
#[derive(Clone, Copy, Debug)]
pub enum AccountKey<'a> {
    Username(&'a str),
    /// `iss` (see [`issuer_name`]) and `sub` of a JWT. A subject alone names nobody: two issuers may use
    /// the same one.
    Subject {
        issuer: &'a str,
        subject: &'a str,
    },
    /// `X-Gitlab-Global-User-Id`: how a GitLab instance names a user to services outside.
    GlobalUserId(&'a str),
}

/// How the URL of an issuer is written where it names one: a slash at its end makes no difference.
#[must_use]
pub fn issuer_name(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// A directory that knows its users without being shown credentials.
pub trait Accounts: Send + Sync {
    fn account(&self, key: AccountKey<'_>) -> Option<User>;
}

/// How people name a flag's actor: by username, or by the path of a group or project.
#[derive(Clone, Copy, Debug)]
pub enum ActorName<'a> {
    User(&'a str),
    Group(&'a str),
    Project(&'a str),
}

impl<'a> ActorName<'a> {
    /// The name itself.
    #[must_use]
    pub fn text(self) -> &'a str {
        let (Self::User(name) | Self::Group(name) | Self::Project(name)) = self;
        name
    }

    /// The model of what is named.
    #[must_use]
    pub fn model(self) -> &'static str {
        match self {
            Self::User(_) => "User",
            Self::Group(_) => tree::GROUP,
            Self::Project(_) => tree::PROJECT,
        }
    }

    /// Whether `id` can be that of what is named.
    #[must_use]
    pub fn fits(self, id: &GlobalId) -> bool {
        id.model() == self.model() && id.number().is_some()
    }
}

/// A directory that knows what a name stands for.
#[async_trait]
pub trait ActorNames: Send + Sync {
    /// The actor as `caller` may see it, or `None` when there is none of that name.
    async fn actor(&self, caller: &Caller, name: ActorName<'_>) -> Result<Option<GlobalId>, DirectoryError>;
}

/// The whole directory, read once.
#[derive(Debug)]
pub struct FileDirectory {
    users: BTreeMap<UserId, Account>,
    tree: Tree,
    /// Issues, merge requests and the like, and the groups and projects themselves.
    resources: BTreeMap<GlobalId, Placed>,
    outside_names: OutsideNames,
}

#[derive(Debug)]
struct Account {
    user: User,
    development_token: Option<SecretString>,
}

/// A resource and where it lives.
#[derive(Debug)]
struct Placed {
    resource: Arc<Resource>,
    public: bool,
    /// The path of its group or project, or its own when it is one.
    path: String,
}

impl FileDirectory {
    /// Reads the file, and the additions if there are any; the built-in demo when the file's path is the shipped
    /// default and nothing is there.
    ///
    /// # Errors
    /// Everything wrong with the first of them that is not right, with line and column.
    pub fn load(config: &DirectoryConfig, deployment: &DeploymentConfig) -> Result<Self, Faults> {
        let text = builtin::read_file_or_builtin(&config.path, SHIPPED)?;
        let mut documents = vec![(config.path.display().to_string(), text)];
        if config.additions.exists() {
            let name = config.additions.display().to_string();
            if config.additions == config.path {
                let reason =
                    "is both directory.path and directory.additions; give the additions a file of their own";
                return Err(Fault::of_file(name, reason).into());
            }
            documents.push((name, document::read_file(&config.additions)?));
        }
        file::read(&documents, deployment)
    }

    /// The users who have a development token, and the token.
    pub fn development_tokens(&self) -> impl Iterator<Item = (&User, &SecretString)> {
        self.users.values().filter_map(|account| Some((&account.user, account.development_token.as_ref()?)))
    }

    /// Whether a token from outside can speak for `user`, by an identity of theirs or their global user id.
    #[must_use]
    pub fn is_known_outside(&self, user: UserId) -> bool {
        self.outside_names.has(user)
    }

    /// Whether a user has an identity at this issuer; or, if it speaks for instances, a global user id.
    #[must_use]
    pub fn has_users_of(&self, issuer: &str, speaks_for_instances: bool) -> bool {
        let names = &self.outside_names;
        names.has_of_issuer(issuer) || (speaks_for_instances && names.has_global_user_ids())
    }

    /// The group or project at `path`.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<&GlobalId> {
        self.tree.container(path)?.id()
    }

    /// Of all groups and projects.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.tree.paths().map(|(path, _)| path)
    }

    pub fn usernames(&self) -> impl Iterator<Item = &str> {
        self.users.values().map(|account| account.user.username.as_str())
    }

    /// Whether AI features are on in the group or project at `path`, after whatever stands above it.
    #[must_use]
    pub fn duo_features_enabled(&self, path: &str) -> Option<bool> {
        self.tree.container(path).map(|container| container.duo_features_enabled)
    }

    /// The top-level group of the group or project at `path`.
    #[must_use]
    pub fn root_of(&self, path: &str) -> Option<&RootNamespace> {
        self.tree.container(path).and(self.tree.root_of(path))
    }

    /// Whether `user` is a member of the group or project at `path`, directly or through a group above it. An
    /// admin need not be.
    #[must_use]
    pub fn is_member(&self, user: UserId, path: &str) -> bool {
        self.tree.container(path).is_some_and(|container| container.has_member(user))
    }

    /// A number that no `User`, `Group` or `Project`, whichever `model` says, has yet.
    #[must_use]
    pub fn next_id(&self, model: &str) -> u64 {
        let users = self.users.keys().map(|id| id.global_id());
        let containers = self.tree.paths().filter_map(|(_, container)| container.id().cloned());
        let taken = users.chain(containers).filter(|id| id.model() == model);
        taken.filter_map(|id| id.number()).max().unwrap_or_default() + 1
    }
}

impl Accounts for FileDirectory {
    fn account(&self, key: AccountKey<'_>) -> Option<User> {
        let id = match key {
            AccountKey::Username(username) => {
                let mut users = self.users.values().map(|account| &account.user);
                return users.find(|user| user.username == username).cloned();
            }
            AccountKey::Subject { issuer, subject } => self.outside_names.subject(issuer, subject)?,
            AccountKey::GlobalUserId(id) => self.outside_names.global_user_id(id)?,
        };
        self.users.get(&id).map(|account| account.user.clone())
    }
}

impl FileDirectory {
    fn named(&self, path: &str, model: &str) -> Option<GlobalId> {
        self.id_of(path).filter(|id| id.model() == model).cloned()
    }
}

#[async_trait]
impl ActorNames for FileDirectory {
    async fn actor(&self, _: &Caller, name: ActorName<'_>) -> Result<Option<GlobalId>, DirectoryError> {
        Ok(match name {
            ActorName::User(username) => {
                self.account(AccountKey::Username(username)).map(|user| user.id.global_id())
            }
            ActorName::Group(path) => self.named(path, tree::GROUP),
            ActorName::Project(path) => self.named(path, tree::PROJECT),
        })
    }
}

#[async_trait]
impl Directory for FileDirectory {
    async fn user(&self, id: UserId) -> Result<Option<User>, DirectoryError> {
        Ok(self.users.get(&id).map(|account| account.user.clone()))
    }

    async fn resource(
        &self,
        caller: &Caller,
        name: &ResourceName,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        let Some(placed) = self.resources.get(&name.id) else {
            return Ok(None);
        };
        let path = placed.path.as_str();
        let (Some(container), Some(root)) = (self.tree.container(path), self.tree.root_of(path)) else {
            return Ok(None);
        };
        let member = container.has(&caller.user);
        Ok(Some(ResourceFacts {
            resource: Arc::clone(&placed.resource),
            readable: member || placed.public,
            member,
            containers: container.line.clone(),
            duo_features_enabled: container.duo_features_enabled,
            root: root.clone(),
        }))
    }

    async fn root_namespaces(&self, caller: &Caller) -> Result<Vec<RootNamespace>, DirectoryError> {
        Ok(self.tree.roots_of(&caller.user).cloned().collect())
    }
}

#[cfg(test)]
impl FileDirectory {
    /// The demo, as it is shipped.
    pub(crate) fn demo() -> Self {
        let config =
            crate::config::Config::from_layers(None, &crate::env_file::Environment::default()).unwrap();
        let text = builtin::read(SHIPPED).unwrap();
        file::read(&[(SHIPPED.to_owned(), text)], &config.deployment)
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// What the documents say together on an instance of this kind.
    pub(crate) fn of(documents: &[&str], deployment: &DeploymentConfig) -> Self {
        let named = ["first", "second", "third"].into_iter().zip(documents);
        let documents: Vec<_> = named.map(|(name, text)| (name.to_owned(), (*text).to_owned())).collect();
        file::read(&documents, deployment).unwrap_or_else(|faults| panic!("{faults}"))
    }
}

#[cfg(test)]
mod tests;
