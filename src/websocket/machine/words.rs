//! What goes into the state machine of a socket and what comes out of it.

use std::time::Duration;

use duologue_actors::ports::Credentials;
use tokio::time::Instant;

use crate::{
    config::WebsocketConfig,
    graphql::GraphqlRequest,
    websocket::{close::Close, dialect::OperationId, recheck::Rechecks},
};

/// A frame of the client, as far as protocols look at it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    Text(&'a str),
    Binary,
    /// A websocket ping or pong: nothing to a protocol but one more frame.
    Control,
    /// More than the server takes in one message.
    TooLarge,
    /// No websocket frame, or a text that is not UTF-8.
    Malformed,
}

/// What became of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Welcome {
        expires: Option<Instant>,
    },
    /// They identify nobody.
    Invalid,
    /// The user has as many connections as allowed.
    TooManyConnections,
    /// Nobody could tell.
    Unavailable,
}

/// What became of the credentials of a socket that is acknowledged already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondVerdict {
    /// They are good, now until then.
    Good {
        expires: Option<Instant>,
    },
    NotGood,
    /// Nobody could tell: what was known stands.
    Unknown,
}

/// What is to be done now.
#[derive(Debug)]
pub enum Effect {
    Nothing,
    Send(Vec<String>),
    /// The credentials are good: greet the client, and keep greeting it where its protocol has pings.
    Admit,
    /// Ask the Auth actor, then call [`super::Machine::verified`].
    Verify(Credentials),
    /// Ask the Auth actor again about the credentials it was content with, then call
    /// [`super::Machine::verified_again`].
    VerifyAgain,
    /// Begin an operation; [`super::Machine::finished`] when it has ended.
    Start {
        id: OperationId,
        request: Box<GraphqlRequest>,
        /// The size of the message it came in.
        bytes: usize,
    },
    /// The client wants no more of this operation.
    Stop(OperationId),
    Close(Close),
}

/// The rules sockets keep.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether a client that is no page has to show a token.
    pub needs_token: bool,
    pub rechecks: Rechecks,
    pub init: Duration,
    pub max_frame_bytes: usize,
    pub max_operations: usize,
    pub max_messages_per_second: u32,
}

impl Rules {
    #[must_use]
    pub fn new(config: &WebsocketConfig, needs_token: bool, rechecks: Rechecks) -> Self {
        Self {
            needs_token,
            rechecks,
            init: config.init(),
            max_frame_bytes: config.max_frame_bytes,
            max_operations: config.max_subscriptions,
            max_messages_per_second: config.max_messages_per_second,
        }
    }
}
