//! What is delivered: one immutable message of one request, shared by every subscriber.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::cursor::Cursor;
use crate::{
    cache::records,
    ports::TerminalRecord,
    protocol::{Address, ChatMessage, Ended, Failure, Outcome, RequestId, UserId},
};

/// What an event is in the life of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The user's own message.
    Echo,
    /// The answer begins anew after a restart of the process: what was shown of it before does not count. Its
    /// message is empty.
    Restart,
    /// A piece of the answer.
    Chunk,
    /// The whole answer, or why there is none. The last event of its request.
    Final,
}

/// What one kind of subscriber is sent; empty until it is made.
type Encoding = Arc<OnceCell<Bytes>>;

/// One message of one request. Immutable but for the encodings kept beside it.
#[derive(Debug)]
pub struct Event {
    pub address: Arc<Address>,
    pub kind: EventKind,
    pub message: ChatMessage,
    /// `provider/model`; on finals of requests that reached a model.
    pub model: Option<String>,
    /// On finals of failed requests.
    pub failure: Option<Failure>,
    /// Its place in its owner's log, given when the request's gate opened.
    pub cursor: Cursor,
    /// It is in no log, and says to one reader that the rest of its request is not for them any more.
    pub is_withheld: bool,
    encodings: Mutex<Vec<(Box<str>, Encoding)>>,
}

/// Encodings kept of one event. Clients of one kind send one document; a fifth kind encodes for itself.
const MAX_ENCODINGS: usize = 4;

/// Bytes an event takes beside its text.
const OVERHEAD: usize = 512;

impl Event {
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.address.request_id
    }

    #[must_use]
    pub fn owner(&self) -> UserId {
        self.address.owner
    }

    /// What a distinct document with its variables, named by `key`, makes of this event. The first subscriber
    /// that asks makes it with `encode`; the others, also those that ask meanwhile, get the same bytes.
    pub async fn encoded(&self, key: &str, encode: impl Future<Output = Bytes>) -> Bytes {
        match self.encoding(key) {
            Some(encoding) => encoding.get_or_init(|| encode).await.clone(),
            None => encode.await,
        }
    }

    /// The place of one encoding, if there is room for it.
    fn encoding(&self, key: &str) -> Option<Encoding> {
        let mut encodings = self.encodings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, encoding)) = encodings.iter().find(|(known, _)| &**known == key) {
            return Some(encoding.clone());
        }
        let encoding = Encoding::default();
        let has_room = encodings.len() < MAX_ENCODINGS;
        has_room.then(|| encodings.push((key.into(), encoding.clone())))?;
        Some(encoding)
    }

    /// What its reader, who may not have it for this reason, is shown in its place. Whoever goes on after that has not
    /// had the event itself.
    pub(crate) fn withheld(&self, failure: Failure, now: SystemTime) -> Self {
        let ended = Ended::failed(self.request_id(), failure);
        let terminal = records::terminal(Address::clone(&self.address), ended, now);
        Self { is_withheld: true, ..Draft::last(&terminal).at(self.cursor.before(), self.address.clone()) }
    }

    pub(super) fn offset(&self) -> u64 {
        self.cursor.offset
    }

    pub(super) fn size(&self) -> usize {
        size(&self.message)
    }
}

/// An estimate of the memory a message takes: its text, and as much again encoded.
fn size(message: &ChatMessage) -> usize {
    OVERHEAD + 2 * message.content.len()
}

/// An event whose request's gate is still closed: it has no place in the log yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) kind: EventKind,
    pub(super) message: ChatMessage,
    pub(super) model: Option<String>,
    pub(super) failure: Option<Failure>,
}

impl Draft {
    pub(super) fn echo(message: ChatMessage) -> Self {
        Self { kind: EventKind::Echo, message, model: None, failure: None }
    }

    pub(super) fn restart(message: ChatMessage) -> Self {
        Self { kind: EventKind::Restart, message, model: None, failure: None }
    }

    pub(super) fn chunk(message: ChatMessage) -> Self {
        Self { kind: EventKind::Chunk, message, model: None, failure: None }
    }

    pub(super) fn last(terminal: &TerminalRecord) -> Self {
        let failure = match &terminal.outcome {
            Outcome::Failed { failure, .. } => Some(failure.clone()),
            Outcome::Completed { .. } | Outcome::Cancelled { .. } => None,
        };
        let message = records::final_message(terminal);
        Self { kind: EventKind::Final, message, model: terminal.model.clone(), failure }
    }

    pub(super) fn size(&self) -> usize {
        size(&self.message)
    }

    pub(super) fn is_final(&self) -> bool {
        self.kind == EventKind::Final
    }

    pub(super) fn at(self, cursor: Cursor, address: Arc<Address>) -> Event {
        let Self { kind, message, model, failure } = self;
        let encodings = Mutex::default();
        Event { address, kind, message, model, failure, cursor, is_withheld: false, encodings }
    }
}
