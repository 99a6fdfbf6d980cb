//! How relaying goes, for readiness and for the log.

use super::pass::Passed;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::conversation) struct Report {
    /// Why nothing can be written.
    pub(in crate::conversation) held_up: Option<String>,
    /// How many conversations cannot be written, while others can.
    pub(in crate::conversation) set_aside: usize,
    /// Why one of them cannot.
    pub(in crate::conversation) why: Option<String>,
    /// How many messages of the outbox cannot be read.
    pub(in crate::conversation) unreadable: usize,
}

impl Report {
    pub(super) fn of(passed: &Passed) -> Self {
        match passed {
            Passed::AllWritten => Self::default(),
            Passed::SomeSetAside { conversations, why, unreadable } => {
                Self { held_up: None, set_aside: *conversations, why: why.clone(), unreadable: *unreadable }
            }
            Passed::HeldUp { why, .. } => Self { held_up: Some(why.clone()), ..Self::default() },
        }
    }
}
