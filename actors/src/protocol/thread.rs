//! Threads: the conversations a user has beside each other, and how a client names one.

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::GlobalId;

/// The number in `gid://gitlab/Ai::Conversation::Thread/1`. The journal gives it, once, and to nobody else again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadId(pub u64);

impl ThreadId {
    /// What its global ids call it.
    pub const MODEL: &str = "Ai::Conversation::Thread";

    #[must_use]
    pub fn global_id(self) -> GlobalId {
        GlobalId::of(Self::MODEL, self.0)
    }

    /// The thread of a global id; `None` for the id of anything else.
    #[must_use]
    pub fn of(id: &GlobalId) -> Option<Self> {
        (id.model() == Self::MODEL).then(|| id.number()).flatten().map(Self)
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a thread is for, as its client says. It changes nothing of how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConversationType {
    /// The conversation of clients that know no threads.
    DuoChatLegacy,
    DuoChat,
    DuoQuickChat,
    DuoCodeReview,
}

impl ConversationType {
    pub const ALL: [Self; 4] = [Self::DuoChatLegacy, Self::DuoChat, Self::DuoQuickChat, Self::DuoCodeReview];

    /// As it is stored; on the wire it is the same in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DuoChatLegacy => "duo_chat_legacy",
            Self::DuoChat => "duo_chat",
            Self::DuoQuickChat => "duo_quick_chat",
            Self::DuoCodeReview => "duo_code_review",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Which thread a client means, by what it says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ThreadChoice {
    /// Nothing: the last legacy thread. Whoever asks and has none gets one.
    #[default]
    Legacy,
    /// A type alone: whoever asks begins a new one, whoever reads means the last one.
    OfType(ConversationType),
    /// This one, which must be of the type, if one is said.
    Named { id: ThreadId, of: Option<ConversationType> },
}

impl ThreadChoice {
    #[must_use]
    pub fn new(id: Option<ThreadId>, of: Option<ConversationType>) -> Self {
        match (id, of) {
            (Some(id), of) => Self::Named { id, of },
            (None, Some(of)) => Self::OfType(of),
            (None, None) => Self::Legacy,
        }
    }

    /// The thread that is named.
    #[must_use]
    pub fn id(self) -> Option<ThreadId> {
        match self {
            Self::Named { id, .. } => Some(id),
            Self::Legacy | Self::OfType(_) => None,
        }
    }

    /// The thread a request belongs to already, or else its owner's legacy thread.
    #[must_use]
    pub fn of(thread_id: Option<ThreadId>) -> Self {
        Self::new(thread_id, None)
    }
}

/// A thread, as its owner sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub id: ThreadId,
    pub conversation_type: ConversationType,
    /// The beginning of the first question that is no command.
    pub title: Option<String>,
    pub created_at: SystemTime,
    pub last_message_at: SystemTime,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_thread_is_found_again_by_its_global_id(number in any::<u64>()) {
            let written = ThreadId(number).global_id().to_string();
            prop_assert_eq!(ThreadId::of(&written.parse().unwrap()), Some(ThreadId(number)));
        }

        #[test]
        fn no_global_id_makes_reading_a_thread_fail(model in "(Ai::Conversation::Thread|[A-Z][a-z]{0,5})", id in "[0-9a-zA-Z]{1,40}") {
            let found = ThreadId::of(&format!("gid://gitlab/{model}/{id}").parse().unwrap());
            prop_assert_eq!(found.is_some(), model == ThreadId::MODEL && id.parse::<u64>().is_ok());
        }
    }

    #[test]
    fn a_type_is_known_by_its_name() {
        for known in ConversationType::ALL {
            assert_eq!(ConversationType::named(known.name()), Some(known));
        }
        assert_eq!(ConversationType::named("DUO_CHAT"), None);
    }

    #[rstest::rstest]
    #[case(None, None, ThreadChoice::Legacy)]
    #[case(None, Some(ConversationType::DuoChat), ThreadChoice::OfType(ConversationType::DuoChat))]
    #[case(Some(ThreadId(1)), None, ThreadChoice::Named { id: ThreadId(1), of: None })]
    fn a_thread_is_meant_by_what_is_said_of_it(
        #[case] id: Option<ThreadId>,
        #[case] of: Option<ConversationType>,
        #[case] expected: ThreadChoice,
    ) {
        assert_eq!(ThreadChoice::new(id, of), expected);
    }
}
