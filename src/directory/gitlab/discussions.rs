//! The comments of a work item. GitLab gives its discussions forwards only, oldest first (`first` and
//! `after`; it ignores `last`, and only newer versions have `sort`), so all of them are read, up to a bound,
//! for the newest comments in them. By GitLab's GraphQL reference, `WorkItemWidgetNotes`.

use duologue_actors::{ports::Comment, protocol::GlobalId};
use serde::Deserialize;
use serde_json::json;

use super::{
    Reader,
    comments::{Author, comment, left_out},
    nullable,
    resources::Answer,
};
use crate::gitlab::{CallError, PAGE};

/// Pages of discussions that are read.
const MAX_PAGES: usize = 10;
/// A page that is too long is asked for with this fraction of its discussions.
const PARTS: usize = 10;

const DISCUSSIONS: &str = "query discussions($id: WorkItemID!, $first: Int!, $after: String) {
  found: workItem(id: $id) {
    widgets { __typename ... on WorkItemWidgetNotes { discussions(filter: ONLY_COMMENTS, first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { notes { nodes { system body createdAt author { name } } } }
    } } }
  }
}";

#[derive(Deserialize)]
struct WorkItem {
    widgets: Vec<Widget>,
}

/// Of every other kind of widget there is only its type in the answer.
#[derive(Deserialize)]
struct Widget {
    #[serde(default)]
    discussions: Option<Discussions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discussions {
    page_info: PageInfo,
    nodes: Vec<Discussion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    #[serde(deserialize_with = "nullable")]
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Discussion {
    notes: Nodes,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Note>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    system: bool,
    body: String,
    /// ISO 8601 in UTC: it sorts as text.
    created_at: String,
    #[serde(deserialize_with = "nullable")]
    author: Option<Author>,
}

impl Reader<'_> {
    pub(super) async fn discussed(&self, id: &GlobalId) -> Result<Vec<Comment>, CallError> {
        let max = self.settings().max_comments;
        if max == 0 {
            return Ok(Vec::new());
        }
        let (mut notes, is_whole) = self.notes_of_discussions(id).await?;
        notes.sort_by(|one, other| one.created_at.cmp(&other.created_at));
        let written = notes.into_iter().map(|note| comment(note.author, &note.body));
        let mut comments: Vec<Comment> = written.chain((!is_whole).then(left_out)).collect();
        comments.drain(..comments.len().saturating_sub(max));
        Ok(comments)
    }

    /// What was written, and whether that is all of it: no cursor leads past a discussion that is too long
    /// to be read.
    async fn notes_of_discussions(&self, id: &GlobalId) -> Result<(Vec<Note>, bool), CallError> {
        let (mut notes, mut first, mut after) = (Vec::new(), PAGE, None);
        for _ in 0..MAX_PAGES {
            let page = match self.discussions(id, first, after.as_deref()).await {
                Ok(page) => page,
                Err(CallError::TooLong) if first > 1 => {
                    first /= PARTS;
                    continue;
                }
                Err(CallError::TooLong) => return Ok((notes, false)),
                Err(error) => return Err(error),
            };
            let Some(page) = page else { return Ok((notes, true)) };
            let written = page.nodes.into_iter().flat_map(|discussion| discussion.notes.nodes);
            notes.extend(written.filter(|note| !note.system));
            if !page.page_info.has_next_page || page.page_info.end_cursor.is_none() {
                return Ok((notes, true));
            }
            after = page.page_info.end_cursor;
        }
        Ok((notes, false))
    }

    /// A page of them; `None` where work items of this kind have none.
    async fn discussions(
        &self,
        id: &GlobalId,
        first: usize,
        after: Option<&str>,
    ) -> Result<Option<Discussions>, CallError> {
        let variables = json!({ "id": id.to_string(), "first": first, "after": after });
        let answer: Answer<WorkItem> = self.gitlab().graphql(self.token, DISCUSSIONS, &variables).await?;
        let item = answer.found.ok_or(CallError::NotFound)?;
        Ok(item.widgets.into_iter().find_map(|widget| widget.discussions))
    }
}
