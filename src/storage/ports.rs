//! The ports that the store meets, over its statements.

use std::time::SystemTime;

use async_trait::async_trait;
use duologue_actors::{
    ports::{
        Acceptance, AcceptedRecord, ConversationLimits, ConversationStore, Journal, Question, StoreError,
        Taken, TerminalRecord,
    },
    protocol::{ChatMessage, RequestId, Thread, ThreadChoice, ThreadId, UserId},
};
use rusqlite::Connection;

use super::{SWEPT_AT_ONCE, Shelf, Storage, conversation, idempotency, journal, threads, writer::Wanted};

#[async_trait]
impl Journal for Storage {
    async fn accept(&self, acceptance: Acceptance) -> Result<Taken, StoreError> {
        let (check_room, limits, shelf) = (self.room_check(), self.limits, self.shelf);
        let has_question = acceptance.question.is_some();
        // Whoever gives up waiting tells the client it was not taken: then it had better not be.
        let taken = self
            .write(Wanted::WhileAwaited, move |connection| {
                accept(connection, &limits, shelf, acceptance, check_room)
            })
            .await?;
        if has_question && shelf == Shelf::Outbox {
            self.arrivals.notify_one();
        }
        Ok(taken)
    }

    async fn end(&self, terminal: TerminalRecord) -> Result<TerminalRecord, StoreError> {
        self.write(Wanted::Always, move |connection| journal::end(connection, terminal)).await
    }

    async fn terminal(&self, request_id: RequestId) -> Result<Option<TerminalRecord>, StoreError> {
        self.read(move |connection| journal::terminal(connection, request_id)).await
    }

    async fn take_unfinished(&self) -> Result<Vec<AcceptedRecord>, StoreError> {
        self.write(Wanted::WhileAwaited, journal::take_unfinished).await
    }

    async fn terminals_since(&self, since: SystemTime) -> Result<Vec<TerminalRecord>, StoreError> {
        self.read(move |connection| journal::terminals_since(connection, since)).await
    }

    async fn forget_ended_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        self.sweep(move |connection| journal::forget_ended_before(connection, before, SWEPT_AT_ONCE)).await
    }

    async fn forget_keys_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        self.sweep(move |connection| idempotency::forget_used_before(connection, before, SWEPT_AT_ONCE)).await
    }
}

#[async_trait]
impl ConversationStore for Storage {
    async fn append(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        self.add(Shelf::Messages, owner, thread_id, message).await
    }

