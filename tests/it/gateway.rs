//! The paths of GitLab's AI gateway: `/v1/chat/…` and `/monitoring/…`.

use std::time::Duration;

use duologue_harness::{
    fake_provider::{FakeProvider, Script, Step, shapes::openai},
    graphql::{Reply, send},
    server::{PATIENCE, TestServer},
};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{ALICE, MALLORY, answered_by, ask_to_the_end, chat, home, messages, start};

fn request(server: &TestServer, path: &str, token: &str, body: &Value) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    client.post(server.url(path)).bearer_auth(token).json(body)
}

async fn post(server: &TestServer, path: &str, token: &str, body: &Value) -> Reply {
    send(request(server, path, token, body)).await.unwrap()
}

fn asking(content: Value, stream: bool) -> Value {
    let metadata = json!({"source": "gitlab", "version": "18.6.0"});
    let payload = json!({"content": content, "provider": "anthropic", "model": "claude-sonnet-4-6"});
    json!({
        "prompt_components": [{"type": "prompt", "metadata": metadata, "payload": payload}],
        "stream": stream
    })
}

/// The seed's own example.
fn hello() -> Value {
    json!([{"role": "user", "content": "Hi, how are you?"}])
}

#[tokio::test]
async fn an_answer_in_json_says_which_model_gave_it_and_nothing_is_kept() {
    let server = start().await;
    let reply = post(&server, "/v1/chat/agent", ALICE, &asking(hello(), false)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let body = reply.json();
    assert!(body["response"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    let metadata = &body["metadata"];
    assert_eq!((&metadata["provider"], &metadata["model"]), (&json!("embedded"), &json!("extractive")));
    assert!(metadata["timestamp"].is_u64(), "{body}");
    assert!(messages(&server.graphql(ALICE).unwrap(), None).await.is_empty());
}

#[tokio::test]
async fn a_streamed_answer_is_its_bare_text_under_an_honest_name() {
    let server = start().await;
    let whole = post(&server, "/v1/chat/agent", ALICE, &asking(hello(), false)).await.json();
    let streamed = request(&server, "/v1/chat/agent", ALICE, &asking(hello(), true));
    let reply = send(streamed.try_clone().unwrap()).await.unwrap();
    assert_eq!((reply.status, &json!(reply.text)), (200, &whole["response"]));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let reply = send(streamed.header("accept", "text/event-stream, application/json")).await.unwrap();
    assert_eq!(&json!(reply.text), &whole["response"]);
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
}

#[tokio::test]
async fn each_path_asks_its_own_action() {
    let end = [openai::role(), openai::delta("It adds."), openai::stop(), openai::done()];
    let provider = FakeProvider::start(Script::events(end)).await.unwrap();
    let server = asking_of(&provider).await;
    let cases = [
        ("/v1/chat/explain_code", "def add(a, b):\n    return a + b", "<code>"),
        ("/v1/chat/summarize_comments", "Priya: I would merge on Monday.", "<discussion>"),
    ];
    for (path, brought, tag) in cases {
        let reply = post(&server, path, ALICE, &asking(json!(brought), false)).await;
        assert_eq!((reply.status, &reply.json()["response"]), (200, &json!("It adds.")), "{}", reply.text);
        let sent = provider.calls().last().unwrap().json();
        let asked = sent["messages"][1]["content"].as_str().unwrap();
        assert!(asked.contains(brought) && asked.contains(tag), "{asked}");
    }
    let metrics = server.get("/metrics").await.unwrap().text;
    for action in ["explain_code", "summarize_discussion"] {
        let counted = format!("duologue_requests_total{{action=\"{action}\",outcome=\"accepted\"}} 1");
        assert!(metrics.contains(&counted), "{metrics}");
    }
}

#[tokio::test]
async fn refusals_have_the_gateways_form() {
    let server = start().await;
    let reply = post(&server, "/v1/chat/agent", "nobody", &asking(hello(), false)).await;
    assert_eq!((reply.status, reply.json()), (401, json!({"error": "Invalid token"})));
    let reply = post(&server, "/v1/chat/agent", MALLORY, &asking(hello(), true)).await;
    assert_eq!(reply.status, 403);
    assert!(reply.json()["detail"].is_string(), "{}", reply.text);
    for path in ["/v1/chat/write_tests", "/v1/chat/nothing"] {
        let reply = post(&server, path, ALICE, &asking(hello(), false)).await;
        assert_eq!((reply.status, reply.json()), (404, json!({"detail": "Not found"})), "{path}");
    }
    for unfit in [json!({}), asking(json!([]), false), asking(json!("a".repeat(20_001)), false)] {
        let reply = post(&server, "/v1/chat/agent", ALICE, &unfit).await;
        assert_eq!((reply.status, reply.json()), (422, json!({"detail": "Validation error"})));
    }
    assert_eq!(server.get("/v1/chat/agent").await.unwrap().status, 405);
}

#[tokio::test]
async fn a_monitor_hears_what_the_gateway_says() {
    let server = start().await;
    for path in ["/monitoring/healthz", "/monitoring/ready"] {
        let reply = server.get(path).await.unwrap();
        assert_eq!((reply.status, reply.text.as_str()), (200, "{}"), "{path}");
    }
}

/// A server whose model is a scripted provider.
async fn asking_of(provider: &FakeProvider) -> TestServer {
    let mut home = home();
    answered_by(&mut home, provider);
    home.serve().await.unwrap()
}

fn begun(text: &str) -> Script {
    Script::events([openai::role(), openai::delta(text)])
}

#[tokio::test]
async fn the_turns_a_caller_brings_reach_the_model_before_the_question() {
    let end = [openai::role(), openai::delta("Two."), openai::stop(), openai::done()];
    let provider = FakeProvider::start(Script::events(end)).await.unwrap();
    let server = asking_of(&provider).await;
    let said = json!([
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Two?"}
    ]);
    let reply = post(&server, "/v1/chat/agent", ALICE, &asking(said, false)).await;
    assert_eq!(reply.json()["response"], "Two.", "{}", reply.text);
    let sent = provider.calls()[0].json();
    let turns: Vec<&str> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["content"].as_str().unwrap().trim())
        .collect();
    assert_eq!(turns[1..], ["One?", "One.", "Two?"], "{sent}");
}

#[tokio::test]
async fn an_answer_that_fails_before_its_first_piece_has_a_status_and_one_that_fails_later_has_no_end() {
    let provider = FakeProvider::start(openai::error(400, "scripted_error", None)).await.unwrap();
    let server = asking_of(&provider).await;
    let reply = post(&server, "/v1/chat/agent", ALICE, &asking(hello(), true)).await;
    assert_eq!(reply.status, 502, "{}", reply.text);
    assert!(reply.json()["detail"].is_string(), "{}", reply.text);

    provider.always(begun("Half a clementine").then(Step::Close));
    let cut = request(&server, "/v1/chat/agent", ALICE, &asking(hello(), true)).send().await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.text().await.is_err(), "it looks whole");
}

#[tokio::test]
async fn whoever_leaves_a_streamed_answer_ends_the_call_of_the_model() {
    let provider = FakeProvider::start(begun("Half a clementine").then(Step::Stall)).await.unwrap();
    let server = asking_of(&provider).await;
    let mut answer = request(&server, "/v1/chat/agent", ALICE, &asking(hello(), true)).send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "Half a clementine");
    let left = Instant::now();
    drop(answer);
    let calls = provider.until(|calls| calls.iter().all(|call| call.caller_closed.is_some())).await.unwrap();
    let closed = calls[0].caller_closed.unwrap() - left;
    assert!(closed <= Duration::from_secs(1), "after {closed:?}");
}

