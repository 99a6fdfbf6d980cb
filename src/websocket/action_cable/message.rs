//! What the server says over ActionCable, as it stands on the wire.

use async_graphql::{Response, ServerError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    graphql::error,
    websocket::dialect::{Envelope, OperationId},
};

pub fn welcome() -> String {
    json!({ "type": "welcome" }).to_string()
}

pub fn ping(unix_seconds: u64) -> String {
    json!({ "type": "ping", "message": unix_seconds }).to_string()
}

pub fn confirm(id: &OperationId) -> String {
    json!({ "identifier": id, "type": "confirm_subscription" }).to_string()
}

pub fn reject(id: &OperationId) -> String {
    json!({ "identifier": id, "type": "reject_subscription" }).to_string()
}

pub fn disconnect(reason: &str, reconnect: bool) -> String {
    json!({ "type": "disconnect", "reason": reason, "reconnect": reconnect }).to_string()
}

/// A result after which there may be more.
pub fn result(id: &OperationId) -> Envelope {
    Envelope::new(head(id), r#","more":true}}"#)
}

/// A result after which there is nothing.
pub fn last_result(id: &OperationId) -> Envelope {
    Envelope::new(head(id), r#","more":false}}"#)
}

/// The answer to variables that are none: in the place where GitLab's server has it, and in the one where
/// clients look.
pub fn invalid_variables(id: &OperationId, refused: &Response) -> String {
    let errors: Vec<_> = refused.errors.iter().map(|error| json!({ "message": error.message })).collect();
    let message = json!({ "errors": errors, "result": body(refused), "more": false });
    json!({ "identifier": id, "message": message }).to_string()
}

/// A response as a result that never lacks `data`: clients look into it without asking whether it is there.
#[must_use]
pub fn with_data(response: &Response) -> Vec<u8> {
    if response.data == async_graphql::Value::Null {
        serde_json::to_vec(&body(response)).unwrap_or_default()
    } else {
        error::to_bytes(response).to_vec()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    errors: &'a [ServerError],
    data: Value,
}

fn body(response: &Response) -> Body<'_> {
    Body { errors: &response.errors, data: json!({ "aiCompletionResponse": null }) }
}

fn head(id: &OperationId) -> String {
    let id = Value::from(id.as_ref());
    format!(r#"{{"identifier":{id},"message":{{"result":"#)
}
