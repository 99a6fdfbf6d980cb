//! The newest comments, oldest first. What GitLab notes itself ("changed the description") is left out;
//! an internal comment is there for those to whom GitLab shows it.
//!
//! Where a page of them is longer than `gitlab.max_response_bytes` they are read in smaller pages. One that
//! is longer than that by itself is left out, and a mark is in its place.

use duologue_actors::ports::Comment;
use serde::{Deserialize, de::DeserializeOwned};

use super::Reader;
use crate::gitlab::{CallError, PAGE, Part, clean};

/// Comments of a commit that are read to find the newest: GitLab gives them oldest first only.
const MAX_OF_A_COMMIT: usize = 1_000;

/// A page that is too long is read in parts of it, this many.
const PARTS: usize = 10;

/// By GitLab's REST API documentation of notes.
#[derive(Deserialize)]
struct Note {
    body: String,
    #[serde(default)]
    system: bool,
    author: Option<Author>,
}

/// By GitLab's REST API documentation of commits, the comments of a commit.
#[derive(Deserialize)]
struct CommitComment {
    note: String,
    author: Option<Author>,
}

/// Of a note, in REST and GraphQL alike. A note outlives its author.
#[derive(Deserialize)]
pub(super) struct Author {
    name: String,
}

pub(super) fn comment(author: Option<Author>, text: &str) -> Comment {
    let author = author.map_or_else(|| "Ghost User".to_owned(), |author| clean(&author.name));
    Comment { author, text: clean(text) }
}

/// Stands where comments are too long, or too many, to be read.
pub(super) fn left_out() -> Comment {
    Comment {
        author: "Duologue".to_owned(),
        text: "[What was written here is left out: it is too long to be read.]".to_owned(),
    }
}

impl Reader<'_> {
    /// The comments at `path`, such as `projects/20/issues/7/notes`.
    pub(super) async fn notes(&self, path: &[&str]) -> Result<Vec<Comment>, CallError> {
        // REST gives the newest first when asked to, and leaves out what is no comment.
        const NEWEST_FIRST: &[(&str, &str)] =
            &[("sort", "desc"), ("order_by", "created_at"), ("activity_filter", "only_comments")];
        let max = self.settings().max_comments;
        let read = |note: Note| (!note.system).then(|| comment(note.author, &note.body));
        let mut comments = self.listed(path, NEWEST_FIRST, max, read).await?;
        comments.reverse();
        Ok(comments)
    }

    /// The comments of a commit.
    pub(super) async fn commit_comments(&self, path: &[&str]) -> Result<Vec<Comment>, CallError> {
        let max = self.settings().max_comments;
        if max == 0 {
            return Ok(Vec::new());
        }
        let read = |entry: CommitComment| Some(comment(entry.author, &entry.note));
        let mut comments = self.listed(path, &[], MAX_OF_A_COMMIT, read).await?;
        comments.drain(..comments.len().saturating_sub(max));
        Ok(comments)
    }

    /// The first `max` comments of a list.
    async fn listed<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        max: usize,
        read: impl Fn(T) -> Option<Comment>,
    ) -> Result<Vec<Comment>, CallError> {
        let (mut comments, mut place) = (Vec::new(), Place::default());
        while comments.len() < max {
            match self.gitlab().page::<T>(self.token, path, query, place.part()).await {
                Ok(page) => {
                    comments.extend(page.entries.into_iter().filter_map(&read));
                    if !page.has_next {
                        break;
                    }
                    place.step();
                }
                Err(CallError::TooLong) if place.shrink() => {}
                Err(CallError::TooLong) => {
                    comments.push(left_out());
                    place.step();
                }
                Err(error) => return Err(error),
            }
        }
        comments.truncate(max);
        Ok(comments)
    }
}

/// Where in a list the next page begins, and how many entries it has.
struct Place {
    offset: usize,
    size: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { offset: 0, size: PAGE }
    }
}

impl Place {
    fn part(&self) -> Part {
        Part { number: self.offset / self.size + 1, size: self.size }
    }

    /// Goes on behind this page, with larger ones again where one begins.
    fn step(&mut self) {
        self.offset += self.size;
        while self.size < PAGE && self.offset.is_multiple_of(self.size * PARTS) {
            self.size *= PARTS;
        }
    }

    /// The same place with a smaller page, if there is one.
    fn shrink(&mut self) -> bool {
        let can = self.size > 1;
        if can {
            self.size /= PARTS;
        }
        can
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_what_is_too_long_pages_grow_again_where_a_larger_one_begins() {
        let mut place = Place::default();
        place.step();
        assert!(place.shrink() && place.shrink() && !place.shrink());
        let mut parts = Vec::new();
        for _ in 0..20 {
            parts.push((place.offset, place.part().number, place.size));
            place.step();
        }
        assert_eq!(parts[..2], [(100, 101, 1), (101, 102, 1)]);
        assert_eq!(parts[9..12], [(109, 110, 1), (110, 12, 10), (120, 13, 10)]);
        assert_eq!(parts[18..], [(190, 20, 10), (200, 3, 100)]);
    }
}
