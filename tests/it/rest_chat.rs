//! `POST /api/v4/chat/completions`: a question and its answer in one exchange of HTTP.

use duologue_harness::{
    fake_provider::{FakeProvider, Script, shapes::openai},
    graphql::{Reply, send},
    server::{PATIENCE, TestServer},
};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{ALICE, MALLORY, answered_by, home, messages, start};

fn request(server: &TestServer, token: Option<&str>) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let request = client.post(server.url("/api/v4/chat/completions"));
    match token {
        Some(token) => request.header("PRIVATE-TOKEN", token),
        None => request,
    }
}

async fn complete(server: &TestServer, token: &str, body: &Value) -> Reply {
    send(request(server, Some(token)).json(body)).await.unwrap()
}

fn on_the_issue() -> Value {
    json!({"content": "What was decided?", "resource_type": "issue", "resource_id": 52})
}

#[tokio::test]
async fn the_answer_is_a_bare_text_and_belongs_to_the_conversation() {
    let server = start().await;
    let reply = complete(&server, ALICE, &on_the_issue()).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let body = reply.json();
    let answer = body.as_str().unwrap_or_else(|| panic!("no text: {body}"));
    assert!(!answer.is_empty());
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    let kept: Vec<_> = kept.iter().map(|message| (&message["role"], &message["content"])).collect();
    assert_eq!(kept, [(&json!("USER"), &json!("What was decided?")), (&json!("ASSISTANT"), &json!(answer))]);
    let metrics = server.get("/metrics").await.unwrap().text;
    assert!(metrics.contains("duologue_requests_total{action=\"chat\",outcome=\"accepted\"} 1"), "{metrics}");
}

#[tokio::test]
async fn with_a_clean_history_the_model_is_told_nothing_of_before() {
    let end = [openai::role(), openai::delta("Yes."), openai::stop(), openai::done()];
    let provider = FakeProvider::start(Script::events(end)).await.unwrap();
    let mut home = home();
    answered_by(&mut home, &provider);
    let server = home.serve().await.unwrap();
    let turns = |call: usize| provider.calls()[call].json()["messages"].as_array().unwrap().len();
    for (body, told) in [
        (json!({"content": "One?"}), 2),
        (json!({"content": "Two?"}), 4),
        (json!({"content": "Three?", "with_clean_history": true}), 2),
    ] {
        let reply = complete(&server, ALICE, &body).await;
        assert_eq!((reply.status, reply.json()), (201, json!("Yes.")), "{body}");
        assert_eq!(turns(provider.calls().len() - 1), told, "{body}");
    }
    assert_eq!(provider.calls().len(), 3, "no model is asked to forget");
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert_eq!(kept.len(), 8, "/reset and its answer are in the conversation: {kept:?}");
}

#[tokio::test]
async fn whoever_may_not_ask_finds_nothing() {
    let server = start().await;
    let missing = json!({"message": "404 Not Found"});
    let reply = complete(&server, MALLORY, &on_the_issue()).await;
    assert_eq!((reply.status, reply.json()), (404, missing.clone()), "no member");
    let reply = complete(&server, MALLORY, &json!({"content": "Hello?"})).await;
    assert_eq!((reply.status, reply.json()), (404, missing.clone()), "no licence anywhere");
    let nowhere = json!({"content": "Hello?", "resource_type": "issue", "resource_id": 9_999});
    assert_eq!(complete(&server, ALICE, &nowhere).await.status, 404, "no such issue");
    let reply = send(request(&server, None).json(&on_the_issue())).await.unwrap();
    assert_eq!((reply.status, reply.json()), (401, json!({"message": "401 Unauthorized"})));
}

#[tokio::test]
async fn it_is_there_for_whom_its_flag_is_on() {
    let home = home();
    let flags = home.read("demo/flags.yaml").unwrap();
    assert!(flags.contains("access_rest_chat: true"));
    home.write("demo/flags.yaml", &flags.replace("access_rest_chat: true", "access_rest_chat: false"))
        .unwrap();
    let server = home.serve().await.unwrap();
    assert_eq!(complete(&server, ALICE, &on_the_issue()).await.status, 404);
}

#[tokio::test]
async fn what_is_asked_must_be_as_it_should_be() {
    let server = start().await;
    let reply = complete(&server, ALICE, &json!({"content": "a".repeat(1_001)})).await;
    let too_long = json!({"error": "content is too long (maximum is 1000 characters)"});
    assert_eq!((reply.status, reply.json()), (400, too_long));
    let form = request(&server, Some(ALICE)).header("content-type", "text/plain").body("content=Hello");
    assert_eq!(send(form).await.unwrap().status, 415);
}
