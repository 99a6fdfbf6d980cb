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
    let mut panicked = None;
    loop {
        let Some(place) = panicked.take() else {
            match panics::catch(poll_fn(|cx| Pin::new(&mut running).poll(cx))).await {
                Ok(()) => return,
                Err(place) => panicked = Some(place),
            }
            continue;
        };
        vitals.panicked(&place);
        match intensity.panicked(Instant::now()) {
            Verdict::GiveUp => {
                tracing::error!(actor = vitals.name(), "actor panics too often, giving up");
                // Nobody listens when the tree is being taken down already.
                let _ = gave_up.send(vitals.name());
                return;
            }
            Verdict::RestartAfter(wait) => tokio::time::sleep(wait).await,
        }
        match panics::catch_now(|| running.restart()) {
            Ok(true) => vitals.restarted(),
            Ok(false) => return,
            Err(place) => panicked = Some(place),
        }
    }
}
