//! Whoever listens over plain HTTP, held to what sockets are held to: a place among those of their user, a token that
//! is looked at again, and a time to go when the server leaves.

use std::sync::Arc;

use duologue_actors::{
    ports::{Caller, Credentials, Identity},
    protocol::{Failure, UserId},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Shared, Sockets,
    connections::{OpenSocket, Seat},
    departure::Departure,
    recheck::{Finding, Rechecks},
};

/// What it is called among the protocols of sockets.
const NAME: &str = "event_stream";

/// What the Auth actor says of credentials.
type Verdict = Result<Identity, Failure>;

/// One listener's, from the first word to the last.
pub struct Attendance {
    shared: Arc<Shared>,
    identity: Identity,
    credentials: Credentials,
    known: watch::Sender<Caller>,
    expires: Option<Instant>,
    /// When the credentials are looked at again.
    look_at: Instant,
    /// The look under way.
    question: Option<BoxFuture<'static, Verdict>>,
    rechecks: Rechecks,
    departure: Departure,
    _seat: Seat,
    _open: OpenSocket,
}

impl Sockets {
    /// A place for a listener; `None` when their user has no more of them.
    #[must_use]
    pub fn attend(&self, identity: Identity, credentials: Credentials) -> Option<Attendance> {
        let shared = self.0.clone();
        let seat = shared.connections.seat(identity.user.id, shared.config.max_connections_per_user)?;
        let number = shared.number();
        let rechecks = Rechecks::of_socket(number, shared.recheck);
        let known = Caller { user: identity.user.clone(), credentials: Some(credentials.clone()) };
        Some(Attendance {
            expires: shared.expiry(&identity),
            look_at: Instant::now() + rechecks.first,
            question: None,
            departure: shared.departures.of_socket(number),
            _open: shared.connections.opened(NAME),
            known: watch::Sender::new(known),
            shared,
            identity,
            credentials,
            rechecks,
            _seat: seat,
        })
    }
}

impl Attendance {
    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.identity.user.id
    }

    /// Who listens, also when they are known anew.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Caller> {
        self.known.subscribe()
    }

    /// Resolves when it is over: the token has expired or is not good any more, or the server leaves. May be dropped
    /// and called again: a question that was asked is not asked anew.
    pub async fn over(&mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.departure.due() => return,
                () = sleep_until(self.expires.unwrap_or(self.look_at)), if self.expires.is_some() => return,
                verdict = answered(&mut self.question) => {
                    self.question = None;
                    if !self.is_still_good(verdict) {
                        return;
                    }
                    self.look_at = Instant::now() + self.rechecks.every;
                }
                () = sleep_until(self.look_at), if self.question.is_none() => {
                    let (entrance, credentials) = (self.shared.entrance.clone(), self.credentials.clone());
                    self.question = Some(async move { entrance.identify(credentials).await }.boxed());
                }
            }
        }
    }

    fn is_still_good(&mut self, verdict: Verdict) -> bool {
        match Finding::of(&self.identity, Some(verdict)) {
            Finding::Good(identity) => {
                self.expires = self.shared.expiry(&identity);
                self.known.send_modify(|known| known.user = identity.user.clone());
                self.identity = identity;
                true
            }
            Finding::Unknown => true,
            Finding::NotGood => false,
        }
    }
}

/// What was answered; waits for ever while nothing is asked.
async fn answered(question: &mut Option<BoxFuture<'static, Verdict>>) -> Verdict {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}
