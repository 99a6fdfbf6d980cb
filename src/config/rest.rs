use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// What is asked over GitLab's REST API.
#[derive(Clone, Copy, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct RestConfig {
    #[garde(range(min = 1))]
    pub max_chat_characters: usize,
    #[garde(range(min = 1))]
    pub max_referer_url_characters: usize,
    #[garde(range(min = 1, max = 3_600))]
    pub heartbeat_seconds: u64,
    #[garde(range(max = 3_600_000))]
    pub retry_milliseconds: u64,
}

impl RestConfig {
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }

    #[must_use]
    pub fn retry(&self) -> Duration {
        Duration::from_millis(self.retry_milliseconds)
    }
}
