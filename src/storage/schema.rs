//! What tables the database has, and how older files are brought up to date.
//!
//! `user_version` counts the migrations a file has seen. A change of the tables is a new entry at the end
//! of [`MIGRATIONS`]; the entries before it are never touched again, because files out there have run them.
//! `tests/fixtures/store/` has a data folder of each version.

use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: [&str; 4] = [TABLES, PROJECT_OF_A_COMMIT, CHECKSUMS_AND_KEYS, OUTBOX];
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

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

/// Version 3. Requests that clients may repeat, and checksums (`row_checksum` is ours, see `checksum`).
const CHECKSUMS_AND_KEYS: &str = "
    ALTER TABLE accepted ADD COLUMN checksum INTEGER;
    UPDATE accepted SET checksum = row_checksum(request_id, owner, action, input, resource_id, project_id,
        resource, client_subscription_id, platform_origin, accepted_at, deadline, interruptions);
    ALTER TABLE terminals ADD COLUMN checksum INTEGER;
    UPDATE terminals SET checksum = row_checksum(request_id, owner, action, resource_id,
        client_subscription_id, outcome, model, message_id, ended_at);
    ALTER TABLE messages ADD COLUMN checksum INTEGER;
    UPDATE messages SET checksum = row_checksum(owner, id, request_id, role, content, timestamp, chunk_id, errors);

    -- Which request a key of its owner's stands for.
    CREATE TABLE idempotency_keys (
        owner       INTEGER NOT NULL,
        key         TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        request_id  BLOB NOT NULL,
        used_at     INTEGER NOT NULL,
        PRIMARY KEY (owner, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_keys_by_use ON idempotency_keys (used_at);
";

/// Version 4. `message` is JSON.
const OUTBOX: &str = "
    -- Messages on their way to a conversation that is kept elsewhere. `position` is the order they came in.
    CREATE TABLE outbox (
        position  INTEGER PRIMARY KEY NOT NULL,
        owner     INTEGER NOT NULL,
        id        BLOB NOT NULL,
        timestamp INTEGER NOT NULL,
        message   TEXT NOT NULL,
        checksum  INTEGER,
        UNIQUE (owner, id)
    ) STRICT;
    CREATE INDEX outbox_by_owner ON outbox (owner, position);
";

/// How many migrations a file has seen.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// All missing migrations or none: a crash in between leaves the file as it was.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, VERSION)
}

/// The same up to a version, for rows that were written by it.
pub(super) fn migrate_to(connection: &mut Connection, wanted: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = version(&transaction)?;
    for (_, migration) in (0..wanted).zip(MIGRATIONS).skip_while(|(number, _)| *number < done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", wanted.max(done))?;
    transaction.commit()
}

/// The tables alone, in memory, for tests of the statements.
#[cfg(test)]
pub(super) fn in_memory() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    super::checksum::register(&connection).unwrap();
    migrate(&mut connection).unwrap();
    connection
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::SystemTime};

    use duologue_actors::{
        ports::{ConversationLimits, ConversationStore, Journal},
        protocol::{Outcome, Role, UserId},
    };

    use super::*;
    use crate::{
        config::{Durability, StorageConfig},
        conversation::outbox::Outbox,
        storage::Storage,
    };

    /// A data folder that a server of this version left behind when it was killed with requests under way. The
    /// write-ahead log is beside the database, as it was.
    fn left_by(version: u32) -> tempfile::TempDir {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store");
        let folder = tempfile::tempdir().unwrap();
        let files = fs::read_dir(fixtures.join(format!("version-{version}")));
        for file in files.unwrap_or_else(|error| panic!("version {version} has no fixture: {error}")) {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn the_data_folder_of_every_version_opens_and_nothing_of_it_is_lost() {
        for left_behind in 1..=VERSION {
            let folder = left_by(left_behind);
            let config = StorageConfig {
                path: folder.path().to_owned(),
                durability: Durability::Fsync,
                max_bytes: 1 << 30,
                reserve_bytes: 1 << 20,
            };
            let storage = Storage::open(&config, ConversationLimits::default()).unwrap();
            assert_eq!(storage.damage(), None, "version {left_behind}");

            let unfinished = storage.take_unfinished().await.unwrap();
            assert!(!unfinished.is_empty(), "version {left_behind}");
            for request in &unfinished {
                assert_eq!((&*request.action, request.owner), ("summarize_comments", UserId(2)));
                assert_eq!(request.client_subscription_id.as_deref(), Some("page-2"));
                assert!(request.resource.as_ref().unwrap().title.contains("large reports"));
                assert_eq!(request.interruptions, 1);
            }
            let ended = storage.terminals_since(SystemTime::UNIX_EPOCH).await.unwrap();
            assert!(ended.len() >= 2, "version {left_behind}");
            for terminal in &ended {
                assert!(matches!(terminal.outcome, Outcome::Completed { .. }), "{terminal:?}");
                assert_eq!(terminal.model.as_deref(), Some("embedded/extractive"));
            }
            if left_behind >= 4 {
                let waiting = storage.of(UserId(2)).await.unwrap();
                assert_eq!(waiting[0].content, "What is merged when?", "version {left_behind}");
            }
            let now = ended.last().unwrap().ended_at;
            let messages = storage.messages(UserId(2), now).await.unwrap();
            assert_eq!(
                messages.iter().map(|message| message.role).collect::<Vec<_>>(),
                [Role::User, Role::Assistant]
            );
            assert_eq!(messages[0].content, "What is a unit primitive?");
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_to(&mut connection, 2).unwrap();
        // The function that version 3 needs is missing, and there is a row that needs it.
        let row = "INSERT INTO terminals VALUES (x'01', 2, 'chat', NULL, NULL, '{}', NULL, x'02', 5)";
        connection.execute_batch(row).unwrap();
        assert!(migrate(&mut connection).is_err());
        assert_eq!(version(&connection).unwrap(), 2);
        assert!(connection.prepare("SELECT checksum FROM accepted").is_err());
    }
}
