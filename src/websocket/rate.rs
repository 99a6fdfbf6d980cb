//! How many frames one socket may send in a second.

use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts in windows of one second, so that a client which keeps to the limit in every second is
/// never refused.
#[derive(Debug)]
pub struct Rate {
    max_per_second: u32,
    window_started: Instant,
    seen: u32,
}

impl Rate {
    #[must_use]
    pub fn new(max_per_second: u32, now: Instant) -> Self {
        Self { max_per_second, window_started: now, seen: 0 }
    }

    /// Counts one frame; `false` when it is one too many.
    #[must_use]
    pub fn admits(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.window_started) >= WINDOW {
            self.window_started = now;
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        self.seen <= self.max_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_over_the_limit_is_refused_and_the_next_second_starts_anew() {
        let start = Instant::now();
        let mut rate = Rate::new(50, start);
        assert!((0..50).all(|_| rate.admits(start)));
        assert!(!rate.admits(start + Duration::from_millis(999)));
        assert!(rate.admits(start + Duration::from_secs(1)));
    }

    #[test]
    fn a_client_that_keeps_to_the_limit_is_never_refused() {
        let start = Instant::now();
        let mut rate = Rate::new(50, start);
        assert!((0..10_000).all(|frame| rate.admits(start + Duration::from_millis(20) * frame)));
    }
}
