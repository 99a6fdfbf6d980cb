//! The store in one file: SQLite behind the `Journal` and `ConversationStore` ports, and the outbox of conversations
//! that are kept elsewhere.
//!
//! One thread writes: whatever waits goes into one transaction, and each asker hears of it after the commit
//! has been synced (`writer`). Another reads, on a connection of its own, what has been committed. The data
//! folder belongs to one process at a time (`lock`). How safe a write is, `storage.durability` says (`file`).
//!
//! Invariants: nothing is acknowledged before its sync; no statement of a conversation leaves out its owner;
//! an error never holds a stored value; a row that is not as it was written is not shown (`checksum`, `damage`).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use duologue_actors::ports::{ConversationLimits, StoreError};
use rusqlite::Connection;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use self::{
    columns::store_error,
    file::Opened,
    lock::{FolderLock, LockError},
    room::NoRoom,
    worker::{Answer, Worker},
    writer::{Job, Record, Wanted, Write, Writer},
};
use crate::config::{Durability, StorageConfig};

pub mod backup;
mod checksum;
mod columns;
mod conversation;
mod damage;
mod file;
mod idempotency;
mod journal;
mod lock;
mod look;
mod outbox;
mod ports;
mod room;
mod schema;
mod threads;
mod worker;
mod writer;

