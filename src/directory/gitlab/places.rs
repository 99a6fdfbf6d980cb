//! Where something is: its project and groups, what the caller is there, and whether AI features are on.

use std::collections::BTreeMap;

use duologue_actors::{ports::DirectoryError, protocol::GlobalId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Reader, found, nullable};
use crate::gitlab::CallError;

/// The least role of a member: a guest. Below it are those who may see that something is there. By
/// GitLab's documentation of the members API, `access_level`.
const GUEST: i64 = 10;

/// The most groups in one query, so that it stays below GitLab's bound on a query's complexity (250).
pub(super) const GROUPS_IN_A_QUERY: usize = 20;

/// What GraphQL's `Project` and `Group` have in common.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) full_path: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) duo_features_enabled: Option<bool>,
    /// With what is inherited and shared for a project; of direct members only for a group.
    #[serde(deserialize_with = "nullable")]
    max_access_level: Option<AccessLevel>,
    /// Of a project only.
    namespace: Option<Namespace>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessLevel {
    #[serde(deserialize_with = "nullable")]
    integer_value: Option<i64>,
}

/// By GitLab's REST API documentation of members.
#[derive(Deserialize)]
struct Member {
    access_level: i64,
}

#[derive(Clone, Debug, Deserialize)]
struct Namespace {
    id: String,
}

impl Place {
    pub(super) fn global_id(&self) -> Result<GlobalId, DirectoryError> {
        self.id.parse().map_err(|_| DirectoryError::Unavailable)
    }

    fn has_as_member(&self) -> bool {
        let level = self.max_access_level.as_ref().and_then(|level| level.integer_value);
        level.is_some_and(|level| level >= GUEST)
    }

    /// The namespace of a project that belongs to one person: `gid://gitlab/Namespaces::UserNamespace/7`.
    pub(super) fn personal_namespace(&self) -> Option<GlobalId> {
        let id: GlobalId = self.namespace.as_ref()?.id.parse().ok()?;
        id.model().ends_with("UserNamespace").then_some(id)
    }
}

/// Where a resource is, by the full path that GitLab gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Project(String),
    Group(String),
}

impl At {
    /// The paths of the groups above a project, or of a group and those above it, nearest first.
    pub(super) fn groups(&self) -> Vec<&str> {
        let mut path = match self {
            Self::Project(path) => parent(path),
            Self::Group(path) => Some(path.as_str()),
        };
        let mut groups = Vec::new();
        while let Some(group) = path {
            groups.push(group);
            path = parent(group);
        }
        groups
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// What the caller sees of a project and of the groups above it.
pub(super) struct Seen {
    pub(super) project: Option<Place>,
    /// Nearest first, the top-level group last; `None` for one the caller does not see.
    pub(super) groups: Vec<Option<Place>>,
}

impl Seen {
    pub(super) fn nearest(&self) -> Option<&Place> {
        self.project.as_ref().or_else(|| self.groups.first()?.as_ref())
    }

    pub(super) fn root(&self) -> Option<&Place> {
        self.groups.last()?.as_ref()
    }
}

impl Reader<'_> {
    pub(super) async fn places(&self, at: &At) -> Result<Seen, CallError> {
        let project = match at {
            At::Project(path) => Some(path.as_str()),
            At::Group(_) => None,
        };
        self.see(project, &at.groups()).await
    }

    /// Whether the caller belongs to the nearest of what is `seen`. For a group GitLab is asked about what is
    /// inherited from the groups above it and from groups that were invited, unless one of them says so.
    pub(super) async fn is_member(&self, seen: &Seen) -> Result<bool, DirectoryError> {
        if let Some(project) = &seen.project {
            return Ok(project.has_as_member());
        }
        let Some(group) = seen.nearest() else { return Ok(false) };
        if seen.groups.iter().flatten().any(Place::has_as_member) {
            return Ok(true);
        }
        let user = self.user.to_string();
        let path = ["api", "v4", "groups", &group.full_path, "members", "all", &user];
        let member = found(self.gitlab().get::<Member>(self.token, &path, &[]).await)?;
        Ok(member.is_some_and(|member| member.access_level >= GUEST))
    }

    /// Asks for a project and groups by their paths, all in one query. Its fields, `duoFeaturesEnabled` and
    /// `maxAccessLevel` among them, are those of GitLab's GraphQL reference of `Project` and `Group`.
    pub(super) async fn see(&self, project: Option<&str>, groups: &[&str]) -> Result<Seen, CallError> {
        const FIELDS: &str = "id fullPath duoFeaturesEnabled maxAccessLevel { integerValue }";
        let (mut declared, mut asked, mut variables) = (String::new(), String::new(), Map::new());
        if let Some(path) = project {
            declared.push_str("$project: ID! ");
            asked.push_str(&format!(
                "project: project(fullPath: $project) {{ {FIELDS} namespace {{ id }} }} "
            ));
            variables.insert("project".to_owned(), Value::from(path));
        }
        for (number, path) in groups.iter().enumerate() {
            declared.push_str(&format!("$g{number}: ID! "));
            asked.push_str(&format!("g{number}: group(fullPath: $g{number}) {{ {FIELDS} }} "));
            variables.insert(format!("g{number}"), Value::from(*path));
        }
        let query = format!("query places({declared}) {{ {asked}}}");
        let mut seen: BTreeMap<String, Option<Place>> =
            self.gitlab().graphql(self.token, &query, &Value::Object(variables)).await?;
        let mut take = |name: &str| seen.remove(name).ok_or(CallError::Unavailable);
        let project = if project.is_some() { take("project")? } else { None };
        let groups = (0..groups.len()).map(|number| take(&format!("g{number}")));
        Ok(Seen { project, groups: groups.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(At::Project("a/b/c".to_owned()), &["a/b", "a"])]
    #[case(At::Project("a/b".to_owned()), &["a"])]
    #[case(At::Project("a".to_owned()), &[])]
    #[case(At::Group("a/b".to_owned()), &["a/b", "a"])]
    #[case(At::Group("a".to_owned()), &["a"])]
    fn the_groups_above_are_in_the_path_nearest_first(#[case] at: At, #[case] groups: &[&str]) {
        assert_eq!(at.groups(), groups);
    }

    #[rstest::rstest]
    #[case(Some(5), false)]
    #[case(Some(0), false)]
    #[case(None, false)]
    #[case(Some(10), true)]
    #[case(Some(50), true)]
    fn a_member_is_a_guest_at_least(#[case] level: Option<i64>, #[case] member: bool) {
        let place: Place = serde_json::from_value(serde_json::json!({
            "id": "gid://gitlab/Group/1", "fullPath": "a", "duoFeaturesEnabled": null,
            "maxAccessLevel": { "integerValue": level }
        }))
        .unwrap();
        assert_eq!(place.has_as_member(), member);
    }
}
