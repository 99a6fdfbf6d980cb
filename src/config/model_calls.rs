use std::time::Duration;

use duologue_actors::models::{BreakerBounds, BudgetBounds, CallBounds, RetryBounds};
use garde::Validate;
use serde::Deserialize;

/// Bounds of calls to models, whichever it is, and what is done when one fails.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct ModelCallsConfig {
    #[garde(range(min = 1, max = 600))]
    pub connect_seconds: u64,
    #[garde(range(min = 1, max = 3_600))]
    pub header_seconds: u64,
    #[garde(range(min = 1, max = 86_400))]
    pub idle_content_seconds: u64,
    #[garde(range(min = 1, max = 86_400))]
    pub capacity_wait_seconds: u64,
    #[garde(range(max = 10))]
    pub max_retries: usize,
    #[garde(range(min = 1, max = 60_000))]
    pub shortest_retry_wait_milliseconds: u64,
    #[garde(range(min = 1, max = 600_000))]
    pub longest_retry_wait_milliseconds: u64,
    #[garde(range(max = 3_600))]
    pub longest_retry_after_seconds: u64,
    #[garde(range(max = 100))]
    pub retry_budget_percent: u32,
    #[garde(range(max = 1_000_000))]
    pub retry_budget_reserve: u32,
    #[garde(range(min = 1, max = 86_400))]
    pub retry_budget_refill_seconds: u64,
    #[garde(range(min = 1, max = 10_000))]
    pub breaker_failures: usize,
    #[garde(range(min = 1, max = 3_600))]
    pub breaker_window_seconds: u64,
    #[garde(range(min = 1, max = 3_600))]
    pub breaker_open_seconds: u64,
    #[garde(range(min = 1_024))]
    pub max_event_bytes: usize,
    #[garde(range(min = 1))]
    pub max_events: usize,
    #[garde(range(min = 1_024))]
    pub max_response_bytes: usize,
    #[garde(range(min = 1_024))]
    pub max_error_bytes: usize,
    #[garde(range(max = 1_000_000))]
    pub max_idle_connections: usize,
    #[garde(inner(length(min = 1)))]
    pub proxy: Option<String>,
    #[garde(inner(length(min = 1)))]
    pub allowed_private_hosts: Vec<String>,
}

impl ModelCallsConfig {
    #[must_use]
    pub fn bounds(&self) -> CallBounds {
        CallBounds {
            idle_content: Duration::from_secs(self.idle_content_seconds),
            capacity_wait: Duration::from_secs(self.capacity_wait_seconds),
            retry: RetryBounds {
                retries: self.max_retries,
                shortest_wait: Duration::from_millis(self.shortest_retry_wait_milliseconds),
                longest_wait: Duration::from_millis(self.longest_retry_wait_milliseconds),
                longest_retry_after: Duration::from_secs(self.longest_retry_after_seconds),
            },
        }
    }

    #[must_use]
    pub fn breaker(&self) -> BreakerBounds {
        BreakerBounds {
            failures: self.breaker_failures,
            window: Duration::from_secs(self.breaker_window_seconds),
            open: Duration::from_secs(self.breaker_open_seconds),
        }
    }

    #[must_use]
    pub fn budget(&self) -> BudgetBounds {
        BudgetBounds {
            percent: self.retry_budget_percent,
            reserve: self.retry_budget_reserve,
            refill: Duration::from_secs(self.retry_budget_refill_seconds),
        }
    }
}
