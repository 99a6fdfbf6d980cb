use garde::Validate;
use serde::Deserialize;

/// How callers prove who they are.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    #[garde(skip)]
    pub development_tokens: bool,
}
