//! For whom a flag is switched: from names to ids.

use clap::Args;
use duologue_actors::{
    ports::{Caller, User},
    protocol::{GlobalId, UserId},
};

use crate::{
    config::{Config, DirectorySource},
    directory::{ActorName, ActorNames, FileDirectory},
    flags::{Change, Target},
};

/// A flag and for whom it is switched. Without any of them it is for everyone.
#[derive(Debug, Args)]
pub(super) struct Who {
    /// The flag
    pub name: String,

    /// For this user, by username or global id; may be given several times
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,

    /// For this group and all below it, by path or global id
    #[arg(long = "group", value_name = "PATH")]
    groups: Vec<String>,

    /// For this project, by path or global id
    #[arg(long = "project", value_name = "PATH")]
    projects: Vec<String>,

    /// For the users of this group of `$groups` in flags.path
    #[arg(long = "feature-group", value_name = "NAME")]
    feature_groups: Vec<String>,

    /// Also when nothing here asks about such a flag
    #[arg(long)]
    pub force: bool,
}

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

/// On or off for each of those named, who are looked up in the directory.
pub(super) fn targets(who: &Who, on: bool, config: &Config) -> Result<Vec<Change>, Unknown> {
    let users = who.users.iter().map(|name| ActorName::User(name));
    let groups = who.groups.iter().map(|path| ActorName::Group(path));
    let projects = who.projects.iter().map(|path| ActorName::Project(path));
    let mut lookup = Lookup { config, directory: None };
    let actors = users.chain(groups).chain(projects).map(|name| lookup.actor(name).map(Target::Actor));
    let mut targets = actors.collect::<Result<Vec<Target>, Unknown>>()?;
    targets.extend(who.feature_groups.iter().cloned().map(Target::FeatureGroup));
    Ok(targets.into_iter().map(|target| Change::For(target, on)).collect())
}

/// What names stand for. The directory is read when the first of them is looked up.
struct Lookup<'a> {
    config: &'a Config,
    directory: Option<FileDirectory>,
}

impl Lookup<'_> {
    fn actor(&mut self, name: ActorName<'_>) -> Result<GlobalId, Unknown> {
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
