//! Whoever listens over plain HTTP, held to what sockets are held to: a place among those of their user, a token that
//! is looked at again, and a time to go when the server leaves.

use std::sync::Arc;

use duologue_actors::{
    ports::{Caller, Credentials, Identity},
    protocol::UserId,
};
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

/// One listener's, from the first word to the last.
pub struct Attendance {
    shared: Arc<Shared>,
    identity: Identity,
    credentials: Credentials,
    known: watch::Sender<Caller>,
    expires: Option<Instant>,
    /// When the credentials are looked at again.
    look_at: Instant,
    rechecks: Rechecks,
    departure: Departure,
    _seat: Seat,
    _open: OpenSocket,
}

/// What it is called among the protocols of sockets.
const NAME: &str = "event_stream";

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
    /// and called again.
    pub async fn over(&mut self) {
        loop {
            let expiry = self.expires.unwrap_or(self.look_at);
            tokio::select! {
                () = self.departure.due() => return,
                () = sleep_until(expiry), if self.expires.is_some() => return,
                () = sleep_until(self.look_at) => {}
            }
            if !self.is_still_good().await {
                return;
            }
            self.look_at = Instant::now() + self.rechecks.every;
        }
    }

    async fn is_still_good(&mut self) -> bool {
        let verdict = self.shared.entrance.identify(self.credentials.clone()).await;
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
