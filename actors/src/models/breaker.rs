//! Leaves a model alone that fails again and again, and tries it with one call before it trusts it again.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::protocol::Code;

#[derive(Clone, Copy, Debug)]
pub struct BreakerBounds {
    /// So many failures more than answers that began ...
    pub failures: usize,
    /// ... within this time open it ...
    pub window: Duration,
    /// ... for this long. Then one call may try.
    pub open: Duration,
}

impl Default for BreakerBounds {
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(10), open: Duration::from_secs(30) }
    }
}

/// What people are shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through for so long.
    Open(Duration),
    /// One call may try, or is trying.
    HalfOpen,
}

#[derive(Clone, Debug, Default)]
pub struct Breaker {
    bounds: BreakerBounds,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    Closed { failures: VecDeque<Instant> },
    Open { until: Instant, because: Code },
    Probing { because: Code },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: VecDeque::new() }
    }
}

/// Leave to make one attempt. Dropped without a word about how it went, as a cancelled call does, it counts
/// for nothing.
#[derive(Debug)]
pub(super) struct Admission {
    breaker: Breaker,
    is_probe: bool,
    has_answered: bool,
    /// The failure it made up for when it began to answer.
    made_up_for: Option<Instant>,
}

/// What an attempt has changed, to be logged by whoever knows whose breaker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened {
        because: Code,
        /// For how long.
        open: Duration,
        /// Whether a probe failed, so that it is open again.
        again: bool,
    },
    Closed,
}

/// The model is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Why, as of the last failure.
    pub(super) because: Code,
    /// When one call may try, if that is known.
    pub(super) retry_after: Option<Duration>,
}

impl Breaker {
    #[must_use]
    pub fn new(bounds: BreakerBounds) -> Self {
        Self { bounds, state: Arc::default() }
    }

    #[must_use]
    pub fn state(&self) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } if until > Instant::now() => BreakerState::Open(until - Instant::now()),
            State::Open { .. } | State::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may be made now, as far as can be known without making it.
    pub(super) fn check(&self) -> Result<(), Open> {
        self.lock().check()
    }

    pub(super) fn admit(&self) -> Result<Admission, Open> {
        let mut state = self.lock();
        state.check()?;
        let is_probe = if let State::Open { because, .. } = *state {
            *state = State::Probing { because };
            true
        } else {
            false
        };
        Ok(Admission { breaker: self.clone(), is_probe, has_answered: false, made_up_for: None })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A failure, and one that was taken to be made up for by what has failed now.
    fn failed(&self, because: Code, is_probe: bool, made_up_for: Option<Instant>) -> Option<Change> {
        let BreakerBounds { failures: most, window, open } = self.bounds;
        let now = Instant::now();
        let mut state = self.lock();
        let opens = match &mut *state {
            State::Closed { failures } => {
                // It was the oldest there was, so it is older than all that are left.
                if let Some(at) = made_up_for {
                    failures.push_front(at);
                }
                failures.push_back(now);
                while failures.front().is_some_and(|at| now.duration_since(*at) > window) {
                    failures.pop_front();
                }
                failures.len() >= most
            }
            State::Probing { .. } => is_probe,
            // An attempt from before it opened says nothing new.
            State::Open { .. } => false,
        };
        if opens {
            *state = State::Open { until: now + open, because };
        }
        opens.then_some(Change::Opened { because, open, again: is_probe })
    }

    /// An answer has begun; returns the failure it makes up for.
    fn answered(&self) -> Option<Instant> {
        match &mut *self.lock() {
            State::Closed { failures } => failures.pop_front(),
            State::Open { .. } | State::Probing { .. } => None,
        }
    }

    fn close(&self) -> Change {
        *self.lock() = State::default();
        Change::Closed
    }
}

impl State {
    fn check(&self) -> Result<(), Open> {
        let now = Instant::now();
        match *self {
            Self::Open { until, because } if until > now => {
                Err(Open { because, retry_after: Some(until - now) })
            }
            Self::Probing { because } => Err(Open { because, retry_after: None }),
            Self::Closed { .. } | Self::Open { .. } => Ok(()),
        }
    }
}

impl Admission {
    /// It has begun to answer. A probe was to find out no more than that.
    ///
    /// That makes up for one failure: one bad call in a hundred must not open it, however many there are a
    /// second. Only the beginning counts, and only until it fails after all: a long answer that began before
    /// the model broke, and comes to its end, does not show that it is well now.
    pub(super) fn answered(&mut self) -> Option<Change> {
        if std::mem::replace(&mut self.has_answered, true) {
            return None;
        }
        if std::mem::take(&mut self.is_probe) {
            return Some(self.breaker.close());
        }
        self.made_up_for = self.breaker.answered();
        None
    }

    /// It has come to its end, if only to an empty one.
    pub(super) fn succeeded(mut self) -> Option<Change> {
        self.answered()
    }

