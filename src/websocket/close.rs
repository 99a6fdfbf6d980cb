//! Why this server closes a socket, and the code and reason a client reads.
//!
//! The 4xxx codes are those of the graphql-transport-ws protocol. 1002 and 1011 are never used: clients
//! take them as "never come back". 1012 and 1013 mean "come back", and clients do.

use actix_ws::{CloseCode, CloseReason};

/// A control frame carries 125 bytes, two of them the code (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// One way to close a socket, with all a client needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Close {
    /// 4400: a message this protocol does not have, or more than the server takes.
    BadRequest(String),
    /// 4401: an operation before `connection_ack`.
    Unauthorized,
    /// 4403: no or bad credentials.
    Forbidden(&'static str),
    /// 4403: credentials that were good, and are not any more.
    Withdrawn(&'static str),
    /// 4403: too many connections of one user.
    TooManyConnections,
    /// 4408: no `connection_init` in time.
    InitialisationTimeout,
    /// 4409: an operation with an id that is in use.
    SubscriberExists(String),
    /// 4429: a second `connection_init`.
    TooManyInitialisations,
    /// 1012: the server is going away and coming back.
    ServerRestart,
    /// 1013: not now; the client may try again later.
    TryAgainLater(&'static str),
}

impl Close {
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden(_) | Self::Withdrawn(_) | Self::TooManyConnections => 4403,
            Self::InitialisationTimeout => 4408,
            Self::SubscriberExists(_) => 4409,
            Self::TooManyInitialisations => 4429,
            Self::ServerRestart => 1012,
            Self::TryAgainLater(_) => 1013,
        }
    }

    /// At most 123 bytes, cut between characters.
    #[must_use]
    pub fn reason(&self) -> String {
        let reason = match self {
            Self::BadRequest(what) => format!("invalid message: {what}"),
            Self::Unauthorized => "Unauthorized".to_owned(),
            Self::Forbidden(why) | Self::Withdrawn(why) => format!("Forbidden: {why}"),
            Self::TooManyConnections => "Forbidden: too many connections".to_owned(),
            Self::InitialisationTimeout => "Connection initialisation timeout".to_owned(),
            Self::SubscriberExists(id) => format!("Subscriber for {id} already exists"),
            Self::TooManyInitialisations => "Too many initialisation requests".to_owned(),
            Self::ServerRestart => "server_restart".to_owned(),
            Self::TryAgainLater(why) => (*why).to_owned(),
        };
        shortened(reason, MAX_REASON_BYTES)
    }
}

impl From<&Close> for CloseReason {
    fn from(close: &Close) -> Self {
        Self { code: CloseCode::from(close.code()), description: Some(close.reason()) }
    }
}

fn shortened(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duplicate_id_is_named_as_the_protocol_words_it() {
        let close = Close::SubscriberExists("a".to_owned());
        assert_eq!((close.code(), close.reason().as_str()), (4409, "Subscriber for a already exists"));
    }

    proptest! {
        #[test]
        fn a_reason_fits_its_control_frame_whatever_the_client_sent(text in "\\PC{0,200}") {
            for close in [Close::BadRequest(text.clone()), Close::SubscriberExists(text.clone())] {
                prop_assert!(close.reason().len() <= 123);
            }
        }
    }
}
