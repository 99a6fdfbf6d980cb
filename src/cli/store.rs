//! `duologue store`: whether what is kept is sound, and a copy of it. A server may be using it meanwhile.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::Subcommand;

use super::output;
use crate::{
    config::{Config, Durability},
    storage::{Look, Verified, backup},
};

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything in the store and say whether it is as it was written
    ///
    /// Changes nothing, and can run beside a server. Ends with 0 for a sound store, with 1 for one that is damaged:
    /// the next start of a server sets that aside and goes on with what can be read.
    Verify,
    /// Copy the store to a new file, as it is at this moment, and read the copy again
    ///
    /// Can run beside a server. To go back to a copy, end the server and put it into the folder storage.path as
    /// duologue.sqlite3, without the files that lay beside the old one.
    Backup {
        /// The file to make; it may not be there yet
        file: PathBuf,
    },
}

/// # Errors
/// When the store cannot be read, or the copy cannot be made.
pub fn run(command: &StoreCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Verify => verify(config),
        StoreCommand::Backup { file } => {
            is_on_disk(config)?;
            let bytes = backup::make(&config.storage.path, file)?;
            output::line(format_args!("copied to {} ({bytes} bytes)", file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The store of the configuration, to look at.
pub(super) fn look(config: &Config) -> anyhow::Result<Look> {
    is_on_disk(config)?;
    Ok(Look::at(&config.storage.path)?)
}

fn is_on_disk(config: &Config) -> anyhow::Result<()> {
    if config.storage.durability == Durability::Memory {
        bail!("storage.durability is memory: only the server that runs has what there is");
    }
    Ok(())
}

fn verify(config: &Config) -> anyhow::Result<ExitCode> {
    let Verified { unfinished, ended, messages, findings } = look(config)?.verify();
    if !findings.is_empty() {
        return Ok(output::failed(findings.join("\n")));
    }
    output::line(format_args!(
        "ok  {}: {unfinished} unfinished and {ended} ended requests, {messages} messages",
        config.storage.path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
