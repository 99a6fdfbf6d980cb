//! How many restarts are repair and how many are a fault nobody repairs: the restart intensity of
//! Erlang's supervisors.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The first repeated restart waits this long, each further one twice as long.
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);
/// No restart waits longer: an actor is back within 100 ms.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(80);

#[derive(Debug)]
pub(super) struct Intensity {
    max_restarts: usize,
    window: Duration,
    recent: VecDeque<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    RestartAfter(Duration),
    GiveUp,
}

impl Intensity {
    pub(super) fn new(max_restarts: usize, window: Duration) -> Self {
        Self { max_restarts, window, recent: VecDeque::new() }
    }

    /// Notes a panic at `now` and says what to do about it.
    pub(super) fn panicked(&mut self, now: Instant) -> Verdict {
        self.recent.retain(|earlier| now.duration_since(*earlier) < self.window);
        self.recent.push_back(now);
        if self.recent.len() > self.max_restarts {
            return Verdict::GiveUp;
        }
        let repeats = u32::try_from(self.recent.len().saturating_sub(1)).unwrap_or(u32::MAX);
        Verdict::RestartAfter(match repeats.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_BACK_OFF)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intensity() -> Intensity {
        Intensity::new(5, Duration::from_secs(10))
    }

    #[tokio::test]
    async fn five_panics_in_ten_seconds_are_repaired_and_the_sixth_is_not() {
        let (mut intensity, now) = (intensity(), Instant::now());
        for _ in 0..5 {
            assert!(matches!(intensity.panicked(now), Verdict::RestartAfter(_)));
        }
        assert_eq!(intensity.panicked(now), Verdict::GiveUp);
    }

    #[tokio::test]
    async fn panics_that_lie_far_apart_are_repaired_for_ever() {
        let (mut intensity, start) = (intensity(), Instant::now());
        for n in 0..100 {
            let verdict = intensity.panicked(start + Duration::from_secs(11 * n));
            assert_eq!(verdict, Verdict::RestartAfter(Duration::ZERO));
        }
    }

    #[tokio::test]
    async fn the_back_off_doubles_and_never_reaches_a_hundred_milliseconds() {
        let (mut intensity, now) = (Intensity::new(20, Duration::from_secs(10)), Instant::now());
        let waits: Vec<u128> = (0..8)
            .map(|_| match intensity.panicked(now) {
                Verdict::RestartAfter(wait) => wait.as_millis(),
                Verdict::GiveUp => panic!("gave up early"),
            })
            .collect();
        assert_eq!(waits, [0, 5, 10, 20, 40, 80, 80, 80]);
    }
}
