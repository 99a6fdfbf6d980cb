//! `Idempotency-Key`: a client whose connection broke asks again, and is answered once.

use duologue_harness::{
    graphql::{GraphqlClient, Reply, send},
    server::TestServer,
};
use serde_json::{Value, json};

use crate::support::{AI_ACTION, ALICE, ROOT, chat, messages, start, until_ended};

async fn ask_under(client: &GraphqlClient, keys: &[&str], input: Value) -> Reply {
    let body = json!({ "query": AI_ACTION, "variables": { "input": input } });
    let request = client.post_request().header("content-type", "application/json").body(body.to_string());
    send(keys.iter().fold(request, |request, key| request.header("Idempotency-Key", *key))).await.unwrap()
}

fn request_id(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.at("/data/aiAction/requestId").as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
}

/// Alice's first request under the key `k`, ended.
async fn asked_once(server: &TestServer) -> String {
    let first = ask_under(&server.graphql(ALICE).unwrap(), &["k"], chat("Why?", Some("c"))).await;
    let request_id = request_id(&first);
    until_ended(server, ALICE, &request_id).await;
    request_id
}

#[tokio::test]
async fn the_same_body_gets_the_same_request_id_also_after_the_process_was_killed() {
    let mut server = start().await;
    let first = asked_once(&server).await;
    let again = || async {
        let client = server.graphql(ALICE).unwrap();
        request_id(&ask_under(&client, &["k"], chat("Why?", Some("c"))).await)
    };
    assert_eq!(again().await, first);
    let client = server.graphql(ALICE).unwrap();
    assert_eq!(messages(&client, None).await.len(), 2, "one question and one answer");

    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let after = request_id(&ask_under(&client, &["k"], chat("Why?", Some("c"))).await);
    assert_eq!(after, first);
    until_ended(&server, ALICE, &after).await;
}

#[tokio::test]
async fn another_body_is_a_conflict() {
    let server = start().await;
    asked_once(&server).await;
    let client = server.graphql(ALICE).unwrap();
    for other in [chat("Why not?", Some("c")), chat("Why?", Some("another page"))] {
        let refused = ask_under(&client, &["k"], other).await;
        assert_eq!((refused.status, refused.code().as_deref()), (409, Some("conflict")), "{}", refused.text);
        assert_eq!(refused.json()["data"], Value::Null);
    }
    assert_eq!(messages(&client, None).await.len(), 2);
}

#[tokio::test]
async fn a_key_is_its_owners() {
    let server = start().await;
    let hers = asked_once(&server).await;
    let root = server.graphql(ROOT).unwrap();
    let theirs = request_id(&ask_under(&root, &["k"], chat("Something else?", None)).await);
    assert_ne!(theirs, hers);
}

#[tokio::test]
async fn without_a_key_every_request_is_a_new_one() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let ask = || async { request_id(&ask_under(&client, &[], chat("Why?", None)).await) };
    assert_ne!(ask().await, ask().await);
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_before_anything_is_asked() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let long = "k".repeat(501);
    for (keys, why) in [
        (&["a", "b"][..], "Idempotency-Key is there twice"),
        (&[" "], "Idempotency-Key is empty"),
        (&[&*long], "Idempotency-Key is longer than graphql.max_label_characters"),
    ] {
        let refused = ask_under(&client, keys, chat("Why?", None)).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert_eq!(refused.error_messages(), [why]);
    }
    assert!(messages(&client, None).await.is_empty());
}
