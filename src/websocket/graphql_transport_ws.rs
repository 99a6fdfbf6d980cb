//! The protocol `graphql-transport-ws`: a client introduces itself with `connection_init`, and gives each
//! operation an id.

use async_graphql::Response;

use self::frames::{ClientMessage, ServerMessage};
use super::{
    close::Close,
    dialect::{Dialect, Envelope, Introduction, OperationId, Refused, Rhythm, Said},
};
use crate::graphql::error;

mod frames;

/// The name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";

pub struct GraphqlTransportWs;

impl Dialect for GraphqlTransportWs {
    fn introduction(&self) -> Introduction {
        Introduction::Message
    }

    fn read(&self, text: &str) -> Said {
        match ClientMessage::parse(text) {
            Ok(ClientMessage::ConnectionInit { payload }) => Said::Introduction(payload),
            Ok(ClientMessage::Ping { payload }) => {
                Said::Answered(vec![ServerMessage::Pong { payload }.text()])
            }
            Ok(ClientMessage::Pong) => Said::Nothing,
            Ok(ClientMessage::Subscribe { id, request }) => Said::Begin { id, request },
            Ok(ClientMessage::Complete { id }) => Said::End { id },
            Err(what) => Said::Nonsense(what),
        }
    }

    fn greeting(&self) -> String {
        ServerMessage::ConnectionAck.text()
    }

    fn rhythm(&self) -> Option<Rhythm> {
        None
    }

    fn repeated(&self, id: &OperationId) -> Option<Close> {
        Some(Close::SubscriberExists(id.to_string()))
    }

    fn envelope(&self, id: &OperationId) -> Envelope {
        frames::next(id)
    }

    fn subscribed(&self, id: &OperationId, first: &[u8]) -> Vec<String> {
        vec![frames::next(id).text(first)]
    }

    /// `next` and `complete`, or one `error` when nothing was executed.
    fn answered(&self, id: &OperationId, response: &Response) -> Vec<String> {
        if error::is_request_error(response) {
            return self.broken_off(id, response);
        }
        let next = frames::next(id).text(&error::to_bytes(response));
        vec![next, ServerMessage::Complete { id: id.clone() }.text()]
    }

    fn refused(&self, id: &OperationId, refused: &Refused) -> Vec<String> {
        self.broken_off(id, &refused.response())
    }

    /// An `error`, after which no `complete` follows.
    fn broken_off(&self, id: &OperationId, response: &Response) -> Vec<String> {
        let payload = serde_json::to_value(&response.errors).unwrap_or_default();
        vec![ServerMessage::Error { id: id.clone(), payload }.text()]
    }

    /// The close code says it all.
    fn farewell(&self, _close: &Close) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{PathSegment, ServerError, value};
    use duologue_actors::protocol::{Code, Failure, Hop};

    use super::*;

    fn id() -> OperationId {
        "1".into()
    }

    #[test]
    fn a_result_is_a_next_and_a_complete() {
        let response = Response::new(value!({"a": 1}));
        assert_eq!(
            GraphqlTransportWs.answered(&id(), &response),
            [r#"{"id":"1","type":"next","payload":{"data":{"a":1}}}"#, r#"{"type":"complete","id":"1"}"#],
        );
    }

    #[test]
    fn what_was_not_executed_is_one_error_and_no_complete() {
        let response = Response::from_errors(vec![ServerError::new("no such field", None)]);
        assert_eq!(
            GraphqlTransportWs.answered(&id(), &response),
            [r#"{"type":"error","id":"1","payload":[{"message":"no such field"}]}"#],
        );
    }

    #[test]
    fn what_is_not_taken_is_one_error_with_its_code() {
        let refused = Refused::NotTaken(Failure::new(Code::RateLimited, Hop::Edge, "too many"));
        assert_eq!(
            GraphqlTransportWs.refused(&id(), &refused),
            [
                r#"{"type":"error","id":"1","payload":[{"message":"too many","extensions":{"code":"rate_limited","hop":"edge"}}]}"#
            ],
        );
    }

    #[test]
    fn an_error_of_a_field_is_a_result() {
        let mut error = ServerError::new("not found", None);
        error.path.push(PathSegment::Field("aiAction".to_owned()));
        let messages = GraphqlTransportWs.answered(&id(), &Response::from_errors(vec![error]));
        assert!(messages[0].starts_with(r#"{"id":"1","type":"next""#), "{messages:?}");
        assert_eq!(messages.len(), 2);
    }
}
