//! The top-level groups of the caller: those of everything they belong to, be it a group or a project.

use std::collections::BTreeSet;

use duologue_actors::ports::{DirectoryError, RootNamespace};
use futures::future::try_join_all;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Reader,
    places::{GROUPS_IN_A_QUERY, Place},
};
use crate::gitlab::Part;

/// Pages of the caller's groups, and of their projects, that are read. Who belongs to more is looked at in the first of them, by
/// name.
const MAX_PAGES: usize = 5;
/// Top-level groups that are looked at. A caller is allowed what any one of theirs allows.
const MAX_ROOTS: usize = 50;
/// Groups whose settings are asked for at once.
const AT_ONCE: usize = 4;

/// By GitLab's REST API documentation of groups, the list of groups.
#[derive(Deserialize)]
struct Group {
    full_path: String,
}

/// By GitLab's REST API documentation of projects, the list of projects with `simple=true`.
#[derive(Deserialize)]
struct Project {
    namespace: Namespace,
}

#[derive(Deserialize)]
struct Namespace {
    /// `group`, or `user` for a project that belongs to one person.
    kind: String,
    full_path: String,
}

impl Reader<'_> {
    pub(super) async fn root_namespaces(&self) -> Result<Vec<RootNamespace>, DirectoryError> {
        let places = self.root_places().await?;
        let mut roots = Vec::new();
        for some in places.chunks(AT_ONCE) {
            roots.extend(try_join_all(some.iter().map(|place| self.root(place))).await?);
        }
        Ok(roots)
    }

    pub(super) async fn root_places(&self) -> Result<Vec<Place>, DirectoryError> {
        let paths = self.root_paths().await?;
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let mut places = Vec::new();
        for some in paths.chunks(GROUPS_IN_A_QUERY) {
            places.extend(self.see(None, some).await?.groups.into_iter().flatten());
        }
        Ok(places)
    }

    /// The first parts of the paths of all groups and projects in which the caller is a guest at least:
    /// whoever belongs to a subgroup or a project counts for the group at its top, as on GitLab.com. An
    /// admin belongs everywhere.
    async fn root_paths(&self) -> Result<BTreeSet<String>, DirectoryError> {
        const OF_A_MEMBER: &[(&str, &str)] =
            &[("membership", "true"), ("min_access_level", "10"), ("simple", "true")];
        let groups = if self.admin { ("top_level_only", "true") } else { ("min_access_level", "10") };
        let mut roots = self.roots_in("groups", &[groups], |group: Group| Some(group.full_path)).await?;
        if !self.admin {
            let of_a_group = |project: Project| {
                let Namespace { kind, full_path } = project.namespace;
                (kind == "group").then_some(full_path)
            };
            roots.extend(self.roots_in("projects", OF_A_MEMBER, of_a_group).await?);
        }
        if roots.len() > MAX_ROOTS {
            tracing::debug!(
                groups = roots.len(),
                looked_at = MAX_ROOTS,
                "a caller has very many top-level groups"
            );
        }
        Ok(roots.into_iter().take(MAX_ROOTS).collect())
    }

    /// The first parts of the paths in a list.
    async fn roots_in<T: DeserializeOwned>(
        &self,
        list: &str,
        query: &[(&str, &str)],
        path: impl Fn(T) -> Option<String>,
    ) -> Result<BTreeSet<String>, DirectoryError> {
        let mut roots = BTreeSet::new();
        for number in 1..=MAX_PAGES {
            let page =
                self.gitlab().page(self.token, &["api", "v4", list], query, Part::page(number)).await?;
            let paths = page.entries.into_iter().filter_map(&path);
            roots.extend(paths.filter_map(|path| path.split('/').next().map(str::to_owned)));
            if !page.has_next {
                break;
            }
        }
        Ok(roots)
    }
}
