use std::time::Duration;

use garde::Validate;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

/// Where Redis or Valkey is, as whom to go there, and when to leave it alone.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    #[garde(custom(is_redis_url))]
    pub url: String,
    #[garde(inner(length(min = 1)))]
    pub username: Option<String>,
    #[garde(inner(length(min = 1)))]
    pub password_variable: Option<String>,
    // Readiness waits a second for a part, and asks Redis once.
    #[garde(range(min = 1, max = 900))]
    pub timeout_milliseconds: u64,
    #[garde(range(min = 1))]
    pub breaker_failures: u32,
    // Messages are to be there within five seconds of its return.
    #[garde(range(min = 1, max = 3_000))]
    pub breaker_open_milliseconds: u64,
    /// What the variable named `password_variable` holds.
    #[garde(skip)]
    #[serde(skip)]
    pub password: Option<SecretString>,
}

impl RedisConfig {
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_milliseconds)
    }

    #[must_use]
    pub fn breaker_open(&self) -> Duration {
        Duration::from_millis(self.breaker_open_milliseconds)
    }
}

/// Shown in logs and by readiness, so it cannot hold a password.
fn is_redis_url(text: &str, _context: &()) -> garde::Result {
    let url = Url::parse(text).map_err(|error| garde::Error::new(format!("no URL: {error}")))?;
    if !["redis", "rediss"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(garde::Error::new("must be such as redis://127.0.0.1:6379/0, or rediss:// for TLS"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(garde::Error::new(
            "must not hold credentials; put the name into conversation.redis.username, and the password into an \
             environment variable that conversation.redis.password_variable names",
        ));
    }
    let database = url.path().trim_matches('/');
    if !(database.is_empty() || database.parse::<u16>().is_ok())
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(garde::Error::new(
            "may have the number of a database after its address, and nothing else",
        ));
    }
    Ok(())
}
