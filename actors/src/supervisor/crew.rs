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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use actix::ResponseFuture;
    use tokio::{sync::mpsc, time::Instant};

    use super::*;
    use crate::testing::Probe;

    type Log = Arc<Mutex<Vec<Hop>>>;

    /// Notes when it is told to stop, and takes its time.
    struct Member {
        hop: Hop,
        log: Log,
        takes: Duration,
    }

    impl Actor for Member {
        type Context = Context<Self>;
    }

    impl Supervised for Member {}

    impl Handler<Stop> for Member {
        type Result = ResponseFuture<()>;

        fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
            self.log.lock().unwrap().push(self.hop);
            Box::pin(tokio::time::sleep(self.takes))
        }
    }

    const ORDER: [Hop; 6] =
        [Hop::Auth, Hop::FeatureFlag, Hop::Policy, Hop::Cache, Hop::Completion, Hop::Broadcaster];

    /// A crew in which stopping takes `takes(hop)`.
    fn crew(takes: impl Fn(Hop) -> Duration) -> (Crew, Log) {
        tokio::time::pause();
        let (gave_up, _) = mpsc::unbounded_channel();
        let (_, ends) = Probe::new();
        let clock = Clock::following_tokio();
        let mut crew = Crew::new(&clock, &Limits::default(), None, ends, gave_up);
        let log = Log::default();
        for hop in ORDER.into_iter().rev() {
            let context = Context::new();
            let (log, takes) = (log.clone(), takes(hop));
            crew.join(hop, context, |_| Member { hop, log, takes });
        }
        (crew, log)
    }

    #[actix::test]
    async fn the_state_of_the_crew_is_in_the_order_of_the_pipeline() {
        let (crew, _) = crew(|_| Duration::ZERO);
        let names: Vec<&str> = crew.states().iter().map(|state| state.name).collect();
        assert_eq!(names, ORDER.map(Hop::as_str));
    }

    #[actix::test]
    async fn actors_are_stopped_first_to_last_each_when_the_one_before_it_is_done() {
        let (crew, log) = crew(|_| Duration::from_secs(1));
        let started = Instant::now();
        crew.stop(Duration::from_secs(5)).await;
        let mut stopped = log.lock().unwrap().clone();
        stopped.dedup();
        assert_eq!(stopped, ORDER);
        assert_eq!(started.elapsed().as_secs(), 12, "two messages of a second for each");
    }

    #[actix::test]
    async fn an_actor_that_does_not_stop_holds_up_the_others_for_a_bounded_time() {
        let slow = |hop| if hop == Hop::Policy { Duration::from_secs(3_600) } else { Duration::ZERO };
        let (crew, log) = crew(slow);
        let started = Instant::now();
        crew.stop(Duration::from_secs(5)).await;
        assert_eq!(log.lock().unwrap().last(), Some(&Hop::Broadcaster));
        assert_eq!(started.elapsed().as_secs(), 20);
    }
}
