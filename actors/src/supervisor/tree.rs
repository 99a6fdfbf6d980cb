//! The running pipeline, as the rest of the process holds it.

use std::time::Duration;

use actix::Addr;
use actix_rt::Arbiter;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Parts, Shutdown, Started, Supervisor};
use crate::entrance::Entrance;

pub struct Tree {
    supervisor: Addr<Supervisor>,
    entrance: Entrance,
    recovered: CancellationToken,
    gave_up: Mutex<mpsc::UnboundedReceiver<&'static str>>,
    /// `None` when the actors share the thread of whoever started them.
    arbiter: Option<Arbiter>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the heartbeat's thread cannot be started")]
    Heartbeat(#[source] std::io::Error),
    #[error("the actors' thread cannot be started")]
    Arbiter,
}

impl Tree {
    /// Starts the actors on a thread of their own. Must be called inside an actix system.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let arbiter = Arbiter::new();
        let (report, started) = oneshot::channel();
        arbiter.spawn(async move {
            // Whoever asked for the tree is gone: it stops with the arbiter.
            let _ = report.send(Supervisor::start(parts));
        });
        let started = started.await.map_err(|_| StartError::Arbiter)?;
        Ok(Self::new(started.map_err(StartError::Heartbeat)?, Some(arbiter)))
    }

    /// Starts the actors on this thread, where paused time governs them.
    ///
    /// # Errors
    /// When the heartbeat's thread cannot be started.
    pub fn start_here(parts: Parts) -> Result<Self, StartError> {
        Ok(Self::new(Supervisor::start(parts).map_err(StartError::Heartbeat)?, None))
    }

    fn new(started: Started, arbiter: Option<Arbiter>) -> Self {
        let Started { supervisor, entrance, recovered, gave_up } = started;
        Self { supervisor, entrance, recovered, gave_up: Mutex::new(gave_up), arbiter }
    }

    #[must_use]
    pub fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// Returns when what an earlier process left in the journal has been taken over.
    pub async fn recovered(&self) {
        self.recovered.cancelled().await;
    }

    /// Returns, with the actor's name, when an actor panics so often that repairing it has no sense.
    pub async fn gave_up(&self) -> &'static str {
        match self.gave_up.lock().await.recv().await {
            Some(actor) => actor,
            // The tree has been stopped.
            None => std::future::pending().await,
        }
    }

    /// Stops the actors, first to last; each may take `grace` to finish what it holds. Requests that
    /// are unfinished then stay in the journal for the next start.
    pub async fn stop(self, grace: Duration) {
        if self.supervisor.send(Shutdown { grace }).await.is_err() {
            tracing::warn!("the supervisor was gone before it could stop the actors");
        }
        if let Some(arbiter) = self.arbiter {
            arbiter.stop();
        }
    }
}
