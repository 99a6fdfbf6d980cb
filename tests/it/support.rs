//! What the tests have in common: a server, the documents clients send, and an answer as it was received.

use duologue_harness::{
    fake_provider::FakeProvider,
    graphql::{GraphqlClient, Reply},
    server::{Home, TestServer},
    transport_ws::TransportWs,
};
use serde_json::{Value, json};

pub const ALICE: &str = "demo-alice";
pub const ROOT: &str = "demo-root";
pub const MALLORY: &str = "demo-mallory";
pub const ALICE_ID: &str = "gid://gitlab/User/2";
pub const ROOT_ID: &str = "gid://gitlab/User/1";
pub const ISSUE: &str = "gid://gitlab/Issue/52";
pub const MERGE_REQUEST: &str = "gid://gitlab/MergeRequest/52";

/// Refused before anything is said about the resource.
pub const NOT_FOUND: &str = "The resource that you are attempting to access does not exist or you don't have \
                             permission to perform this action";

pub const AI_ACTION: &str = "mutation aiAction($input: AiActionInput!) {
  aiAction(input: $input) { requestId errors clientMutationId cursor }
}";

/// A subscription with every argument there is; those not given in the variables are absent.
pub const SUBSCRIPTION: &str = "subscription aiCompletionResponse(
  $userId: UserID, $resourceId: AiModelID, $clientSubscriptionId: String, $aiAction: AiAction, $requestId: ID,
  $after: String
) {
  aiCompletionResponse(
    userId: $userId, resourceId: $resourceId, clientSubscriptionId: $clientSubscriptionId,
    aiAction: $aiAction, requestId: $requestId, after: $after
  ) { id requestId content contentHtml role timestamp chunkId errors }
}";

const AI_MESSAGES: &str = "query messages($requestIds: [ID!], $last: Int) {
  aiMessages(requestIds: $requestIds, last: $last) { nodes { requestId content role errors timestamp } }
}";

pub fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_duologue"), env!("CARGO_MANIFEST_DIR")).unwrap()
}

/// Has every action answered by this provider.
pub fn answered_by(home: &mut Home, provider: &FakeProvider) {
    home.write("key", "sk-test").unwrap();
    let openai = json!({ "kind": "openai", "base_url": provider.url(), "api_key_file": "key" });
    home.set("providers", "scripted", openai).unwrap();
    home.set("models", "scripted", json!({ "provider": "scripted", "model": "scripted" })).unwrap();
    home.set("feature_settings", "default", json!(["scripted"])).unwrap();
}

pub async fn start() -> TestServer {
    home().serve().await.unwrap()
}

pub fn summarize(resource: &str, client_subscription_id: Option<&str>) -> Value {
    json!({ "summarizeComments": { "resourceId": resource }, "clientSubscriptionId": client_subscription_id })
}

pub fn explain(resource: &str, client_subscription_id: Option<&str>) -> Value {
    let code = "foo() { console.log() }";
    json!({ "explainCode": { "resourceId": resource, "code": code }, "clientSubscriptionId": client_subscription_id })
}

pub fn chat(content: &str, client_subscription_id: Option<&str>) -> Value {
    json!({ "chat": { "content": content }, "clientSubscriptionId": client_subscription_id })
}

/// Sends `aiAction`, whatever comes of it.
pub async fn try_ask(client: &GraphqlClient, input: Value) -> Reply {
    client.post(AI_ACTION, json!({ "input": input })).await.unwrap()
}

/// Sends `aiAction`, which must be accepted; its request id.
pub async fn ask(client: &GraphqlClient, input: Value) -> String {
    let reply = try_ask(client, input).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.at("/data/aiAction/errors"), json!([]), "{}", reply.text);
    let request_id = reply.at("/data/aiAction/requestId");
    request_id.as_str().unwrap_or_else(|| panic!("no requestId: {}", reply.text)).to_owned()
}

/// The conversation's messages, of one request or of all.
pub async fn messages(client: &GraphqlClient, request_ids: Option<&[&str]>) -> Vec<Value> {
    let variables = json!({ "requestIds": request_ids, "last": 100 });
    let reply = client.post(AI_MESSAGES, variables).await.unwrap();
    let nodes = reply.at("/data/aiMessages/nodes");
    nodes.as_array().unwrap_or_else(|| panic!("no messages: {}", reply.text)).clone()
}

