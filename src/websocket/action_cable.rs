//! `actioncable-v1-json`, the protocol of Rails' ActionCable, with its one channel `GraphqlChannel`: a
//! client subscribes with an identifier that contains its whole GraphQL request, and hears of everything
//! under that identifier, byte for byte.
//!
//! Where it differs from GitLab's server, it is because of clients: an editor extension takes a result
//! without `data` for a crash and waits for ever on a subscription that is never answered. So every result
//! has `data`, and what cannot be subscribed to is rejected, never ignored.

use std::time::Duration;

use self::command::{Command, Malformed};
use super::{
    close::Close,
    dialect::{Dialect, Envelope, Introduction, OperationId, Refused, Rhythm, Said},
};
use crate::graphql::error;
use async_graphql::Response;
use duologue_actors::protocol::Code;

mod command;
mod message;

/// The name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "actioncable-v1-json";

pub struct ActionCable {
    ping: Duration,
}

impl ActionCable {
    /// Pings every `ping`.
    #[must_use]
    pub fn new(ping: Duration) -> Self {
        Self { ping }
    }
}

impl Dialect for ActionCable {
    fn introduction(&self) -> Introduction {
        Introduction::Upgrade
    }

    fn read(&self, text: &str) -> Said {
        match Command::parse(text) {
            Err(what) => Said::Nonsense(what),
            Ok(Command::Subscribe(identifier)) => match command::request(&identifier) {
                Ok(request) => Said::Begin { id: identifier, request: Box::new(request) },
                Err(malformed) => Said::Answered(malformed_subscription(&identifier, &malformed)),
            },
            Ok(Command::Unsubscribe(identifier)) => Said::End { id: identifier },
            Ok(Command::Other) => Said::Nothing,
        }
    }

    fn greeting(&self) -> String {
        message::welcome()
    }

    fn rhythm(&self) -> Option<Rhythm> {
        Some(Rhythm { every: self.ping, ping: message::ping })
    }

    /// Clients subscribe again when they have to wait for their confirmation, which is under way then. One
    /// of them takes a second confirmation for a mistake and unsubscribes.
    fn repeated(&self, _id: &OperationId) -> Option<Close> {
        None
    }

    fn envelope(&self, id: &OperationId) -> Envelope {
        message::result(id)
    }

    fn subscribed(&self, id: &OperationId, first: &[u8]) -> Vec<String> {
        vec![message::result(id).text(first), message::confirm(id)]
    }

    fn answered(&self, id: &OperationId, response: &Response) -> Vec<String> {
        vec![message::last_result(id).text(&message::with_data(response)), message::confirm(id)]
    }

    /// A document that cannot be executed is confirmed all the same, as GitLab does: the errors are the
    /// answer. What this caller may not have, or not now, is rejected.
    fn refused(&self, id: &OperationId, refused: &Refused) -> Vec<String> {
        let mut messages = self.broken_off(id, &refused.response());
        messages.push(if is_denied(refused) { message::reject(id) } else { message::confirm(id) });
        messages
    }

    fn broken_off(&self, id: &OperationId, response: &Response) -> Vec<String> {
        vec![message::last_result(id).text(&message::with_data(response))]
    }

    fn farewell(&self, close: &Close) -> Option<String> {
        let (reason, reconnect) = match close {
            // To come back with the same message, or the same credentials, is of no use.
            Close::BadRequest(_) | Close::SubscriberExists(_) | Close::TooManyInitialisations => {
                ("invalid_request", false)
            }
            Close::Unauthorized | Close::InitialisationTimeout | Close::Forbidden(_) => {
                ("unauthorized", false)
            }
            // A client may have got better credentials since.
            Close::Withdrawn(_) => ("unauthorized", true),
            Close::ServerRestart => ("server_restart", true),
            Close::TooManyConnections | Close::TryAgainLater(_) => ("remote", true),
        };
        Some(message::disconnect(reason, reconnect))
    }
}

/// The answer to a subscribe whose identifier cannot be read. Variables that are none are confirmed, as
/// everything else that is wrong with a document.
fn malformed_subscription(id: &OperationId, malformed: &Malformed) -> Vec<String> {
    let refused = error::refusal(Code::InvalidInput.as_str(), malformed.to_string());
    match malformed {
        Malformed::Channel => vec![message::reject(id)],
        Malformed::Request(_) => {
            let errors = message::last_result(id).text(&message::with_data(&refused));
            vec![errors, message::reject(id)]
        }
        Malformed::Variables => vec![message::invalid_variables(id, &refused), message::confirm(id)],
    }
}

fn is_denied(refused: &Refused) -> bool {
    match refused {
        Refused::NotTaken(_) => true,
        Refused::Document(response) => {
            response.errors.iter().any(|error| error::code(error) == Some(Code::Forbidden.as_str()))
        }
    }
}

#[cfg(test)]
mod tests;
