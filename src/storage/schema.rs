//! The database file: how it is opened, what its tables are, and how older files are brought up to date.
//!
//! `user_version` counts the migrations a file has seen. A change of the tables is a new entry at the end
//! of [`MIGRATIONS`]; the entries before it are never touched again, because files out there have run them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::OpenError;

/// The database in the data folder. SQLite keeps its write-ahead log beside it (`-wal`, `-shm`).
const FILE_NAME: &str = "duologue.sqlite3";

const MIGRATIONS: [&str; 3] = [TABLES, PROJECT_OF_A_COMMIT, OUTBOX];
const VERSION: u32 = MIGRATIONS.len() as u32;

/// Version 1. Times are nanoseconds since the epoch, ids 16 bytes, `input`, `resource`, `outcome` and
/// `errors` JSON.
const TABLES: &str = "
    -- Requests that have been accepted and have not ended.
    CREATE TABLE accepted (
        request_id             BLOB PRIMARY KEY NOT NULL,
        owner                  INTEGER NOT NULL,
        action                 TEXT NOT NULL,
        input                  TEXT NOT NULL,
        resource_id            TEXT,
        resource               TEXT,
        client_subscription_id TEXT,
        platform_origin        TEXT,
        accepted_at            INTEGER NOT NULL,
        deadline               INTEGER NOT NULL,
        interruptions          INTEGER NOT NULL
    ) STRICT;

    -- How requests ended, for as long as someone may come back for it.
    CREATE TABLE terminals (
        request_id             BLOB PRIMARY KEY NOT NULL,
        owner                  INTEGER NOT NULL,
        action                 TEXT NOT NULL,
        resource_id            TEXT,
        client_subscription_id TEXT,
        outcome                TEXT NOT NULL,
        model                  TEXT,
        message_id             BLOB NOT NULL,
        ended_at               INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX terminals_by_end ON terminals (ended_at, request_id);

    CREATE TABLE conversations (
        owner           INTEGER PRIMARY KEY NOT NULL,
        last_message_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX conversations_by_last_message ON conversations (last_message_at);

    -- `position` grows with every message: the order of a conversation.
    CREATE TABLE messages (
        position   INTEGER PRIMARY KEY NOT NULL,
        owner      INTEGER NOT NULL REFERENCES conversations (owner) ON DELETE CASCADE,
        id         BLOB NOT NULL,
        request_id BLOB NOT NULL,
        role       TEXT NOT NULL,
        content    TEXT NOT NULL,
        timestamp  INTEGER NOT NULL,
        chunk_id   INTEGER,
        errors     TEXT NOT NULL,
        UNIQUE (owner, id)
    ) STRICT;
    CREATE INDEX messages_by_owner ON messages (owner, position);

    -- Always empty: see check_room.
    CREATE TABLE room (bytes BLOB NOT NULL) STRICT;
";

/// Version 2.
const PROJECT_OF_A_COMMIT: &str = "ALTER TABLE accepted ADD COLUMN project_id TEXT;";

/// Version 3. `message` is JSON.
const OUTBOX: &str = "
    -- Messages on their way to a conversation that is kept elsewhere. `position` is the order they came in.
    CREATE TABLE outbox (
        position  INTEGER PRIMARY KEY NOT NULL,
        owner     INTEGER NOT NULL,
        id        BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        message   TEXT NOT NULL,
        UNIQUE (owner, id)
    ) STRICT;
    CREATE INDEX outbox_by_owner ON outbox (owner, position);
";

/// How long a statement waits for a lock. Only a person's `sqlite3` can hold one: the folder has one owner.
const BUSY: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this after a rush.
const LOG_BYTES: u32 = 64 * 1024 * 1024;

/// Every statement of the store stays prepared.
const PREPARED_STATEMENTS: usize = 32;

/// What must fit for the store to count as writable: a request with its resource, generously.
const ROOM_BYTES: i32 = 256 * 1024;

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

/// The connection that writes, with the tables up to date and every commit synced.
pub(super) fn open_writer(folder: &Path) -> Result<(Connection, PathBuf), OpenError> {
    let path = folder.join(FILE_NAME);
    create_file(folder, &path).map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
    let connection = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|mut connection| {
            refuse_newer(&connection)?;
            make_durable(&connection)?;
            migrate(&mut connection)?;
            Ok(connection)
        })
        .map_err(|error| error.at(&path))?;
    Ok((connection, path))
}

/// The connection that reads; it sees what has been committed.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| error.at(path))
}

