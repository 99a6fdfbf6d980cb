//! The reading half of a socket: whole messages, whatever pieces they came in.

use std::io::ErrorKind;

use actix_ws::{AggregatedMessage, AggregatedMessageStream, ProtocolError};

use super::{intake::Exceeded, machine::Frame};

pub struct Inbound {
    messages: AggregatedMessageStream,
    exceeded: Exceeded,
}

/// What came of the client's bytes.
#[derive(Debug)]
pub enum Received {
    Message(AggregatedMessage),
    /// More than the server takes; nothing can be read after it.
    TooLarge,
    /// No websocket frame, or a text that is not UTF-8.
    Malformed,
}

impl Inbound {
    #[must_use]
    pub fn new(messages: AggregatedMessageStream, exceeded: Exceeded) -> Self {
        Self { messages, exceeded }
    }

    /// The next message; `None` when the client is gone. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Received> {
        match self.messages.recv().await? {
            Ok(message) => Some(Received::Message(message)),
            Err(_) if self.exceeded.get() => Some(Received::TooLarge),
            Err(error) if is_the_clients_fault(&error) => Some(Received::Malformed),
            Err(_) => None,
        }
    }
}

impl Received {
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        match self {
            Self::Message(AggregatedMessage::Text(text)) => Frame::Text(text),
            Self::Message(AggregatedMessage::Binary(_)) => Frame::Binary,
            Self::Message(_) => Frame::Control,
            Self::TooLarge => Frame::TooLarge,
            Self::Malformed => Frame::Malformed,
        }
    }
}

/// Whether the client broke the websocket protocol; otherwise the connection broke.
fn is_the_clients_fault(error: &ProtocolError) -> bool {
    match error {
        ProtocolError::Io(error) => error.kind() == ErrorKind::InvalidData,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_broken_protocol_and_a_broken_connection_are_told_apart() {
        let not_utf8 = io::Error::new(ErrorKind::InvalidData, "not UTF-8");
        assert!(is_the_clients_fault(&ProtocolError::Io(not_utf8)));
        assert!(is_the_clients_fault(&ProtocolError::UnmaskedFrame));
        assert!(!is_the_clients_fault(&ProtocolError::Io(io::Error::other("reset"))));
    }
}
