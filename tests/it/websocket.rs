//! `graphql-transport-ws`: tokens, origins, close codes and bounds of one socket.

use duologue_harness::{
    server::TestServer,
    transport_ws::{HandshakeError, Incoming, TransportWs},
};
use serde_json::{Value, json};

use crate::support::{ALICE, ISSUE, SUBSCRIPTION, answer, ask, home, socket, start, subscribe, summarize};

async fn open(server: &TestServer) -> TransportWs {
    server.websocket().open().await.unwrap()
}

async fn close_code(socket: &mut TransportWs) -> u16 {
    let (code, reason) = socket.closed().await.unwrap();
    assert!(reason.len() <= 123, "{reason}");
    assert!(code != 1002 && code != 1011, "clients give up for good on {code}");
    code
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on() {
    let server = start().await;
    assert_eq!(open(&server).await.accepted_subprotocol(), Some("graphql-transport-ws"));
}

#[rstest::rstest]
#[case::bearer_in_any_case(json!({ "authorization": "Bearer demo-alice" }))]
#[case::bearer(json!({ "Authorization": "Bearer demo-alice" }))]
#[case::private_token(json!({ "PRIVATE-TOKEN": "demo-alice" }))]
#[case::private_token_in_any_case(json!({ "private-token": "demo-alice" }))]
#[tokio::test]
async fn the_token_may_be_in_the_first_message(#[case] payload: Value) {
    let server = start().await;
    let mut socket = open(&server).await;
    socket.init(Some(payload)).await.unwrap();
    subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "c" })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("c"))).await;
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn the_token_may_be_in_the_upgrade() {
    let server = start().await;
    for connect in [server.websocket().token(ALICE), server.websocket().header("private-token", ALICE)] {
        let mut socket = connect.open().await.unwrap();
        socket.init(None).await.unwrap();
        subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "c" })).await;
    }
}

#[tokio::test]
async fn a_bad_token_is_forbidden() {
    let server = start().await;
    let mut socket = open(&server).await;
    socket
        .send(json!({ "type": "connection_init", "payload": { "Authorization": "Bearer x" } }))
        .await
        .unwrap();
    assert_eq!(close_code(&mut socket).await, 4403);

    // A bad token in the upgrade may be refused there and then.
    match server.websocket().token("x").open().await {
        Ok(mut socket) => {
            socket.send(json!({ "type": "connection_init" })).await.unwrap();
            assert_eq!(close_code(&mut socket).await, 4403);
        }
        Err(HandshakeError::Refused(status)) => assert_eq!(status, 401),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn without_a_token_there_is_no_socket() {
    let server = start().await;
    let mut socket = open(&server).await;
    socket.send(json!({ "type": "connection_init" })).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4403);
}

#[tokio::test]
async fn a_foreign_origin_is_refused_at_the_handshake() {
    let mut home = home();
    home.set("server", "allowed_origins", json!(["https://gitlab.example.com"])).unwrap();
    let server = home.serve().await.unwrap();
    for origin in
        ["https://evil.example.com", "null", "http://127.0.0.1:1", "https://gitlab.example.com.evil.test"]
    {
        match server.websocket().token(ALICE).origin(origin).open().await {
            Err(HandshakeError::Refused(status)) => assert_eq!(status, 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.err()),
        }
    }
    for origin in ["https://gitlab.example.com".to_owned(), server.url("")] {
        let socket = server.websocket().token(ALICE).origin(&origin).open().await;
        assert!(socket.is_ok(), "{origin}: {:?}", socket.err());
    }
}

#[tokio::test]
async fn subscribing_before_the_acknowledgement_closes_4401() {
    let server = start().await;
    let mut socket = open(&server).await;
    socket.subscribe("1", SUBSCRIPTION, json!({})).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4401);
}

#[tokio::test]
async fn a_second_init_closes_4429() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.send(json!({ "type": "connection_init" })).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4429);
}

#[tokio::test]
async fn a_socket_that_never_starts_closes_4408() {
    let mut home = home();
    home.set("websocket", "init_seconds", 1).unwrap();
    let server = home.serve().await.unwrap();
    let mut socket = open(&server).await;
    assert_eq!(close_code(&mut socket).await, 4408);
}

