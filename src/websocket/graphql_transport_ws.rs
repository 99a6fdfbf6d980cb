//! The protocol `graphql-transport-ws` as a state machine without a socket: one frame and the time in,
//! one effect out. [`super::session`] carries the effects out.
//!
//! States: opened → verifying (a `connection_init` came, the Auth actor is asked) → acknowledged, in which
//! the Auth actor is asked again from time to time. Any state can end in [`Effect::Close`]; nothing is said
//! after that.

use std::{collections::HashSet, time::Duration};

use duologue_actors::{
    ports::Credentials,
    protocol::{Code, Failure, Hop},
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    close::Close,
    credentials,
    frames::{ClientMessage, OperationId, ServerMessage},
    origin::Origin,
    rate::Rate,
    recheck::Rechecks,
};
use crate::{config::WebsocketConfig, graphql::GraphqlRequest};

/// The name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";

/// A frame of the client, as far as this protocol looks at it.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    Text(&'a str),
    Binary,
    /// A websocket ping or pong: nothing to this protocol but one more frame.
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
    Send(ServerMessage),
    /// Ask the Auth actor, then call [`Machine::verified`].
    Verify(Credentials),
    /// Ask the Auth actor again about the credentials it was content with, then call
    /// [`Machine::verified_again`].
    VerifyAgain,
    /// Begin an operation; [`Machine::finished`] when it has ended.
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

/// The rules this protocol keeps.
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

const CANNOT_VERIFY: Close = Close::TryAgainLater("credentials cannot be verified at the moment");

#[derive(Debug)]
enum Phase {
    Opened { init_until: Instant },
    Verifying { init_until: Instant },
    Acknowledged { expires: Option<Instant>, recheck: Recheck },
    Closed,
}

/// Where the next look at the credentials stands.
#[derive(Clone, Copy, Debug)]
enum Recheck {
    Due(Instant),
    Asked,
}

#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    origin: Origin,
    /// Those of the upgrade request, perhaps without a token.
    credentials: Credentials,
    phase: Phase,
    rate: Rate,
    active: HashSet<OperationId>,
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

impl Machine {
    #[must_use]
    pub fn new(rules: Rules, origin: Origin, credentials: Credentials, now: Instant) -> Self {
        Self {
            rules,
            origin,
            credentials,
            phase: Phase::Opened { init_until: now + rules.init },
            rate: Rate::new(rules.max_messages_per_second, now),
            active: HashSet::new(),
        }
    }

    /// Takes the next frame, in the order of arrival.
    pub fn received(&mut self, frame: Frame<'_>, now: Instant) -> Effect {
        if matches!(self.phase, Phase::Closed) {
            return Effect::Nothing;
        }
        if !self.rate.admits(now) {
            return self.close(Close::TryAgainLater("too many messages a second"));
        }
        match frame {
            Frame::Control => Effect::Nothing,
            Frame::Binary => self.bad("binary frames are not taken"),
            Frame::Malformed => self.bad("not a websocket frame, or not UTF-8"),
            Frame::TooLarge => self.bad(format!("more than {} bytes", self.rules.max_frame_bytes)),
            Frame::Text(text) => match ClientMessage::parse(text) {
                Ok(message) => self.understood(message, text.len()),
                Err(what) => self.bad(what),
            },
        }
    }

    /// Takes the answer to [`Effect::Verify`].
    pub fn verified(&mut self, verdict: Verdict, now: Instant) -> Effect {
        if !matches!(self.phase, Phase::Verifying { .. }) {
            return Effect::Nothing;
        }
        match verdict {
            Verdict::Welcome { expires } => {
                let recheck = Recheck::Due(now + self.rules.rechecks.first);
                self.phase = Phase::Acknowledged { expires, recheck };
                Effect::Send(ServerMessage::ConnectionAck)
            }
            Verdict::Invalid => self.close(Close::Forbidden("invalid credentials")),
            Verdict::TooManyConnections => self.close(Close::Forbidden("too many connections")),
            Verdict::Unavailable => self.close(CANNOT_VERIFY),
        }
    }

