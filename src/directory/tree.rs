//! Groups, subgroups and projects as a tree: who belongs where, and which settings hold there once everything
//! above has had its say.
//!
//! Membership comes down: a member of a group is one of its subgroups and projects, not the other way round.
//! Yet a member of a project has the top-level group above it among their namespaces, as on GitLab.

use std::collections::{BTreeMap, BTreeSet};

use duologue_actors::{
    ports::{RootNamespace, User},
    protocol::{GlobalId, UserId},
};

use super::cascade::{self, Own};
use crate::config::DeploymentConfig;

pub(super) const GROUP: &str = "Group";
pub(super) const PROJECT: &str = "Project";

/// A group or project as it is declared.
#[derive(Debug)]
pub(super) struct Declared {
    pub id: GlobalId,
    /// Its own members, without those of the groups above.
    pub members: Vec<UserId>,
    pub duo_features: Own,
    pub top_level: TopLevel,
}

/// What only a top-level group has.
#[derive(Debug, Default)]
pub(super) struct TopLevel {
    pub plan: Option<String>,
    pub add_ons: Vec<String>,
    pub experiment_features_enabled: bool,
}

/// All groups and projects by their paths. A path says what is above it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    containers: BTreeMap<String, Container>,
    roots: BTreeMap<String, Root>,
}

/// A group or project.
#[derive(Debug)]
pub(super) struct Container {
    /// Itself first, its top-level group last.
    pub line: Vec<GlobalId>,
    /// With those of the groups above.
    members: BTreeSet<UserId>,
    pub duo_features_enabled: bool,
}

/// A top-level group.
#[derive(Debug)]
pub(super) struct Root {
    pub namespace: RootNamespace,
    /// The members of anything in it.
    belonging: BTreeSet<UserId>,
}

impl Container {
    fn below(above: Option<&Self>, own: &Declared, duo_features_enabled: bool) -> Self {
        let (mut line, mut members) =
            (vec![own.id.clone()], own.members.iter().copied().collect::<BTreeSet<_>>());
        if let Some(above) = above {
            line.extend(above.line.iter().cloned());
            members.extend(&above.members);
        }
        Self { line, members, duo_features_enabled }
    }

    pub fn id(&self) -> Option<&GlobalId> {
        self.line.first()
    }

    pub fn has(&self, user: &User) -> bool {
        user.admin || self.has_member(user.id)
    }

    /// By membership alone: an admin may everything and be a member of nothing.
    pub fn has_member(&self, user: UserId) -> bool {
        self.members.contains(&user)
    }
}

impl Root {
    fn of(path: &str, own: &Declared, duo_features_enabled: bool, deployment: &DeploymentConfig) -> Self {
        let TopLevel { plan, add_ons, experiment_features_enabled } = &own.top_level;
        let namespace = RootNamespace {
            id: own.id.clone(),
            path: path.to_owned(),
            plan: plan.clone(),
            add_ons: add_ons.clone(),
            experiment_features_enabled: deployment.experiments(*experiment_features_enabled),
            duo_features_enabled,
        };
        Self { namespace, belonging: own.members.iter().copied().collect() }
    }
}

impl Tree {
    /// What comes of `declared` on this kind of instance. What is above a path sorts before it.
    pub fn settle(declared: &BTreeMap<String, Declared>, deployment: &DeploymentConfig) -> Self {
        let mut tree = Self::default();
        for (path, own) in declared {
            let said = lineage(path).filter_map(|path| declared.get(path)).map(|own| own.duo_features);
            let enabled = cascade::duo_features_enabled(deployment.duo_features(), said);
            let container = Container::below(above(path).and_then(|path| tree.container(path)), own, enabled);
            tree.containers.insert(path.clone(), container);
            if let Some(root) = tree.roots.get_mut(root(path)) {
                root.belonging.extend(own.members.iter().copied());
            } else {
                tree.roots.insert(path.clone(), Root::of(path, own, enabled, deployment));
            }
        }
        tree
    }

    pub fn container(&self, path: &str) -> Option<&Container> {
        self.containers.get(path)
    }

    pub fn paths(&self) -> impl Iterator<Item = (&str, &Container)> {
        self.containers.iter().map(|(path, container)| (path.as_str(), container))
    }

    /// The top-level group of whatever has this path.
    pub fn root_of(&self, path: &str) -> Option<&RootNamespace> {
        self.roots.get(root(path)).map(|root| &root.namespace)
    }

    /// The top-level groups `user` has anything to do with; all of them for an admin.
    pub fn roots_of(&self, user: &User) -> impl Iterator<Item = &RootNamespace> {
        let own = |root: &&Root| user.admin || root.belonging.contains(&user.id);
        self.roots.values().filter(own).map(|root| &root.namespace)
    }
}

/// The path of the group `path` lies in.
pub(super) fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

/// The path of the top-level group.
pub(super) fn root(path: &str) -> &str {
    path.split_once('/').map_or(path, |(root, _)| root)
}

/// The paths from the top-level group down to `path` itself.
fn lineage(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.filter_map(|end| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_above_it() {
        assert_eq!((above("a/b/c"), above("a")), (Some("a/b"), None));
        assert_eq!((root("a/b/c"), root("a")), ("a", "a"));
        assert_eq!(lineage("a/b/c").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(lineage("a").collect::<Vec<_>>(), ["a"]);
    }
}