#[tokio::test]
async fn an_id_in_use_closes_4409() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "twice", json!({ "clientSubscriptionId": "c" })).await;
    socket.subscribe("twice", SUBSCRIPTION, json!({ "clientSubscriptionId": "d" })).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4409);
}

#[rstest::rstest]
#[case::no_json("hello")]
#[case::no_object("[]")]
#[case::no_type("{}")]
#[case::an_unknown_type(r#"{"type":"start"}"#)]
#[case::no_id(r#"{"type":"subscribe","payload":{"query":"{ __typename }"}}"#)]
#[case::an_empty_id(r#"{"id":"","type":"subscribe","payload":{"query":"{ __typename }"}}"#)]
#[case::no_payload(r#"{"id":"1","type":"subscribe"}"#)]
#[case::no_query(r#"{"id":"1","type":"subscribe","payload":{}}"#)]
#[tokio::test]
async fn a_message_that_is_none_closes_4400(#[case] text: &str) {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.send_text(text).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4400);
}

#[tokio::test]
async fn a_binary_message_closes_4400() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.send_binary(br#"{"type":"ping"}"#.to_vec()).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4400);
}

#[tokio::test]
async fn a_frame_over_64_kibibytes_ends_the_socket() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let _ = socket
        .send_text(&json!({ "type": "ping", "payload": { "x": "x".repeat(65_536) } }).to_string())
        .await;
    // The rest of the frame is never read, so the close may be overtaken by a reset.
    match socket.next().await {
        Ok(Incoming::Frame(frame)) => panic!("{frame}"),
        Ok(Incoming::Closed(Some((code, _)))) => assert!([1009, 4400].contains(&code), "{code}"),
        Ok(Incoming::Closed(None)) | Err(_) => {}
    }
}

#[tokio::test]
async fn a_flood_of_messages_closes_1013() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    for _ in 0..200 {
        if socket.send(json!({ "type": "ping" })).await.is_err() {
            break;
        }
    }
    assert_eq!(close_code(&mut socket).await, 1013);
}

#[tokio::test]
async fn one_subscription_too_many_is_an_error_on_its_own_id() {
    let mut home = home();
    home.set("websocket", "max_subscriptions", 2).unwrap();
    let server = home.serve().await.unwrap();
    let mut socket = socket(&server, ALICE).await;
    for id in ["1", "2"] {
        subscribe(&mut socket, id, json!({ "clientSubscriptionId": id })).await;
    }
    socket.subscribe("3", SUBSCRIPTION, json!({ "clientSubscriptionId": "3" })).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!((&frame["id"], &frame["type"]), (&json!("3"), &json!("error")), "{frame}");
    // The others go on.
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("2"))).await;
    answer(&mut socket, "2", &request_id).await.content();
}

#[tokio::test]
async fn one_socket_too_many_of_a_user_closes_4403() {
    let mut home = home();
    home.set("websocket", "max_connections_per_user", 2).unwrap();
    let server = home.serve().await.unwrap();
    let first = socket(&server, ALICE).await;
    let _second = socket(&server, ALICE).await;
    let mut third = server.websocket().token(ALICE).open().await.unwrap();
    third.send(json!({ "type": "connection_init" })).await.unwrap();
    assert_eq!(close_code(&mut third).await, 4403);
    // Another user has places of its own.
    let _other = socket(&server, crate::support::ROOT).await;

    // A place that was left is free again, as soon as the server has seen it.
    first.close().await.unwrap();
    let free_again = async {
        loop {
            let mut socket = server.websocket().token(ALICE).open().await.unwrap();
            if socket.init(None).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(duologue_harness::server::PATIENCE, free_again).await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_is_no_document_is_an_error_on_its_id() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    for (id, document) in [("1", "subscription {"), ("2", "subscription { nothing }")] {
        socket.subscribe(id, document, json!({})).await.unwrap();
        let frame = socket.frame().await.unwrap();
        assert_eq!((&frame["id"], &frame["type"]), (&json!(id), &json!("error")), "{frame}");
        assert!(frame["payload"][0]["message"].is_string(), "{frame}");
        assert!(frame["payload"][0]["extensions"]["code"].is_string(), "{frame}");
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_a_pong() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!(frame["type"], "pong", "{frame}");
}
