//! Users, groups, projects and resources from one file: the directory of a demo or a test.
//!
//! Membership is by group: who belongs to a group belongs to its projects. Everything is readable for
//! members and admins, and what is marked `public` for everyone.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use duologue_actors::{
    ports::{Caller, Directory, DirectoryError, Resource, ResourceFacts, RootNamespace, User},
    protocol::{GlobalId, UserId},
};
use secrecy::SecretString;

use crate::{builtin, document::Faults};

mod file;
mod plans;

pub use plans::Plans;

/// Where the directory lies unless the configuration says otherwise.
pub const SHIPPED: &str = "demo/directory.yaml";

/// The whole directory, read once.
#[derive(Debug)]
pub struct FileDirectory {
    users: BTreeMap<UserId, Account>,
    groups: Vec<Group>,
    /// Issues, merge requests and the like, and the groups and projects themselves.
    resources: BTreeMap<GlobalId, Placed>,
}

#[derive(Debug)]
struct Account {
    user: User,
    development_token: Option<SecretString>,
}

/// A top-level group.
#[derive(Debug)]
struct Group {
    namespace: RootNamespace,
    members: Vec<UserId>,
}

/// A resource and where it lives.
#[derive(Debug)]
struct Placed {
    resource: Arc<Resource>,
    public: bool,
    /// Nearest first; the last one is the top-level group.
    containers: Vec<GlobalId>,
}

impl FileDirectory {
    /// Reads the file; the built-in demo when `path` is the shipped default and nothing is there.
    ///
    /// # Errors
    /// Everything wrong with the file, with line and column.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = builtin::read_file_or_builtin(path, SHIPPED)?;
        file::parse(&path.display().to_string(), &text)
    }

    /// The users who have a development token, and the token.
    pub fn development_tokens(&self) -> impl Iterator<Item = (&User, &SecretString)> {
        self.users.values().filter_map(|account| Some((&account.user, account.development_token.as_ref()?)))
    }

    fn group_of(&self, placed: &Placed) -> Option<&Group> {
        let root = placed.containers.last()?;
        self.groups.iter().find(|group| group.namespace.id == *root)
    }
}

impl Group {
    fn has(&self, user: &User) -> bool {
        user.admin || self.members.contains(&user.id)
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
        id: &GlobalId,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        let Some(placed) = self.resources.get(id) else {
            return Ok(None);
        };
        let Some(group) = self.group_of(placed) else {
            return Ok(None);
        };
        let member = group.has(&caller.user);
        Ok(Some(ResourceFacts {
            resource: Arc::clone(&placed.resource),
            readable: member || placed.public,
            member,
            containers: placed.containers.clone(),
            root: group.namespace.clone(),
        }))
    }

    async fn root_namespaces(&self, caller: &Caller) -> Result<Vec<RootNamespace>, DirectoryError> {
        let own = self.groups.iter().filter(|group| group.has(&caller.user));
        Ok(own.map(|group| group.namespace.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> FileDirectory {
        FileDirectory::load(Path::new("demo/directory.yaml")).unwrap_or_else(|faults| panic!("{faults}"))
    }

    async fn caller(directory: &FileDirectory, id: u64) -> Caller {
        let user = directory.user(UserId(id)).await.unwrap().unwrap();
        Caller { user, credentials: None }
    }

    async fn facts(id: &str, user: u64) -> Option<ResourceFacts> {
        let directory = demo();
        let caller = caller(&directory, user).await;
        directory.resource(&caller, &id.parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_member_of_the_group_is_a_member_of_its_project_and_reads_what_is_there() {
        let facts = facts("gid://gitlab/Issue/52", 2).await.unwrap();
        assert!(facts.member && facts.readable);
        let containers: Vec<String> = facts.containers.iter().map(ToString::to_string).collect();
        assert_eq!(containers, ["gid://gitlab/Project/20", "gid://gitlab/Group/10"]);
        assert_eq!((facts.root.path.as_str(), facts.root.plan.as_deref()), ("demo", Some("ultimate")));
        assert!(facts.root.experiment_features_enabled);
        assert_eq!(facts.resource.comments.len(), 6);
        assert!(!facts.resource.title.is_empty() && facts.resource.description.len() > 200);
    }

    #[tokio::test]
    async fn an_admin_belongs_everywhere_and_a_stranger_nowhere() {
        let admin = facts("gid://gitlab/MergeRequest/52", 1).await.unwrap();
        assert!(admin.member && admin.readable);
        let stranger = facts("gid://gitlab/MergeRequest/52", 3).await.unwrap();
        assert!(!stranger.member && !stranger.readable);
    }

    #[tokio::test]
    async fn a_project_and_a_group_are_resources_too() {
        let project = facts("gid://gitlab/Project/20", 2).await.unwrap();
        assert_eq!(project.containers.len(), 2);
        let group = facts("gid://gitlab/Group/11", 2).await.unwrap();
        assert!(!group.member && group.root.plan.is_none() && !group.root.experiment_features_enabled);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        assert_eq!(facts("gid://gitlab/Issue/53", 1).await, None);
        assert_eq!(demo().user(UserId(99)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_user_has_the_top_level_groups_they_belong_to() {
        let directory = demo();
        let mut counts = Vec::new();
        for id in [1, 2, 3] {
            let caller = caller(&directory, id).await;
            counts.push(directory.root_namespaces(&caller).await.unwrap().len());
        }
        assert_eq!(counts, [2, 1, 0]);
    }

    #[tokio::test]
    async fn what_is_public_is_readable_for_strangers_who_are_no_members() {
        let text = "users: [{id: 3, username: mallory, name: Mallory}]\ngroups: [{id: 1, path: a, name: A}]\n\
                    resources: [{id: gid://gitlab/Epic/5, group: a, title: T, public: true}]\n";
        let directory = file::parse("f", text).unwrap();
        let caller = caller(&directory, 3).await;
        let facts = directory.resource(&caller, &GlobalId::of("Epic", 5)).await.unwrap().unwrap();
        assert!(facts.readable && !facts.member);
    }
}
