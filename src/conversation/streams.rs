//! What is asked of Redis, and how it can fail.

use std::time::Duration;

use async_trait::async_trait;
use duologue_actors::protocol::ChatMessage;

use super::outbox::StreamName;

/// The threads in Redis, one stream each. Every method bounds its own time.
#[async_trait]
pub(super) trait Streams: Send + Sync {
    /// The newest messages of the stream, oldest first.
    async fn read(&self, stream: StreamName) -> Result<Vec<ChatMessage>, Fault>;

    /// Adds those of `messages` to the stream that are not in it, in their order, and restarts its expiry.
    /// All or none. For one caller at a time.
    async fn add(&self, stream: StreamName, messages: &[ChatMessage]) -> Result<(), Fault>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Fault>;
}

/// Why Redis did not do what it was asked. Holds nothing of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It has not been asked: it failed too often, and is tried again after so long.
    #[error("{because}")]
    LeftAlone { because: String, retry_after: Duration },
    /// It cannot be reached, says nothing, or is not ready.
    #[error("{0}")]
    Down(String),
    /// It answers and takes nothing from anybody: it is full, or does not let this server in.
    #[error("{0}")]
    Refused(String),
    /// This one stream cannot be read or written.
    #[error("{0}")]
    OfOne(String),
}
