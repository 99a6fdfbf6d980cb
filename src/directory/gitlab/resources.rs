//! A resource by its global id: its text, and what the policy must know about where it is.

use std::sync::Arc;

use duologue_actors::{
    ports::{Comment, DirectoryError, Resource, ResourceFacts, ResourceName, RootNamespace},
    protocol::GlobalId,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Reader, found, nullable,
    places::{At, Seen},
};
use crate::gitlab::{CallError, clean};

/// `reference(full: true)` is the path of the project, a sign, and the number within it.
const ISSUE: &str = "query issue($id: IssueID!) {
  found: issue(id: $id) { iid title description reference(full: true) }
}";
const MERGE_REQUEST: &str = "query mergeRequest($id: MergeRequestID!) {
  found: mergeRequest(id: $id) { iid title description reference(full: true) }
}";
const WORK_ITEM: &str = "query workItem($id: WorkItemID!) {
  found: workItem(id: $id) { title description project { fullPath } namespace { fullPath } }
}";

/// A group's answer holds all its projects unless it is told otherwise.
pub(super) const WITHOUT_PROJECTS: &[(&str, &str)] = &[("with_projects", "false")];

/// What there is to read, before it is known who may.
pub(super) struct Found {
    pub(super) text: Text,
    pub(super) at: At,
}

pub(super) struct Text {
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) comments: Vec<Comment>,
}

