//! Staying subscribed: a socket that is lost is replaced, and the server replays what was missed.

use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite;

use super::{client::Client, error::AskError, socket::Socket};

/// Enough for a server that restarts; more would hide that it does not come back.
const MAX_RECONNECTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// A subscription that is not confirmed by then would not bring an answer either.
const CONFIRMATION: Duration = Duration::from_secs(30);

pub(super) struct Following<'c> {
    client: &'c Client,
    client_subscription_id: String,
    socket: Option<Socket>,
    reconnects_left: u32,
}

impl<'c> Following<'c> {
    pub(super) fn new(client: &'c Client, client_subscription_id: &str) -> Self {
        Self {
            client,
            client_subscription_id: client_subscription_id.to_owned(),
            socket: None,
            reconnects_left: MAX_RECONNECTS,
        }
    }

    /// Subscribes, and waits until the server says that it will send whatever comes from now on.
    pub(super) async fn begin(&mut self) -> Result<(), AskError> {
        match tokio::time::timeout(CONFIRMATION, self.next()).await {
            Ok(Ok(payload)) if confirms(&payload) => Ok(()),
            Ok(Ok(_)) => {
                Err(AskError::NotUnderstood { what: "no confirmation of the subscription".to_owned() })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let address = self.client.address.to_string();
                Err(AskError::Unconfirmed { address, patience: CONFIRMATION })
            }
        }
    }

    /// The next payload. Nothing is lost when this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Value, AskError> {
        loop {
            let error = match self.try_next().await {
                Ok(payload) => return Ok(payload),
                Err(error) => error,
            };
            self.socket = None;
            if self.reconnects_left == 0 || !can_be_mended(&error) {
                return Err(error);
            }
            self.reconnects_left -= 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_next(&mut self) -> Result<Value, AskError> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => self.socket.insert(Socket::subscribe(self.client, &self.client_subscription_id).await?),
        };
        socket.next().await
    }
}

/// Whether this is the first frame of a subscription.
fn confirms(payload: &Value) -> bool {
    payload.pointer("/extensions/subscribed") == Some(&Value::Bool(true))
}

/// A connection can be made again; a refusal stands.
fn can_be_mended(error: &AskError) -> bool {
    match error {
        AskError::Closed(reason) => !reason.starts_with("44"),
        // The handshake was answered, with a status that is no "switching protocols".
        AskError::Socket { source, .. } => !matches!(**source, tungstenite::Error::Http(_)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_first_frame_confirms_a_subscription() {
        let first = json!({ "data": { "aiCompletionResponse": null }, "extensions": { "subscribed": true } });
        assert!(confirms(&first));
        assert!(!confirms(&json!({ "data": { "aiCompletionResponse": { "content": "Hel" } } })));
    }

    #[test]
    fn a_lost_socket_is_replaced_and_a_refusal_is_not() {
        assert!(can_be_mended(&AskError::Closed("1012 server_restart".to_owned())));
        assert!(can_be_mended(&AskError::Closed("without a reason".to_owned())));
        assert!(!can_be_mended(&AskError::Closed("4403 Forbidden".to_owned())));
        assert!(!can_be_mended(&AskError::Refused("not yours".to_owned())));
    }
}
