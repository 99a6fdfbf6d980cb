use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// Where feature flags come from.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct FlagsConfig {
    #[garde(skip)]
    pub source: FlagsSource,
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
    #[garde(custom(super::is_not_empty))]
    pub changes: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum FlagsSource {
    File,
}