    /// Takes the answer to [`Effect::VerifyAgain`].
    pub fn verified_again(&mut self, verdict: SecondVerdict, now: Instant) -> Effect {
        let Phase::Acknowledged { expires, .. } = self.phase else {
            return Effect::Nothing;
        };
        let expires = match verdict {
            SecondVerdict::Good { expires } => expires,
            SecondVerdict::Unknown => expires,
            SecondVerdict::NotGood => return self.close(Close::Forbidden("the token is not good any more")),
        };
        let recheck = Recheck::Due(now + self.rules.rechecks.every);
        self.phase = Phase::Acknowledged { expires, recheck };
        Effect::Nothing
    }

    /// An operation has ended: its id may be used again.
    pub fn finished(&mut self, id: &OperationId) {
        self.active.remove(id);
    }

    /// When [`Machine::tick`] has something to say.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opened { init_until } | Phase::Verifying { init_until } => Some(init_until),
            Phase::Acknowledged { expires, recheck: Recheck::Asked } => expires,
            Phase::Acknowledged { expires, recheck: Recheck::Due(at) } => {
                Some(expires.map_or(at, |expires| expires.min(at)))
            }
            Phase::Closed => None,
        }
    }

    pub fn tick(&mut self, now: Instant) -> Effect {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Effect::Nothing;
        }
        match self.phase {
            Phase::Opened { .. } => self.close(Close::InitialisationTimeout),
            // Whoever says who the caller is does not answer: coming back later may help.
            Phase::Verifying { .. } => self.close(CANNOT_VERIFY),
            Phase::Acknowledged { expires, .. } if expires.is_none_or(|expires| now < expires) => {
                self.phase = Phase::Acknowledged { expires, recheck: Recheck::Asked };
                Effect::VerifyAgain
            }
            Phase::Acknowledged { .. } => self.close(Close::Forbidden("the token has expired")),
            Phase::Closed => Effect::Nothing,
        }
    }

    fn understood(&mut self, message: ClientMessage, bytes: usize) -> Effect {
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(&payload),
            ClientMessage::Ping { payload } => Effect::Send(ServerMessage::Pong { payload }),
            ClientMessage::Pong => Effect::Nothing,
            ClientMessage::Subscribe { id, request } => self.subscribe(id, request, bytes),
            ClientMessage::Complete { id } if self.active.remove(&id) => Effect::Stop(id),
            // The operation may have ended while this message was under way.
            ClientMessage::Complete { .. } => Effect::Nothing,
        }
    }

    fn init(&mut self, payload: &Map<String, Value>) -> Effect {
        let Phase::Opened { init_until } = self.phase else {
            return self.close(Close::TooManyInitialisations);
        };
        let credentials = credentials::of_init(payload, std::mem::take(&mut self.credentials));
        if credentials.token.is_none() && self.origin == Origin::Absent && self.rules.needs_token {
            return self.close(Close::Forbidden("a token is needed"));
        }
        self.phase = Phase::Verifying { init_until };
        Effect::Verify(credentials)
    }

    fn subscribe(&mut self, id: OperationId, request: Box<GraphqlRequest>, bytes: usize) -> Effect {
        if !matches!(self.phase, Phase::Acknowledged { .. }) {
            return self.close(Close::Unauthorized);
        }
        if self.active.contains(&id) {
            return self.close(Close::SubscriberExists(id.to_string()));
        }
        if self.active.len() >= self.rules.max_operations {
            let text = format!("A connection has at most {} subscriptions.", self.rules.max_operations);
            return Effect::Send(ServerMessage::refusal(
                id,
                &Failure::new(Code::RateLimited, Hop::Edge, text),
            ));
        }
        self.active.insert(id.clone());
        Effect::Start { id, request, bytes }
    }

    fn bad(&mut self, what: impl Into<String>) -> Effect {
        self.close(Close::BadRequest(what.into()))
    }

    fn close(&mut self, close: Close) -> Effect {
        self.phase = Phase::Closed;
        Effect::Close(close)
    }
}

#[cfg(test)]
#[path = "graphql_transport_ws/tests.rs"]
mod tests;
