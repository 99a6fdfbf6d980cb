//! The messages of graphql-transport-ws as they stand on the wire, both directions.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    graphql::GraphqlRequest,
    websocket::dialect::{Envelope, OperationId},
};

/// Clients make ids of a few characters, or UUIDs. An id is kept as long as its operation.
const MAX_ID_BYTES: usize = 256;

/// What a client may send.
#[derive(Debug)]
pub enum ClientMessage {
    ConnectionInit { payload: Map<String, Value> },
    Ping { payload: Option<Value> },
    Pong,
    Subscribe { id: OperationId, request: Box<GraphqlRequest> },
    Complete { id: OperationId },
}

/// What the server sends, apart from [`next`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Value>,
    },
    /// The operation was refused before it began; no `complete` follows.
    Error {
        id: OperationId,
        payload: Value,
    },
    Complete {
        id: OperationId,
    },
}

impl ClientMessage {
    /// Reads one text frame.
    ///
    /// # Errors
    /// What is wrong with it, for the client's developer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(message) = serde_json::from_str(text) else {
            return Err("not JSON".to_owned());
        };
        let Value::Object(mut message) = message else {
            return Err("not a JSON object".to_owned());
        };
        let Some(Value::String(kind)) = message.remove("type") else {
            return Err("`type` is missing or not a string".to_owned());
        };
        match kind.as_str() {
            "connection_init" => {
                Ok(Self::ConnectionInit { payload: payload(&mut message)?.unwrap_or_default() })
            }
            "ping" => Ok(Self::Ping { payload: payload(&mut message)?.map(Value::Object) }),
            "pong" => payload(&mut message).map(|_| Self::Pong),
            "subscribe" => Ok(Self::Subscribe { id: id(&mut message)?, request: request(&mut message)? }),
            "complete" => Ok(Self::Complete { id: id(&mut message)? }),
            _ => Err(format!("`{kind}` is no type a client sends")),
        }
    }
}

fn payload(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err("`payload` is not an object".to_owned()),
    }
}

fn id(message: &mut Map<String, Value>) -> Result<OperationId, String> {
    match message.remove("id") {
        Some(Value::String(id)) if id.is_empty() => Err("`id` is empty".to_owned()),
        Some(Value::String(id)) if id.len() > MAX_ID_BYTES => {
            Err(format!("`id` is longer than {MAX_ID_BYTES} bytes"))
        }
        Some(Value::String(id)) => Ok(id.into()),
        _ => Err("`id` is missing or not a string".to_owned()),
    }
}

fn request(message: &mut Map<String, Value>) -> Result<Box<GraphqlRequest>, String> {
    let payload = message.remove("payload").ok_or("`payload` is missing")?;
    serde_json::from_value(payload).map(Box::new).map_err(|error| format!("`payload`: {error}"))
}

impl ServerMessage {
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and JSON values always serialise; the map has string keys.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The `next` messages of one operation.
#[must_use]
pub fn next(id: &OperationId) -> Envelope {
    let id = Value::from(id.as_ref());
    Envelope::new(format!(r#"{{"id":{id},"type":"next","payload":"#), "}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn server_messages_look_as_the_protocol_says() {
        let id: OperationId = "1".into();
        for (message, text) in [
            (ServerMessage::ConnectionAck, r#"{"type":"connection_ack"}"#),
            (ServerMessage::Pong { payload: None }, r#"{"type":"pong"}"#),
            (ServerMessage::Pong { payload: Some(json!({"a": 1})) }, r#"{"type":"pong","payload":{"a":1}}"#),
            (ServerMessage::Complete { id }, r#"{"type":"complete","id":"1"}"#),
        ] {
            assert_eq!(message.text(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_next_message_is_json_whatever_the_id(id in "\\PC{1,20}|[\"\\\\\u{0}-\u{1f}]{1,5}") {
            let text = next(&OperationId::from(id.as_str())).text(br#"{"data":{"a":"b"}}"#);
            let expected = json!({"id": id, "type": "next", "payload": {"data": {"a": "b"}}});
            proptest::prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
    }
}
