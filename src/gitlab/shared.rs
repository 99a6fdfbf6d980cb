//! Answers that are kept for a while. Whoever asks for the same thing while it is being fetched waits for
//! that answer instead of fetching it once more.

use std::{hash::Hash, time::Duration};

use moka::future::Cache;
use tokio::time::Instant;

/// A bounded cache. Failures are shared with those who wait for them, and never kept.
pub(crate) struct Shared<K, V> {
    answers: Cache<K, Kept<V>>,
}

#[derive(Clone)]
struct Kept<V> {
    answer: V,
    until: Instant,
}

/// An answer, and for how long it may be used.
pub(crate) struct Fresh<V> {
    pub(crate) answer: V,
    pub(crate) lifetime: Duration,
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps answers up to `capacity` of what `weigh` makes of them, each for `longest` at most.
    pub(crate) fn new(capacity: u64, longest: Duration, weigh: fn(&V) -> u32) -> Self {
        let answers = Cache::builder()
            .max_capacity(capacity)
            // Only frees memory: whether an answer may still be used is asked of its own `until`.
            .time_to_live(longest.max(Duration::from_secs(1)))
            .weigher(move |_, kept: &Kept<V>| weigh(&kept.answer))
            .build();
        Self { answers }
    }

    /// The answer that is kept, or the one `fetch` brings.
    pub(crate) async fn get(&self, key: &K, fetch: impl Future<Output = Fresh<V>> + Send) -> V {
        let fetch = async {
            let Fresh { answer, lifetime } = fetch.await;
            Kept { answer, until: Instant::now() + lifetime }
        };
        let is_stale = |kept: &Kept<V>| Instant::now() >= kept.until;
        self.answers.entry_by_ref(key).or_insert_with_if(fetch, is_stale).await.into_value().answer
    }

    pub(crate) async fn forget(&self, key: &K) {
        self.answers.invalidate(key).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    async fn fetch(calls: &AtomicUsize, lifetime: Duration) -> Fresh<usize> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Fresh { answer: calls.fetch_add(1, SeqCst) + 1, lifetime }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fetched_once_until_its_time_is_over() {
        let (shared, calls) = (Shared::new(10, MINUTE, |_| 1), AtomicUsize::new(0));
        assert_eq!(shared.get(&"a", fetch(&calls, MINUTE)).await, 1);
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(shared.get(&"a", fetch(&calls, MINUTE)).await, 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shared.get(&"a", fetch(&calls, MINUTE)).await, 2);
        assert_eq!(shared.get(&"b", fetch(&calls, MINUTE)).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_meanwhile_share_one_answer_even_one_that_is_not_kept() {
        let (shared, calls) = (Shared::new(10, MINUTE, |_| 1), AtomicUsize::new(0));
        let ask = || shared.get(&"a", fetch(&calls, Duration::ZERO));
        assert_eq!(tokio::join!(ask(), ask(), ask()), (1, 1, 1));
        assert_eq!(ask().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_fetched_again() {
        let (shared, calls) = (Shared::new(10, MINUTE, |_| 1), AtomicUsize::new(0));
        assert_eq!(shared.get(&"a", fetch(&calls, MINUTE)).await, 1);
        shared.forget(&"a").await;
        assert_eq!(shared.get(&"a", fetch(&calls, MINUTE)).await, 2);
    }
}
