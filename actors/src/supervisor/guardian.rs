//! Keeps one actor alive through its panics. The only file that knows actix's insides: actix's own
//! supervisor restarts an actor that stopped, not one that panicked.
//!
//! After a panic the address stays the same, so do the actor's fields and the messages still queued;
//! what had been given to `ctx.spawn` or `ctx.run_later` is gone, and `restarting` and `started` run
//! again. The message in hand is lost with its request's state, which is why [`crate::desk::Desk`]
//! remembers whose it was.

use std::{pin::Pin, sync::Arc, time::Duration};

use actix::{Actor, Context, Supervised, dev::ContextFut};
use futures::future::poll_fn;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    intensity::{Intensity, Verdict},
    panics,
    vitals::Vitals,
};

/// Says which actor could not be kept alive.
pub(super) type GaveUp = mpsc::UnboundedSender<&'static str>;

/// Runs `actor` in `context`, on this thread, until it stops or its panics exceed the intensity.
pub(super) fn guard<A>(
    context: Context<A>,
    actor: A,
    vitals: Arc<Vitals>,
    (max_restarts, window): (usize, Duration),
    gave_up: GaveUp,
) -> JoinHandle<()>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let running = context.into_future(actor);
    actix_rt::spawn(keep_alive(running, vitals, Intensity::new(max_restarts, window), gave_up))
}

