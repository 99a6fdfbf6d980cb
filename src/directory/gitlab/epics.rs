//! Epics by their own ids. GitLab has no way to look one up: REST and GraphQL find epics by group and
//! number within it. But the notes of an epic are addressed by its id below any group above it, so the
//! caller's top-level groups are asked for them, and the one that has the epic is read until it is found.
//!
//! From GitLab 18.1 on epics are work items, and `gid://gitlab/WorkItem/…` finds them in one query.

use duologue_actors::{ports::DirectoryError, protocol::GlobalId};
use futures::future::try_join_all;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Reader, found,
    places::At,
    resources::{Found, Text, WITHOUT_PROJECTS},
};
use crate::gitlab::{CallError, Part};

/// Groups that are asked at once for the epic.
const AT_ONCE: usize = 4;
/// Pages of a group's epics that are read, newest first, each of a hundred.
const MAX_PAGES: usize = 10;

/// By GitLab's REST API documentation of epics, the list of a group's epics.
#[derive(Deserialize)]
struct Epic {
    id: u64,
    group_id: u64,
    title: String,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    full_path: String,
}

impl Reader<'_> {
    pub(super) async fn epic(&self, id: &GlobalId) -> Result<Option<Found>, DirectoryError> {
        let Some(number) = id.number() else { return Ok(None) };
        let Some(root) = self.root_of_epic(number).await? else { return Ok(None) };
        let Some(epic) = self.listed_epic(&root, number).await? else {
            tracing::debug!(resource = %id, "the epic is older than what is searched; its work item is found at once");
            return Ok(None);
        };
        let group = GlobalId::of("Group", epic.group_id);
        let group = self.numbered_resource::<Group>("groups", &group, WITHOUT_PROJECTS).await;
        let Some(group) = found(group)? else { return Ok(None) };
        let notes = ["api", "v4", "groups", &root, "epics", &number.to_string(), "notes"];
        let Some(comments) = found(self.notes(&notes).await)? else { return Ok(None) };
        let text = Text { title: epic.title, description: epic.description, comments };
        Ok(Some(Found { text, at: At::Group(group.full_path) }))
    }

    /// The path of the top-level group whose epics have this one among them.
    async fn root_of_epic(&self, number: u64) -> Result<Option<String>, DirectoryError> {
        let number = number.to_string();
        let places = self.root_places().await?;
        for some in places.chunks(AT_ONCE) {
            let asked = some.iter().map(|root| self.has_epic(&root.full_path, &number));
            let answers = try_join_all(asked).await?;
            if let Some((root, _)) = some.iter().zip(answers).find(|(_, has_it)| *has_it) {
                return Ok(Some(root.full_path.clone()));
            }
        }
        Ok(None)
    }

    /// Whether there are notes of the epic to ask for below `root`, however many are wanted.
    async fn has_epic(&self, root: &str, number: &str) -> Result<bool, DirectoryError> {
        const ONE: Part = Part { number: 1, size: 1 };
        let path = ["api", "v4", "groups", root, "epics", number, "notes"];
        match self.gitlab().page::<IgnoredAny>(self.token, &path, &[], ONE).await {
            Err(CallError::TooLong) => Ok(true),
            answer => Ok(found(answer)?.is_some()),
        }
    }

    async fn listed_epic(&self, root: &str, number: u64) -> Result<Option<Epic>, DirectoryError> {
        const NEWEST_FIRST: &[(&str, &str)] =
            &[("include_descendant_groups", "true"), ("order_by", "created_at"), ("sort", "desc")];
        let path = ["api", "v4", "groups", root, "epics"];
        for page in 1..=MAX_PAGES {
            let page = self.gitlab().page::<Epic>(self.token, &path, NEWEST_FIRST, Part::page(page)).await;
            let Some(page) = found(page)? else { return Ok(None) };
            if let Some(epic) = page.entries.into_iter().find(|epic| epic.id == number) {
                return Ok(Some(epic));
            }
            if !page.has_next {
                break;
            }
        }
        Ok(None)
    }
}
