//! What is kept: the journal of requests, and the conversations.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Resource;
use crate::protocol::{
    Address, ChatMessage, GlobalId, MessageId, Outcome, RequestId, Thread, ThreadChoice, ThreadId, UserId,
};

/// What the journal keeps of an accepted request until it has ended. No credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptedRecord {
    pub request_id: RequestId,
    pub owner: UserId,
    /// The action's name in the catalogue.
    pub action: String,
    pub input: serde_json::Map<String, serde_json::Value>,
    pub resource_id: Option<GlobalId>,
    pub project_id: Option<GlobalId>,
    /// The resource's text as the prompt will use it.
    pub resource: Option<Arc<Resource>>,
    pub client_subscription_id: Option<String>,
    pub platform_origin: Option<String>,
    /// The thread it was given when it was accepted, if it keeps a conversation.
    pub thread_id: Option<ThreadId>,
    pub accepted_at: SystemTime,
    pub deadline: SystemTime,
    /// How many processes died with this request unfinished.
    pub interruptions: u32,
}

impl AcceptedRecord {
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            request_id: self.request_id,
            owner: self.owner,
            action: self.action.clone(),
            resource_id: self.resource_id.clone(),
            project_id: self.project_id.clone(),
            client_subscription_id: self.client_subscription_id.clone(),
            clearance: None,
            thread_id: self.thread_id,
        }
    }
}

/// How an accepted request ended: the journal's last word on it, and its final message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TerminalRecord {
    pub request_id: RequestId,
    pub owner: UserId,
    pub action: String,
    pub resource_id: Option<GlobalId>,
    pub project_id: Option<GlobalId>,
    pub client_subscription_id: Option<String>,
    pub thread_id: Option<ThreadId>,
    pub outcome: Outcome,
    /// `provider/model`, when one was asked.
    pub model: Option<String>,
    /// Names the final message, wherever it is shown.
    pub message_id: MessageId,
    pub ended_at: SystemTime,
}

impl TerminalRecord {
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            request_id: self.request_id,
            owner: self.owner,
            action: self.action.clone(),
            resource_id: self.resource_id.clone(),
            project_id: self.project_id.clone(),
            client_subscription_id: self.client_subscription_id.clone(),
            clearance: None,
            thread_id: self.thread_id,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, the file is gone, the server is away: nothing was read, no write acknowledged.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// No new request is taken; those that are accepted can still end.
    #[error("the store has no room for new requests: {0}")]
    Full(String),
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// Under which a client may ask again without being answered twice. It is its owner's: nobody else's key is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key: String,
    /// A hash of what was asked for under it.
    pub fingerprint: [u8; 32],
}

/// A request that is to be accepted, and what is written in the same moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// Its thread is still to be given.
    pub record: AcceptedRecord,
    pub key: Option<IdempotencyKey>,
    /// Of a request that keeps a conversation.
    pub question: Option<Question>,
}

/// What the user says, and in which thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub thread: ThreadChoice,
    pub message: ChatMessage,
}

/// What became of a request that was to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is accepted, in this thread if it keeps a conversation.
    New { thread_id: Option<ThreadId> },
    /// The same was asked before under its key: this is the request, and its thread.
    Repeats { request_id: RequestId, thread_id: Option<ThreadId> },
    /// Something else was asked under its key before.
    Conflicts,
    /// The thread it names is not its owner's, not of its type, or not there any more.
    NoSuchThread,
}

/// The durable record of accepted requests. A method that returns `Ok` has synced its write.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes an accepted request, its key, the thread it chooses or begins, and its question into that thread: all
    /// of it, or nothing where it was not [`Taken::New`]. The question is kept by the rules of
    /// [`ConversationStore::append`]. Of each owner only the newest `limits.threads` are kept, beside the one that
    /// was begun for who named none.
    async fn accept(&self, acceptance: Acceptance) -> Result<Taken, StoreError>;

    /// Writes how a request ended, unless it has ended already: returns the terminal that stands,
    /// which is the first one written. Its thread is that of the accepted request.
    async fn end(&self, terminal: TerminalRecord) -> Result<TerminalRecord, StoreError>;

    async fn terminal(&self, request_id: RequestId) -> Result<Option<TerminalRecord>, StoreError>;

    /// The accepted requests without a terminal, oldest first, each with its `interruptions` raised
    /// by one, durably, before it is returned. Called once, at start.
    async fn take_unfinished(&self) -> Result<Vec<AcceptedRecord>, StoreError>;

    /// The terminals written at or after `since`, oldest first.
    async fn terminals_since(&self, since: SystemTime) -> Result<Vec<TerminalRecord>, StoreError>;

    /// Forgets the finished requests that ended before `before`; returns how many.
    async fn forget_ended_before(&self, before: SystemTime) -> Result<u64, StoreError>;

    /// Forgets the keys that were used before `before`; returns how many.
    async fn forget_keys_before(&self, before: SystemTime) -> Result<u64, StoreError>;
}

/// The threads of each user: what `aiMessages` shows and a chat remembers. A thread is its owner's alone, and expires
/// `limits.expiry` after its last message; then it is as if it had never been.
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// Adds a message to a thread of its owner's, durably, and restarts the thread's expiry. Without a thread it is
    /// added to the last legacy one, or a new one. Adding a message whose id is there already changes nothing. Only
    /// the newest `limits.messages` are kept, and of each only the first `limits.content_characters`.
    ///
    /// Returns the thread; `None` when there is no such thread any more, and nothing was added.
    async fn append(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError>;

    /// The messages of a thread of the owner's at `now`, oldest first; `None` when there is no such thread.
    async fn messages(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<Vec<ChatMessage>>, StoreError>;

    /// The owner's threads at `now`, the one with the newest message first.
    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError>;

    /// Forgets the threads that have expired at `now`; returns how many.
    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError>;
}

/// The bounds of conversations. Those of one thread are GitLab's: a stream of 50 messages, three days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationLimits {
    /// Of one user.
    pub threads: usize,
    /// Of one thread.
    pub messages: usize,
    pub content_characters: usize,
    pub title_characters: usize,
    pub expiry: Duration,
}

impl Default for ConversationLimits {
    fn default() -> Self {
        Self {
            threads: 100,
            messages: 50,
            content_characters: 20_000,
            title_characters: 100,
            expiry: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}