    async fn messages(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<Vec<ChatMessage>>, StoreError> {
        let limits = self.limits;
        self.read(move |connection| conversation::messages(connection, &limits, owner, thread, now)).await
    }

    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError> {
        let limits = self.limits;
        self.read(move |connection| threads::list(connection, &limits, owner, now)).await
    }

    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError> {
        let limits = self.limits;
        // What is in them goes with them, and what waits for another store as well.
        self.sweep(move |connection| threads::forget_expired(connection, &limits, now, SWEPT_AT_ONCE)).await
    }
}

impl Storage {
    pub(super) async fn add(
        &self,
        shelf: Shelf,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        let (limits, choice) = (self.limits, ThreadChoice::of(thread_id));
        let added = self
            .write(Wanted::Always, move |connection| {
                conversation::add(connection, &limits, shelf, owner, choice, message)
            })
            .await?;
        if shelf == Shelf::Outbox {
            self.arrivals.notify_one();
        }
        Ok(added)
    }
}

/// Writes a request with all that belongs to it, or nothing.
fn accept(
    connection: &Connection,
    limits: &ConversationLimits,
    shelf: Shelf,
    acceptance: Acceptance,
    check_room: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<Taken> {
    let Acceptance { mut record, key, question } = acceptance;
    if let Some(key) = &key
        && let Some(known) = idempotency::look_up(connection, record.owner, key)?
    {
        return Ok(known);
    }
    check_room(connection)?;
    if let Some(Question { thread, message }) = question {
        let chosen = conversation::add(connection, limits, shelf, record.owner, thread, message)?;
        if chosen.is_none() {
            return Ok(Taken::NoSuchThread);
        }
        record.thread_id = chosen;
    }
    if let Some(key) = &key {
        idempotency::take(connection, &record, key)?;
    }
    journal::accept(connection, &record)?;
    Ok(Taken::New { thread_id: record.thread_id })
}

#[cfg(test)]
mod tests {
    use duologue_actors::{ports::IdempotencyKey, protocol::ConversationType};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::StorageConfig,
        conversation::outbox::Outbox,
        storage::{
            conversation::a_message,
            journal::{a_terminal, an_accepted, at, plain},
        },
    };

    const QUICK: ThreadChoice = ThreadChoice::OfType(ConversationType::DuoQuickChat);

    fn open(folder: &TempDir, shelf: Shelf) -> Storage {
        let config = StorageConfig::in_folder(folder.path());
        Storage::open(&config, ConversationLimits::default(), shelf).unwrap()
    }

    fn temporary(shelf: Shelf) -> (TempDir, Storage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(&folder, shelf);
        (folder, storage)
    }

    /// A request of that second, with its question.
    fn asked(second: u64, thread: ThreadChoice, key: Option<&str>) -> Acceptance {
        let record = AcceptedRecord { thread_id: None, ..an_accepted(second) };
        let message = ChatMessage { request_id: record.request_id, ..a_message(second, "why?") };
        let key = key.map(|key| IdempotencyKey { key: key.to_owned(), fingerprint: [1; 32] });
        Acceptance { record, key, question: Some(Question { thread, message }) }
    }

    async fn accepted(storage: &Storage, acceptance: Acceptance) -> ThreadId {
        match storage.accept(acceptance).await.unwrap() {
            Taken::New { thread_id: Some(thread_id) } => thread_id,
            other => panic!("{other:?}"),
        }
    }

    #[rstest::rstest]
    #[case::in_the_conversation(Shelf::Messages)]
    #[case::on_the_way_to_another_store(Shelf::Outbox)]
    #[tokio::test]
    async fn a_request_its_thread_its_key_and_its_question_are_one_commit(#[case] shelf: Shelf) {
        let (folder, storage) = temporary(shelf);
        let before = storage.commits();
        let acceptance = asked(1, QUICK, Some("k"));
        let (request_id, owner) = (acceptance.record.request_id, acceptance.record.owner);
        let thread_id = accepted(&storage, acceptance).await;
        assert_eq!(storage.commits() - before, 1);
        storage.close().await;
        drop(storage);

        let storage = open(&folder, shelf);
        let repeated = storage.accept(asked(2, QUICK, Some("k"))).await.unwrap();
        assert_eq!(repeated, Taken::Repeats { request_id, thread_id: Some(thread_id) });
        let unfinished = storage.take_unfinished().await.unwrap();
        assert_eq!((unfinished.len(), unfinished[0].thread_id), (1, Some(thread_id)));
        let threads = ConversationStore::threads(&storage, owner, at(2)).await.unwrap();
        assert_eq!(threads.iter().map(|thread| thread.id).collect::<Vec<_>>(), [thread_id]);
        let choice = ThreadChoice::of(Some(thread_id));
        let questions = match shelf {
            Shelf::Messages => storage.messages(owner, choice, at(2)).await.unwrap().unwrap(),
            Shelf::Outbox => storage.waiting(owner, choice, at(2)).await.unwrap().unwrap().messages,
        };
        assert_eq!((questions.len(), questions[0].thread_id), (1, Some(thread_id)));
    }

    #[tokio::test]
    async fn a_request_for_a_thread_that_is_not_there_leaves_nothing_not_even_its_key() {
        let (_folder, storage) = temporary(Shelf::Messages);
        let nowhere = ThreadChoice::of(Some(ThreadId(7)));
        assert_eq!(storage.accept(asked(1, nowhere, Some("k"))).await, Ok(Taken::NoSuchThread));
        assert_eq!(storage.take_unfinished().await, Ok(Vec::new()));
        assert_eq!(ConversationStore::threads(&storage, UserId(1), at(1)).await, Ok(Vec::new()));
        accepted(&storage, asked(2, QUICK, Some("k"))).await;
    }

    #[tokio::test]
    async fn many_first_questions_at_once_are_in_one_thread() {
        let (_folder, storage) = temporary(Shelf::Messages);
        let all = (0..50).map(|second| accepted(&storage, asked(second, ThreadChoice::Legacy, None)));
        let threads = futures::future::join_all(all).await;
        assert!(threads.iter().all(|thread_id| *thread_id == threads[0]), "{threads:?}");
    }

    #[tokio::test]
    async fn an_end_brings_its_thread_back() {
        let (_folder, storage) = temporary(Shelf::Messages);
        let acceptance = asked(1, QUICK, None);
        let record = acceptance.record.clone();
        let thread_id = Some(accepted(&storage, acceptance).await);
        assert_eq!(storage.end(a_terminal(&record, "42")).await.unwrap().thread_id, thread_id);
        assert_eq!(storage.terminals_since(at(0)).await.unwrap()[0].thread_id, thread_id);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_outbox_hears_of_a_question() {
        let (_folder, storage) = temporary(Shelf::Outbox);
        storage.accept(plain(an_accepted(1), None)).await.unwrap();
        let quiet = futures::FutureExt::now_or_never(storage.arrived());
        assert!(quiet.is_none(), "there is no question yet");
        accepted(&storage, asked(1, QUICK, None)).await;
        storage.arrived().await;
    }
}
