//! What differs between the protocols that sockets speak: how a frame of the client is read, and how what
//! the server has to say stands on the wire. Everything else, from credentials to the order of frames, is
//! the same for all of them and in [`super::machine`] and [`super::session`].

use std::{sync::Arc, time::Duration};

use async_graphql::Response;
use duologue_actors::protocol::Failure;
use serde_json::{Map, Value};

use super::close::Close;
use crate::graphql::{GraphqlRequest, error};

/// The client's name for one of its operations.
pub type OperationId = Arc<str>;

/// A protocol over websockets. Has no state: what a socket remembers is in its machine.
pub trait Dialect {
    fn introduction(&self) -> Introduction;

    /// What a text frame asks for.
    fn read(&self, text: &str) -> Said;

    /// The first word to a client whose credentials are good.
    fn greeting(&self) -> String;

    /// The pings that are messages of this protocol, where it has some.
    fn rhythm(&self) -> Option<Rhythm>;

    /// What becomes of a socket whose client begins an operation under the id of one that runs; `None` when
    /// nothing does.
    fn repeated(&self, id: &OperationId) -> Option<Close>;

    /// What carries the results of one operation.
    fn envelope(&self, id: &OperationId) -> Envelope;

    /// Says that a subscription stands, with its first result.
    fn subscribed(&self, id: &OperationId, first: &[u8]) -> Vec<String>;

    /// Says what came of a query or mutation; there will be nothing more.
    fn answered(&self, id: &OperationId, response: &Response) -> Vec<String>;

    /// Says that an operation does not begin.
    fn refused(&self, id: &OperationId, refused: &Refused) -> Vec<String>;

    /// Says that a subscription cannot go on.
    fn broken_off(&self, id: &OperationId, response: &Response) -> Vec<String>;

    /// The last word before the close frame.
    fn farewell(&self, close: &Close) -> Option<String>;
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// In a message, which may add to the credentials of the upgrade.
    Message,
    /// In the upgrade alone. What it sends is not read before it is known who that is.
    Upgrade,
}

/// What a client said in one frame.
#[derive(Debug)]
pub enum Said {
    /// Who it is, beside what the upgrade said.
    Introduction(Map<String, Value>),
    Begin {
        id: OperationId,
        request: Box<GraphqlRequest>,
    },
    End {
        id: OperationId,
    },
    /// Something with only one answer, whatever the state.
    Answered(Vec<String>),
    /// Something that asks for nothing.
    Nothing,
    /// No message of this protocol, and why not.
    Nonsense(String),
}

/// Why an operation does not begin.
#[derive(Debug)]
pub enum Refused {
    /// Its document cannot be executed, or not for this caller.
    Document(Box<Response>),
    /// It is not taken, whatever its document.
    NotTaken(Failure),
}

/// Pings every so often, with the Unix time in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    pub every: Duration,
    pub ping: fn(u64) -> String,
}

/// Text around results that are JSON already.
#[derive(Clone, Debug)]
pub struct Envelope {
    head: Box<str>,
    tail: &'static str,
}

impl Refused {
    #[must_use]
    pub fn response(&self) -> Response {
        match self {
            Self::Document(response) => Response::from_errors(response.errors.clone()),
            Self::NotTaken(failure) => error::refused_by(failure),
        }
    }
}

impl Envelope {
    #[must_use]
    pub fn new(head: String, tail: &'static str) -> Self {
        Self { head: head.into(), tail }
    }

    #[must_use]
    pub fn text(&self, result: &[u8]) -> String {
        let result = String::from_utf8_lossy(result);
        let mut text = String::with_capacity(self.head.len() + result.len() + self.tail.len());
        text.push_str(&self.head);
        text.push_str(&result);
        text.push_str(self.tail);
        text
    }
}
