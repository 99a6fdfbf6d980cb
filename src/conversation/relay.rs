//! Moves messages from the outbox to their streams, and goes on doing so whatever happens.
//!
//! A pass goes through all that waits, oldest first. It stops at the first fault of the server and is made again a
//! little later; a conversation that alone cannot be written is set aside for a while, and holds up no other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use duologue_actors::supervisor::panics;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{outbox::Outbox, streams::Streams};

mod pass;
mod report;

use pass::{Pass, Passed};
pub(super) use report::Report;

/// How long after a fault it tries again. Nobody waits for it; five of these and the breaker's own pause are less
/// than the five seconds within which it has caught up.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a conversation that cannot be written is set aside. Somebody has to look at it first.
const SET_ASIDE: Duration = Duration::from_secs(10);

/// How others hear of how it goes.
#[derive(Clone, Default)]
pub(super) struct Signal {
    report: Arc<Mutex<Report>>,
}

impl Signal {
    pub(super) fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, report: Report) -> Report {
        std::mem::replace(&mut *self.report.lock().unwrap_or_else(PoisonError::into_inner), report)
    }
}

/// The running relay. Dropping it ends it at once; what waits is safe in the outbox.
pub struct Relay {
    signal: Signal,
    stop: CancellationToken,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Relay {
    pub(super) fn start(outbox: Arc<dyn Outbox>, streams: Arc<dyn Streams>) -> Self {
        let (signal, stop) = (Signal::default(), CancellationToken::new());
        let work = Work { outbox, streams, signal: signal.clone(), stop: stop.clone() };
        let task = AbortOnDropHandle::new(tokio::spawn(work.go_on()));
        Self { signal, stop, task: Mutex::new(Some(task)) }
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal.clone()
    }

    /// Makes a last pass, for at most `patience`, and ends.
    pub(super) async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && tokio::time::timeout(patience, task).await.is_err()
        {
            tracing::warn!("conversation.relay.cut_off");
        }
    }
}

struct Work {
    outbox: Arc<dyn Outbox>,
    streams: Arc<dyn Streams>,
    signal: Signal,
    stop: CancellationToken,
}

impl Work {
    /// Relays until it is told to stop. A panic costs one pass.
    async fn go_on(self) {
        while let Err(place) = panics::catch(self.relay()).await {
            tracing::error!(place, "conversation.relay.panicked");
            if self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    async fn relay(&self) {
        let mut pass = Pass::new(self.outbox.clone(), self.streams.clone());
        // What an earlier process left comes first.
        loop {
            let passed = pass.make().await;
            self.tell(&passed);
            self.count(&passed).await;
            if self.stop.is_cancelled() {
                return;
            }
            // Told to stop while it waits, it makes one more.
            self.stop.run_until_cancelled(self.until_next(&passed)).await;
        }
    }

    async fn until_next(&self, passed: &Passed) {
        match passed {
            Passed::AllWritten => self.outbox.arrived().await,
            // Others go on being written as they come.
            Passed::SomeSetAside { .. } => {
                tokio::time::timeout(SET_ASIDE, self.outbox.arrived()).await.ok();
            }
            // What comes meanwhile waits as well: it is no reason to try earlier.
            Passed::HeldUp { retry_after, .. } => tokio::time::sleep(retry_after.unwrap_or(PAUSE)).await,
        }
    }

    /// Readiness shows how it is; the log has the changes.
    fn tell(&self, passed: &Passed) {
        let now = Report::of(passed);
        let before = self.signal.tell(now.clone());
        match (&before.held_up, &now.held_up) {
            (None, Some(error)) => tracing::warn!(error, "conversation.relay.held_up"),
            (Some(_), None) => tracing::info!("conversation.relay.goes_on"),
            _ => {}
        }
        if before.set_aside != now.set_aside {
            tracing::warn!(conversations = now.set_aside, error = now.why, "conversation.relay.set_aside");
        }
        if before.unreadable != now.unreadable {
            tracing::error!(messages = now.unreadable, "conversation.outbox.unreadable");
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    async fn count(&self, passed: &Passed) {
        let waiting = match passed {
            Passed::AllWritten => Ok(0),
            Passed::SomeSetAside { .. } | Passed::HeldUp { .. } => self.outbox.count().await,
        };
        if let Ok(waiting) = waiting {
            metrics::gauge!("duologue_conversation_messages_waiting").set(waiting as f64);
        }
    }
}

#[cfg(test)]
mod tests;
