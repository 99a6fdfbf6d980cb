use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// The licence of a self-managed instance.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct LicenceConfig {
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
    #[garde(inner(custom(super::is_not_empty)))]
    pub public_key: Option<PathBuf>,
}
