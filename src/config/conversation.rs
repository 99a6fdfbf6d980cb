use std::time::Duration;

use duologue_actors::ports::ConversationLimits;
use garde::Validate;
use serde::Deserialize;

use super::RedisConfig;

/// Where each user's conversation is kept, how much of it, and for how long.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct ConversationConfig {
    #[garde(skip)]
    pub store: ConversationKind,
    #[garde(range(min = 1))]
    pub max_threads: usize,
    #[garde(range(min = 1))]
    pub max_messages: usize,
    #[garde(range(min = 1))]
    pub max_content_characters: usize,
    #[garde(range(min = 1))]
    pub max_title_characters: usize,
    // A hundred years: Redis refuses what it cannot add to its time.
    #[garde(range(min = 1, max = 3_153_600_000))]
    pub expiry_seconds: u64,
    #[garde(dive)]
    pub redis: RedisConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// In the database at `storage.path`.
    Embedded,
    Redis,
}

impl ConversationConfig {
    #[must_use]
    pub fn limits(&self) -> ConversationLimits {
        ConversationLimits {
            threads: self.max_threads,
            messages: self.max_messages,
            content_characters: self.max_content_characters,
            title_characters: self.max_title_characters,
            expiry: Duration::from_secs(self.expiry_seconds),
        }
    }
}