#[tokio::test]
async fn whoever_leaves_before_an_answer_in_json_is_there_ends_the_call_too() {
    let provider = FakeProvider::start(begun("Half a clementine").then(Step::Stall)).await.unwrap();
    let server = asking_of(&provider).await;
    let leaving = tokio::spawn(request(&server, "/v1/chat/agent", ALICE, &asking(hello(), false)).send());
    provider.until(|calls| !calls.is_empty()).await.unwrap();
    let left = Instant::now();
    leaving.abort();
    let calls = provider.until(|calls| calls.iter().all(|call| call.caller_closed.is_some())).await.unwrap();
    let closed = calls[0].caller_closed.unwrap() - left;
    assert!(closed <= Duration::from_secs(1), "after {closed:?}");
}

#[tokio::test]
async fn every_answer_has_the_name_of_its_request_and_the_time_it_took() {
    let server = start().await;
    let named =
        request(&server, "/v1/chat/agent", ALICE, &asking(hello(), false)).header("X-Request-ID", "any text");
    let unnamed = request(&server, "/v1/chat/agent", ALICE, &asking(hello(), true));
    let refused = request(&server, "/v1/chat/agent", "nobody", &asking(hello(), false));
    for (asked, status, name) in [(named, 200, Some("any text")), (unnamed, 200, None), (refused, 401, None)]
    {
        let reply = send(asked).await.unwrap();
        assert_eq!(reply.status, status);
        let given = reply.header("x-request-id").unwrap();
        assert!(name.map_or(given.len() == 32, |name| given == name), "{given}");
        assert!(reply.header("x-process-time").unwrap().parse::<f64>().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn one_duologue_asks_another() {
    let gateway = start().await;
    let mut home = home();
    home.write("key", ALICE).unwrap();
    let provider = json!({"kind": "ai_gateway", "base_url": gateway.url("/"), "api_key_file": "key"});
    home.set("providers", "other", provider).unwrap();
    home.set("models", "other", json!({"provider": "other", "model": "claude-sonnet-4-6"})).unwrap();
    home.set("feature_settings", "default", json!(["other"])).unwrap();
    let server = home.serve().await.unwrap();
    let request_id = ask_to_the_end(&server, ALICE, chat("Hi, how are you?", None)).await;
    let said = messages(&server.graphql(ALICE).unwrap(), Some(&[&request_id])).await;
    let answer = said.iter().find(|message| message["role"] == "ASSISTANT").unwrap();
    assert_eq!(answer["errors"], json!([]), "{answer}");
    assert!(answer["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    assert!(messages(&gateway.graphql(ALICE).unwrap(), None).await.is_empty(), "nothing is kept there");
}