async fn keep_alive<A>(
    mut running: ContextFut<A, Context<A>>,
    vitals: Arc<Vitals>,
    mut intensity: Intensity,
    gave_up: GaveUp,
) where
    A: Actor<Context = Context<A>> + Supervised,
{
    // `None`: run it. `Some(place)`: it panicked there and has to be restarted first.
    let mut panicked: Option<(Instant, panics::Place)> = None;
    loop {
        let Some((at, place)) = panicked.take() else {
            match panics::catch(poll_fn(|cx| Pin::new(&mut running).poll(cx))).await {
                Ok(()) => return,
                Err(place) => panicked = Some((Instant::now(), place)),
            }
            continue;
        };
        vitals.panicked(&place);
        match intensity.panicked(at) {
            Verdict::GiveUp => {
                tracing::error!(actor = vitals.name(), "actor panics too often, giving up");
                // Nobody listens when the tree is being taken down already.
                let _ = gave_up.send(vitals.name());
                return;
            }
            Verdict::RestartAfter(wait) => tokio::time::sleep(wait).await,
        }
        match panics::catch_now(|| running.restart()) {
            Ok(true) => vitals.restarted(at.elapsed()),
            Ok(false) => return,
            Err(place) => panicked = Some((Instant::now(), place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use actix::{ActorContext, Addr, AsyncContext, Handler, Message};

    use super::*;
    use crate::{clock::Clock, protocol::deliver};

    const TICK: Duration = Duration::from_secs(1);

    /// What happened, seen from outside the actor.
    type Seen = Rc<RefCell<Vec<&'static str>>>;

    struct Fragile {
        seen: Seen,
        /// How many more times `restarting` panics.
        breaks_when_restarting: usize,
        handled: u32,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            self.seen.borrow_mut().push("started");
            ctx.run_interval(TICK, |fragile, _| fragile.seen.borrow_mut().push("tick"));
        }
    }

    impl Supervised for Fragile {
        fn restarting(&mut self, _: &mut Self::Context) {
            self.seen.borrow_mut().push("restarting");
            if let Some(left) = self.breaks_when_restarting.checked_sub(1) {
                self.breaks_when_restarting = left;
                panic!("injected into restarting");
            }
        }
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Count;

    impl Handler<Count> for Fragile {
        type Result = u32;

        fn handle(&mut self, _: Count, _: &mut Self::Context) -> u32 {
            self.handled += 1;
            self.handled
        }
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Break;

    impl Handler<Break> for Fragile {
        type Result = ();

        fn handle(&mut self, _: Break, _: &mut Self::Context) {
            panic!("injected into the handler");
        }
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Leave;

    impl Handler<Leave> for Fragile {
        type Result = ();

        fn handle(&mut self, _: Leave, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }

    struct Guarded {
        fragile: Addr<Fragile>,
        vitals: Arc<Vitals>,
        seen: Seen,
        given_up: mpsc::UnboundedReceiver<&'static str>,
        guardian: JoinHandle<()>,
    }

    fn guarded(breaks_when_restarting: usize) -> Guarded {
        tokio::time::pause();
        let context = Context::new();
        let (fragile, seen) = (context.address(), Seen::default());
        let vitals = Vitals::new("fragile", &Clock::following_tokio(), None);
        let (gave_up, given_up) = mpsc::unbounded_channel();
        let actor = Fragile { seen: seen.clone(), breaks_when_restarting, handled: 0 };
        let intensity = (5, Duration::from_secs(10));
        let guardian = guard(context, actor, vitals.clone(), intensity, gave_up);
        Guarded { fragile, vitals, seen, given_up, guardian }
    }

    impl Guarded {
        fn times(&self, what: &str) -> usize {
            self.seen.borrow().iter().filter(|seen| **seen == what).count()
        }
    }

    #[actix::test]
    async fn address_fields_and_queued_messages_survive_a_panic() {
        let guarded = guarded(0);
        assert_eq!(guarded.fragile.send(Count).await.unwrap(), 1);
        let (broken, queued) = (guarded.fragile.send(Break), guarded.fragile.send(Count));
        let (broken, queued) = futures::join!(broken, queued);
        assert!(broken.is_err(), "the message in hand is lost");
        assert_eq!(queued.unwrap(), 2, "the one behind it is not");
        assert_eq!(guarded.fragile.send(Count).await.unwrap(), 3);
        let state = guarded.vitals.state();
        assert_eq!(state.restarts, 1);
        assert!(state.last_panic.unwrap().contains("guardian.rs:"));
    }

    #[actix::test]
    async fn timers_run_again_after_a_restart_and_only_once() {
        let guarded = guarded(0);
        tokio::time::sleep(3 * TICK + TICK / 2).await;
        assert_eq!(guarded.times("tick"), 3);
        deliver(&guarded.fragile.clone().recipient(), Break);
        tokio::time::sleep(3 * TICK + TICK / 2).await;
        assert_eq!((guarded.times("tick"), guarded.times("started")), (6, 2));
    }

    #[actix::test]
    async fn a_panic_while_restarting_is_repaired_and_counts() {
        let mut guarded = guarded(4);
        deliver(&guarded.fragile.clone().recipient(), Break);
        assert_eq!(guarded.fragile.send(Count).await.unwrap(), 1);
        assert_eq!(guarded.times("restarting"), 5);
        assert!(guarded.given_up.try_recv().is_err());
        // Five panics so far, four of them while restarting: the next one is one too many.
        deliver(&guarded.fragile.clone().recipient(), Break);
        assert_eq!(guarded.given_up.recv().await, Some("fragile"));
    }

    #[actix::test]
    async fn an_actor_that_cannot_be_restarted_is_given_up_instead_of_tried_for_ever() {
        let mut guarded = guarded(usize::MAX);
        deliver(&guarded.fragile.clone().recipient(), Break);
        assert_eq!(guarded.given_up.recv().await, Some("fragile"));
        (&mut guarded.guardian).await.unwrap();
        assert_eq!(guarded.times("restarting"), 5);
        assert_eq!(guarded.vitals.state().restarts, 0);
    }

    #[actix::test]
    async fn panics_that_lie_apart_are_all_repaired_within_a_hundred_milliseconds() {
        let guarded = guarded(0);
        for n in 1..=20 {
            let broken = Instant::now();
            deliver(&guarded.fragile.clone().recipient(), Break);
            assert_eq!(guarded.fragile.send(Count).await.unwrap(), n);
            assert!(broken.elapsed() < Duration::from_millis(100));
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(guarded.vitals.state().restarts, 20);
    }

    #[actix::test]
    async fn an_actor_that_stops_by_itself_is_not_restarted() {
        let mut guarded = guarded(0);
        guarded.fragile.send(Leave).await.unwrap();
        (&mut guarded.guardian).await.unwrap();
        assert!(guarded.given_up.try_recv().is_err());
        assert_eq!(guarded.vitals.state().restarts, 0);
    }
}