impl Reader<'_> {
    pub(super) async fn resource(
        &self,
        name: &ResourceName,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        let id = &name.id;
        let found = match id.model() {
            "Issue" => found(self.issuable(id, ISSUE, '#', "issues").await)?.flatten(),
            "MergeRequest" => found(self.issuable(id, MERGE_REQUEST, '!', "merge_requests").await)?.flatten(),
            "WorkItem" => found(self.work_item(id).await)?.flatten(),
            "Epic" => self.epic(id).await?,
            "Project" => found(self.project(id).await)?,
            "Group" => found(self.group(id).await)?,
            "Commit" => match &name.project {
                Some(project) => found(self.commit(project, id).await)?,
                None => None,
            },
            _ => None,
        };
        match found {
            Some(Found { text, at }) => self.facts(id, text, &at).await,
            None => Ok(None),
        }
    }

    /// An issue or a merge request. The query is from GitLab's GraphQL reference, `Query.issue` and
    /// `Query.mergeRequest`; what may not be read is `null`.
    async fn issuable(
        &self,
        id: &GlobalId,
        query: &str,
        sign: char,
        kind: &str,
    ) -> Result<Option<Found>, CallError> {
        let answer: Answer<Issuable> =
            self.gitlab().graphql(self.token, query, &json!({ "id": id.to_string() })).await?;
        let Some(issuable) = answer.found else { return Ok(None) };
        let Some((project, _)) = issuable.reference.rsplit_once(sign) else {
            return Err(CallError::Unavailable);
        };
        let path = ["api", "v4", "projects", project, kind, &issuable.iid, "notes"];
        let comments = self.notes(&path).await?;
        let text = Text { title: issuable.title, description: issuable.description, comments };
        Ok(Some(Found { text, at: At::Project(project.to_owned()) }))
    }

    /// A work item of a project, or of a group, as epics are. By GitLab's GraphQL reference,
    /// `Query.workItem`.
    async fn work_item(&self, id: &GlobalId) -> Result<Option<Found>, CallError> {
        let variables = json!({ "id": id.to_string() });
        let answer: Answer<WorkItem> = self.gitlab().graphql(self.token, WORK_ITEM, &variables).await?;
        let Some(item) = answer.found else { return Ok(None) };
        let at = match (item.project, item.namespace) {
            (Some(project), _) => At::Project(project.full_path),
            (None, Some(namespace)) => At::Group(namespace.full_path),
            (None, None) => return Ok(None),
        };
        let comments = self.discussed(id).await?;
        let text = Text { title: item.title, description: item.description, comments };
        Ok(Some(Found { text, at }))
    }

    /// By GitLab's REST API documentation of projects.
    async fn project(&self, id: &GlobalId) -> Result<Found, CallError> {
        let project: Project = self.numbered_resource("projects", id, &[]).await?;
        let text = Text {
            title: project.name_with_namespace,
            description: project.description,
            comments: Vec::new(),
        };
        Ok(Found { text, at: At::Project(project.path_with_namespace) })
    }

    /// By GitLab's REST API documentation of groups.
    async fn group(&self, id: &GlobalId) -> Result<Found, CallError> {
        let group: Group = self.numbered_resource("groups", id, WITHOUT_PROJECTS).await?;
        let text = Text { title: group.full_name, description: group.description, comments: Vec::new() };
        Ok(Found { text, at: At::Group(group.full_path) })
    }

    /// By GitLab's REST API documentation of commits.
    async fn commit(&self, project: &GlobalId, id: &GlobalId) -> Result<Found, CallError> {
        if project.model() != "Project" || !id.id().chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(CallError::NotFound);
        }
        let place: Project = self.numbered_resource("projects", project, &[]).await?;
        let path = ["api", "v4", "projects", project.id(), "repository", "commits", id.id()];
        let commit: Commit = self.gitlab().get(self.token, &path, &[]).await?;
        let comments = self.commit_comments(&[&path[..], &["comments"]].concat()).await?;
        let text = Text { title: commit.title, description: Some(commit.message), comments };
        Ok(Found { text, at: At::Project(place.path_with_namespace) })
    }

    pub(super) async fn numbered_resource<T: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        id: &GlobalId,
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        let number = id.number().ok_or(CallError::NotFound)?.to_string();
        self.gitlab().get(self.token, &["api", "v4", kind, &number], query).await
    }

    async fn facts(
        &self,
        id: &GlobalId,
        text: Text,
        at: &At,
    ) -> Result<Option<ResourceFacts>, DirectoryError> {
        let seen = self.places(at).await?;
        let Some(nearest) = seen.nearest() else { return Ok(None) };
        let Some(root) = self.root_above(&seen).await? else {
            tracing::debug!(resource = %id, "its top-level group is not shown to the caller");
            return Ok(None);
        };
        let member = self.is_member(&seen).await?;
        let containers = seen.project.iter().chain(seen.groups.iter().flatten());
        Ok(Some(ResourceFacts {
            resource: Arc::new(Resource {
                id: id.clone(),
                title: clean(&text.title),
                description: clean(text.description.as_deref().unwrap_or_default()),
                comments: text.comments,
            }),
            readable: true,
            member,
            containers: containers.map(super::places::Place::global_id).collect::<Result<_, _>>()?,
            // GitLab gives the setting with everything above it applied: what is off at the top may be on here.
            duo_features_enabled: seen.root().is_some()
                && self.settings().duo_features(nearest.duo_features_enabled),
            root,
        }))
    }

    /// The top-level group. A project that belongs to one person has none: there GitLab's `StageCheck`
    /// allows nothing, and so does what stands for it here.
    async fn root_above(&self, seen: &Seen) -> Result<Option<RootNamespace>, DirectoryError> {
        if let Some(place) = seen.root() {
            return self.root(place).await.map(Some);
        }
        let personal = seen.project.as_ref().and_then(|project| {
            let path = project.full_path.split('/').next().unwrap_or_default().to_owned();
            Some(RootNamespace {
                id: project.personal_namespace()?,
                path,
                plan: None,
                add_ons: Vec::new(),
                experiment_features_enabled: false,
                duo_features_enabled: false,
            })
        });
        Ok(personal)
    }
}

#[derive(Deserialize)]
pub(super) struct Answer<T> {
    #[serde(deserialize_with = "nullable", bound(deserialize = "T: Deserialize<'de>"))]
    pub(super) found: Option<T>,
}

#[derive(Deserialize)]
struct Issuable {
    iid: String,
    title: String,
    #[serde(deserialize_with = "nullable")]
    description: Option<String>,
    reference: String,
}

#[derive(Deserialize)]
struct WorkItem {
    title: String,
    #[serde(deserialize_with = "nullable")]
    description: Option<String>,
    #[serde(deserialize_with = "nullable")]
    project: Option<Container>,
    #[serde(deserialize_with = "nullable")]
    namespace: Option<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    full_path: String,
}

#[derive(Deserialize)]
struct Project {
    name_with_namespace: String,
    description: Option<String>,
    path_with_namespace: String,
}

#[derive(Deserialize)]
struct Group {
    full_name: String,
    description: Option<String>,
    full_path: String,
}

#[derive(Deserialize)]
struct Commit {
    title: String,
    message: String,
}
