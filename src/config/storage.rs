use std::path::PathBuf;

use garde::Validate;
use serde::Deserialize;

/// Where the journal and the conversations are kept, how safely, and how large they may become.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    #[garde(custom(super::is_not_empty))]
    pub path: PathBuf,
    #[garde(skip)]
    pub durability: Durability,
    #[garde(range(min = 1_048_576))]
    pub max_bytes: u64,
    #[garde(skip)]
    pub reserve_bytes: u64,
}

/// What a write has survived when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The power going: it is on the disk.
    Fsync,
    /// The process being killed: the operating system has it.
    Os,
    /// Nothing: it is in the memory of the process.
    Memory,
}

impl Durability {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}
