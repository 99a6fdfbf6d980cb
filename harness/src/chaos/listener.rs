//! One socket of one user. Whatever comes over it is told to the ledger before anybody acts on it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    fact::{CANCELLED, COMPLETED, Fact, Intent, Message, Subscriber, User},
    ledger::Ledger,
    place::token,
};
use crate::transport_ws::{Connect, Incoming, TransportWs};

const SUBSCRIPTION: &str =
    "subscription($clientSubscriptionId: String, $requestId: ID, $aiAction: AiAction) {
  aiCompletionResponse(
    clientSubscriptionId: $clientSubscriptionId, requestId: $requestId, aiAction: $aiAction
  ) { id requestId content role chunkId errors }
}";

/// Gives numbers that are unique in a run.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// What is subscribed to.
#[derive(Clone, Debug)]
pub enum Topic {
    /// Everything of requests with this `clientSubscriptionId`.
    Page(String),
    /// Everything of one request.
    Request(String),
    /// Questions and finals of all chats.
    Chats,
}

/// What a frame meant to the subscription it came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message, but not the last of its request.
    Message(Subscriber),
    Final(Subscriber),
    /// Nothing is known of what was subscribed to.
    Unknown(Subscriber),
    /// The subscription was refused, or has been ended by the server.
    Ended(Subscriber),
    /// Nothing anybody waits for.
    Other,
}

pub struct Listener {
    socket: TransportWs,
    user: User,
    ledger: Ledger,
    subscribers: Numbers,
    open: BTreeSet<Subscriber>,
}

impl Listener {
    /// Opens an acknowledged socket of `user`.
    pub async fn open(address: SocketAddr, user: User, ledger: Ledger, subscribers: Numbers) -> Result<Self> {
        let connect = Connect::to(format!("ws://{address}/api/graphql")).token(&token(user));
        let mut socket = connect.open().await?;
        socket.init(None).await?;
        Ok(Self { socket, user, ledger, subscribers, open: BTreeSet::new() })
    }

    /// Subscribes, for the answer to `intent` if to that of one.
    pub async fn subscribe(&mut self, topic: &Topic, intent: Option<Intent>) -> Result<Subscriber> {
        let subscriber = self.subscribers.next();
        self.ledger.note(Fact::Subscribed { subscriber, user: self.user, intent });
        self.open.insert(subscriber);
        self.socket.subscribe(&subscriber.to_string(), SUBSCRIPTION, topic.variables()).await?;
        Ok(subscriber)
    }

    /// Wants no more of a subscription.
    pub async fn leave(&mut self, subscriber: Subscriber) -> Result<()> {
        self.left(subscriber);
        self.socket.complete(&subscriber.to_string()).await
    }

    /// The next frame; `None` when none came in time, an error when the socket is of no more use.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Event>> {
        match self.socket.next_within(limit).await? {
            None => Ok(None),
            Some(Incoming::Frame(frame)) => self.event(&frame).map(Some),
            Some(Incoming::Closed(close)) => bail!("the server closed the websocket: {close:?}"),
        }
    }

    /// Gives the socket up without a word, so that those who wait on it are seen to wait to the end of the run.
    pub fn hang(mut self) {
        self.open.clear();
    }

    fn event(&mut self, frame: &Value) -> Result<Event> {
        let text = |name: &str| frame.get(name).and_then(Value::as_str);
        let Some(subscriber) = text("id").and_then(|id| id.parse().ok()) else {
            return Ok(Event::Other);
        };
        match text("type") {
            Some("next") => self.told(subscriber, frame),
            Some("error" | "complete") => {
                self.left(subscriber);
                Ok(Event::Ended(subscriber))
            }
            _ => bail!("not a frame of the protocol: {frame}"),
        }
    }

    fn told(&mut self, subscriber: Subscriber, frame: &Value) -> Result<Event> {
        let message =
            frame.pointer("/payload/data/aiCompletionResponse").context("a frame without a message")?;
        let extensions = frame.pointer("/payload/extensions");
        if message.is_null() {
            if !is_unknown(extensions) {
                return Ok(Event::Other);
            }
            self.ledger.note(Fact::Unknown { subscriber });
            return Ok(Event::Unknown(subscriber));
        }
        let request_id = text(message, "requestId");
        let message = read(message, extensions);
        let is_final = matches!(message, Message::Final { .. });
        self.ledger.note(Fact::Heard { subscriber, request_id, message });
        Ok(if is_final { Event::Final(subscriber) } else { Event::Message(subscriber) })
    }

    fn left(&mut self, subscriber: Subscriber) {
        if self.open.remove(&subscriber) {
            self.ledger.note(Fact::Left { subscriber });
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for subscriber in std::mem::take(&mut self.open) {
            self.ledger.note(Fact::Left { subscriber });
        }
    }
}

