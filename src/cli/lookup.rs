//! From names that people type to the ids of users, groups and projects.

use duologue_actors::{
    ports::{Caller, User},
    protocol::{GlobalId, UserId},
};

use crate::{
    config::{Config, DirectorySource},
    directory::{ActorName, ActorNames, FileDirectory},
};

/// Why nobody is known by a name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    #[error("there is no {kind} `{name}` in {directory}")]
    Actor { kind: &'static str, name: String, directory: String },
    #[error("`{0}` is not the global id of a {1}, such as gid://gitlab/{1}/2")]
    NotAGlobalId(String, &'static str),
    #[error(
        "`{0}` cannot be looked up without your token, because directory.source is gitlab: give the global \
         id, such as gid://gitlab/{1}/2"
    )]
    NeedsGlobalId(String, &'static str),
    #[error("the directory does not know whether there is a {0} `{1}`")]
    Directory(&'static str, String),
}

/// What names stand for. The directory is read when the first of them is looked up.
pub(super) struct Lookup<'a> {
    config: &'a Config,
    directory: Option<FileDirectory>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, directory: None }
    }

    /// The number of the user with this username, number or global id.
    pub(super) fn user(&mut self, name: &str) -> Result<UserId, Unknown> {
        if let Ok(number) = name.parse() {
            return Ok(UserId(number));
        }
        let id = self.actor(ActorName::User(name))?;
        id.number().map(UserId).ok_or_else(|| Unknown::NotAGlobalId(name.to_owned(), "User"))
    }

    pub(super) fn actor(&mut self, name: ActorName<'_>) -> Result<GlobalId, Unknown> {
        let (text, model) = (name.text(), name.model());
        if text.starts_with("gid:") {
            let id = text.parse::<GlobalId>().ok().filter(|id| name.fits(id));
            return id.ok_or_else(|| Unknown::NotAGlobalId(text.to_owned(), model));
        }
        let config = self.config;
        if config.directory.source == DirectorySource::Gitlab {
            return Err(Unknown::NeedsGlobalId(text.to_owned(), model));
        }
        let unknown = || Unknown::Directory(kind(name), text.to_owned());
        let directory = match &self.directory {
            Some(directory) => directory,
            None => {
                let read = FileDirectory::load(&config.directory, &config.deployment);
                self.directory.insert(read.map_err(|_| unknown())?)
            }
        };
        let found = futures::executor::block_on(directory.actor(&operator(), name)).map_err(|_| unknown())?;
        found.ok_or_else(|| Unknown::Actor {
            kind: kind(name),
            name: text.to_owned(),
            directory: config.directory.path.display().to_string(),
        })
    }
}

fn kind(name: ActorName<'_>) -> &'static str {
    match name {
        ActorName::User(_) => "user",
        ActorName::Group(_) => "group",
        ActorName::Project(_) => "project",
    }
}

/// Whoever can write the files can see all that is in them.
fn operator() -> Caller {
    let name = "operator".to_owned();
    Caller { user: User { id: UserId(0), username: name.clone(), name, admin: true }, credentials: None }
}
