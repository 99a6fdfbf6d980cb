//! For whom a flag is switched: from names to ids.

use clap::Args;

use crate::{
    cli::lookup::{Lookup, Unknown},
    config::Config,
    directory::ActorName,
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

/// On or off for each of those named, who are looked up in the directory.
pub(super) fn targets(who: &Who, on: bool, config: &Config) -> Result<Vec<Change>, Unknown> {
    let users = who.users.iter().map(|name| ActorName::User(name));
    let groups = who.groups.iter().map(|path| ActorName::Group(path));
    let projects = who.projects.iter().map(|path| ActorName::Project(path));
    let mut lookup = Lookup::new(config);
    let actors = users.chain(groups).chain(projects).map(|name| lookup.actor(name).map(Target::Actor));
    let mut targets = actors.collect::<Result<Vec<Target>, Unknown>>()?;
    targets.extend(who.feature_groups.iter().cloned().map(Target::FeatureGroup));
    Ok(targets.into_iter().map(|target| Change::For(target, on)).collect())
}
