use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// Where the journal and the conversations are kept.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
}
