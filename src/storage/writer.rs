//! The one thread that writes. It takes whatever waits, writes it in one transaction, and answers each
//! asker only after the commit has been synced: the more ask at once, the more share one sync.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use duologue_actors::ports::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use super::{columns::store_error, lock::FolderLock, worker::Answer};

/// The most jobs that share a transaction, so that the first of them does not wait for a whole rush.
const BATCH: usize = 256;

/// A write that waits for its turn, then for its commit.
pub(super) trait Job: Send {
    /// Whether nobody wants it done any more.
    fn abandoned(&self) -> bool;

    /// Runs the statements. After an error, none of them counts.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Tells the asker, now that it is known whether the transaction stands.
    fn answer(self: Box<Self>, transaction: Result<(), StoreError>);
}

/// Whether a write is still to be done when its asker has given up waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Always,
    WhileAwaited,
}

/// The job that runs the closure `W`.
pub(super) struct Write<T, W> {
    statements: Option<W>,
    written: Result<T, StoreError>,
    asker: Answer<T>,
    wanted: Wanted,
}

impl<T, W> Write<T, W>
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    pub fn job(wanted: Wanted, statements: W, asker: Answer<T>) -> Box<dyn Job> {
        let written = Err(StoreError::Unavailable("the write was not reached".to_owned()));
        Box::new(Self { statements: Some(statements), written, asker, wanted })
    }
}

impl<T, W> Job for Write<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn abandoned(&self) -> bool {
        self.wanted == Wanted::WhileAwaited && self.asker.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(statements) = self.statements.take() {
            self.written = statements(connection).map_err(store_error);
        }
        self.written.as_ref().map(|_| ()).map_err(StoreError::clone)
    }

    fn answer(self: Box<Self>, transaction: Result<(), StoreError>) {
        // An asker that has given up does not listen; that is no concern of the others.
        self.asker.send(transaction.and(self.written)).ok();
    }
}

/// What is known of the writing from outside its thread.
#[derive(Debug)]
pub(super) struct Record {
    commits: AtomicU64,
    writable: AtomicBool,
    /// Only the reserve is left.
    full: AtomicBool,
}

impl Record {
    pub fn new() -> Self {
        Self { commits: AtomicU64::new(0), writable: AtomicBool::new(true), full: AtomicBool::new(false) }
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the last request was taken, as far as there was one.
    pub fn takes_requests(&self) -> bool {
        self.writable.load(Ordering::Relaxed) && !self.full.load(Ordering::Relaxed)
    }

    /// Whether there was room for a request beside the reserve.
    pub fn note_room(&self, has_room: bool) {
        match (self.full.swap(!has_room, Ordering::Relaxed), has_room) {
            (false, false) => tracing::error!("storage.full"),
            (true, true) => tracing::info!("storage.has_room"),
            _ => {}
        }
    }

    fn note(&self, batch: &Result<Written, StoreError>) {
        let trouble = match batch {
            Ok(written) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                written.trouble.as_ref()
            }
            Err(error) => Some(error),
        };
        let was_writable = self.writable.swap(trouble.is_none(), Ordering::Relaxed);
        match trouble {
            Some(error) if was_writable => tracing::error!(%error, "storage.unwritable"),
            None if !was_writable => tracing::info!("storage.writable"),
            _ => {}
        }
    }
}

/// What the thread owns. The folder stays locked until the connection is closed.
pub(super) struct Writer {
    pub connection: Connection,
    pub record: Arc<Record>,
    pub lock: Option<FolderLock>,
}

impl Writer {
    /// Writes until nobody can ask any more, then leaves one tidy file.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = jobs.try_recv()
            {
                batch.push(next);
            }
            write(&mut self.connection, &self.record, batch);
        }
        self.close();
    }

    fn close(self) {
        let Self { connection, lock, .. } = self;
        // Closing the last connection brings the write-ahead log into the database file and removes it.
        if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "storage.close.failed");
        }
        drop(lock);
    }
}

fn write(connection: &mut Connection, record: &Record, mut batch: Vec<Box<dyn Job>>) {
    batch.retain(|job| !job.abandoned());
    if batch.is_empty() {
        return;
    }
    let outcome = commit(connection, &mut batch);
    record.note(&outcome);
    let transaction = outcome.map(|_| ());
    for job in batch {
        job.answer(transaction.clone());
    }
}

/// What came of a transaction that stands.
struct Written {
    /// Why the store did not take one of its jobs, when that was the store's fault.
    trouble: Option<StoreError>,
}

