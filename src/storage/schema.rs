//! What tables the database has, and how older files are brought up to date.
//!
//! `user_version` counts the migrations a file has seen. A change of the tables is a new entry at the end
//! of [`MIGRATIONS`]; the entries before it are never touched again, because files out there have run them.
//! `tests/fixtures/store/` has a data folder of each version.

use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: [&str; 5] = [TABLES, PROJECT_OF_A_COMMIT, CHECKSUMS_AND_KEYS, OUTBOX, THREADS];
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

/// Version 5. What was there of a user becomes their main thread, with the moment of its last message as its number.
/// A checksum is made anew only over a row that was as it had been written.
const THREADS: &str = "
    -- The conversations that a user has beside each other. `is_main` is the one that was begun for who named none.
    CREATE TABLE threads (
        id                INTEGER PRIMARY KEY NOT NULL,
        owner             INTEGER NOT NULL,
        conversation_type TEXT NOT NULL,
        is_main           INTEGER NOT NULL,
        title             TEXT,
        created_at        INTEGER NOT NULL,
        last_message_at   INTEGER NOT NULL,
        checksum          INTEGER
    ) STRICT;
    CREATE INDEX threads_by_owner ON threads (owner, last_message_at, id);
    CREATE INDEX threads_by_last_message ON threads (last_message_at);
    INSERT INTO threads (id, owner, conversation_type, is_main, title, created_at, last_message_at)
        SELECT max(last / 1000, 0) + row_number() OVER (ORDER BY last, owner), owner, 'duo_chat_legacy', 1,
            (SELECT substr(content, 1, 100) FROM messages WHERE owner = said.owner AND role = 'user'
                AND content NOT LIKE '/%' ORDER BY position LIMIT 1), first, last
        FROM (SELECT owner, min(moment) AS first, max(moment) AS last FROM (
            SELECT owner, last_message_at AS moment FROM conversations
            UNION ALL SELECT owner, timestamp FROM messages UNION ALL SELECT owner, timestamp FROM outbox)
            GROUP BY owner) AS said;
    UPDATE threads SET checksum = row_checksum(id, owner, conversation_type, is_main, title, created_at, last_message_at);

    -- What has a message in the thread, or its question on the way there, which has its id.
    ALTER TABLE accepted ADD COLUMN thread INTEGER;
    UPDATE accepted SET thread = (SELECT id FROM threads WHERE owner = accepted.owner)
        WHERE EXISTS (SELECT 1 FROM messages WHERE owner = accepted.owner AND request_id = accepted.request_id)
        OR EXISTS (SELECT 1 FROM outbox WHERE owner = accepted.owner AND id = accepted.request_id);
    UPDATE accepted SET checksum = CASE WHEN checksum IS row_checksum(request_id, owner, action, input, resource_id,
            project_id, resource, client_subscription_id, platform_origin, accepted_at, deadline, interruptions)
        THEN row_checksum(request_id, owner, action, input, resource_id, project_id, resource,
            client_subscription_id, platform_origin, thread, accepted_at, deadline, interruptions) END;
    ALTER TABLE terminals ADD COLUMN project_id TEXT;
    ALTER TABLE terminals ADD COLUMN thread INTEGER;
    UPDATE terminals SET thread = (SELECT id FROM threads WHERE owner = terminals.owner)
        WHERE EXISTS (SELECT 1 FROM messages WHERE owner = terminals.owner AND request_id = terminals.request_id)
        OR EXISTS (SELECT 1 FROM outbox WHERE owner = terminals.owner AND id = terminals.request_id);
    UPDATE terminals SET checksum = CASE WHEN checksum IS row_checksum(request_id, owner, action, resource_id,
            client_subscription_id, outcome, model, message_id, ended_at)
        THEN row_checksum(request_id, owner, action, resource_id, project_id, client_subscription_id, thread, outcome,
            model, message_id, ended_at) END;
    ALTER TABLE idempotency_keys ADD COLUMN thread INTEGER;
    UPDATE idempotency_keys SET thread = coalesce(
        (SELECT thread FROM accepted WHERE request_id = idempotency_keys.request_id),
        (SELECT thread FROM terminals WHERE request_id = idempotency_keys.request_id));

    -- A message is in a thread, and goes with it.
    CREATE TABLE messages_of_threads (
        position   INTEGER PRIMARY KEY NOT NULL,
        owner      INTEGER NOT NULL,
        thread     INTEGER NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
        id         BLOB NOT NULL,
        request_id BLOB NOT NULL,
        role       TEXT NOT NULL,
        content    TEXT NOT NULL,
        timestamp  INTEGER NOT NULL,
        chunk_id   INTEGER,
        errors     TEXT NOT NULL,
        checksum   INTEGER,
        UNIQUE (owner, id)
    ) STRICT;
    INSERT INTO messages_of_threads SELECT position, messages.owner, threads.id, messages.id, request_id, role, content,
            timestamp, chunk_id, errors,
            CASE WHEN messages.checksum IS row_checksum(messages.owner, messages.id, request_id, role, content,
                timestamp, chunk_id, errors)
            THEN row_checksum(messages.owner, threads.id, messages.id, request_id, role, content, timestamp, chunk_id,
                errors) END
        FROM messages JOIN threads ON threads.owner = messages.owner;
    DROP TABLE messages;
    DROP TABLE conversations;
    ALTER TABLE messages_of_threads RENAME TO messages;
    CREATE INDEX messages_by_thread ON messages (thread, position);

    DROP INDEX outbox_by_owner;
    ALTER TABLE outbox ADD COLUMN thread INTEGER REFERENCES threads (id) ON DELETE CASCADE;
    UPDATE outbox SET thread = (SELECT id FROM threads WHERE owner = outbox.owner);
    UPDATE outbox SET checksum = CASE WHEN checksum IS row_checksum(owner, id, timestamp, message)
        THEN row_checksum(owner, thread, id, timestamp, message) END;
    CREATE INDEX outbox_by_thread ON outbox (thread, position);
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
    if done >= wanted {
        // Nothing is written: what cannot be opened after this is left as it was found.
        return Ok(());
    }
    for (_, migration) in (0..wanted).zip(MIGRATIONS).skip_while(|(number, _)| *number < done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", wanted)?;
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
        protocol::{ConversationType, Outcome, Role, ThreadChoice, UserId},
    };

    use super::*;
    use crate::{
        config::StorageConfig,
        conversation::outbox::Outbox,
        storage::{Shelf, Storage},
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
            let config = StorageConfig::in_folder(folder.path());
            let storage = Storage::open(&config, ConversationLimits::default(), Shelf::Messages).unwrap();
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
            let now = ended.last().unwrap().ended_at;
            let threads = ConversationStore::threads(&storage, UserId(2), now).await.unwrap();
            let of_type = |of| threads.iter().filter(move |thread| thread.conversation_type == of);
            let legacy: Vec<_> = of_type(ConversationType::DuoChatLegacy).map(|thread| thread.id).collect();
            assert_eq!(legacy.len(), 1, "version {left_behind}");
            let main = of_type(ConversationType::DuoChatLegacy).next().unwrap();
            assert_eq!(main.title.as_deref(), Some("What is a unit primitive?"), "version {left_behind}");
            assert!(main.created_at <= main.last_message_at, "version {left_behind}");
            let chats = ended.iter().filter(|terminal| terminal.action == "chat");
            let chats: Vec<_> = chats.filter_map(|terminal| terminal.thread_id).collect();
            assert!(chats.contains(&legacy[0]), "version {left_behind}");
            assert!(threads.iter().all(|thread| chats.contains(&thread.id)), "version {left_behind}");
            if left_behind >= 5 {
                let quick = of_type(ConversationType::DuoQuickChat).next().unwrap();
                assert_eq!(quick.title.as_deref(), Some("What is a licence?"));
                let choice = ThreadChoice::of(Some(quick.id));
                assert_eq!(storage.messages(UserId(2), choice, now).await.unwrap().unwrap().len(), 2);
            }
            if left_behind >= 4 {
                let waiting = storage.waiting(UserId(2), ThreadChoice::Legacy, now).await.unwrap().unwrap();
                let questions = waiting.messages.iter().filter(|message| message.role == Role::User);
                let questions: Vec<&str> = questions.map(|message| &*message.content).collect();
                assert_eq!(questions, ["What is merged when?"], "version {left_behind}");
            }
            let messages = storage.messages(UserId(2), ThreadChoice::Legacy, now).await.unwrap().unwrap();
            assert_eq!(
                messages.iter().map(|message| (message.role, message.thread_id)).collect::<Vec<_>>(),
                [Role::User, Role::Assistant].map(|role| (role, Some(legacy[0])))
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
