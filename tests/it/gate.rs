//! Nothing about a request is published before the HTTP response that names it has been written.
//!
//! The client leaves the response unread in its socket until the first message about the request has
//! come over the websocket, and only then looks at what had arrived by that time, without waiting. On
//! loopback what a server has written lies in the reader's buffer when the write returns, so a response
//! that is not all there then was not written before the message was.

use duologue_harness::raw_http::{Unread, whole_body};
use serde_json::{Value, json};

use crate::support::{
    AI_ACTION, ALICE, ALICE_ID, ISSUE, answer, ask, chat, message, socket, start, subscribe, summarize,
};

fn request(input: Value) -> String {
    json!({ "query": AI_ACTION, "variables": { "input": input } }).to_string()
}

#[tokio::test]
async fn the_response_is_out_before_the_first_message() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE, "clientSubscriptionId": "gate" });
    subscribe(&mut socket, "1", variables).await;

    for round in 0..50 {
        let response =
            Unread::post(server.address(), "/api/graphql", ALICE, &request(summarize(ISSUE, Some("gate"))))
                .unwrap();
        let first = socket.frame().await.unwrap();
        let arrived = response.arrived().unwrap();

        let body = whole_body(&arrived).unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        let body: Value = serde_json::from_str(body).unwrap();
        let request_id = body["data"]["aiAction"]["requestId"].as_str().unwrap();
        let first = message(&first, "1");
        assert_eq!(first["requestId"], request_id);
        if first["chunkId"].is_u64() {
            answer(&mut socket, "1", request_id).await;
        }
    }
}

#[tokio::test]
async fn the_echo_for_the_whole_user_waits_as_well() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "userId": ALICE_ID, "aiAction": "CHAT" })).await;
    for _ in 0..20 {
        let response = Unread::post(
            server.address(),
            "/api/graphql",
            ALICE,
            &request(chat("Who hears this first?", Some("elsewhere"))),
        )
        .unwrap();
        let echo = socket.frame().await.unwrap();
        let arrived = response.arrived().unwrap();
        let body: Value = serde_json::from_str(whole_body(&arrived).unwrap()).unwrap();
        let request_id = body["data"]["aiAction"]["requestId"].as_str().unwrap();
        assert_eq!(
            (&message(&echo, "1")["role"], &message(&echo, "1")["requestId"]),
            (&json!("USER"), &json!(request_id))
        );
        answer(&mut socket, "1", request_id).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_does_not_keep_its_answer_from_the_page() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "vanished" })).await;
    for _ in 0..10 {
        Unread::post(server.address(), "/api/graphql", ALICE, &request(summarize(ISSUE, Some("vanished"))))
            .unwrap()
            .vanish();
    }
    // A request may be lost with its connection before it was accepted; what was accepted ends. One that
    // stays shows that the gates of the others, if any are shut, hold nobody else up.
    let stays = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("vanished"))).await;
    let mut begun = std::collections::BTreeSet::new();
    let mut ended = std::collections::BTreeSet::new();
    while !ended.contains(&stays) || begun != ended {
        let frame = socket.frame().await.unwrap();
        let message = message(&frame, "1");
        let request_id = message["requestId"].as_str().unwrap().to_owned();
        begun.insert(request_id.clone());
        if message["chunkId"].is_null() {
            ended.insert(request_id);
        }
    }
    assert!(ended.len() > 1, "none of the vanished clients' requests was accepted");
}
