use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

use crate::licence::plans;

/// The GitLab instance that knows tokens, users and resources.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct GitlabConfig {
    #[garde(inner(custom(super::is_base_url)))]
    pub url: Option<String>,
    #[garde(range(min = 1, max = 60))]
    pub timeout_seconds: u64,
    #[garde(range(min = 1_024))]
    pub max_response_bytes: usize,
    #[garde(range(max = 3_600))]
    pub cache_seconds: u64,
    #[garde(range(min = 1, max = 10_000_000))]
    pub cache_entries: u64,
    #[garde(range(max = 1_000))]
    pub max_comments: usize,
    #[garde(inner(custom(is_a_plan)))]
    pub plan_when_hidden: Option<String>,
    #[garde(skip)]
    pub experiment_features_when_hidden: bool,
}

impl GitlabConfig {
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    #[must_use]
    pub fn cache_lifetime(&self) -> Duration {
        Duration::from_secs(self.cache_seconds)
    }
}

/// A plan that does not exist would license nothing, and show only when somebody is refused.
fn is_a_plan(name: &str, _context: &()) -> garde::Result {
    if plans::find(name).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = plans::names().collect();
    Err(garde::Error::new(format!("there is no plan of this name; known: {}", known.join(", "))))
}
