//! Wall-clock time and deadlines, both under the control of paused tokio time in tests.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// Tells the wall-clock time. Everything that is stored with a time asks a `Clock`.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that moves with tokio's, so that paused time moves it too.
    #[must_use]
    #[cfg(any(test, feature = "testing"))]
    pub fn following_tokio() -> Self {
        let (start, started) = (Self::system().now(), Instant::now());
        Self(Arc::new(move || start + started.elapsed()))
    }

    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The moment by which a request has ended: as wall-clock time, which outlives the process, and as
/// the timer that keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: SystemTime,
    pub timer: Instant,
}

impl Deadline {
    #[must_use]
    pub fn after(clock: &Clock, wait: Duration) -> Self {
        Self { at: clock.now() + wait, timer: Instant::now() + wait }
    }

    /// The deadline of a request that was accepted by an earlier process.
    #[must_use]
    pub fn at(clock: &Clock, at: SystemTime) -> Self {
        let left = at.duration_since(clock.now()).unwrap_or_default();
        Self { at, timer: Instant::now() + left }
    }

    #[must_use]
    pub fn is_past(&self) -> bool {
        Instant::now() >= self.timer
    }
}
