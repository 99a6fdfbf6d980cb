//! Leaves Redis alone that fails again and again: whoever asks hears so at once, in place of waiting for the timeout.
//!
//! A state machine without a clock: every method is told the time. The breaker of models weighs failures against
//! answers, because models answer most calls and fail some; Redis answers all or none, so failures in a row say it.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// So many failures in a row open it ...
    pub(super) failures: u32,
    /// ... for this long. Then one operation may try.
    pub(super) open: Duration,
}

#[derive(Debug)]
pub(super) struct Breaker {
    bounds: Bounds,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        because: String,
    },
    /// One operation tries. If nothing has been heard of it by then, it was given up, and another may.
    Probing {
        until: Instant,
        because: String,
    },
}

/// What an operation has changed, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

/// It is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) because: String,
    pub(super) retry_after: Duration,
}

impl Breaker {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: State::Closed { failures: 0 } }
    }

    /// Whether an operation may be tried; then how it went has to be told.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Open> {
        match &mut self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until, because } | State::Probing { until, because } if *until > now => {
                Err(Open { because: because.clone(), retry_after: *until - now })
            }
            State::Open { because, .. } | State::Probing { because, .. } => {
                let because = std::mem::take(because);
                self.state = State::Probing { until: now + self.bounds.open, because };
                Ok(())
            }
        }
    }

    /// An operation was answered.
    pub(super) fn answered(&mut self) -> Option<Change> {
        match self.state {
            State::Closed { .. } => {
                self.state = State::Closed { failures: 0 };
                None
            }
            // From before it opened: it says nothing of now.
            State::Open { .. } => None,
            State::Probing { .. } => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
        }
    }

    /// An operation failed.
    pub(super) fn failed(&mut self, now: Instant, because: &str) -> Option<Change> {
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                (*failures >= self.bounds.failures).then_some(Some(Change::Opened))
            }
            State::Open { .. } => None,
            State::Probing { .. } => Some(None),
        };
        if opens.is_some() {
            self.state = State::Open { until: now + self.bounds.open, because: because.to_owned() };
        }
        opens.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(Bounds { failures: 3, open: SECOND }), Instant::now())
    }

    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = breaker();
        for _ in 0..2 {
            assert_eq!(breaker.failed(now, "refused"), None);
        }
        assert_eq!(breaker.failed(now, "silent"), Some(Change::Opened));
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_begins_the_row_anew() {
        let (mut breaker, now) = breaker();
        for _ in 0..5 {
            breaker.failed(now, "silent");
            breaker.failed(now, "silent");
            assert_eq!(breaker.answered(), None);
        }
        assert_eq!(breaker.admit(now), Ok(()));
    }

    #[test]
    fn while_it_is_open_everyone_hears_why_and_for_how_long() {
        let (mut breaker, now) = opened();
        let half = SECOND / 2;
        assert_eq!(breaker.admit(now + half), Err(Open { because: "silent".to_owned(), retry_after: half }));
    }

    #[test]
    fn one_operation_tries_and_its_answer_closes_it() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
        assert!(breaker.admit(now + SECOND).is_err());
        assert_eq!(breaker.answered(), Some(Change::Closed));
        assert_eq!(breaker.admit(now + SECOND), Ok(()));
        assert_eq!(breaker.failed(now + SECOND, "once"), None);
    }

    #[test]
    fn one_that_fails_opens_it_again_without_another_word() {
        let (mut breaker, now) = opened();
        breaker.admit(now + SECOND).unwrap();
        assert_eq!(breaker.failed(now + SECOND, "still silent"), None);
        let refused = breaker.admit(now + SECOND).unwrap_err();
        assert_eq!(refused, Open { because: "still silent".to_owned(), retry_after: SECOND });
    }

    #[test]
    fn one_that_is_never_heard_of_again_keeps_no_other_from_trying() {
        let (mut breaker, now) = opened();
        breaker.admit(now + SECOND).unwrap();
        assert_eq!(breaker.admit(now + SECOND * 2), Ok(()));
    }

    #[test]
    fn what_was_under_way_when_it_opened_says_nothing_new() {
        let (mut breaker, now) = opened();
        assert_eq!(breaker.answered(), None);
        assert_eq!(breaker.failed(now + SECOND / 2, "late"), None);
        assert_eq!(breaker.admit(now).unwrap_err().retry_after, SECOND);
    }
}
