//! What people call a user, group or project.

use duologue_actors::{ports::DirectoryError, protocol::GlobalId};
use serde::Deserialize;

use super::{Reader, found, resources::WITHOUT_PROJECTS};
use crate::directory::ActorName;

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

impl Reader<'_> {
    /// By GitLab's REST API documentation: users are found by `username`, groups and projects by their
    /// escaped paths in place of their ids.
    pub(super) async fn actor(&self, name: ActorName<'_>) -> Result<Option<GlobalId>, DirectoryError> {
        let (model, answer) = match name {
            ActorName::User(username) => {
                let users: Vec<Numbered> =
                    self.gitlab().get(self.token, &["api", "v4", "users"], &[("username", username)]).await?;
                return Ok(users.first().map(|user| GlobalId::of("User", user.id)));
            }
            ActorName::Group(path) => ("Group", self.numbered("groups", path).await),
            ActorName::Project(path) => ("Project", self.numbered("projects", path).await),
        };
        Ok(found(answer)?.map(|numbered| GlobalId::of(model, numbered.id)))
    }

    async fn numbered(&self, kind: &str, path: &str) -> Result<Numbered, crate::gitlab::CallError> {
        let query = if kind == "groups" { WITHOUT_PROJECTS } else { &[] };
        self.gitlab().get(self.token, &["api", "v4", kind, path], query).await
    }
}
