//! Duologue, the server: everything around the pipeline.

pub mod builtin;
pub mod catalogue;
pub mod config;
pub mod directory;
pub mod document;
pub mod env_file;
pub mod flags;
pub mod identity;
pub mod logging;
pub mod providers;
pub mod storage;
