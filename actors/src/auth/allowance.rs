//! What one user may ask for: so many requests in a period, so many at once. Auth alone decides on it, one
//! message after the other, so the bounds are exact whoever asks how much at once.
//!
//! A user's period begins with their first request and the next one with the first request after it. So
//! around the turn of a period a user can get up to twice the bound in a short time: all of one at its very
//! end, and all of the next. It is kept in memory: a restart begins everyone's anew.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    limits::{SUGGESTED_RETRY, SWEEP},
    permits::Seat,
    protocol::{Code, Failure, Hop, UserId},
};

/// GitLab's text for a user who asks too often.
pub const TOO_OFTEN: &str = "This endpoint has been requested too many times. Try again later.";

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests of one user in one period, with those that are refused later; not those for which there was
    /// no seat, which are to come again soon.
    pub requests: u32,
    pub period: Duration,
    /// Requests of one user in flight.
    pub in_flight: usize,
}

#[derive(Debug)]
pub(super) struct Allowance {
    bounds: Bounds,
    users: HashMap<UserId, Account>,
    sweep_at: Instant,
}

#[derive(Debug)]
struct Account {
    period_ends: Instant,
    requests: u32,
    seats: Arc<Semaphore>,
}

impl Allowance {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, users: HashMap::new(), sweep_at: Instant::now() + SWEEP }
    }

    /// Gives a request its seat and counts it; without a seat it is not counted.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub(super) fn admit(&mut self, user: UserId, now: Instant) -> Result<Seat, Failure> {
        let bounds = self.bounds;
        let account = self.account(user, now);
        if account.requests >= bounds.requests {
            let wait = account.period_ends.duration_since(now);
            return Err(Failure::new(Code::RateLimited, Hop::Auth, TOO_OFTEN).retry_after(wait));
        }
        let seat = account.seat().ok_or_else(|| {
            let text = format!(
                "You have {} requests in flight, which is the limit. Try again when one of them has ended.",
                bounds.in_flight
            );
            Failure::new(Code::RateLimited, Hop::Auth, text).retry_after(SUGGESTED_RETRY)
        })?;
        account.requests += 1;
        Ok(seat)
    }

    /// The seat of a request that was accepted by an earlier process: it is never refused and not counted
    /// again, and takes a seat if there is one.
    pub(super) fn readmit(&mut self, user: UserId, now: Instant) -> Option<Seat> {
        self.account(user, now).seat()
    }

    fn account(&mut self, user: UserId, now: Instant) -> &mut Account {
        self.sweep(now);
        let bounds = self.bounds;
        let account = self.users.entry(user).or_insert_with(|| Account {
            period_ends: now + bounds.period,
            requests: 0,
            seats: Arc::new(Semaphore::new(bounds.in_flight)),
        });
        if account.period_ends <= now {
            account.period_ends = now + bounds.period;
            account.requests = 0;
        }
        account
    }

    /// Forgets who has nothing in flight and nothing counted.
    fn sweep(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP;
        let all = self.bounds.in_flight;
        self.users.retain(|_, account| account.period_ends > now || account.seats.available_permits() < all);
    }
}

