//! GraphQL over HTTP: what actions there are, asking, cancelling.

use std::{net::SocketAddr, time::Duration};

use duologue_actors::protocol::Code;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    error::AskError,
    form::{self, ActionForm},
};

const CONNECT: Duration = Duration::from_secs(5);
/// A server that is so slow to say yes or no is not going to answer.
const RESPONSE: Duration = Duration::from_secs(30);
/// How the server's logs name this client.
const PLATFORM_ORIGIN: &str = "duologue_ask";

const ASK: &str = "mutation ask($input: AiActionInput!) { aiAction(input: $input) { requestId errors } }";
const CANCEL: &str = "mutation cancel($id: ID!) { aiCancel(requestId: $id) { errors } }";

/// One user of one server.
pub(super) struct Client {
    http: reqwest::Client,
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

/// An accepted request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request_id: String,
    pub(super) at: Instant,
}

impl Client {
    pub(super) fn new(address: SocketAddr, token: &str) -> Result<Self, AskError> {
        // A proxy of the environment has no business between this process and the machine it runs on.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).timeout(RESPONSE).build();
        let http = http.map_err(|source| AskError::Unreachable { address: address.to_string(), source })?;
        Ok(Self { http, address, token: token.to_owned() })
    }

    /// The actions the server offers and what each takes.
    pub(super) async fn actions(&self) -> Result<Vec<ActionForm>, AskError> {
        let data = self.execute(form::INTROSPECTION, json!({})).await?;
        Ok(form::read(&data))
    }

    pub(super) async fn ask(
        &self,
        input: serde_json::Map<String, Value>,
        client_subscription_id: &str,
    ) -> Result<Asked, AskError> {
        let at = Instant::now();
        let data = self.execute(ASK, variables(input, client_subscription_id)).await?;
        let request_id = accepted(&data)?;
        Ok(Asked { request_id, at })
    }

    pub(super) async fn cancel(&self, request_id: &str) -> Result<(), AskError> {
        let data = self.execute(CANCEL, json!({ "id": request_id })).await?;
        payload(&data, "aiCancel")?;
        Ok(())
    }

    async fn execute(&self, query: &str, variables: Value) -> Result<Value, AskError> {
        let unreachable = |source| AskError::Unreachable { address: self.address.to_string(), source };
        let response = self
            .http
            .post(format!("http://{}/api/graphql", self.address))
            .bearer_auth(&self.token)
            .json(&json!({ "query": query, "variables": variables }))
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(unreachable)?;
        match serde_json::from_slice(&body) {
            Ok(response) => data_of(response),
            Err(_) => Err(AskError::NotGraphql { address: self.address.to_string(), status }),
        }
    }
}

/// A GraphQL response.
#[derive(Debug, Deserialize)]
struct Response {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<ErrorMessage>,
}

#[derive(Debug, Deserialize)]
struct ErrorMessage {
    message: String,
    #[serde(default)]
    extensions: ErrorExtensions,
}

#[derive(Debug, Default, Deserialize)]
struct ErrorExtensions {
    code: Option<String>,
}

/// What both mutations answer with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    request_id: Option<String>,
    errors: Vec<String>,
}

fn variables(mut input: serde_json::Map<String, Value>, client_subscription_id: &str) -> Value {
    input.insert("clientSubscriptionId".to_owned(), client_subscription_id.into());
    input.insert("platformOrigin".to_owned(), PLATFORM_ORIGIN.into());
    json!({ "input": input })
}

/// The data of a response; any error in it is the user's answer.
fn data_of(response: Response) -> Result<Value, AskError> {
    if !response.errors.is_empty() {
        let unknown = Some(Code::Unauthenticated.as_str());
        let is_token = response.errors.iter().any(|error| error.extensions.code.as_deref() == unknown);
        let messages: Vec<String> = response.errors.into_iter().map(|error| error.message).collect();
        let said = messages.join("; ");
        return Err(if is_token { AskError::Token(said) } else { AskError::Refused(said) });
    }
    response.data.ok_or_else(|| AskError::NotUnderstood { what: "a response without data".to_owned() })
}

/// What became of the mutation `field`.
fn payload(data: &Value, field: &str) -> Result<Payload, AskError> {
    let payload = data.get(field).and_then(|payload| Payload::deserialize(payload).ok());
    let payload =
        payload.ok_or_else(|| AskError::NotUnderstood { what: format!("an odd {field} payload") })?;
    if !payload.errors.is_empty() {
        return Err(AskError::Refused(payload.errors.join("; ")));
    }
    Ok(payload)
}

fn accepted(data: &Value) -> Result<String, AskError> {
    payload(data, "aiAction")?
        .request_id
        .ok_or_else(|| AskError::NotUnderstood { what: "an accepted request without an id".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mutation_carries_the_action_the_page_and_the_origin() {
        let input = json!({ "chat": { "content": "why?" } });
        let variables = variables(input.as_object().unwrap().clone(), "c-1");
        let expected = json!({ "input": {
            "chat": { "content": "why?" }, "clientSubscriptionId": "c-1", "platformOrigin": "duologue_ask",
        }});
        assert_eq!(variables, expected);
    }

    fn response(body: Value) -> Result<Value, AskError> {
        data_of(Response::deserialize(body).unwrap())
    }

    #[test]
    fn a_top_level_error_is_the_servers_own_words() {
        let body = json!({ "errors": [{ "message": "Unknown method" }], "data": { "aiAction": null } });
        assert_eq!(response(body).unwrap_err().to_string(), "Unknown method");
    }

    #[test]
    fn a_refused_token_comes_with_the_places_to_name_another() {
        let body = json!({ "errors": [{
            "message": "Invalid token", "extensions": { "code": "unauthenticated", "hop": "auth" },
        }]});
        let expected = "Invalid token: name one with --token or DUOLOGUE_TOKEN";
        assert_eq!(response(body).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_payload_error_is_one_too() {
        let data = json!({ "aiAction": { "requestId": null, "errors": ["Unknown method"] } });
        assert_eq!(accepted(&data).unwrap_err().to_string(), "Unknown method");
        let data = json!({ "aiCancel": { "errors": ["no such request"] } });
        assert_eq!(payload(&data, "aiCancel").unwrap_err().to_string(), "no such request");
    }

    #[test]
    fn an_accepted_request_has_an_id() {
        let data = json!({ "aiAction": { "requestId": "r-1", "errors": [] } });
        assert_eq!(accepted(&data).unwrap(), "r-1");
        assert!(accepted(&json!({ "aiAction": null })).is_err());
        assert!(accepted(&json!({ "aiAction": { "requestId": null, "errors": [] } })).is_err());
    }

    #[test]
    fn a_response_without_data_is_not_understood() {
        assert!(matches!(response(json!({})), Err(AskError::NotUnderstood { .. })));
        assert!(matches!(response(json!({ "data": null })), Err(AskError::NotUnderstood { .. })));
    }
}
