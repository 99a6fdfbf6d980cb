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
}
