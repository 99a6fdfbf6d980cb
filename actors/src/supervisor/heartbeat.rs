//! Notices an actor that is frozen rather than dead: the pipeline's thread beats, a thread of its own
//! listens. A frozen actor cannot be restarted from within its thread; it can be reported.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// How often the pipeline's thread beats and the listener listens.
pub(super) const BEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Heart {
    started: Instant,
    /// Milliseconds after `started`.
    last_beat: AtomicU64,
    stuck_after: Duration,
}

impl Heart {
    /// Starts the listening thread, which ends when the heart is dropped.
    #[allow(clippy::disallowed_methods, reason = "a paused clock must not hide a stuck thread")]
    pub(super) fn start(stuck_after: Duration) -> std::io::Result<Arc<Self>> {
        let heart = Arc::new(Self { started: Instant::now(), last_beat: AtomicU64::new(0), stuck_after });
        let listener = Arc::downgrade(&heart);
        thread::Builder::new().name("duologue-heartbeat".to_owned()).spawn(move || listen(&listener))?;
        Ok(heart)
    }

    pub(super) fn beat(&self) {
        self.last_beat.store(self.age_millis(), Relaxed);
    }

    /// How long the pipeline's thread has been silent, when that is too long.
    pub(crate) fn stuck_for(&self) -> Option<Duration> {
        let silent = Duration::from_millis(self.age_millis().saturating_sub(self.last_beat.load(Relaxed)));
        (silent >= self.stuck_after).then_some(silent)
    }

    fn age_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn listen(heart: &Weak<Heart>) {
    let mut reported = false;
    while let Some(heart) = heart.upgrade() {
        match heart.stuck_for() {
            Some(silent) if !reported => {
                tracing::error!(silent_ms = silent.as_millis(), "the pipeline's thread is stuck");
                reported = true;
            }
            None if reported => {
                tracing::info!("the pipeline's thread is alive again");
                reported = false;
            }
            Some(_) | None => {}
        }
        drop(heart);
        thread::sleep(BEAT);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "what is tested is a real thread in real time")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    /// Waits until the heart is heard as expected; real time, bounded.
    fn wait_until(heart: &Heart, is_stuck: bool) {
        let started = Instant::now();
        while heart.stuck_for().is_some() != is_stuck {
            assert!(started.elapsed() < BOUND, "is_stuck did not become {is_stuck}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_blocked_thread_is_reported_and_so_is_its_recovery() {
        let heart = Heart::start(Duration::from_millis(200)).unwrap();
        let (beating, block) = (heart.clone(), mpsc::channel::<()>());
        let blocked = thread::spawn(move || {
            beating.beat();
            // Nothing of an async runtime would run here until the other end is dropped.
            let _ = block.1.recv();
            beating.beat();
            beating
        });
        wait_until(&heart, true);
        assert!(heart.stuck_for().is_none_or(|silent| silent >= Duration::from_millis(200)));
        drop(block.0);
        let beating = blocked.join().unwrap();
        beating.beat();
        wait_until(&heart, false);
    }

    #[test]
    fn the_listener_ends_with_the_heart() {
        let heart = Heart::start(Duration::from_secs(5)).unwrap();
        let listener = Arc::downgrade(&heart);
        drop(heart);
        let started = Instant::now();
        // The listener may hold it for as long as it takes to look once.
        while listener.upgrade().is_some() {
            assert!(started.elapsed() < BOUND, "somebody keeps the heart");
            thread::yield_now();
        }
    }
}
