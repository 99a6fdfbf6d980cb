//! Every bound the pipeline keeps, with its default. `config.yaml` can change each of them.

use std::time::Duration;

use crate::{auth::allowance, models::CallBounds};

/// How long after a deadline Cache writes `deadline_exceeded` itself: Completion, which has the partial
/// text, gets this long to do it better.
pub(crate) const CACHE_GRACE: Duration = Duration::from_millis(500);

/// How long after a deadline the Broadcaster stops waiting for Cache and publishes the end itself.
pub(crate) const BROADCASTER_GRACE: Duration = Duration::from_secs(1);

/// How often Cache and the Broadcaster look for requests past their deadline.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// How often what has become empty in memory is cleared away.
pub(crate) const SWEEP: Duration = Duration::from_secs(60);

/// What `Retry-After` says when nothing better is known.
pub(crate) const SUGGESTED_RETRY: Duration = Duration::from_secs(1);

/// Room in a mailbox beside one message for every permit: ticks, reads and acknowledgements.
pub(crate) const SPARE_MAILBOX_PLACES: usize = 64;

#[derive(Clone, Debug)]
pub struct Limits {
    /// From submission to the end, restarts included.
    pub deadline: Duration,
    /// What one user may ask for.
    pub user: allowance::Bounds,
    pub calls: CallBounds,
    /// How often a request may be cut short by a dying process before it is given up.
    pub max_interruptions: u32,
    /// How long a finished request can still be replayed.
    pub terminal_retention: Duration,
    /// How long a finished request that named no `clientSubscriptionId` is replayed to a subscriber
    /// that names none either.
    pub unaddressed_replay: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency: Duration,
    /// How often the stores forget what is too old.
    pub sweep: Duration,
    /// Bytes of events the Broadcaster keeps for replay.
    pub retained_bytes: usize,
    /// Chunks of one answer that are sent without delay; later ones are gathered.
    pub gather_after_chunks: u32,
    /// How long deltas are gathered into one chunk then.
    pub gather: Duration,
    /// The most chunks of one answer.
    pub max_chunks: u32,
    /// The most bytes of one answer.
    pub max_answer_bytes: usize,
    /// How long it is believed, without looking again, that who was let through may still have the answer.
    pub clearance_lifetime: Duration,
    /// The most characters of a resource that reach a prompt; what is cut is marked.
    pub max_resource_characters: usize,
    /// Restarts of one actor within `restart_window` that are still repaired.
    pub max_restarts: usize,
    pub restart_window: Duration,
    /// How long the pipeline's thread may be silent before it is reported as stuck.
    pub stuck_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(120),
            user: allowance::Bounds {
                requests: 160,
                period: Duration::from_secs(8 * 60 * 60),
                in_flight: 16,
            },
            calls: CallBounds::default(),
            max_interruptions: 1,
            terminal_retention: Duration::from_secs(300),
            unaddressed_replay: Duration::from_secs(60),
            idempotency: Duration::from_secs(24 * 60 * 60),
            sweep: Duration::from_secs(60),
            retained_bytes: 256 * 1024 * 1024,
            gather_after_chunks: 2_048,
            gather: Duration::from_millis(20),
            max_chunks: 4_096,
            max_answer_bytes: 1024 * 1024,
            clearance_lifetime: Duration::from_secs(30),
            max_resource_characters: 100_000,
            max_restarts: 5,
            restart_window: Duration::from_secs(10),
            stuck_after: Duration::from_secs(5),
        }
    }
}
