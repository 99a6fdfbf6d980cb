//! What becomes of a database that is damaged: it is set aside as it is, what can be read of it goes on, and
//! what cannot is reported. Nothing is guessed: a row is as it was written, or it is not taken.
//!
//! The structure is SQLite's to judge (`integrity_check`); whether a row is as it was written, its checksum says.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use duologue_actors::clock::Clock;
use rusqlite::Connection;

use super::{OpenError, checksum, file, journal, schema};

mod copy;
mod rows;

pub(super) use rows::unreadable;
use rows::{Unreadable, remove};

/// As many of SQLite's findings as anybody reads.
const FINDINGS: u32 = 20;

/// What was wrong with a database, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What was found, in SQLite's words and ours. Names tables and rows, never their content.
    pub findings: Vec<String>,
    /// The database as it was found.
    pub set_aside: PathBuf,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.findings.first().map_or("", String::as_str);
        let more = self.findings.len().saturating_sub(1);
        write!(f, "the database was damaged ({first}")?;
        if more > 0 {
            write!(f, ", and {more} more")?;
        }
        write!(f, "); what could be read was kept, the damaged one is {}", self.set_aside.display())
    }
}

/// What is wrong with the structure of the file; nothing for a sound one.
pub(super) fn of_structure(connection: &Connection) -> Vec<String> {
    match integrity(connection) {
        Ok(findings) => findings,
        Err(error) => vec![error.to_string()],
    }
}

fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS})"))?;
    let findings = statement.query_map([], |row| row.get::<_, String>(0))?;
    let findings: Vec<String> = findings.collect::<rusqlite::Result<_>>()?;
    let lines = findings.iter().flat_map(|finding| finding.lines()).map(str::to_owned);
    Ok(lines.filter(|line| line != "ok").collect())
}

/// Sets the database at `path` aside and puts in its place one with all that can be read of it.
pub(super) fn salvage(
    source: Connection,
    path: &Path,
    mut findings: Vec<String>,
) -> Result<Damage, OpenError> {
    let damaged = |source| OpenError::Salvage { path: path.to_owned(), source };
    let set_aside = set_aside(path).map_err(damaged)?;
    let fresh = beside(path, ".new");
    remove_with_log(&fresh).map_err(damaged)?;
    // A version that cannot be read is that of a file of which nothing else can be, either.
    let version = schema::version(&source).unwrap_or(schema::VERSION);
    let target = file::create(&fresh, version)?;
    findings.extend(copy::readable(&source, &target));
    close(target, &fresh)?;
    // What is in the log belongs to the file that goes, and must not be taken for that of the new one.
    source.pragma_update(None, "wal_checkpoint", "TRUNCATE").ok();
    drop(source);
    for log in logs(path) {
        remove_if_there(&log).map_err(damaged)?;
    }
    fs::rename(&fresh, path).and_then(|()| file::sync_folder(file::folder_of(path))).map_err(damaged)?;
    Ok(report(Damage { findings, set_aside }))
}

/// Takes the rows that are not as they were written out of a database whose structure is sound.
pub(super) fn remove_unreadable_rows(
    connection: &mut Connection,
    path: &Path,
    damage: &mut Option<Damage>,
) -> Result<(), OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let found = unreadable(connection).map_err(failed)?;
    if found.is_empty() {
        return Ok(());
    }
    let findings = found.iter().map(Unreadable::to_string);
    match damage {
        Some(known) => known.findings.extend(findings),
        None => {
            let set_aside =
                set_aside(path).map_err(|source| OpenError::Salvage { path: path.to_owned(), source })?;
            *damage = Some(report(Damage { findings: findings.collect(), set_aside }));
        }
    }
    remove(connection, &found).map_err(failed)
}

fn report(damage: Damage) -> Damage {
    let (set_aside, findings) = (damage.set_aside.display(), damage.findings.join("; "));
    tracing::error!(%set_aside, findings, "storage.damaged");
    damage
}

/// Copies the database and its log, synced, to a name that says when.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let seconds = Clock::system().now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = (0..)
        .map(|number: u32| beside(path, &format!(".damaged-{}", seconds + u64::from(number))))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| beside(path, ".damaged"));
    copy_synced(path, &aside)?;
    let log = beside(path, "-wal");
    if log.exists() {
        copy_synced(&log, &beside(&aside, "-wal"))?;
    }
    file::sync_folder(file::folder_of(path))?;
    Ok(aside)
}

fn copy_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::File::open(to)?.sync_all()
}

fn close(connection: Connection, path: &Path) -> Result<(), OpenError> {
    connection.close().map_err(|(_, source)| OpenError::Sqlite { path: path.to_owned(), source })?;
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| OpenError::Salvage { path: path.to_owned(), source })
}

fn remove_with_log(path: &Path) -> io::Result<()> {
    remove_if_there(path)?;
    logs(path).iter().try_for_each(|log| remove_if_there(log))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files SQLite keeps beside a database.
fn logs(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|ending| beside(path, ending))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
