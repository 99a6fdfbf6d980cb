//! GraphQL on a whole pipeline, without a transport.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use duologue_actors::{
    broadcaster::EventKind,
    entrance::Reader,
    permits::Permits,
    ports::Credentials,
    protocol::{GlobalId, UserId},
    testing::{Script, World, a_caller},
};
use serde_json::{Value, json};

use super::*;
use crate::server::testing::{TestEdge, start, start_without_tokens, world};

mod actions;
mod allowance;
mod queries;
mod schema;
mod scopes;
mod subscriptions;

const ASK: &str = r#"mutation($c: String) {
    aiAction(input: {chat: {content: "hello"}, clientSubscriptionId: $c, clientMutationId: "m"}) { requestId errors clientMutationId }
}"#;

const SUBSCRIBE: &str = r#"subscription s($userId: UserID, $c: String, $htmlResponse: Boolean = true) {
    answer: aiCompletionResponse(userId: $userId, aiAction: CHAT, clientSubscriptionId: $c) {
        id @skip(if: true) requestId content contentHtml @include(if: $htmlResponse) role chunkId errors type
        ...Rest
    }
}
fragment Rest on AiMessage { __typename extras { sources hasFeedback additionalContext { id category metadata } } }"#;

fn request(query: &str, variables: Value) -> GraphqlRequest {
    serde_json::from_value(json!({"query": query, "variables": variables})).unwrap()
}

async fn execute(test: &TestEdge, token: &str, query: &str) -> Executed {
    execute_with(test, token, query, json!({})).await
}

async fn execute_with(test: &TestEdge, token: &str, query: &str, variables: Value) -> Executed {
    let credentials = if token.is_empty() { Credentials::default() } else { Credentials::token(token) };
    test.edge.graphql.execute(request(query, variables), &credentials).await
}

fn shown(response: &Response) -> Value {
    serde_json::from_slice(&error::to_bytes(response)).unwrap()
}

/// The response with what differs from run to run taken out.
async fn body(test: &TestEdge, token: &str, query: &str) -> Value {
    let mut body = shown(&execute(test, token, query).await.response);
    if let Some(request_id) = body.pointer_mut("/errors/0/extensions/requestId") {
        *request_id = json!("[uuid]");
    }
    body
}

/// The response of an operation as one line: message and code of its first error.
async fn error_of(test: &TestEdge, token: &str, query: &str) -> String {
    let body = body(test, token, query).await;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    format!("{} [{}]", text("/errors/0/message"), text("/errors/0/extensions/code"))
}

async fn identity(test: &TestEdge, token: &str) -> Identity {
    test.edge.entrance.identify(Credentials::token(token)).await.unwrap()
}

/// The next event a subscription has.
async fn next(subscription: &mut Reader) -> Arc<duologue_actors::broadcaster::Event> {
    loop {
        if let Some(event) = subscription.read(1).await.pop() {
            return event;
        }
        subscription.changed().await;
    }
}
