//! A client of ActionCable that keeps nothing to itself: every frame, every close code, and identifiers as
//! the test spells them.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::transport_ws::{Connect, HandshakeError, Incoming, TransportWs};

/// The protocol's name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "actioncable-v1-json";

/// The channel that takes GraphQL.
pub const CHANNEL: &str = "GraphqlChannel";

/// An open connection.
pub struct ActionCable(TransportWs);

impl ActionCable {
    /// Does the handshake; a refusal is an error of its own kind.
    pub async fn open(connect: Connect) -> Result<Self, HandshakeError> {
        connect.open().await.map(Self)
    }

    /// The subprotocol the server chose.
    #[must_use]
    pub fn accepted_subprotocol(&self) -> Option<&str> {
        self.0.accepted_subprotocol()
    }

    /// Waits for the server's greeting.
    pub async fn welcomed(&mut self) -> Result<()> {
        let frame = self.frame().await?;
        if frame != json!({ "type": "welcome" }) {
            bail!("the first frame is {frame}");
        }
        Ok(())
    }

    pub async fn subscribe(&mut self, identifier: &str) -> Result<()> {
        self.send(json!({ "command": "subscribe", "identifier": identifier })).await
    }

    pub async fn unsubscribe(&mut self, identifier: &str) -> Result<()> {
        self.send(json!({ "command": "unsubscribe", "identifier": identifier })).await
    }

    pub async fn send(&mut self, frame: Value) -> Result<()> {
        self.0.send(frame).await
    }

    /// Sends any text, also one that is no frame.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.0.send_text(text).await
    }

    /// The next frame or close, pings included.
    pub async fn next(&mut self) -> Result<Incoming> {
        self.0.next().await
    }

    /// The next frame that is no ping; a close is an error.
    pub async fn frame(&mut self) -> Result<Value> {
        loop {
            let frame = self.0.frame().await?;
            if !is_ping(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Reads on up to the next ping; its time.
    pub async fn ping(&mut self) -> Result<u64> {
        loop {
            let frame = self.0.frame().await?;
            if let (true, Some(time)) = (is_ping(&frame), frame.get("message").and_then(Value::as_u64)) {
                return Ok(time);
            }
        }
    }

    /// Reads on until the server closes; its last frame, and the code and reason.
    pub async fn closed(&mut self) -> Result<(Option<Value>, (u16, String))> {
        let mut last = None;
        loop {
            match self.next().await? {
                Incoming::Frame(frame) => last = Some(frame),
                Incoming::Closed(Some(close)) => return Ok((last, close)),
                Incoming::Closed(None) => bail!("the server went without a close frame after {last:?}"),
            }
        }
    }
}

/// An identifier with variables as an object, as pages have them.
#[must_use]
pub fn identifier(query: &str, variables: &Value) -> String {
    json!({ "channel": CHANNEL, "query": query, "variables": variables }).to_string()
}

/// The same with variables as a text, as editor extensions have them.
#[must_use]
pub fn identifier_with_text(query: &str, variables: &Value) -> String {
    identifier(query, &Value::String(variables.to_string()))
}

fn is_ping(frame: &Value) -> bool {
    frame.get("type").and_then(Value::as_str) == Some("ping")
}
