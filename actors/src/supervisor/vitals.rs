//! What is known of one actor without asking it: written by the actor and its guardian, read by the
//! supervisor.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::clock::Clock;

/// Looks at each message before its handler does; may panic, to show what a panic there does.
pub type Inspector = Arc<dyn Fn(&'static str, &'static str) + Send + Sync>;

/// One actor's state, as the supervisor reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActorState {
    pub name: &'static str,
    /// When it was started, or restarted last.
    pub alive_since: SystemTime,
    pub restarts: u64,
    /// Messages taken in hand, those that led to a panic included.
    pub handled: u64,
    /// Tasks under way.
    pub in_flight: u64,
    /// Where it last panicked, as `file:line:column`.
    pub last_panic: Option<String>,
}

pub(crate) struct Vitals {
    name: &'static str,
    clock: Clock,
    alive_since: Mutex<SystemTime>,
    restarts: AtomicU64,
    handled: AtomicU64,
    in_flight: AtomicU64,
    last_panic: Mutex<Option<String>>,
    inspector: Option<Inspector>,
}

impl Vitals {
    pub(crate) fn new(name: &'static str, clock: &Clock, inspector: Option<Inspector>) -> Arc<Self> {
        Arc::new(Self {
            name,
            clock: clock.clone(),
            alive_since: Mutex::new(clock.now()),
            restarts: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            last_panic: Mutex::new(None),
            inspector,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn took(&self, message: &'static str) {
        self.handled.fetch_add(1, Relaxed);
        if let Some(inspector) = &self.inspector {
            inspector(self.name, message);
        }
    }

    pub(crate) fn panicked(&self, place: &str) {
        tracing::error!(actor = self.name, panic.place = place, "actor panicked");
        *self.last_panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.to_owned());
    }

    /// It takes messages again, so long after its panic.
    pub(crate) fn restarted(&self, after: Duration) {
        let milliseconds = after.as_secs_f64() * 1_000.0;
        tracing::warn!(actor = self.name, milliseconds, "actor restarted");
        self.restarts.fetch_add(1, Relaxed);
        *self.alive_since.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.now();
    }

    /// Counts a task as under way until the returned guard is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    pub(crate) fn state(&self) -> ActorState {
        ActorState {
            name: self.name,
            alive_since: *self.alive_since.lock().unwrap_or_else(PoisonError::into_inner),
            restarts: self.restarts.load(Relaxed),
            handled: self.handled.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            last_panic: self.last_panic.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

/// One task under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Vitals>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
