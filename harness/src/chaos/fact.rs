//! What the ledger is told, one fact a line, and the canaries by which an answer is known.

use serde::{Deserialize, Serialize};

/// One request as its client means it, before the server has a name for it. Unique in a run.
pub type Intent = u64;

/// One subscription on one socket. Unique in a run: after a reconnect it is another one.
pub type Subscriber = u64;

/// The number of a user.
pub type User = u64;

/// A fact, and when it was established.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the run began.
    pub at: u64,
    #[serde(flatten)]
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The request is about to be sent.
    Intended {
        intent: Intent,
        user: User,
    },
    /// The client holds the `requestId`: from here on the request may not be lost.
    Acknowledged {
        intent: Intent,
        request_id: String,
    },
    /// There was no server to connect to.
    Unsent {
        intent: Intent,
    },
    Refused {
        intent: Intent,
        status: u16,
        code: String,
        retry_after: bool,
    },
    /// No reply, or half of one: the client never learnt whether the request was accepted.
    Unanswered {
        intent: Intent,
    },
    /// A model was called.
    Asked {
        intent: Intent,
    },
    /// Somebody listens; for the answer to one request, if there is an intent.
    Subscribed {
        subscriber: Subscriber,
        user: User,
        intent: Option<Intent>,
    },
    /// The server said that it knows nothing of what was subscribed to.
    Unknown {
        subscriber: Subscriber,
    },
    Heard {
        subscriber: Subscriber,
        request_id: String,
        message: Message,
    },
    /// Listens no more, whoever ended it.
    Left {
        subscriber: Subscriber,
    },
    /// The process is gone: what was unfinished is interrupted.
    ServerEnded,
    /// A process serves again.
    ServerStarted,
}

/// A message of a request, as a subscriber got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    Echo { content: String },
    Chunk { number: u64, content: String },
    Final { id: String, content: String, outcome: String },
}

/// The outcome of a request that was answered.
pub const COMPLETED: &str = "completed";

/// The outcome of a request that its owner ended.
pub const CANCELLED: &str = "cancelled";

const CANARY: &str = "canary-";

/// The word that stands for a request, in its question and in every piece of its answer.
#[must_use]
pub fn canary(intent: Intent) -> String {
    format!("{CANARY}{intent:08x}.")
}

/// The requests whose canaries are in `text`, in order.
pub fn canaries(text: &str) -> impl Iterator<Item = Intent> {
    text.split(CANARY).skip(1).filter_map(|rest| Intent::from_str_radix(rest.split('.').next()?, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_wherever_it_sits() {
        let text = format!("x{}y {}", canary(7), canary(u64::MAX));
        assert_eq!(canaries(&text).collect::<Vec<_>>(), [7, u64::MAX]);
        assert_eq!(canaries("a canary is a bird; canary-xyz. is none").count(), 0);
    }

    #[test]
    fn an_entry_is_one_line_and_reads_back() {
        let message = Message::Chunk { number: 1, content: "two\nlines".to_owned() };
        let fact = Fact::Heard { subscriber: 3, request_id: "r".to_owned(), message };
        let entry = Entry { at: 5, fact };
        let line = serde_json::to_string(&entry).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }
}
