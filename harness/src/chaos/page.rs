//! One page of a user: a socket over which all answers come to questions under the page's name. It notes nothing in the
//! ledger, which could not keep up with a thousand of them: it looks itself whether each answer is whole, and says when.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{fact::User, place::token};
use crate::transport_ws::{Connect, TransportWs};

const SUBSCRIPTION: &str = "subscription($page: String) {
  aiCompletionResponse(clientSubscriptionId: $page) { requestId content role chunkId }
}";

/// What the kernel takes for a page that does not read; it makes more of so little.
const UNREAD_BYTES: u32 = 4_096;

/// An answer that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub request_id: String,
    pub at: Instant,
}

/// Opens a page of this name and subscribes.
pub async fn open(address: SocketAddr, user: User, name: &str) -> Result<TransportWs> {
    subscribed(connect(address, user), name).await
}

/// Opens a page that is not to be read from.
pub async fn open_unread(address: SocketAddr, user: User, name: &str) -> Result<TransportWs> {
    subscribed(connect(address, user).receive_buffer_bytes(UNREAD_BYTES), name).await
}

/// Tells of every answer that comes, for ever.
///
/// # Errors
/// When an answer has a hole or a repetition, or nothing more can come.
pub async fn read(mut socket: TransportWs, answers: UnboundedSender<Whole>) -> Result<()> {
    let mut answer = Answer::default();
    loop {
        let frame = socket.frame().await?;
        let message = frame.pointer("/payload/data/aiCompletionResponse");
        let message = message.with_context(|| format!("no message: {frame}"))?;
        if let Some(request_id) = answer.take(message)? {
            // Nobody hears of the last ones when a run is over.
            let _ = answers.send(Whole { request_id, at: Instant::now() });
        }
    }
}

fn connect(address: SocketAddr, user: User) -> Connect {
    Connect::to(format!("ws://{address}/api/graphql")).token(&token(user))
}

async fn subscribed(connect: Connect, name: &str) -> Result<TransportWs> {
    let mut socket = connect.open().await?;
    socket.init(None).await?;
    socket.subscribe("1", SUBSCRIPTION, json!({ "page": name })).await?;
    Ok(socket)
}

/// What has come of an answer so far. A user has one at a time.
#[derive(Debug, Default)]
struct Answer {
    chunks: u64,
    text: String,
}

impl Answer {
    /// Takes one message; the request's id when its answer is whole.
    fn take(&mut self, message: &Value) -> Result<Option<String>> {
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("role") != "ASSISTANT" {
            return Ok(None);
        }
        if let Some(number) = message.get("chunkId").and_then(Value::as_u64) {
            ensure!(number == self.chunks + 1, "chunk {number} behind {}", self.chunks);
            self.chunks = number;
            self.text += text("content");
            return Ok(None);
        }
        let begun = std::mem::take(self);
        let request_id = text("requestId");
        ensure!(begun.text == text("content"), "{} chunks are not the answer to {request_id}", begun.chunks);
        Ok(Some(request_id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: Option<u64>, content: &str) -> Value {
        json!({ "requestId": "r", "role": "ASSISTANT", "content": content, "chunkId": number })
    }

    #[test]
    fn an_answer_is_whole_with_its_final_and_the_next_begins_anew() {
        let mut answer = Answer::default();
        for _ in 0..2 {
            assert_eq!(answer.take(&json!({ "role": "USER", "content": "q" })).unwrap(), None);
            assert_eq!(answer.take(&message(Some(1), "a")).unwrap(), None);
            assert_eq!(answer.take(&message(Some(2), "b")).unwrap(), None);
            assert_eq!(answer.take(&message(None, "ab")).unwrap(), Some("r".to_owned()));
        }
    }

    #[test]
    fn a_hole_a_repetition_and_another_text_are_errors() {
        let begun = || Answer { chunks: 1, text: "a".to_owned() };
        assert!(begun().take(&message(Some(3), "c")).is_err());
        assert!(begun().take(&message(Some(1), "a")).is_err());
        assert!(begun().take(&message(None, "ab")).is_err());
        assert!(Answer::default().take(&message(None, "ab")).is_err());
    }
}
