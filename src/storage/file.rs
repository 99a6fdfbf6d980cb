//! The database file: where it lies, how it is opened, and how safely it writes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use uuid::Uuid;

use super::{
    OpenError, checksum,
    damage::{self, Damage},
    schema,
};
use crate::config::{Durability, StorageConfig};

/// The database in the data folder. SQLite keeps its write-ahead log beside it (`-wal`, `-shm`).
pub(super) const FILE_NAME: &str = "duologue.sqlite3";

/// How long a statement waits for a lock. Only a person's `sqlite3` can hold one: the folder has one owner.
const BUSY: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this after a rush.
const LOG_BYTES: u32 = 64 * 1024 * 1024;

/// Every statement of the store stays prepared.
const PREPARED_STATEMENTS: usize = 32;

/// Where a database is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    File(PathBuf),
    /// In this process, under this name; gone with its last connection.
    Memory(String),
}

/// A database that is up to date and can be written to.
pub(super) struct Opened {
    pub connection: Connection,
    pub place: Place,
    /// What was found to be damaged, and has been put right as far as that was possible.
    pub damage: Option<Damage>,
}

/// Creates the data folder, readable by its owner only, so that a crash cannot lose it again.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // The last ancestor of a relative path is the empty one: it has no parent and is no folder to create.
    for parent in missing.into_iter().filter_map(Path::parent) {
        sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// The connection that writes, with the tables up to date and whatever was damaged put right.
pub(super) fn open_writer(config: &StorageConfig) -> Result<Opened, OpenError> {
    let place = match config.durability {
        // The first slash shares it between the connections of this process.
        Durability::Memory => Place::Memory(format!("/duologue-{}", Uuid::new_v4().simple())),
        Durability::Fsync | Durability::Os => Place::File(config.path.join(FILE_NAME)),
    };
    let (connection, damage) = match &place {
        Place::Memory(name) => {
            let connection = open(&place, OpenFlags::SQLITE_OPEN_READ_WRITE)
                .and_then(|mut connection| Ok(schema::migrate(&mut connection).map(|()| connection)?))
                .map_err(|error| error.at(Path::new(name)))?;
            (connection, None)
        }
        Place::File(path) => open_file(&config.path, path)?,
    };
    prepare(&connection, config).map_err(|error| error.at(&place.path()))?;
    Ok(Opened { connection, place, damage })
}

/// The connection that reads; it sees what has been committed.
pub(super) fn open_reader(place: &Place) -> Result<Connection, OpenError> {
    open(place, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.at(&place.path()))
}

/// The database of a folder, to look at: a server may be using it.
pub(super) fn open_to_look(folder: &Path) -> Result<Connection, OpenError> {
    let path = folder.join(FILE_NAME);
    if !path.exists() {
        return Err(OpenError::Missing { path });
    }
    let connection = open_reader(&Place::File(path.clone()))?;
    let found = schema::version(&connection).map_err(|source| Unfit::Sqlite(source).at(&path))?;
    match found {
        schema::VERSION => Ok(connection),
        newer if newer > schema::VERSION => Err(Unfit::Newer(newer).at(&path)),
        older => Err(OpenError::OlderSchema { path, found: older, known: schema::VERSION }),
    }
}

/// A new database file, which nobody else on the machine can read, with the tables of `version`.
pub(super) fn create(path: &Path, version: u32) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Folder { folder: folder_of(path).to_owned(), source };
    create_file(path).map_err(failed)?;
    open(&Place::File(path.to_owned()), OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|mut connection| Ok(schema::migrate_to(&mut connection, version).map(|()| connection)?))
        .map_err(|error| error.at(path))
}

impl Place {
    /// For people.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Memory(name) => PathBuf::from(name),
        }
    }
}

/// Why a file cannot be the store; the path is added where it is known.
enum Unfit {
    Newer(u32),
    NotDurable(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Unfit {
    fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Newer(found) => OpenError::NewerSchema { path, found, known: schema::VERSION },
            Self::NotDurable(mode) => OpenError::NotDurable { path, mode },
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                OpenError::NotADatabase { path }
            }
            Self::Sqlite(source) => OpenError::Sqlite { path, source },
        }
    }
}

fn open_file(folder: &Path, path: &Path) -> Result<(Connection, Option<Damage>), OpenError> {
    create_file(path).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
    if !begins_like_a_database(path)
        .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?
    {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    let place = Place::File(path.to_owned());
    let raw = || {
        open(&place, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .and_then(|connection| refuse_newer(&connection).map(|()| connection))
            .map_err(|error| error.at(path))
    };
    let connection = raw()?;
    // Whatever is wrong with it is to be set aside as it is.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|source| Unfit::Sqlite(source).at(path))?;
    let findings = damage::of_structure(&connection);
    let (mut connection, mut damage) = match findings.is_empty() {
        true => (connection, None),
        false => {
            let damage = damage::salvage(connection, path, findings)?;
            (raw()?, Some(damage))
        }
    };
    let failed = |error: rusqlite::Error| Unfit::Sqlite(error).at(path);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    schema::migrate(&mut connection).map_err(failed)?;
    damage::remove_unreadable_rows(&mut connection, path, &mut damage)?;
    Ok((connection, damage))
}

/// SQLite would create the file readable by everyone; it gives its log files the mode of this one.
fn create_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => sync_folder(folder_of(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether it is empty or begins as every database does. SQLite itself takes a file of a few bytes for an empty one,
/// and would begin anew.
fn begins_like_a_database(path: &Path) -> io::Result<bool> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut beginning = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning.is_empty() || beginning == MAGIC)
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name in a folder survives a crash only once the folder itself is synced.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn open(place: &Place, access: OpenFlags) -> Result<Connection, Unfit> {
    // Each connection stays on one thread, so SQLite's own mutexes are not needed.
    let access = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match place {
        Place::File(path) => Connection::open_with_flags(path, access)?,
        Place::Memory(name) => {
            let may_create = access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE);
            let access = if may_create { access | OpenFlags::SQLITE_OPEN_CREATE } else { access };
            Connection::open_with_flags_and_vfs(name, access, c"memdb")?
        }
    };
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    checksum::register(&connection)?;
    Ok(connection)
}

/// Comes before anything that writes: a file that is not ours to write stays as it is.
fn refuse_newer(connection: &Connection) -> Result<(), Unfit> {
    match schema::version(connection) {
        Ok(found) if found > schema::VERSION => Err(Unfit::Newer(found)),
        // A file that is damaged is looked at later.
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DatabaseCorrupt) => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// How a connection writes.
fn prepare(connection: &Connection, config: &StorageConfig) -> Result<(), Unfit> {
    let wanted = if config.durability == Durability::Memory { "memory" } else { "wal" };
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0))?;
    if mode != wanted {
        return Err(Unfit::NotDurable(mode));
    }
    // FULL syncs the log at every commit; NORMAL leaves that to the operating system.
    let synchronous = if config.durability == Durability::Fsync { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // On macOS a plain fsync stops at the drive's cache.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = i64::try_from(config.max_bytes / u64::from(page_bytes.max(1))).unwrap_or(i64::MAX);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
