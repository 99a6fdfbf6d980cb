//! The door: whether one more `aiAction` is let in. A request takes its place here, before anything is
//! done for it, and keeps it until it has ended; a full or leaving server says so at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use duologue_actors::{
    entrance::Entrance,
    permits::{Permit, Permits},
    protocol::{Code, Failure, Hop},
};

#[derive(Clone)]
pub struct Admission {
    permits: Permits,
    entrance: Entrance,
    closed: Arc<AtomicBool>,
    retry_after: Duration,
}

impl Admission {
    /// `retry_after` is what a refused client is told to wait.
    #[must_use]
    pub fn new(permits: Permits, entrance: Entrance, retry_after: Duration) -> Self {
        Self { permits, entrance, closed: Arc::default(), retry_after }
    }

    /// Takes a place for one request.
    ///
    /// # Errors
    /// `overloaded`, with the time to wait, when the server is shutting down, every place is taken, or
    /// what is kept for requests in flight fills its memory.
    pub fn admit(&self) -> Result<Permit, Failure> {
        if self.is_closed() {
            return Err(self.refuse("the server is shutting down", "shutting_down"));
        }
        if !self.entrance.has_room() {
            return Err(self.refuse("the server is busy", "memory"));
        }
        self.permits.take().ok_or_else(|| self.refuse("the server is busy", "permits"))
    }

    /// Lets nobody in from now on; what is inside goes on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.permits.in_flight()
    }

    #[must_use]
    pub fn capacity(&self) -> usize {
        self.permits.capacity()
    }

    fn refuse(&self, why: &str, reason: &'static str) -> Failure {
        metrics::counter!("duologue_admission_refused_total", "reason" => reason).increment(1);
        let text = format!("{why}, please try again in {} s", self.retry_after.as_secs().max(1));
        Failure::new(Code::Overloaded, Hop::Edge, text).retry_after(self.retry_after)
    }
}
