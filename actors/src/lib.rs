//! Duologue's pipeline.

pub mod action;
pub mod clock;
pub mod permits;
pub mod ports;
pub mod protocol;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
