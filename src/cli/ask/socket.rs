//! One websocket that speaks graphql-transport-ws and carries one subscription.

use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, ClientRequestBuilder, Message, protocol::CloseFrame},
};

use super::{client::Client, error::AskError};

const PROTOCOL: &str = "graphql-transport-ws";
/// The only operation of the socket.
const OPERATION: &str = "answer";
const SUBSCRIPTION: &str = "subscription answer($page: String) { \
     aiCompletionResponse(clientSubscriptionId: $page) { id requestId content role timestamp chunkId errors } }";

pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    address: String,
}

impl Socket {
    /// Connects as the client's user and subscribes to what was asked with this id.
    pub(super) async fn subscribe(client: &Client, client_subscription_id: &str) -> Result<Self, AskError> {
        let mut socket = Self::connect(client).await?;
        socket.send(json!({ "type": "connection_init" })).await?;
        let variables = json!({ "page": client_subscription_id });
        let payload = json!({ "query": SUBSCRIPTION, "variables": variables });
        loop {
            match Incoming::of(&socket.receive().await?)? {
                Incoming::Acknowledged => break,
                Incoming::Ping => socket.send(json!({ "type": "pong" })).await?,
                other => {
                    return Err(AskError::NotUnderstood { what: format!("{other:?} first") });
                }
            }
        }
        socket.send(json!({ "id": OPERATION, "type": "subscribe", "payload": payload })).await?;
        Ok(socket)
    }

    /// The next payload of the subscription. Nothing is lost when this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Value, AskError> {
        loop {
            match Incoming::of(&self.receive().await?)? {
                Incoming::Next(payload) => return Ok(payload),
                Incoming::Ping => self.send(json!({ "type": "pong" })).await?,
                Incoming::Complete => return Err(AskError::Closed("the subscription is over".to_owned())),
                Incoming::Acknowledged | Incoming::Pong => {}
            }
        }
    }

    async fn connect(client: &Client) -> Result<Self, AskError> {
        let address = client.address.to_string();
        let lost = |source| AskError::Socket { address: address.clone(), source: Box::new(source) };
        let uri = format!("ws://{address}/api/graphql")
            .parse()
            .map_err(|error| lost(tungstenite::Error::from(error)))?;
        let request = ClientRequestBuilder::new(uri)
            .with_header("Authorization", format!("Bearer {}", client.token))
            .with_sub_protocol(PROTOCOL);
        let (stream, _) = connect_async(request).await.map_err(lost)?;
        Ok(Self { stream, address })
    }

    async fn send(&mut self, message: Value) -> Result<(), AskError> {
        self.stream.send(Message::text(message.to_string())).await.map_err(|source| self.lost(source))
    }

    async fn receive(&mut self) -> Result<String, AskError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Err(closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(source)) => return Err(self.lost(source)),
                None => return Err(closed(None)),
            }
        }
    }

    fn lost(&self, source: tungstenite::Error) -> AskError {
        AskError::Socket { address: self.address.clone(), source: Box::new(source) }
    }
}

fn closed(frame: Option<CloseFrame>) -> AskError {
    AskError::Closed(match frame {
        Some(frame) => format!("{} {}", u16::from(frame.code), frame.reason).trim_end().to_owned(),
        None => "without a reason".to_owned(),
    })
}

/// What the server may say.
#[derive(Debug, PartialEq)]
enum Incoming {
    Acknowledged,
    Next(Value),
    Complete,
    Ping,
    Pong,
}

/// A message of the protocol.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Value,
}

impl Incoming {
    fn of(text: &str) -> Result<Self, AskError> {
        let not_understood = || AskError::NotUnderstood { what: "a frame".to_owned() };
        let Envelope { kind, payload } = serde_json::from_str(text).map_err(|_| not_understood())?;
        match kind.as_str() {
            "connection_ack" => Ok(Self::Acknowledged),
            "next" => Ok(Self::Next(payload)),
            "error" => Err(AskError::Refused(first_message(&payload))),
            "complete" => Ok(Self::Complete),
            "ping" => Ok(Self::Ping),
            "pong" => Ok(Self::Pong),
            _ => Err(not_understood()),
        }
    }
}

fn first_message(errors: &Value) -> String {
    let message = errors.pointer("/0/message").and_then(Value::as_str);
    message.unwrap_or("the subscription was refused").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_protocol_is_understood() {
        let of = |text: &str| Incoming::of(text).unwrap();
        assert_eq!(of(r#"{"type":"connection_ack"}"#), Incoming::Acknowledged);
        assert_eq!(
            of(r#"{"type":"next","id":"answer","payload":{"data":1}}"#),
            Incoming::Next(json!({"data": 1}))
        );
        assert_eq!(of(r#"{"type":"complete","id":"answer"}"#), Incoming::Complete);
        assert_eq!(of(r#"{"type":"ping"}"#), Incoming::Ping);
        assert_eq!(of(r#"{"type":"pong"}"#), Incoming::Pong);
    }

    #[test]
    fn a_refused_subscription_is_the_servers_own_words() {
        let error = Incoming::of(r#"{"type":"error","id":"answer","payload":[{"message":"not yours"}]}"#);
        assert_eq!(error.unwrap_err().to_string(), "not yours");
    }

    #[test]
    fn anything_else_is_not_understood() {
        for text in ["", "[]", "7", r#"{"type":"data"}"#] {
            assert!(matches!(Incoming::of(text), Err(AskError::NotUnderstood { .. })), "{text}");
        }
    }

    #[test]
    fn a_close_says_its_code_and_reason() {
        let frame = CloseFrame { code: 4403.into(), reason: "Forbidden".into() };
        assert_eq!(closed(Some(frame)).to_string(), "the server closed the websocket: 4403 Forbidden");
    }
}
