//! A copy of the store as it is at one moment, made while a server goes on working with it.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    OpenError, damage,
    file::{self, Place},
    look::Look,
};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Source(#[from] OpenError),
    #[error("{} is there already, and is not overwritten: choose another name", path.display())]
    Exists { path: PathBuf },
    #[error("{} cannot be written: see to it that its folder is there and writable, and that there is room", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the store cannot be copied to {}", path.display())]
    Copy { path: PathBuf, source: rusqlite::Error },
    #[error("what is in the store is damaged: {findings}; look at it with `duologue store verify`")]
    Damaged { findings: String },
}

/// Copies the store of a data folder into a new file, readable by its owner only, and reads the copy again.
/// Returns its size in bytes.
///
/// # Errors
/// When it cannot be made, or would not be sound; then there is no file, rather than half of one.
pub fn make(folder: &Path, to: &Path) -> Result<u64, BackupError> {
    let look = Look::at(folder)?;
    create(to)?;
    fill(look.connection(), to).inspect_err(|_| drop(fs::remove_file(to)))
}

fn create(path: &Path) -> Result<(), BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let path = path.to_owned();
    match options.open(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists { path }),
        Err(source) => Err(BackupError::Unwritable { path, source }),
    }
}

fn fill(source: &Connection, path: &Path) -> Result<u64, BackupError> {
    let failed = |source| BackupError::Copy { path: path.to_owned(), source };
    // One read transaction: writers go on, and what they write meanwhile is not in the copy.
    source.execute("VACUUM INTO ?1", [path.to_string_lossy()]).map_err(failed)?;
    let copy = file::open_reader(&Place::File(path.to_owned()))?;
    let mut findings = damage::of_structure(&copy);
    findings.extend(damage::unreadable(&copy).map_err(failed)?.iter().map(ToString::to_string));
    if !findings.is_empty() {
        return Err(BackupError::Damaged { findings: findings.join("; ") });
    }
    let unwritable = |source| BackupError::Unwritable { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(unwritable)?;
    file.sync_all().and_then(|()| file::sync_folder(file::folder_of(path))).map_err(unwritable)?;
    file.metadata().map(|metadata| metadata.len()).map_err(unwritable)
}