    /// Whose fault it was decides: what the caller or the configuration did wrong says nothing of the model,
    /// but that it is there.
    pub(super) fn failed(mut self, code: Code) -> Option<Change> {
        let is_probe = std::mem::take(&mut self.is_probe);
        if blames_provider(code) {
            return self.breaker.failed(code, is_probe, self.made_up_for);
        }
        is_probe.then(|| self.breaker.close())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        let mut state = self.breaker.lock();
        if let State::Probing { because } = *state {
            *state = State::Open { until: Instant::now(), because };
        }
    }
}

fn blames_provider(code: Code) -> bool {
    matches!(
        code,
        Code::UpstreamUnavailable
            | Code::UpstreamOverloaded
            | Code::UpstreamTimeout
            | Code::UpstreamStalled
            | Code::UpstreamTruncated
            | Code::UpstreamMalformed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Code = Code::UpstreamUnavailable;

    fn fail(breaker: &Breaker) {
        breaker.admit().unwrap().failed(DOWN);
    }

    fn after(seconds: u64) -> impl Future<Output = ()> {
        tokio::time::advance(Duration::from_secs(seconds))
    }

    /// A breaker that has just opened.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        (0..5).for_each(|_| fail(&breaker));
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn the_fifth_failure_within_ten_seconds_opens_it_for_thirty() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            fail(&breaker);
            after(2).await;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker);
        assert_eq!(breaker.state(), BreakerState::Open(Duration::from_secs(30)));
        let open = Open { because: DOWN, retry_after: Some(Duration::from_secs(30)) };
        assert_eq!(breaker.admit().unwrap_err(), open);
        after(30).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_more_than_ten_seconds_ago_is_forgotten() {
        let breaker = Breaker::default();
        fail(&breaker);
        after(11).await;
        (0..4).for_each(|_| fail(&breaker));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_among_many_answers_opens_nothing_however_many_there_are() {
        let breaker = Breaker::default();
        for n in 0..1_000 {
            let admission = breaker.admit().unwrap();
            if n % 2 == 0 {
                admission.failed(DOWN)
            } else {
                admission.succeeded()
            };
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn long_answers_that_began_before_an_outage_do_not_hide_it() {
        let breaker = Breaker::default();
        let mut long: Vec<Admission> = (0..10).map(|_| breaker.admit().unwrap()).collect();
        for admission in &mut long {
            admission.answered();
        }
        after(1).await;
        for admission in long.drain(..5) {
            fail(&breaker);
            admission.succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Open(Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_begin_make_up_for_failures_however_long_they_take() {
        let breaker = Breaker::default();
        let mut under_way = Vec::new();
        for _ in 0..50 {
            fail(&breaker);
            let mut admission = breaker.admit().unwrap();
            admission.answered();
            under_way.push(admission);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_breaks_off_makes_up_for_nothing() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            let mut admission = breaker.admit().unwrap();
            admission.answered();
            admission.failed(Code::UpstreamTruncated);
        }
        assert_eq!(breaker.state(), BreakerState::Open(Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_is_told_once() {
        let breaker = Breaker::default();
        let told: Vec<_> = (0..5).filter_map(|_| breaker.admit().unwrap().failed(DOWN)).collect();
        let open = Duration::from_secs(30);
        assert_eq!(told, [Change::Opened { because: DOWN, open, again: false }]);
        after(30).await;
        let again = breaker.admit().unwrap().failed(Code::UpstreamTimeout);
        assert_eq!(again, Some(Change::Opened { because: Code::UpstreamTimeout, open, again: true }));
        after(30).await;
        let mut probe = breaker.admit().unwrap();
        assert_eq!((probe.answered(), probe.succeeded()), (Some(Change::Closed), None));
    }

    #[tokio::test(start_paused = true)]
    async fn looking_whether_a_probe_may_go_does_not_take_its_place() {
        let breaker = opened();
        after(30).await;
        assert_eq!((breaker.check(), breaker.check()), (Ok(()), Ok(())));
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.check(), Err(Open { because: DOWN, retry_after: None }));
        drop(probe);
        assert_eq!(breaker.check(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_answers_closes_it() {
        let breaker = opened();
        after(30).await;
        breaker.admit().unwrap().failed(Code::UpstreamTimeout);
        let open = Open { because: Code::UpstreamTimeout, retry_after: Some(Duration::from_secs(30)) };
        assert_eq!(breaker.check(), Err(open));
        after(30).await;
        breaker.admit().unwrap().succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..4).for_each(|_| fail(&breaker));
        assert_eq!(breaker.state(), BreakerState::Closed, "what was before is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_the_caller_spoilt_has_shown_that_the_model_answers() {
        let breaker = opened();
        after(30).await;
        breaker.admit().unwrap().failed(Code::UpstreamRejected);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_change_nothing_afterwards() {
        let breaker = Breaker::default();
        let (late, later, latest) =
            (breaker.admit().unwrap(), breaker.admit().unwrap(), breaker.admit().unwrap());
        (0..5).for_each(|_| fail(&breaker));
        late.succeeded();
        later.failed(DOWN);
        assert_eq!(breaker.state(), BreakerState::Open(Duration::from_secs(30)));
        after(30).await;
        let _probe = breaker.admit().unwrap();
        latest.failed(DOWN);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}
