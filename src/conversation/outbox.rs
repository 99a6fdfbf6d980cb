//! What the relay needs of the durable queue between a request and Redis.

use std::time::SystemTime;

use async_trait::async_trait;
use duologue_actors::{
    ports::StoreError,
    protocol::{ChatMessage, MessageId, UserId},
};

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub owner: UserId,
    pub message: ChatMessage,
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
    /// Adds a message, cut to what a conversation keeps of one. Of each owner only the newest stay.
    async fn put(&self, owner: UserId, message: ChatMessage) -> Result<(), StoreError>;

    /// At most `most` messages after the position `after`; 0 is before all.
    async fn page(&self, after: i64, most: usize) -> Result<Page, StoreError>;

    /// The owner's messages, in the order they came.
    async fn of(&self, owner: UserId) -> Result<Vec<ChatMessage>, StoreError>;

    /// Takes out what has been written.
    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError>;

    async fn count(&self) -> Result<u64, StoreError>;

    /// Forgets what waits of conversations that have expired at `now`, and what else has expired in the store that
    /// the outbox is in; returns how many conversations.
    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError>;
}