impl Topic {
    fn variables(&self) -> Value {
        match self {
            Self::Page(label) => json!({ "clientSubscriptionId": label }),
            Self::Request(request_id) => json!({ "requestId": request_id }),
            Self::Chats => json!({ "aiAction": "CHAT" }),
        }
    }
}

/// Whether the word that a subscription stands says that nothing is known of what it is to. Later on the same word
/// means that an answer begins again.
fn is_unknown(extensions: Option<&Value>) -> bool {
    let says = |name: &str, value: Value| extensions.and_then(|all| all.get(name)) == Some(&value);
    says("subscribed", json!(true)) && says("resume", json!("RESET"))
}

/// A message as the ledger keeps it.
fn read(message: &Value, extensions: Option<&Value>) -> Message {
    let content = text(message, "content");
    if message.get("role").and_then(Value::as_str) != Some("ASSISTANT") {
        return Message::Echo { content };
    }
    match message.get("chunkId").and_then(Value::as_u64) {
        Some(number) => Message::Chunk { number, content },
        None => Message::Final { id: text(message, "id"), content, outcome: outcome(message, extensions) },
    }
}

fn outcome(message: &Value, extensions: Option<&Value>) -> String {
    let failed = extensions.and_then(|extensions| extensions.pointer("/failure/code")?.as_str());
    let has_errors = message.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty());
    failed.unwrap_or(if has_errors { CANCELLED } else { COMPLETED }).to_owned()
}

fn text(message: &Value, field: &str) -> String {
    message.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(errors: &Value, extensions: &Value) -> Message {
        let message =
            json!({ "id": "m", "role": "ASSISTANT", "content": "a", "chunkId": null, "errors": errors });
        read(&message, Some(extensions))
    }

    #[test]
    fn the_outcome_is_the_code_of_a_failure_and_else_what_the_errors_say() {
        let outcome = |message| match message {
            Message::Final { outcome, .. } => outcome,
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome(whole(&json!([]), &json!({}))), COMPLETED);
        assert_eq!(outcome(whole(&json!(["cancelled"]), &json!({}))), CANCELLED);
        let failure = json!({ "failure": { "code": "interrupted" } });
        assert_eq!(outcome(whole(&json!(["again"]), &failure)), "interrupted");
    }

    #[test]
    fn an_answer_that_begins_again_is_not_unknown() {
        assert!(is_unknown(Some(&json!({ "subscribed": true, "resume": "RESET" }))));
        assert!(!is_unknown(Some(&json!({ "subscribed": true, "resume": "LIVE" }))));
        assert!(!is_unknown(Some(&json!({ "resume": "RESET", "requestId": "r" }))));
    }

    #[test]
    fn a_question_is_an_echo_and_a_piece_a_chunk() {
        let echo = json!({ "role": "USER", "content": "q", "chunkId": null });
        assert_eq!(read(&echo, None), Message::Echo { content: "q".to_owned() });
        let chunk = json!({ "role": "ASSISTANT", "content": "c", "chunkId": 3 });
        assert_eq!(read(&chunk, None), Message::Chunk { number: 3, content: "c".to_owned() });
    }
}