impl Account {
    fn seat(&self) -> Option<Seat> {
        Seat::take(&self.seats)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { requests: 160, period: Duration::from_secs(28_800), in_flight: 16 };
    const ALICE: UserId = UserId(2);
    const MALLORY: UserId = UserId(3);

    fn allowance() -> Allowance {
        tokio::time::pause();
        Allowance::new(BOUNDS)
    }

    #[tokio::test]
    async fn of_a_thousand_requests_exactly_160_are_admitted_in_a_period() {
        let mut allowance = allowance();
        let now = Instant::now();
        let admitted = (0..1_000).filter(|_| allowance.admit(ALICE, now).is_ok()).count();
        assert_eq!(admitted, 160);
        assert!(allowance.admit(MALLORY, now).is_ok(), "one user's bound is not another's");
    }

    #[tokio::test]
    async fn who_asked_too_often_hears_how_long_to_wait_and_is_let_in_then() {
        let mut allowance = allowance();
        let start = Instant::now();
        let _ = (0..160).filter(|_| allowance.admit(ALICE, start).is_ok()).count();
        let later = start + Duration::from_secs(28_000);
        let refusal = allowance.admit(ALICE, later).unwrap_err();
        assert_eq!((refusal.code, refusal.text.as_str()), (Code::RateLimited, TOO_OFTEN));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(800)));
        assert!(allowance.admit(ALICE, later + Duration::from_secs(800)).is_ok());
    }

    #[tokio::test]
    async fn a_seat_is_free_again_when_its_request_is_gone() {
        let mut allowance = allowance();
        let now = Instant::now();
        let mut seats: Vec<Seat> = (0..16).map(|_| allowance.admit(ALICE, now).unwrap()).collect();
        let refusal = allowance.admit(ALICE, now).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after), (Code::RateLimited, Some(SUGGESTED_RETRY)));
        assert!(refusal.text.contains("16 requests in flight"), "{}", refusal.text);
        seats.pop();
        assert!(allowance.admit(ALICE, now).is_ok());
    }

    #[tokio::test]
    async fn a_request_for_which_there_is_no_seat_is_not_counted() {
        let mut allowance = allowance();
        let now = Instant::now();
        let seats: Vec<Seat> = (0..16).map(|_| allowance.admit(ALICE, now).unwrap()).collect();
        for _ in 0..1_000 {
            let refusal = allowance.admit(ALICE, now).unwrap_err();
            assert_eq!(refusal.retry_after, Some(SUGGESTED_RETRY), "{}", refusal.text);
        }
        drop(seats);
        assert_eq!((0..1_000).filter(|_| allowance.admit(ALICE, now).is_ok()).count(), 144);
    }

    #[tokio::test]
    async fn a_request_that_is_refused_for_the_rate_holds_no_seat() {
        tokio::time::pause();
        let mut allowance = Allowance::new(Bounds { requests: 1, in_flight: 1, ..BOUNDS });
        let now = Instant::now();
        drop(allowance.admit(ALICE, now).unwrap());
        assert_eq!(allowance.admit(ALICE, now).unwrap_err().text, TOO_OFTEN);
        assert!(allowance.readmit(ALICE, now).is_some(), "the seat is free");
    }

    #[tokio::test]
    async fn around_the_turn_of_a_period_a_user_gets_up_to_twice_the_bound() {
        let mut allowance = allowance();
        let start = Instant::now();
        assert!(allowance.admit(ALICE, start).is_ok());
        let turn = start + BOUNDS.period;
        let admitted = |allowance: &mut Allowance, now| {
            (0..1_000).filter(|_| allowance.admit(ALICE, now).is_ok()).count()
        };
        assert_eq!(admitted(&mut allowance, turn - Duration::from_secs(1)), 159);
        assert_eq!(admitted(&mut allowance, turn), 160);
    }

    /// `rate_limits` of the configuration goes no further.
    #[tokio::test]
    async fn the_largest_bounds_are_kept() {
        let period = Duration::from_secs(31_536_000);
        let mut allowance = Allowance::new(Bounds { requests: u32::MAX, period, in_flight: 65_536 });
        let now = Instant::now();
        assert!(allowance.admit(ALICE, now).is_ok());
        assert!(allowance.admit(ALICE, now + period).is_ok());
    }

    #[tokio::test]
    async fn a_request_accepted_before_takes_a_seat_and_is_never_refused_or_counted() {
        let mut allowance = allowance();
        let now = Instant::now();
        let seats: Vec<Option<Seat>> = (0..20).map(|_| allowance.readmit(ALICE, now)).collect();
        assert_eq!(seats.iter().flatten().count(), 16);
        assert!(allowance.admit(ALICE, now).is_err(), "its seats count");
        drop(seats);
        assert_eq!((0..1_000).filter(|_| allowance.admit(ALICE, now).is_ok()).count(), 160);
    }

    #[tokio::test]
    async fn who_has_not_asked_for_a_period_is_forgotten() {
        let mut allowance = allowance();
        let now = Instant::now();
        let held = allowance.admit(ALICE, now).unwrap();
        drop(allowance.admit(MALLORY, now));
        let _ = allowance.admit(UserId(4), now + BOUNDS.period);
        assert_eq!(allowance.users.len(), 2, "only Mallory's account is gone");
        drop(held);
        let _ = allowance.admit(UserId(4), now + BOUNDS.period + SWEEP);
        assert_eq!(allowance.users.len(), 1);
    }

    proptest! {
        /// Whoever asks when, however long requests take: no user ever has more than their bounds.
        #[test]
        fn no_bound_is_ever_exceeded(steps in prop::collection::vec((1_u64..4, 0_u64..40, any::<bool>()), 1..200)) {
            let bounds = Bounds { requests: 5, period: Duration::from_secs(60), in_flight: 3 };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let mut allowance = Allowance::new(bounds);
                let mut now = Instant::now();
                let mut seats: HashMap<u64, Vec<Seat>> = HashMap::new();
                let mut admitted: HashMap<u64, Vec<Instant>> = HashMap::new();
                for (user, wait, leave) in steps {
                    now += Duration::from_secs(wait);
                    if leave {
                        seats.entry(user).or_default().pop();
                    } else if let Ok(seat) = allowance.admit(UserId(user), now) {
                        seats.entry(user).or_default().push(seat);
                        admitted.entry(user).or_default().push(now);
                    }
                    assert!(seats.values().all(|held| held.len() <= 3));
                }
                // In any stretch of one period a user gets at most what two adjoining periods give.
                for times in admitted.values() {
                    for first in times {
                        let within = times.iter().filter(|at| **at >= *first && **at < *first + bounds.period);
                        assert!(within.count() <= 10);
                    }
                }
            });
        }
    }
}
