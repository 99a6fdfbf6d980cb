use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// Where unit primitives are registered.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct UnitPrimitivesConfig {
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
}
