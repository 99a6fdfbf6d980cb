use std::time::Duration;

use duologue_actors::{auth::allowance::Bounds, limits::Limits, models::CallBounds};
use garde::Validate;
use serde::Deserialize;

/// Bounds of a request on its way, and of the actors that carry it.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    #[garde(range(min = 1, max = 1_000_000))]
    pub permits: usize,
    #[garde(range(min = 1, max = 86_400))]
    pub deadline_seconds: u64,
    #[garde(skip)]
    pub max_interruptions: u32,
    #[garde(range(min = 1))]
    pub terminal_retention_seconds: u64,
    #[garde(skip)]
    pub unaddressed_replay_seconds: u64,
    #[garde(range(min = 1))]
    pub idempotency_seconds: u64,
    #[garde(range(min = 1))]
    pub sweep_seconds: u64,
    #[garde(range(min = 1))]
    pub retained_bytes: usize,
    #[garde(skip)]
    pub gather_after_chunks: u32,
    #[garde(range(max = 10_000))]
    pub gather_milliseconds: u64,
    #[garde(range(min = 1))]
    pub max_chunks: u32,
    #[garde(range(min = 1))]
    pub max_answer_bytes: usize,
    #[garde(range(min = 1, max = 3_600))]
    pub clearance_seconds: u64,
    #[garde(range(min = 1))]
    pub max_resource_characters: usize,
    #[garde(skip)]
    pub max_restarts: usize,
    #[garde(range(min = 1))]
    pub restart_window_seconds: u64,
    #[garde(range(min = 1))]
    pub stuck_after_seconds: u64,
    #[garde(range(min = 1))]
    pub retry_after_seconds: u64,
}

impl PipelineConfig {
    #[must_use]
    pub fn limits(&self, user: Bounds, calls: CallBounds) -> Limits {
        Limits {
            deadline: self.deadline(),
            user,
            calls,
            max_interruptions: self.max_interruptions,
            terminal_retention: Duration::from_secs(self.terminal_retention_seconds),
            unaddressed_replay: Duration::from_secs(self.unaddressed_replay_seconds),
            idempotency: Duration::from_secs(self.idempotency_seconds),
            sweep: Duration::from_secs(self.sweep_seconds),
            retained_bytes: self.retained_bytes,
            gather_after_chunks: self.gather_after_chunks,
            gather: Duration::from_millis(self.gather_milliseconds),
            max_chunks: self.max_chunks,
            max_answer_bytes: self.max_answer_bytes,
            clearance_lifetime: Duration::from_secs(self.clearance_seconds),
            max_resource_characters: self.max_resource_characters,
            max_restarts: self.max_restarts,
            restart_window: Duration::from_secs(self.restart_window_seconds),
            stuck_after: Duration::from_secs(self.stuck_after_seconds),
        }
    }

    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds)
    }

    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(self.retry_after_seconds)
    }
}
