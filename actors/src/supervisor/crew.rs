//! The six actors under guard, in the order of the pipeline.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Context, Handler, Recipient, Supervised};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    guardian::{GaveUp, guard},
    vitals::{ActorState, Inspector, Vitals},
};
use crate::{
    clock::Clock,
    desk::Desk,
    limits::Limits,
    protocol::{Ended, Hop, Stop},
};

pub(super) struct Crew {
    clock: Clock,
    limits: Limits,
    inspector: Option<Inspector>,
    ends: Recipient<Ended>,
    gave_up: GaveUp,
    members: Vec<Member>,
}

struct Member {
    vitals: Arc<Vitals>,
    stop: Recipient<Stop>,
    guardian: JoinHandle<()>,
}

impl Crew {
    pub(super) fn new(
        clock: &Clock,
        limits: &Limits,
        inspector: Option<Inspector>,
        ends: Recipient<Ended>,
        gave_up: GaveUp,
    ) -> Self {
        let (clock, limits) = (clock.clone(), limits.clone());
        Self { clock, limits, inspector, ends, gave_up, members: Vec::new() }
    }

    /// Builds an actor, starts it under guard, and puts it before those that joined earlier.
    pub(super) fn join<A>(&mut self, hop: Hop, context: Context<A>, build: impl FnOnce(Desk) -> A)
    where
        A: Actor<Context = Context<A>> + Supervised + Handler<Stop>,
    {
        use actix::AsyncContext as _;

        let vitals = Vitals::new(hop.as_str(), &self.clock, self.inspector.clone());
        let actor = build(Desk::new(hop, vitals.clone(), self.ends.clone()));
        let stop = context.address().recipient();
        let intensity = (self.limits.max_restarts, self.limits.restart_window);
        let guardian = guard(context, actor, vitals.clone(), intensity, self.gave_up.clone());
        self.members.insert(0, Member { vitals, stop, guardian });
    }

    pub(super) fn states(&self) -> Vec<ActorState> {
        self.members.iter().map(|member| member.vitals.state()).collect()
    }

    /// Stops the actors, first to last; each may take `grace` to finish what it holds.
    pub(super) async fn stop(self, grace: Duration) {
        for member in self.members {
            // The second message goes through the mailbox behind everything the first one left there.
            for _ in 0..2 {
                let stopped = timeout(2 * grace, member.stop.send(Stop { grace })).await;
                if !matches!(stopped, Ok(Ok(()))) {
                    tracing::warn!(actor = member.vitals.name(), "actor did not stop by itself");
                }
            }
            member.guardian.abort();
        }
    }
}
