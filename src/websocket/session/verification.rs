//! Who a socket belongs to: asked once before anything else is heard, and again for as long as it lives.

use actix_web::rt;
use duologue_actors::{
    ports::{self, Credentials, Identity},
    protocol::{Code, Failure},
};
use tokio::{sync::watch, time::Instant};

use super::{
    super::{
        connections::Seat,
        machine::{SecondVerdict, Verdict},
        recheck::Finding,
    },
    Session, Step,
};

/// What the Auth actor said of the credentials it was asked about.
pub(super) type Answered = (Credentials, Result<Identity, Failure>);

/// Who the socket belongs to, once that is known.
pub(super) struct Caller {
    pub identity: Identity,
    pub credentials: Credentials,
    known: watch::Sender<ports::Caller>,
    _seat: Seat,
}

impl Caller {
    fn new(identity: Identity, credentials: Credentials, seat: Seat) -> Self {
        let known = ports::Caller { user: identity.user.clone(), credentials: Some(credentials.clone()) };
        Self { identity, credentials, known: watch::Sender::new(known), _seat: seat }
    }

    /// Who it is for those who read for them, also when they are known anew.
    pub(super) fn known(&self) -> watch::Receiver<ports::Caller> {
        self.known.subscribe()
    }

    fn is_known_anew(&mut self, identity: Identity) {
        self.known.send_modify(|known| known.user = identity.user.clone());
        self.identity = identity;
    }
}

impl Session {
    /// Asks the Auth actor, beside everything else this socket does.
    pub(super) fn verify(&mut self, credentials: Credentials) {
        let entrance = self.shared.entrance.clone();
        self.verifying = Some(rt::spawn(async move {
            let identity = entrance.identify(credentials.clone()).await;
            (credentials, identity)
        }));
    }

    /// Tells the state machine what was answered; `None` is a question that was lost.
    pub(super) async fn verified(&mut self, verified: Option<Answered>) -> Step {
        let now = Instant::now();
        let effect = if self.caller.is_some() {
            let verdict = self.look_again(verified);
            self.machine.verified_again(verdict, now)
        } else {
            let verdict = self.look(verified);
            self.machine.verified(verdict, now)
        };
        self.perform(effect).await
    }

    fn look(&mut self, verified: Option<Answered>) -> Verdict {
        match verified {
            Some((credentials, Ok(identity))) => self.welcome(identity, credentials),
            Some((_, Err(failure))) if failure.code == Code::Unauthenticated => Verdict::Invalid,
            _ => Verdict::Unavailable,
        }
    }

    fn look_again(&mut self, verified: Option<Answered>) -> SecondVerdict {
        let Some(caller) = &mut self.caller else { return SecondVerdict::Unknown };
        match Finding::of(&caller.identity, verified.map(|(_, verdict)| verdict)) {
            Finding::Good(identity) => {
                let expires = self.shared.expiry(&identity);
                caller.is_known_anew(identity);
                SecondVerdict::Good { expires }
            }
            Finding::NotGood => SecondVerdict::NotGood,
            Finding::Unknown => SecondVerdict::Unknown,
        }
    }

    fn welcome(&mut self, identity: Identity, credentials: Credentials) -> Verdict {
        let max = self.shared.config.max_connections_per_user;
        let Some(seat) = self.shared.connections.seat(identity.user.id, max) else {
            return Verdict::TooManyConnections;
        };
        let expires = self.shared.expiry(&identity);
        self.caller = Some(Caller::new(identity, credentials, seat));
        Verdict::Welcome { expires }
    }
}
