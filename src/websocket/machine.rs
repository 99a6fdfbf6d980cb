//! A socket as a state machine without a socket: one frame and the time in, one effect out. It knows who
//! the socket belongs to, what runs on it and how much it may send; how things are said in its protocol is
//! the [`Dialect`]'s. [`super::session`] carries the effects out.
//!
//! States: opened → verifying (the client has said who it is, the Auth actor is asked) → acknowledged, in
//! which the Auth actor is asked again from time to time. A client that says so with the upgrade alone is
//! never seen opened. Any state can end in [`Effect::Close`]; nothing is said after that.

use std::collections::HashSet;

use duologue_actors::{
    broadcaster::{Cursor, Filter},
    ports::Credentials,
    protocol::{Code, Failure, Hop},
};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    close::Close,
    credentials,
    dialect::{Dialect, Introduction, OperationId, Refused, Said},
    origin::Origin,
    rate::Rate,
    resumption::Resumption,
};
use crate::graphql::GraphqlRequest;

mod words;

pub use words::{Effect, Frame, Rules, SecondVerdict, Verdict};

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

pub struct Machine {
    dialect: Box<dyn Dialect>,
    rules: Rules,
    origin: Origin,
    /// Those of the upgrade request, perhaps without a token.
    credentials: Credentials,
    phase: Phase,
    rate: Rate,
    resumption: Resumption,
    active: HashSet<OperationId>,
}

impl Machine {
    #[must_use]
    pub fn new(
        dialect: Box<dyn Dialect>,
        rules: Rules,
        origin: Origin,
        credentials: Credentials,
        now: Instant,
    ) -> Self {
        Self {
            dialect,
            rules,
            origin,
            credentials,
            phase: Phase::Opened { init_until: now + rules.init },
            rate: Rate::new(rules.max_messages_per_second, now),
            resumption: Resumption::default(),
            active: HashSet::new(),
        }
    }

    /// How things are said on this socket.
    #[must_use]
    pub fn dialect(&self) -> &dyn Dialect {
        self.dialect.as_ref()
    }

    /// Where a subscription that does not say so itself goes on, if its client said so for its page.
    #[must_use]
    pub fn resumes(&self, filter: &Filter) -> Option<Cursor> {
        self.resumption.of(filter)
    }

    /// What is to be done before the first frame.
    pub fn opened(&mut self) -> Effect {
        match self.dialect.introduction() {
            Introduction::Message => Effect::Nothing,
            Introduction::Upgrade => self.introduced(&Map::new()),
        }
    }

    /// Whether frames are to be read now. A client that has nothing more to say about itself is not heard
    /// before it is known who it is: until then its frames wait where they cost the server nothing.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.dialect.introduction() == Introduction::Message
            || matches!(self.phase, Phase::Acknowledged { .. } | Phase::Closed)
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
            Frame::Text(text) => self.understood(self.dialect.read(text), text.len()),
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
                Effect::Admit
            }
            Verdict::Invalid => self.close(Close::Forbidden("invalid credentials")),
            Verdict::TooManyConnections => self.close(Close::TooManyConnections),
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
            SecondVerdict::NotGood => return self.close(Close::Withdrawn("the token is not good any more")),
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
            Phase::Acknowledged { .. } => self.close(Close::Withdrawn("the token has expired")),
            Phase::Closed => Effect::Nothing,
        }
    }

    fn understood(&mut self, said: Said, bytes: usize) -> Effect {
        match said {
            Said::Introduction(payload) => self.introduced(&payload),
            Said::Answered(messages) => Effect::Send(messages),
            Said::Nothing => Effect::Nothing,
            Said::Begin { id, request } => self.begin(id, request, bytes),
            Said::End { id } if self.active.remove(&id) => Effect::Stop(id),
            // The operation may have ended while this message was under way.
            Said::End { .. } => Effect::Nothing,
            Said::Nonsense(what) => self.bad(what),
        }
    }

    fn introduced(&mut self, payload: &Map<String, Value>) -> Effect {
        let Phase::Opened { init_until } = self.phase else {
            return self.close(Close::TooManyInitialisations);
        };
        let credentials = credentials::of_init(payload, std::mem::take(&mut self.credentials));
        if credentials.token.is_none() && self.origin == Origin::Absent && self.rules.needs_token {
            return self.close(Close::Forbidden("a token is needed"));
        }
        match Resumption::of_init(payload) {
            Ok(resumption) => self.resumption = resumption,
            Err(malformed) => return self.bad(malformed.to_string()),
        }
        self.phase = Phase::Verifying { init_until };
        Effect::Verify(credentials)
    }

    fn begin(&mut self, id: OperationId, request: Box<GraphqlRequest>, bytes: usize) -> Effect {
        if !matches!(self.phase, Phase::Acknowledged { .. }) {
            return self.close(Close::Unauthorized);
        }
        if self.active.contains(&id) {
            return self.dialect.repeated(&id).map_or(Effect::Nothing, |close| self.close(close));
        }
        if self.active.len() >= self.rules.max_operations {
            let text = format!("A connection has at most {} subscriptions.", self.rules.max_operations);
            let refused = Refused::NotTaken(Failure::new(Code::RateLimited, Hop::Edge, text));
            return Effect::Send(self.dialect.refused(&id, &refused));
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
pub(super) mod tests;
