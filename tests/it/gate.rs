//! Nothing about a request is published before the HTTP response that names it has been written.
//!
//! To see that, the response must take its time: it is made larger than all buffers on its way, and the
//! client reads no more of it than the request's id. Meanwhile the request runs to its end, which shows in
//! the conversation. Only when the client reads on may the answer come over the websocket.

use duologue_harness::{
    raw_http::{Unread, whole_body},
    server::{PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    ALICE, ISSUE, answer, ask, chat, home, message, messages, socket, start, subscribe, summarize,
};

/// With [`LABEL`], a response of more than two megabytes.
const ALIASES: usize = 4_000;

/// As many characters as an echoed label may have.
const LABEL: usize = 500;

/// A server that lets a client have so large a response.
async fn generous_server() -> TestServer {
    let mut home = home();
    for limit in ["max_aliases", "max_complexity", "max_query_characters"] {
        home.set("graphql", limit, 1_000_000).unwrap();
    }
    home.serve().await.unwrap()
}

/// Asks for `requestId` first, and then for the client's own label again and again.
fn request_with_a_large_response(mut input: Value) -> String {
    input["clientMutationId"] = json!("x".repeat(LABEL));
    let aliases: String = (0..ALIASES).map(|number| format!(" a{number}: clientMutationId")).collect();
    let query = format!(
        "mutation large($input: AiActionInput!) {{ aiAction(input: $input) {{ requestId {aliases} }} }}"
    );
    json!({ "query": query, "variables": { "input": input } }).to_string()
}

/// Sends the request and reads its id, no further.
fn accepted(server: &TestServer, input: Value) -> (Unread, String) {
    let body = request_with_a_large_response(input);
    let mut response = Unread::post(server.address(), "/api/graphql", ALICE, &body).unwrap();
    response.read_through("\"requestId\":\"").unwrap();
    let read = response.read_through("\",").unwrap();
    let (_, id) = read.rsplit_once("\"requestId\":\"").unwrap();
    (response, id.trim_end_matches("\",").to_owned())
}

/// Waits until the conversation has the answer, which it has as soon as the request has ended.
async fn until_answered(server: &TestServer, request_id: &str) {
    let client = server.graphql(ALICE).unwrap();
    timeout(PATIENCE, async { while messages(&client, Some(&[request_id])).await.len() < 2 {} })
        .await
        .expect("the request did not end behind its gate");
}

#[rstest::rstest]
#[case::chunks(json!({ "clientSubscriptionId": "gate" }), "gate")]
#[case::the_echo_for_the_whole_user(json!({ "aiAction": "CHAT" }), "elsewhere")]
#[tokio::test]
async fn nothing_is_published_before_the_response_is_out(#[case] topic: Value, #[case] page: &str) {
    let server = generous_server().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", topic).await;

    let (response, request_id) = accepted(&server, chat("Who hears this first?", Some(page)));
    until_answered(&server, &request_id).await;
    assert_eq!(
        socket.frames_so_far().await.unwrap(),
        [] as [Value; 0],
        "published before the response was out"
    );

    let whole = response.whole().unwrap();
    let body: Value = serde_json::from_str(whole_body(&whole).unwrap()).unwrap();
    assert_eq!(body["data"]["aiAction"]["requestId"], request_id.as_str());
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn one_clients_gate_holds_nobody_else_up() {
    let server = generous_server().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "resourceId": ISSUE })).await;
    let (_response, _) = accepted(&server, summarize(ISSUE, None));
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_of_its_response_opens_the_gate() {
    let server = generous_server().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "vanished" })).await;
    let (response, request_id) = accepted(&server, chat("Is anybody there?", Some("vanished")));
    until_answered(&server, &request_id).await;
    response.vanish();
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn clients_that_vanish_at_once_do_not_keep_answers_from_the_page() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "vanished" })).await;
    let input = summarize(ISSUE, Some("vanished"));
    let request = json!({ "query": crate::support::AI_ACTION, "variables": { "input": input } }).to_string();
    for _ in 0..10 {
        Unread::post(server.address(), "/api/graphql", ALICE, &request).unwrap().vanish();
    }
    // A request may be lost with its connection before it was accepted; what was accepted ends, and so
    // does one whose client stays.
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
}
