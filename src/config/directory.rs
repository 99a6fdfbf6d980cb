use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// Where users, groups, projects and resources come from.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    #[garde(skip)]
    pub source: DirectorySource,
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
    #[garde(custom(super::is_not_empty))]
    pub additions: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum DirectorySource {
    File,
    Gitlab,
}
