use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// How callers prove who they are.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    #[garde(skip)]
    pub development_tokens: bool,
    #[garde(skip)]
    pub bypass_external: bool,
    #[garde(length(min = 1))]
    pub bypass_user: String,
    #[garde(inner(custom(super::is_base_url)))]
    pub gitlab_url: Option<String>,
    #[garde(inner(custom(super::is_base_url)))]
    pub customer_portal_url: Option<String>,
    #[garde(inner(custom(super::is_base_url)))]
    pub issuers: Vec<String>,
    #[garde(inner(length(min = 1)))]
    pub instance_ids: Vec<String>,
    #[garde(length(min = 1))]
    pub audience: String,
    #[garde(length(min = 1))]
    pub algorithms: Vec<Algorithm>,
    #[garde(range(max = 600))]
    pub leeway_seconds: u64,
    #[garde(range(min = 1, max = 86_400))]
    pub jwks_refresh_seconds: u64,
    #[garde(range(min = 1, max = 86_400))]
    pub jwks_unknown_key_seconds: u64,
    #[garde(range(min = 1, max = 31_536_000))]
    pub jwks_max_stale_seconds: u64,
    #[garde(range(min = 1, max = 60))]
    pub jwks_timeout_seconds: u64,
    #[garde(range(min = 1_024))]
    pub max_jwks_bytes: usize,
    #[garde(range(min = 1, max = 10_000_000))]
    pub verified_tokens: u64,
    #[garde(skip)]
    pub gitlab_tokens: bool,
    #[garde(range(min = 1, max = 3_600))]
    pub gitlab_token_seconds: u64,
    #[garde(range(min = 1, max = 3_600))]
    pub recheck_seconds: u64,
}

/// Signature algorithms a JWT may have. Those with a shared secret are not among them: whoever verifies
/// could sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl AuthConfig {
    #[must_use]
    pub fn leeway(&self) -> Duration {
        Duration::from_secs(self.leeway_seconds)
    }

    #[must_use]
    pub fn jwks_refresh(&self) -> Duration {
        Duration::from_secs(self.jwks_refresh_seconds)
    }

    #[must_use]
    pub fn jwks_unknown_key(&self) -> Duration {
        Duration::from_secs(self.jwks_unknown_key_seconds)
    }

    #[must_use]
    pub fn jwks_max_stale(&self) -> Duration {
        Duration::from_secs(self.jwks_max_stale_seconds)
    }

    #[must_use]
    pub fn jwks_timeout(&self) -> Duration {
        Duration::from_secs(self.jwks_timeout_seconds)
    }

    #[must_use]
    pub fn gitlab_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.gitlab_token_seconds)
    }

    #[must_use]
    pub fn recheck(&self) -> Duration {
        Duration::from_secs(self.recheck_seconds)
    }

    /// Whether a caller without a token is nobody.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        !self.bypass_external
    }

    /// Whether JWTs are taken at all.
    #[must_use]
    pub fn takes_jwts(&self) -> bool {
        self.may_be_an_instances() || !self.issuers.is_empty()
    }

    /// Whether there is an issuer whose tokens may be those of an instance.
    #[must_use]
    pub fn may_be_an_instances(&self) -> bool {
        self.gitlab_url.is_some() || self.customer_portal_url.is_some()
    }
}