pub use conversation::Shelf;
pub use damage::Damage;
pub use lock::Holder;
pub use look::{Look, RequestLine, State, Verified};

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{holder} is using the data folder {}; stop it, or set storage.path to another folder", folder.display())]
    Held { folder: PathBuf, holder: Holder },
    #[error("cannot use the data folder {}; make it writable, or set storage.path to another folder", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("{} is not a duologue database; move it away, or set storage.path to another folder", path.display())]
    NotADatabase { path: PathBuf },
    #[error("there is no database at {}; has a server run with this configuration?", path.display())]
    Missing { path: PathBuf },
    #[error(
        "{} was written by an older duologue (schema {found}, this one knows {known}); start this one's server on it once, which brings it up to date",
        path.display()
    )]
    OlderSchema { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} is damaged, and what can be read of it cannot be brought to safety; make room beside it, or move it away",
        path.display()
    )]
    Salvage { path: PathBuf, source: io::Error },
    #[error(
        "{} was written by a newer duologue (schema {found}, this one knows {known}); run that version, or set storage.path to another folder",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} can't have a write-ahead log here (journal mode {mode}); set storage.path to a folder on a local disk",
        path.display()
    )]
    NotDurable { path: PathBuf, mode: String },
    #[error("cannot open the database {}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("cannot start a storage thread")]
    Thread(#[source] io::Error),
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// As many rows are forgotten in one write: whoever waits behind it does not wait for all of them.
const SWEPT_AT_ONCE: usize = 1_000;

/// The open store. Dropping it does what [`Storage::close`] does, but blocks meanwhile.
pub struct Storage {
    // Dropped in this order: the writer tidies the file, which takes that nobody reads.
    reader: Arc<Worker<Read>>,
    writer: Arc<Worker<Box<dyn Job>>>,
    record: Arc<Record>,
    limits: ConversationLimits,
    shelf: Shelf,
    /// Something was put into the outbox.
    arrivals: Notify,
    reserve_bytes: u64,
    damage: Option<Damage>,
}

impl Storage {
    /// Opens the store in the folder of `config`, which is created when it is not there, and looks whether it is
    /// sound. The questions of the requests it accepts go on the `shelf`. Blocks: for the start only.
    ///
    /// # Errors
    /// When another process has the folder, or it holds what this version cannot write to.
    pub fn open(config: &StorageConfig, limits: ConversationLimits, shelf: Shelf) -> Result<Self, OpenError> {
        let started = Instant::now();
        let lock = match config.durability {
            Durability::Memory => None,
            Durability::Fsync | Durability::Os => Some(take_folder(&config.path)?),
        };
        let Opened { connection, place, damage } = file::open_writer(config)?;
        let reading = file::open_reader(&place)?;
        let milliseconds = started.elapsed().as_millis();
        tracing::info!(durability = config.durability.as_str(), milliseconds, "storage.opened");
        if config.durability != Durability::Fsync {
            let durability = config.durability.as_str();
            tracing::warn!(durability, "accepted requests can be lost: storage.durability is not fsync");
        }
        let record = Arc::new(Record::new());
        let writer = Writer { connection, record: record.clone(), lock };
        let writer =
            Worker::start("storage-writer", move |jobs| writer.run(jobs)).map_err(OpenError::Thread)?;
        let reader = Worker::start("storage-reader", move |reads| serve_reads(&reading, reads))
            .map_err(OpenError::Thread)?;
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let (arrivals, reserve_bytes) = (Notify::new(), config.reserve_bytes);
        Ok(Self { reader, writer, record, limits, shelf, arrivals, reserve_bytes, damage })
    }

    /// What was found to be damaged when it was opened.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Whether the last write was taken, and the next one can be.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.record.takes_requests() && self.writer.is_running()
    }

    /// How many transactions have been committed and synced since the start.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.record.commits()
    }

    /// For readiness: fine while writes are taken; once one was not, tries again, so that a store without
    /// other work finds out that it can write.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.is_writable() {
            return Ok(());
        }
        let check_room = self.room_check();
        self.write(Wanted::WhileAwaited, move |connection| {
            check_room(connection)?;
            room::try_out(connection)
        })
        .await
    }

    /// Fails when there is no room for a request beside the reserve, and notes it.
    fn room_check(&self) -> impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static {
        let (record, reserve) = (self.record.clone(), self.reserve_bytes);
        move |connection| {
            let has_room = room::is_there(connection, reserve)?;
            record.note_room(has_room);
            if has_room { Ok(()) } else { Err(NoRoom.into()) }
        }
    }

    /// Finishes what has been handed over, leaves one tidy file and gives the folder back. Whatever comes
    /// later is refused.
    pub async fn close(&self) {
        let (reader, writer) = (self.reader.clone(), self.writer.clone());
        let closing = tokio::task::spawn_blocking(move || {
            reader.stop();
            writer.stop();
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "storage.close.failed");
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        wanted: Wanted,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.ask(|asker| Write::job(wanted, statements, asker)).await
    }

    /// Repeats what forgets some rows at a time until there are no more.
    async fn sweep(
        &self,
        forget: impl Fn(&Connection) -> rusqlite::Result<usize> + Copy + Send + 'static,
    ) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        loop {
            let some = self.write(Wanted::Always, forget).await?;
            forgotten += some as u64;
            if some < SWEPT_AT_ONCE {
                return Ok(forgotten);
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader
            .ask(|asker: Answer<T>| -> Read {
                Box::new(move |connection| {
                    if !asker.is_closed() {
                        // The asker may give up in between; then nobody misses the answer.
                        asker.send(query(connection).map_err(store_error)).ok();
                    }
                })
            })
            .await
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("record", &self.record).field("limits", &self.limits).finish()
    }
}

/// The folder, for this process alone.
fn take_folder(folder: &Path) -> Result<FolderLock, OpenError> {
    let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
    file::create_folder(folder).map_err(unusable)?;
    FolderLock::take(folder).map_err(|error| match error {
        LockError::Held(holder) => OpenError::Held { folder: folder.to_owned(), holder },
        LockError::Io(source) => unusable(source),
    })
}

fn serve_reads(connection: &Connection, mut reads: mpsc::Receiver<Read>) {
    while let Some(read) = reads.blocking_recv() {
        read(connection);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use duologue_actors::{
        ports::{AcceptedRecord, ConversationStore, IdempotencyKey, Journal, Taken},
        protocol::{Failure, Hop, Outcome, ThreadChoice, UserId},
    };
    use futures::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::storage::{
        conversation::a_message,
        journal::{a_terminal, an_accepted, at, plain},
    };

    const NEW: Taken = Taken::New { thread_id: None };

    fn repeats(record: &AcceptedRecord) -> Taken {
        Taken::Repeats { request_id: record.request_id, thread_id: None }
    }

    fn config(folder: &TempDir) -> StorageConfig {
        StorageConfig::in_folder(folder.path())
    }

    fn open(folder: &TempDir) -> Storage {
        open_with(&config(folder))
    }

    fn open_with(config: &StorageConfig) -> Storage {
        Storage::open(config, ConversationLimits::default(), Shelf::Messages).unwrap()
    }

    fn temporary() -> (TempDir, Storage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(&folder);
        (folder, storage)
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_reopening() {
        let (folder, storage) = temporary();
        let (unfinished, finished) = (an_accepted(1), an_accepted(2));
        let terminal = a_terminal(&finished, "42");
        storage.accept(plain(unfinished.clone(), None)).await.unwrap();
        storage.accept(plain(finished.clone(), None)).await.unwrap();
        storage.end(terminal.clone()).await.unwrap();
        storage.append(UserId(1), None, a_message(3, "hello")).await.unwrap();
        storage.close().await;

        let storage = open(&folder);
        assert_eq!(storage.terminal(finished.request_id).await.unwrap(), Some(terminal.clone()));
        assert_eq!(storage.terminals_since(at(0)).await.unwrap(), [terminal]);
        let taken = storage.take_unfinished().await.unwrap();
        assert_eq!(taken, [AcceptedRecord { interruptions: 1, thread_id: None, ..unfinished }]);
        let contents = storage.messages(UserId(1), ThreadChoice::Legacy, at(3)).await.unwrap().unwrap();
        assert_eq!(contents.iter().map(|message| &*message.content).collect::<Vec<_>>(), ["hello"]);
    }

    #[tokio::test]
    async fn raised_interruptions_survive_the_next_crash() {
        let (folder, storage) = temporary();
        storage.accept(plain(an_accepted(1), None)).await.unwrap();
        for starts in 1..=3 {
            assert_eq!(storage.take_unfinished().await.unwrap()[0].interruptions, starts);
        }
        drop(storage);
        assert_eq!(open(&folder).take_unfinished().await.unwrap()[0].interruptions, 4);
    }

    #[tokio::test]
    async fn five_hundred_requests_at_once_share_commits_and_none_is_lost() {
        let (_folder, storage) = temporary();
        let records: Vec<_> = (0..500).map(an_accepted).collect();
        let before = storage.commits();
        for outcome in
            join_all(records.iter().map(|record| storage.accept(plain(record.clone(), None)))).await
        {
            outcome.unwrap();
        }
        let commits = storage.commits() - before;
        assert!(commits < 50, "{commits} commits for 500 requests");
        let ids = |records: &[AcceptedRecord]| {
            records.iter().map(|record| record.request_id).collect::<HashSet<_>>()
        };
        assert_eq!(ids(&storage.take_unfinished().await.unwrap()), ids(&records));
    }

    #[tokio::test]
    async fn of_many_ends_at_once_all_askers_hear_the_same_one() {
        let (_folder, storage) = temporary();
        let record = an_accepted(1);
        storage.accept(plain(record.clone(), None)).await.unwrap();
        let ends = (0..50).map(|number| storage.end(a_terminal(&record, &number.to_string())));
        let standing: HashSet<_> =
            join_all(ends).await.into_iter().map(|terminal| terminal.unwrap().message_id).collect();
        assert_eq!(standing.len(), 1);
        let kept = storage.terminal(record.request_id).await.unwrap().unwrap();
        assert!(standing.contains(&kept.message_id));
    }

    #[test]
    fn a_second_process_is_told_who_has_the_folder_and_what_to_do() {
        let (folder, _storage) = temporary();
        let refused =
            Storage::open(&config(&folder), ConversationLimits::default(), Shelf::Messages).err().unwrap();
        let text = refused.to_string();
        let pid = std::process::id().to_string();
        for part in [&*pid, &*folder.path().to_string_lossy(), "storage.path"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[tokio::test]
    async fn a_closed_store_refuses_writes_and_reads_and_frees_the_folder() {
        let (folder, storage) = temporary();
        storage.accept(plain(an_accepted(1), None)).await.unwrap();
        storage.close().await;
        assert!(matches!(storage.accept(plain(an_accepted(2), None)).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(
            storage.messages(UserId(1), ThreadChoice::Legacy, at(0)).await,
            Err(StoreError::Unavailable(_))
        ));
        let names: HashSet<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, HashSet::from(["duologue.sqlite3".into(), "duologue.lock".into()]));
        open(&folder);
    }

    #[tokio::test]
    async fn writes_handed_over_before_the_close_are_done() {
        let (folder, storage) = temporary();
        let records: Vec<_> = (0..100).map(an_accepted).collect();
        let (written, ()) = tokio::join!(
            join_all(records.iter().map(|record| storage.accept(plain(record.clone(), None)))),
            storage.close()
        );
        let acknowledged = written.iter().filter(|outcome| outcome.is_ok()).count();
        drop(storage);
        assert_eq!(acknowledged, 100);
        assert_eq!(open(&folder).take_unfinished().await.unwrap().len(), acknowledged);
    }

    async fn limit_pages(storage: &Storage, most: i64) {
        storage
            .write(Wanted::Always, move |connection| {
                connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
            })
            .await
            .unwrap();
    }

    fn a_big_one(second: u64) -> AcceptedRecord {
        let mut big = an_accepted(second);
        big.input.insert("content".to_owned(), "long ".repeat(100_000).into());
        big
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_write_and_room_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open_with(&StorageConfig { reserve_bytes: 0, ..config(&folder) });
        let (kept, big) = (an_accepted(1), a_big_one(2));
        storage.accept(plain(kept.clone(), None)).await.unwrap();
        // SQLite does not go below what is used already.
        limit_pages(&storage, 1).await;
        let refused = storage.accept(plain(big.clone(), None)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(!storage.is_writable());
        assert!(storage.probe().await.is_err());
        assert_eq!(storage.terminals_since(at(0)).await, Ok(Vec::new()), "reads go on");

        limit_pages(&storage, 1_000_000).await;
        assert_eq!(storage.probe().await, Ok(()));
        storage.accept(plain(big.clone(), None)).await.unwrap();
        assert!(storage.is_writable());
        let ids: Vec<_> = storage.take_unfinished().await.unwrap().iter().map(|row| row.request_id).collect();
        assert_eq!(ids, [kept.request_id, big.request_id]);
    }

    #[tokio::test]
    async fn when_only_the_reserve_is_left_what_is_accepted_still_ends_and_forgetting_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let storage =
            open_with(&StorageConfig { max_bytes: 4 << 20, reserve_bytes: 1 << 20, ..config(&folder) });
        let mut accepted = Vec::new();
        let refused = loop {
            let record = a_big_one(accepted.len() as u64);
            match storage.accept(plain(record.clone(), None)).await {
                Ok(_) => accepted.push(record),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&refused, StoreError::Full(why) if why.contains("storage.max_bytes")),
            "{refused:?}"
        );
        assert!(!storage.is_writable());
        assert!(storage.probe().await.is_err());
        for record in &accepted {
            storage.end(a_terminal(record, "42")).await.unwrap();
        }
        assert_eq!(storage.probe().await, Ok(()), "the requests have made room for their ends and for more");
        storage.accept(plain(a_big_one(100), None)).await.unwrap();
        assert!(storage.is_writable());
    }

    #[tokio::test]
    async fn a_full_store_still_knows_what_was_asked_before() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open_with(&StorageConfig { reserve_bytes: (1 << 30) - 200_000, ..config(&folder) });
        let key = || Some(IdempotencyKey { key: "k".to_owned(), fingerprint: [1; 32] });
        let first = a_big_one(1);
        assert_eq!(storage.accept(plain(first.clone(), key())).await, Ok(NEW));
        assert!(matches!(storage.accept(plain(an_accepted(2), None)).await, Err(StoreError::Full(_))));
        assert_eq!(storage.accept(plain(a_big_one(3), key())).await, Ok(repeats(&first)));
    }

    #[tokio::test]
    async fn a_key_is_written_with_its_request_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let key = || Some(IdempotencyKey { key: "k".to_owned(), fingerprint: [1; 32] });
        let storage = open_with(&StorageConfig { reserve_bytes: (1 << 30) - 1_000, ..config(&folder) });
        assert!(matches!(storage.accept(plain(an_accepted(1), key())).await, Err(StoreError::Full(_))));
        storage.close().await;
        drop(storage);
        let storage = open(&folder);
        let second = an_accepted(2);
        assert_eq!(storage.accept(plain(second.clone(), key())).await, Ok(NEW));
        assert_eq!(storage.accept(plain(an_accepted(3), key())).await, Ok(repeats(&second)));
        assert_eq!(storage.take_unfinished().await.unwrap().len(), 1);
        assert_eq!(storage.forget_keys_before(at(1_000)).await, Ok(1));
        assert_eq!(storage.accept(plain(an_accepted(4), key())).await, Ok(NEW));
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_reported_as_corrupt() {
        let (_folder, storage) = temporary();
        let record = an_accepted(1);
        storage.end(a_terminal(&record, "fine")).await.unwrap();
        storage
            .write(Wanted::Always, |connection| {
                connection.execute("UPDATE terminals SET outcome = 'a secret answer'", [])
            })
            .await
            .unwrap();
        let error = storage.terminal(record.request_id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn a_sweep_forgets_all_of_them_however_many_there_are() {
        let (_folder, storage) = temporary();
        let many = SWEPT_AT_ONCE as u64 * 2 + 1;
        join_all((0..many).map(|second| storage.end(a_terminal(&an_accepted(second), "42")))).await;
        assert_eq!(storage.forget_ended_before(at(many + 10)).await, Ok(many));
        assert_eq!(storage.terminals_since(at(0)).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn retention_goes_through_the_same_writer() {
        let (_folder, storage) = temporary();
        let terminal = a_terminal(&an_accepted(1), "42");
        storage.end(terminal.clone()).await.unwrap();
        storage.append(UserId(1), None, a_message(1, "hello")).await.unwrap();
        let later = terminal.ended_at + Duration::from_secs(4 * 24 * 60 * 60);
        assert_eq!(storage.forget_ended_before(later).await, Ok(1));
        assert_eq!(storage.forget_expired(later).await, Ok(1));
        assert_eq!(storage.terminal(terminal.request_id).await, Ok(None));
    }

    #[test]
    fn the_ports_are_met_by_one_shared_store() {
        fn shared(storage: Arc<Storage>) -> (Arc<dyn Journal>, Arc<dyn ConversationStore>) {
            (storage.clone(), storage)
        }
        let (_folder, storage) = temporary();
        shared(Arc::new(storage));
    }

    #[tokio::test]
    async fn partial_answers_and_failures_come_back_as_they_were() {
        let (_folder, storage) = temporary();
        let record = an_accepted(1);
        let mut terminal = a_terminal(&record, "");
        terminal.model = None;
        terminal.outcome = Outcome::Failed {
            failure: Failure::internal(Hop::Provider).retry_after(Duration::from_millis(1_500)),
            partial: "half an ans\u{0}wer".to_owned(),
        };
        storage.end(terminal.clone()).await.unwrap();
        assert_eq!(storage.terminal(record.request_id).await, Ok(Some(terminal)));
    }
}
