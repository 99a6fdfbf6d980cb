//! One message of a conversation, as it is stored and as it is delivered.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{RequestId, ThreadId};

/// Names one message; shared by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

impl MessageId {
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for MessageId {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    System,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}

/// A question and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub question: String,
    pub answer: String,
}

/// A message: the user's question, one chunk of an answer (`chunk_id` from 1), or a whole answer
/// (`chunk_id` absent).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub id: MessageId,
    pub request_id: RequestId,
    /// The thread it is kept in; `None` for a message that no thread keeps.
    pub thread_id: Option<ThreadId>,
    pub role: Role,
    pub content: String,
    pub timestamp: SystemTime,
    pub chunk_id: Option<u32>,
    /// Texts for the user; empty on success.
    pub errors: Vec<String>,
}
