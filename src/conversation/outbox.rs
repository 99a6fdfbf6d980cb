//! What the relay needs of the durable queue between a request and Redis.

use std::time::SystemTime;

use async_trait::async_trait;
use duologue_actors::{
    ports::StoreError,
    protocol::{ChatMessage, MessageId, Thread, ThreadChoice, ThreadId, UserId},
};

/// Which stream of its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    pub owner: UserId,
    /// `None` for the one that GitLab's own layer knows.
    pub thread_id: Option<ThreadId>,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub stream: StreamName,
    pub message: ChatMessage,
}

/// What waits of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnTheirWay {
    pub thread_id: ThreadId,
    pub stream: StreamName,
    /// In the order they came.
    pub messages: Vec<ChatMessage>,
}

/// Some of the messages that wait, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub waiting: Vec<Waiting>,
    /// Where the next page begins; `None` when there is no more.
    pub last: Option<i64>,
    /// Messages passed over because they cannot be read.
    pub unreadable: usize,
}

/// Messages on their way to the store of conversations. `Ok` of a write means that it is synced.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Adds a message, cut to what a conversation keeps of one, by the rules of a thread. Returns the thread; `None`
    /// when there is no such thread any more.
    async fn put(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError>;

    /// Waits until a message has come, if none has since the last time.
    async fn arrived(&self);

    /// At most `most` messages after the position `after`; 0 is before all.
    async fn page(&self, after: i64, most: usize) -> Result<Page, StoreError>;

    /// What waits of the thread that is meant; `None` when there is no such thread.
    async fn waiting(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<OnTheirWay>, StoreError>;

    /// Takes out what has been written.
    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError>;

    async fn count(&self) -> Result<u64, StoreError>;

    /// The owner's threads: only their messages are kept elsewhere.
    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError>;

    /// Forgets the threads that have expired at `now`, with what waits of them; returns how many.
    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError>;
}
