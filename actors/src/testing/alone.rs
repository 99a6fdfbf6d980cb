//! One actor without the others, for its own tests.

use actix::{Actor, Addr, Context};

use super::Probe;
use crate::{
    clock::Clock,
    desk::Desk,
    protocol::{Ended, Hop},
    supervisor::vitals::Vitals,
};

/// A desk whose requests end at the probe instead of at Cache.
pub(crate) fn a_desk(hop: Hop) -> (Desk, Probe<Ended>) {
    let (ended, ends) = Probe::new();
    (Desk::new(hop, Vitals::new(hop.as_str(), &Clock::following_tokio(), None), ends), ended)
}

/// Starts an actor that will not panic.
#[allow(clippy::disallowed_methods, reason = "only the guardian's own tests need a guardian")]
pub(crate) fn alone<A: Actor<Context = Context<A>>>(actor: A) -> Addr<A> {
    actor.start()
}