/// Writes something of a request's size and takes it away again: fails when a request would fail.
pub(super) fn check_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO room VALUES (zeroblob(?1))")?.execute([ROOM_BYTES])?;
    connection.prepare_cached("DELETE FROM room")?.execute([])?;
    Ok(())
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
            Self::Newer(found) => OpenError::NewerSchema { path, found, known: VERSION },
            Self::NotDurable(mode) => OpenError::NotDurable { path, mode },
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                OpenError::NotADatabase { path }
            }
            Self::Sqlite(source) => OpenError::Sqlite { path, source },
        }
    }
}

/// SQLite would create the file readable by everyone; it gives its log files the mode of this one.
fn create_file(folder: &Path, path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => sync_folder(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new name in a folder survives a crash only once the folder itself is synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, Unfit> {
    // Each connection stays on one thread, so SQLite's own mutexes are not needed.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Comes before anything that writes: a file that is not ours to write stays as it is.
fn refuse_newer(connection: &Connection) -> Result<(), Unfit> {
    match version(connection)? {
        found if found > VERSION => Err(Unfit::Newer(found)),
        _ => Ok(()),
    }
}

fn make_durable(connection: &Connection) -> Result<(), Unfit> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Unfit::NotDurable(mode));
    }
    // FULL syncs the log at every commit; NORMAL would lose the last ones when the power goes.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync stops at the drive's cache.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    Ok(())
}

/// All missing migrations or none: a crash in between leaves the file as it was.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = version(&transaction)?;
    for (_, migration) in (0..).zip(MIGRATIONS).skip_while(|(number, _)| *number < done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// The tables alone, in memory, for tests of the statements.
#[cfg(test)]
pub(super) fn in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    migrate(&mut connection).unwrap();
    connection
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> T {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    #[test]
    fn commits_are_synced_and_survive_the_power_going() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = open_writer(folder.path()).unwrap();
        assert_eq!(pragma::<String>(&connection, "journal_mode"), "wal");
        assert_eq!(pragma::<i64>(&connection, "synchronous"), 2, "2 is FULL");
        assert!(pragma::<bool>(&connection, "foreign_keys"));
    }

    #[test]
    fn a_new_file_is_at_the_newest_version_and_opening_it_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = open_writer(folder.path()).unwrap();
        assert_eq!(version(&first).unwrap(), VERSION);
        drop(first);
        let (again, _) = open_writer(folder.path()).unwrap();
        assert_eq!(version(&again).unwrap(), VERSION);
    }

    #[test]
    fn what_a_file_of_version_1_holds_is_there_after_the_upgrade() {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let row = "INSERT INTO accepted VALUES (x'0102', 2, 'chat', '{}', 'gid://gitlab/Issue/52', NULL, 's', NULL, 5, 6, 1)";
        old.execute_batch(row).unwrap();
        drop(old);

        let (upgraded, _) = open_writer(folder.path()).unwrap();
        assert_eq!(version(&upgraded).unwrap(), VERSION);
        let sql = "SELECT hex(request_id) || owner || action || input || resource_id || client_subscription_id || \
                   accepted_at || deadline || interruptions, project_id FROM accepted";
        let row: (String, Option<String>) =
            upgraded.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(row, ("01022chat{}gid://gitlab/Issue/52s561".to_owned(), None));
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", 7).unwrap();
        drop(newer);
        let before = fs::read(&path).unwrap();

        let error = open_writer(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 7, known: VERSION, .. }), "{error:?}");
        assert!(error.to_string().contains(FILE_NAME), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[rstest::rstest]
    #[case::short(b"hello".to_vec())]
    #[case::long(b"not a database. ".repeat(1_000))]
    fn a_file_that_is_no_database_is_refused_untouched(#[case] content: Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, &content).unwrap();
        let error = open_writer(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
        assert!(error.to_string().contains(FILE_NAME), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_on_the_machine_can_read_conversations() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/data");
        create_folder(&folder).unwrap();
        let (connection, path) = open_writer(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let log = folder.join(format!("{FILE_NAME}-wal"));
        for file in [&path, &log] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        drop(connection);
    }
}
