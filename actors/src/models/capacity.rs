//! How many calls a model takes at a time, and how many tokens a minute. A call reserves what it may cost
//! and settles for what it did.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub struct CapacityBounds {
    /// Calls under way at once.
    pub concurrency: usize,
    /// `None`: as many as there are.
    pub tokens_per_minute: Option<u64>,
}

impl Default for CapacityBounds {
    fn default() -> Self {
        Self { concurrency: 1_024, tokens_per_minute: None }
    }
}

#[derive(Clone, Debug)]
pub struct Capacity {
    bounds: CapacityBounds,
    places: Arc<Semaphore>,
    tokens: Option<Arc<Tokens>>,
    in_flight: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self::new(CapacityBounds::default())
    }
}

impl Capacity {
    #[must_use]
    pub fn new(bounds: CapacityBounds) -> Self {
        let tokens = bounds.tokens_per_minute.map(|per_minute| Arc::new(Tokens::new(per_minute)));
        let places = Arc::new(Semaphore::new(bounds.concurrency));
        Self { bounds, places, tokens, in_flight: Arc::default(), waiting: Arc::default() }
    }

    #[must_use]
    pub fn bounds(&self) -> &CapacityBounds {
        &self.bounds
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Calls that wait for a place or for tokens.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Tokens that can be had at once; `None` without a bound.
    #[must_use]
    pub fn tokens_left(&self) -> Option<u64> {
        self.tokens.as_ref().map(|tokens| tokens.left())
    }

    /// Waits, in the order of asking and no longer than `longest_wait`, for a place and for `tokens`.
    ///
    /// Whoever waits for tokens has a place already. That keeps nobody out, because everybody behind it needs
    /// tokens too and would have to wait for its turn; tokens held by a call that waits for a place would.
    pub(super) async fn reserve(&self, tokens: u64, longest_wait: Duration) -> Result<Reservation, Full> {
        let _waiting = Counted::by(&self.waiting);
        let until = Instant::now() + longest_wait;
        // Closed never: the semaphore lives as long as this.
        let place = timeout_at(until, self.places.clone().acquire_owned()).await.ok().and_then(Result::ok);
        let place = place.ok_or(Full::Places)?;
        let tokens = match &self.tokens {
            Some(bucket) => {
                let taken = timeout_at(until, bucket.take(tokens)).await;
                let taken = taken.map_err(|_| Full::Tokens { missing_for: bucket.missing_for(tokens) })?;
                Some((bucket.clone(), taken))
            }
            None => None,
        };
        Ok(Reservation { tokens, _place: place, _in_flight: Counted::by(&self.in_flight) })
    }
}

/// What there was too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Places,
    Tokens {
        /// How long it takes until there are enough, if nobody else takes them.
        missing_for: Duration,
    },
}

/// One of those a counter counts, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn by(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What one call holds of its model's capacity. Dropped unsettled, it cost nothing.
#[derive(Debug)]
pub(super) struct Reservation {
    tokens: Option<(Arc<Tokens>, u64)>,
    _place: OwnedSemaphorePermit,
    _in_flight: Counted,
}

impl Reservation {
    /// The call is over and cost `spent` tokens.
    pub(super) fn settle(mut self, spent: u64) {
        self.give_back(spent);
    }

    fn give_back(&mut self, spent: u64) {
        if let Some((bucket, reserved)) = self.tokens.take() {
            bucket.settle(reserved, spent);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back(0);
    }
}

/// A bucket that a minute fills.
#[derive(Debug)]
struct Tokens {
    per_minute: f64,
    level: Mutex<Level>,
    /// Whoever waits for tokens holds this, so that a big call is not overtaken for ever by small ones.
    turn: tokio::sync::Mutex<()>,
    returned: Notify,
}

#[derive(Debug)]
struct Level {
    /// Below zero after calls that cost more than was reserved, by a minute's worth at most: an absurd report
    /// must not shut the model for a day.
    tokens: f64,
    as_of: Instant,
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tokens of a minute are far below 2^52, and never negative where they are shown"
)]
impl Tokens {
    fn new(per_minute: u64) -> Self {
        let per_minute = per_minute as f64;
        let level = Mutex::new(Level { tokens: per_minute, as_of: Instant::now() });
        Self { per_minute, level, turn: tokio::sync::Mutex::default(), returned: Notify::new() }
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let flowed = self.per_minute * now.duration_since(level.as_of).as_secs_f64() / MINUTE.as_secs_f64();
        level.tokens = (level.tokens + flowed).min(self.per_minute);
        level.as_of = now;
        level
    }

    fn left(&self) -> u64 {
        self.level().tokens.max(0.0) as u64
    }

    /// Waits for as many tokens; returns how many were taken: a call that is worth more than a minute takes
    /// the whole minute.
    async fn take(&self, wanted: u64) -> u64 {
        let _turn = self.turn.lock().await;
        let wanted = (wanted as f64).min(self.per_minute);
        loop {
            let returned = self.returned.notified();
            let missing = {
                let mut level = self.level();
                if level.tokens >= wanted {
                    level.tokens -= wanted;
                    return wanted as u64;
                }
                wanted - level.tokens
            };
            tokio::select! {
                () = sleep_until(Instant::now() + self.flows_in(missing)) => {}
                () = returned => {}
            }
        }
    }

