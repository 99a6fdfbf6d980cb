//! `duologue flags`: flags seen and changed from a terminal. It works on the files; a server that runs on
//! them hears of it at once.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand};

use super::{actions, lookup::Unknown, output};
use crate::{
    config::Config,
    flags::{Change, FileFlags, Listed, Names, Origin, Percentage},
};

mod remark;
mod table;
mod who;

use remark::remark;
use table::table;
use who::{Who, targets};

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Show every flag, who it is on for, and where that is from
    List,
    /// Switch a flag on, for everyone or for those named
    Enable(Enable),
    /// Switch a flag off, for everyone or for those named
    Disable(Disable),
    /// Undo what was changed about a flag, so that it is as flags.path says
    Delete {
        /// The flag
        name: String,
    },
    /// Switch both switches and the flag of every action on, for everyone
    EnableAll,
}

#[derive(Debug, Args)]
pub struct Enable {
    #[command(flatten)]
    who: Who,

    /// For this share of the users, always the same ones
    #[arg(long, value_name = "N", value_parser = share)]
    percentage_of_actors: Option<Percentage>,

    /// For this share of the requests, at random
    #[arg(long, value_name = "N", value_parser = share)]
    percentage_of_time: Option<Percentage>,
}

#[derive(Debug, Args)]
pub struct Disable {
    #[command(flatten)]
    who: Who,

    /// No longer for a share of the users
    #[arg(long)]
    percentage_of_actors: bool,

    /// No longer for a share of the requests
    #[arg(long)]
    percentage_of_time: bool,
}

/// Why a flag was not changed.
#[derive(Debug, thiserror::Error)]
#[error("there is no flag `{name}`{meant} (--force sets it all the same)")]
struct UnknownFlag {
    name: String,
    meant: String,
}

/// Does one task.
///
/// # Errors
/// Everything that is wrong with the files; that a flag or someone it is for is not known; that the change
/// cannot be written.
pub fn run(task: &Task, config: &Config) -> anyhow::Result<ExitCode> {
    let flags = FileFlags::open(&config.flags, Names::of(&actions::load(config)?))?;
    match task {
        Task::List => output::piece(&table(&flags))?,
        Task::Enable(task) => change(&flags, config, &task.who, &enabling(task, config)?)?,
        Task::Disable(task) => change(&flags, config, &task.who, &disabling(task, config)?)?,
        Task::Delete { name } => delete(&flags, name)?,
        Task::EnableAll => enable_all(&flags, config)?,
    }
    if let Some(fault) = flags.fault() {
        return Ok(output::failed(fault));
    }
    Ok(ExitCode::SUCCESS)
}

fn enabling(task: &Enable, config: &Config) -> Result<Vec<Change>, Unknown> {
    let mut changes = targets(&task.who, true, config)?;
    changes.extend(task.percentage_of_actors.map(Change::PercentageOfActors));
    changes.extend(task.percentage_of_time.map(Change::PercentageOfTime));
    Ok(or_everyone(changes, true))
}

fn disabling(task: &Disable, config: &Config) -> Result<Vec<Change>, Unknown> {
    let mut changes = targets(&task.who, false, config)?;
    changes.extend(task.percentage_of_actors.then_some(Change::PercentageOfActors(Percentage::NONE)));
    changes.extend(task.percentage_of_time.then_some(Change::PercentageOfTime(Percentage::NONE)));
    Ok(or_everyone(changes, false))
}

fn or_everyone(changes: Vec<Change>, on: bool) -> Vec<Change> {
    if changes.is_empty() { vec![Change::Everyone(on)] } else { changes }
}

fn change(flags: &FileFlags, config: &Config, who: &Who, changes: &[Change]) -> anyhow::Result<()> {
    // What may not be a name at all is told first, by whoever writes.
    if flags.names().check(&who.name).is_ok() && !who.force {
        flags.is_known(&who.name).map_err(|meant| unknown(&who.name, meant.as_deref()))?;
    }
    let before = flags.get(&who.name);
    flags.change(&BTreeMap::from([(who.name.clone(), changes.to_vec())]))?;
    let after = flags.get(&who.name);
    output::line(now(&after))?;
    if let Some(note) = remark(&before, &after, changes, flags.names()) {
        output::remark(note);
    }
    written(config)
}

fn delete(flags: &FileFlags, name: &str) -> anyhow::Result<()> {
    if flags.get(name).origin == Origin::Changed {
        flags.reset(name)?;
        output::line(now(&flags.get(name)))?;
        return Ok(());
    }
    flags.is_known(name).map_err(|meant| unknown(name, meant.as_deref()))?;
    output::line(format_args!("{name} has not been changed"))?;
    Ok(())
}

fn enable_all(flags: &FileFlags, config: &Config) -> anyhow::Result<()> {
    let is_on = |name: &str| flags.get(name).flag.is_some_and(|flag| flag.boolean);
    let of_features = flags.names().definitions().filter(|definition| definition.of_feature);
    let (on, off): (Vec<_>, Vec<_>) = of_features.partition(|definition| is_on(&definition.name));
    let changes: BTreeMap<_, _> =
        off.iter().map(|definition| (definition.name.clone(), vec![Change::Everyone(true)])).collect();
    flags.change(&changes)?;
    for definition in on {
        output::line(format_args!("{} was on", definition.name))?;
    }
    for name in changes.keys() {
        output::line(now(&flags.get(name)))?;
    }
    if changes.is_empty() { Ok(()) } else { written(config) }
}

fn written(config: &Config) -> anyhow::Result<()> {
    output::remark(format_args!(
        "written to {}; a server that runs on it knows within a second",
        config.flags.changes.display()
    ));
    Ok(())
}

fn now(listed: &Listed) -> String {
    match &listed.flag {
        Some(flag) => format!("{} is {flag}", listed.name),
        None => format!("{} is not set", listed.name),
    }
}

fn unknown(name: &str, meant: Option<&str>) -> UnknownFlag {
    let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
    UnknownFlag { name: name.to_owned(), meant }
}

fn share(text: &str) -> Result<Percentage, String> {
    let text = text.trim();
    match text.strip_suffix('%').unwrap_or(text).trim_end().parse() {
        Ok(Percentage::NONE) => Err("use `duologue flags disable` for nobody".to_owned()),
        Ok(percentage) => Ok(percentage),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests;
