//! Duologue's pipeline.

pub mod action;
pub mod auth;
pub mod broadcaster;
pub mod cache;
pub mod clock;
pub mod completion;
mod desk;
mod directory_answer;
pub mod entrance;
pub mod feature_flag;
pub mod limits;
pub mod permits;
pub mod policy;
pub mod ports;
pub mod protocol;
pub mod supervisor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