/// An acknowledged socket of the owner of `token`.
pub async fn socket(server: &TestServer, token: &str) -> TransportWs {
    let mut socket = server.websocket().token(token).open().await.unwrap();
    socket.init(None).await.unwrap();
    socket
}

/// An acknowledged socket on which no ping is ever answered, so that nothing counts as received.
pub async fn forgetful_socket(server: &TestServer, token: &str) -> TransportWs {
    let mut socket = server.websocket().token(token).without_pongs().open().await.unwrap();
    socket.init(None).await.unwrap();
    socket
}

/// Subscribes under `id` on a socket without other subscriptions and takes the first frame; whether the
/// server said that it replays or that it starts live.
pub async fn subscribe(socket: &mut TransportWs, id: &str, variables: Value) -> String {
    socket.subscribe(id, SUBSCRIPTION, variables).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!((&frame["id"], &frame["type"]), (&json!(id), &json!("next")), "{frame}");
    assert_eq!(frame["payload"]["data"], json!({ "aiCompletionResponse": null }), "{frame}");
    assert_eq!(frame["payload"]["extensions"]["subscribed"], true, "{frame}");
    frame["payload"]["extensions"]["resume"].as_str().unwrap_or_else(|| panic!("{frame}")).to_owned()
}

/// What a subscription was sent about one request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub echoes: Vec<Value>,
    pub chunks: Vec<Value>,
    pub finals: Vec<Value>,
}

impl Answer {
    /// Puts a message where it belongs; nothing may come after the final one.
    pub fn add(&mut self, message: &Value) {
        assert!(self.finals.is_empty(), "after the final message came {message}");
        let of_assistant = message["role"] == "ASSISTANT";
        match (of_assistant, message["chunkId"].is_null()) {
            (false, _) => self.echoes.push(message.clone()),
            (true, false) => self.chunks.push(message.clone()),
            (true, true) => self.finals.push(message.clone()),
        }
    }

    /// The whole text, after checking that the chunks are its pieces, in order and without a gap.
    pub fn content(&self) -> String {
        let content = self.finals[0]["content"].as_str().unwrap().to_owned();
        assert_eq!(self.finals[0]["errors"], json!([]), "{:?}", self.finals);
        assert!(!content.is_empty());
        let ids: Vec<u64> = self.chunks.iter().map(|chunk| chunk["chunkId"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
        if !self.chunks.is_empty() {
            let pieces: String = self.chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
            assert_eq!(pieces, content);
        }
        content
    }
}

/// The message in a `next` frame of subscription `id`; anything else on the socket is a failure.
pub fn message<'f>(frame: &'f Value, id: &str) -> &'f Value {
    assert_eq!((&frame["id"], &frame["type"]), (&json!(id), &json!("next")), "{frame}");
    let message = &frame["payload"]["data"]["aiCompletionResponse"];
    assert!(message.is_object(), "no message: {frame}");
    message
}

/// Reads subscription `id` up to the final message of `request_id`. A message about any other request is
/// a failure: what a subscription must not get is part of what is tested.
pub async fn answer(socket: &mut TransportWs, id: &str, request_id: &str) -> Answer {
    let mut answer = Answer::default();
    while answer.finals.is_empty() {
        let frame = socket.frame().await.unwrap();
        let message = message(&frame, id);
        assert_eq!(message["requestId"], request_id, "{frame}");
        answer.add(message);
    }
    answer
}

/// Asks, and waits on a socket of its own until the request has ended.
pub async fn ask_to_the_end(server: &TestServer, token: &str, input: Value) -> String {
    let request_id = ask(&server.graphql(token).unwrap(), input).await;
    until_ended(server, token, &request_id).await;
    request_id
}

/// Waits until `request_id` has ended, without that counting as a receipt.
pub async fn until_ended(server: &TestServer, token: &str, request_id: &str) {
    let mut socket = forgetful_socket(server, token).await;
    subscribe(&mut socket, "end", json!({ "requestId": request_id })).await;
    answer(&mut socket, "end", request_id).await;
}