    /// How long it takes until `wanted` tokens are there, if nobody else takes any.
    fn missing_for(&self, wanted: u64) -> Duration {
        let missing = (wanted as f64).min(self.per_minute) - self.level().tokens;
        if missing > 0.0 { self.flows_in(missing) } else { Duration::ZERO }
    }

    fn flows_in(&self, tokens: f64) -> Duration {
        // A little longer, because seconds as a fraction are rounded.
        MINUTE.mul_f64(tokens / self.per_minute) + Duration::from_millis(1)
    }

    fn settle(&self, reserved: u64, spent: u64) {
        let mut level = self.level();
        let settled = level.tokens + reserved as f64 - spent as f64;
        level.tokens = settled.clamp(-self.per_minute, self.per_minute);
        drop(level);
        self.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn capacity(concurrency: usize, tokens_per_minute: u64) -> Capacity {
        Capacity::new(CapacityBounds { concurrency, tokens_per_minute: Some(tokens_per_minute) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_reservation_that_is_dropped_unsettled_gives_everything_back() {
        let capacity = capacity(1, 100);
        let reservation = capacity.reserve(60, LONG).await.unwrap();
        assert_eq!((capacity.tokens_left(), capacity.in_flight()), (Some(40), 1));
        drop(reservation);
        assert_eq!((capacity.tokens_left(), capacity.in_flight()), (Some(100), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_worth_more_than_a_minute_takes_the_minute_and_leaves_a_debt() {
        let capacity = capacity(1, 60);
        let reservation = capacity.reserve(1_000, LONG).await.unwrap();
        reservation.settle(90);
        let started = Instant::now();
        drop(capacity.reserve(1, LONG).await);
        assert_eq!(started.elapsed().as_secs(), 31, "30 s of debt and one token");
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_report_shuts_the_model_for_a_minute_and_not_for_ever() {
        let capacity = capacity(1, 60);
        capacity.reserve(1, LONG).await.unwrap().settle(u64::MAX);
        let started = Instant::now();
        drop(capacity.reserve(60, LONG).await);
        assert_eq!(started.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waited_in_vain_learns_what_for() {
        let (wait, capacity) = (Duration::from_secs(10), capacity(1, 60));
        let first = capacity.reserve(60, LONG).await.unwrap();
        assert_eq!(capacity.reserve(1, wait).await.unwrap_err(), Full::Places);
        first.settle(60);
        // 10 tokens have flowed back, and 10 more will while this waits.
        let Full::Tokens { missing_for } = capacity.reserve(50, wait).await.unwrap_err() else {
            panic!("there is a place")
        };
        assert_eq!(missing_for.as_secs(), 30);
        assert_eq!((capacity.in_flight(), capacity.waiting(), capacity.tokens_left()), (0, 0, Some(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_come_back_are_noticed_at_once() {
        let capacity = capacity(2, 60);
        let first = capacity.reserve(60, LONG).await.unwrap();
        let started = Instant::now();
        let (second, ()) = tokio::join!(capacity.reserve(50, LONG), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            first.settle(0);
        });
        assert!(second.is_ok());
        assert_eq!(started.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_big_call_is_not_overtaken_by_small_ones() {
        let capacity = capacity(10, 60);
        capacity.reserve(60, LONG).await.unwrap().settle(60);
        let order = Mutex::new(Vec::new());
        let ask = async |tokens| {
            capacity.reserve(tokens, LONG).await.unwrap().settle(tokens);
            order.lock().unwrap().push(tokens);
        };
        tokio::join!(ask(50), ask(1), ask(2));
        assert_eq!(*order.lock().unwrap(), [50, 1, 2]);
    }

    proptest! {
        /// The bucket is full when it begins, so a minute's worth may go at once and another one flows in
        /// during the minute.
        #[test]
        fn no_minute_sees_more_than_a_full_bucket_and_what_flows_in(
            calls in prop::collection::vec((1_u64..150, 0_u64..=100, 0_u64..30_000), 1..60),
        ) {
            const PER_MINUTE: u64 = 100;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(async {
                let (capacity, started) = (capacity(1, PER_MINUTE), Instant::now());
                let mut spent = Vec::new();
                for (wanted, percent, pause) in calls {
                    let reservation = capacity.reserve(wanted, LONG).await.unwrap();
                    let cost = wanted.min(PER_MINUTE) * percent / 100;
                    spent.push((started.elapsed(), cost));
                    reservation.settle(cost);
                    tokio::time::advance(Duration::from_millis(pause)).await;
                }
                for (from, _) in &spent {
                    let within = spent.iter().filter(|(at, _)| (*from..*from + MINUTE).contains(at));
                    let sum: u64 = within.map(|(_, cost)| cost).sum();
                    assert!(sum <= 2 * PER_MINUTE, "{sum} tokens in the minute from {from:?}");
                }
            });
        }
    }
}