fn commit(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> Result<Written, StoreError> {
    let mut transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let mut trouble = None;
    for job in batch {
        // A savepoint each, so that a job that fails takes nothing of the others with it.
        let savepoint = transaction.savepoint().map_err(store_error)?;
        let run = job.run(&savepoint);
        if savepoint.is_autocommit() {
            // A full disk can end the whole transaction. Going on would commit statement by statement.
            return Err(run.err().unwrap_or_else(lost));
        }
        match run {
            Ok(()) => savepoint.commit(),
            Err(error) => {
                // A row that cannot be read says nothing about whether others can be written.
                if matches!(error, StoreError::Unavailable(_)) {
                    trouble = Some(error);
                }
                savepoint.finish()
            }
        }
        .map_err(store_error)?;
    }
    transaction.commit().map_err(store_error)?;
    Ok(Written { trouble })
}

fn lost() -> StoreError {
    StoreError::Unavailable("the transaction was rolled back".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, Receiver};

    use super::*;

    /// `child.parent` is checked at the commit, so a dangling one fails there and not before.
    const TABLES: &str = "PRAGMA foreign_keys = ON;
        CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) STRICT;";

    fn database() -> (Connection, Record) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        (connection, Record::new())
    }

    fn insert(sql: &'static str) -> (Box<dyn Job>, Receiver<Result<usize, StoreError>>) {
        job(Wanted::Always, move |connection| connection.execute(sql, []))
    }

    fn job<T: Send + 'static>(
        wanted: Wanted,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> (Box<dyn Job>, Receiver<Result<T, StoreError>>) {
        let (asker, answered) = oneshot::channel();
        (Write::job(wanted, statements, asker), answered)
    }

    fn rows(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_batch_is_one_commit() {
        let (mut connection, record) = database();
        let (first, first_answer) = insert("INSERT INTO parent VALUES (1)");
        let (second, second_answer) = insert("INSERT INTO parent VALUES (2)");
        write(&mut connection, &record, vec![first, second]);
        assert_eq!(first_answer.blocking_recv().unwrap(), Ok(1));
        assert_eq!(second_answer.blocking_recv().unwrap(), Ok(1));
        assert_eq!((rows(&connection, "parent"), record.commits()), (2, 1));
    }

    #[test]
    fn a_job_that_fails_takes_nothing_of_the_others_with_it() {
        let (mut connection, record) = database();
        let (good, good_answer) = insert("INSERT INTO parent VALUES (1)");
        let (bad, bad_answer) = job(Wanted::Always, |connection| {
            connection.execute("INSERT INTO parent VALUES (2)", [])?;
            connection.execute("INSERT INTO parent VALUES (2)", [])
        });
        let (late, late_answer) = insert("INSERT INTO parent VALUES (3)");
        write(&mut connection, &record, vec![good, bad, late]);
        assert_eq!(good_answer.blocking_recv().unwrap(), Ok(1));
        assert!(matches!(bad_answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        assert_eq!(late_answer.blocking_recv().unwrap(), Ok(1));
        assert_eq!(rows(&connection, "parent"), 2);
    }

    #[test]
    fn a_commit_that_fails_fails_every_job_of_its_batch_and_none_after_it() {
        let (mut connection, record) = database();
        let (good, good_answer) = insert("INSERT INTO parent VALUES (1)");
        let (dangling, dangling_answer) = insert("INSERT INTO child VALUES (99)");
        write(&mut connection, &record, vec![good, dangling]);
        assert!(matches!(good_answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        assert!(matches!(dangling_answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        assert_eq!((rows(&connection, "parent"), record.commits(), record.takes_requests()), (0, 0, false));

        let (next, next_answer) = insert("INSERT INTO parent VALUES (2)");
        write(&mut connection, &record, vec![next]);
        assert_eq!(next_answer.blocking_recv().unwrap(), Ok(1));
        assert_eq!((rows(&connection, "parent"), record.takes_requests()), (1, true));
    }

    #[test]
    fn a_transaction_that_ends_early_fails_its_batch_and_writes_nothing_of_it() {
        let (mut connection, record) = database();
        let (before, before_answer) = insert("INSERT INTO parent VALUES (1)");
        // What SQLite does by itself on some I/O errors.
        let (ending, _) = job(Wanted::Always, |connection| connection.execute_batch("ROLLBACK"));
        let (after, after_answer) = insert("INSERT INTO parent VALUES (2)");
        write(&mut connection, &record, vec![before, ending, after]);
        assert!(matches!(before_answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        assert!(matches!(after_answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        assert_eq!(rows(&connection, "parent"), 0);
    }

    #[test]
    fn what_nobody_waits_for_is_written_only_when_always_wanted() {
        let (mut connection, record) = database();
        let (given_up, answer) =
            job(Wanted::WhileAwaited, |connection| connection.execute("INSERT INTO parent VALUES (1)", []));
        drop(answer);
        let (owed, answer) = insert("INSERT INTO parent VALUES (2)");
        drop(answer);
        write(&mut connection, &record, vec![given_up, owed]);
        let written: i64 = connection.query_row("SELECT id FROM parent", [], |row| row.get(0)).unwrap();
        assert_eq!(written, 2);
    }
}
