use std::time::Duration;

use duologue_actors::auth::allowance::Bounds;
use garde::Validate;
use serde::Deserialize;

/// What one user may ask for.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct RateLimitsConfig {
    #[garde(range(min = 1))]
    pub ai_action: u32,
    #[garde(range(min = 1, max = 31_536_000))]
    pub ai_action_period_seconds: u64,
    #[garde(range(min = 1, max = 65_536))]
    pub in_flight_per_user: usize,
}

impl RateLimitsConfig {
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            requests: self.ai_action,
            period: Duration::from_secs(self.ai_action_period_seconds),
            in_flight: self.in_flight_per_user,
        }
    }
}
