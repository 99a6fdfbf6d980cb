//! What to do about a failed attempt: a plain decision.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::ports::{ModelError, Retry};

/// Added to what a provider asks for, at most: those who were sent away together must not come back together.
const SPREAD: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
pub struct RetryBounds {
    /// Attempts of one model after the first.
    pub retries: usize,
    /// The wait before the first of them; each later one is twice as long ...
    pub shortest_wait: Duration,
    /// ... up to this. To each, up to as much again is added by chance.
    pub longest_wait: Duration,
    /// The longest `Retry-After` that is waited for; beyond it another model is asked.
    pub longest_retry_after: Duration,
}

impl Default for RetryBounds {
    fn default() -> Self {
        Self {
            retries: 2,
            shortest_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same model again, after this wait.
    Again(Duration),
    /// The next model, if there is one.
    Elsewhere,
    /// Nothing: the failure is the answer's end.
    GiveUp,
}

/// The attempts at one model.
pub(super) struct Attempts {
    bounds: RetryBounds,
    waits: ExponentialBackoff,
    retries: usize,
}

impl Attempts {
    pub(super) fn new(bounds: RetryBounds) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(bounds.shortest_wait)
            .with_max_delay(bounds.longest_wait)
            .with_max_times(bounds.retries)
            .with_jitter()
            .build();
        Self { bounds, waits, retries: 0 }
    }

    /// Whether none has failed yet.
    pub(super) fn is_first(&self) -> bool {
        self.retries == 0
    }

    /// What follows `error`, when `left` of the request's time is left. Nothing of the answer was shown.
    pub(super) fn after(&mut self, error: &ModelError, left: Duration) -> Next {
        let most = match error.retry {
            Retry::Again => self.bounds.retries,
            Retry::Once => self.bounds.retries.min(1),
            Retry::Elsewhere => return Next::Elsewhere,
            Retry::Never => return Next::GiveUp,
        };
        if self.retries >= most {
            return Next::Elsewhere;
        }
        self.retries += 1;
        match self.wait(error.retry_after) {
            Some(wait) if wait < left => Next::Again(wait),
            _ => Next::Elsewhere,
        }
    }

    fn wait(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let Some(asked) = retry_after else {
            return self.waits.next();
        };
        (asked <= self.bounds.longest_retry_after).then(|| asked + SPREAD.mul_f64(fastrand::f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    const LONG: Duration = Duration::from_secs(100);

    fn error(retry: Retry, retry_after: Option<u64>) -> ModelError {
        ModelError::new(Code::UpstreamUnavailable, retry, "as told")
            .retry_after(retry_after.map(Duration::from_secs))
    }

    fn again(next: Next) -> Duration {
        let Next::Again(wait) = next else { panic!("no retry but {next:?}") };
        wait
    }

    #[test]
    fn each_wait_is_twice_as_long_as_the_last_and_up_to_as_much_again() {
        let bounds = RetryBounds { retries: 8, ..RetryBounds::default() };
        for _ in 0..100 {
            let mut attempts = Attempts::new(bounds);
            for shortest in [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000] {
                let wait = again(attempts.after(&error(Retry::Again, None), LONG)).as_millis();
                assert!((shortest..=2 * shortest).contains(&wait), "{wait} ms instead of {shortest}");
            }
            assert_eq!(attempts.after(&error(Retry::Again, None), LONG), Next::Elsewhere);
        }
    }

    #[test]
    fn how_often_is_up_to_the_error() {
        for (retry, retries) in [(Retry::Again, 2), (Retry::Once, 1), (Retry::Elsewhere, 0)] {
            let mut attempts = Attempts::new(RetryBounds::default());
            for _ in 0..retries {
                again(attempts.after(&error(retry, None), LONG));
            }
            assert_eq!(attempts.after(&error(retry, None), LONG), Next::Elsewhere, "{retry:?}");
        }
        let mut attempts = Attempts::new(RetryBounds::default());
        assert_eq!(attempts.after(&error(Retry::Never, None), LONG), Next::GiveUp);
    }

    #[test]
    fn without_retries_in_the_configuration_there_are_none() {
        let mut attempts = Attempts::new(RetryBounds { retries: 0, ..RetryBounds::default() });
        assert_eq!(attempts.after(&error(Retry::Again, Some(1)), LONG), Next::Elsewhere);
    }

    #[test]
    fn what_the_provider_asks_for_is_waited_for_if_it_is_not_too_long() {
        let after =
            |seconds| Attempts::new(RetryBounds::default()).after(&error(Retry::Again, Some(seconds)), LONG);
        assert!((1_000..=1_500).contains(&again(after(1)).as_millis()));
        assert!((10_000..=10_500).contains(&again(after(10)).as_millis()));
        assert_eq!(after(11), Next::Elsewhere);
        assert_eq!(after(u64::MAX), Next::Elsewhere);
    }

    #[test]
    fn a_wait_beyond_the_requests_time_is_not_begun() {
        let left = Duration::from_secs(2);
        let mut attempts = Attempts::new(RetryBounds::default());
        assert_eq!(attempts.after(&error(Retry::Again, Some(2)), left), Next::Elsewhere);
    }
}
