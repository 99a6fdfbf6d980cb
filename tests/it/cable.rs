//! ActionCable: its frames, its refusals and its pings, and that an answer reaches who subscribes over it,
//! whenever that is.

use std::{collections::HashSet, time::Duration};

use duologue_harness::{
    action_cable::{ActionCable, identifier, identifier_with_text},
    oidc::now,
    server::TestServer,
    transport_ws::{Connect, HandshakeError},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{
    ALICE, ALICE_ID, Answer, ISSUE, ROOT_ID, SUBSCRIPTION, ask, ask_to_the_end, home, start, summarize,
};

mod real_clients;

/// How GitLab's clients ask, with variables that have defaults.
const WITH_DEFAULTS: &str = "subscription other($c: String) { aiCompletionResponse(clientSubscriptionId: $c) { id } }
subscription aiCompletionResponse($userId: UserID, $clientSubscriptionId: String, $htmlResponse: Boolean = true, $terse: Boolean = false) {
  answer: aiCompletionResponse(userId: $userId, clientSubscriptionId: $clientSubscriptionId) {
    __typename requestId role chunkId errors content ...Html timestamp @skip(if: $terse)
  }
}
fragment Html on AiMessage { contentHtml @include(if: $htmlResponse) }";

async fn open(connect: Connect) -> ActionCable {
    let mut cable = ActionCable::open(connect).await.unwrap();
    cable.welcomed().await.unwrap();
    cable
}

async fn cable(server: &TestServer) -> ActionCable {
    open(server.cable().token(ALICE)).await
}

fn page(name: &str) -> Value {
    json!({ "userId": ALICE_ID, "clientSubscriptionId": name })
}

/// Subscribes and takes the first result and the confirmation; whether something is replayed.
async fn subscribe(cable: &mut ActionCable, identifier: &str) -> String {
    cable.subscribe(identifier).await.unwrap();
    let first = cable.frame().await.unwrap();
    assert_eq!(first["identifier"], identifier, "{first}");
    assert_eq!(first["message"]["more"], true, "{first}");
    let result = &first["message"]["result"];
    assert!(result["data"].as_object().unwrap().values().all(Value::is_null), "{first}");
    let confirmation = json!({ "identifier": identifier, "type": "confirm_subscription" });
    assert_eq!(cable.frame().await.unwrap(), confirmation);
    result["extensions"]["resume"].as_str().unwrap().to_owned()
}

/// The next message under `identifier`, whatever its field is called.
async fn message(cable: &mut ActionCable, identifier: &str) -> Value {
    let frame = cable.frame().await.unwrap();
    assert_eq!(
        (&frame["identifier"], &frame["message"]["more"]),
        (&json!(identifier), &json!(true)),
        "{frame}"
    );
    let data = frame["message"]["result"]["data"].as_object().unwrap_or_else(|| panic!("{frame}")).clone();
    data.into_iter().next().unwrap().1
}

async fn answer(cable: &mut ActionCable, identifier: &str, request_id: &str) -> Answer {
    let mut answer = Answer::default();
    while answer.finals.is_empty() {
        let message = message(cable, identifier).await;
        assert_eq!(message["requestId"], request_id, "{message}");
        answer.add(&message);
    }
    answer
}

/// The result with errors and what follows it.
async fn refusal(cable: &mut ActionCable, identifier: &str) -> (Value, Value) {
    cable.subscribe(identifier).await.unwrap();
    let first = cable.frame().await.unwrap();
    assert_eq!(
        (&first["identifier"], &first["message"]["more"]),
        (&json!(identifier), &json!(false)),
        "{first}"
    );
    let result = first["message"]["result"].clone();
    assert_eq!(result["data"], json!({ "aiCompletionResponse": null }), "{first}");
    let second = cable.frame().await.unwrap();
    assert_eq!(second["identifier"], identifier, "{second}");
    (result["errors"][0].clone(), second["type"].clone())
}

#[rstest::rstest]
#[case::variables_as_an_object(identifier)]
#[case::variables_as_a_text(identifier_with_text)]
#[tokio::test]
async fn an_answer_comes_in_either_dialect(#[case] spell: fn(&str, &Value) -> String) {
    let server = start().await;
    let mut cable = cable(&server).await;
    // Spaces and the order of members are the client's own, and come back as they were.
    let identifier = spell(SUBSCRIPTION, &page("c")).replace("\"channel\":", " \"channel\" :  ");
    assert_eq!(subscribe(&mut cable, &identifier).await, "LIVE");
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("c"))).await;
    let answer = answer(&mut cable, &identifier, &request_id).await;
    assert!(!answer.chunks.is_empty());
    answer.content();
}

#[rstest::rstest]
#[case::as_they_are(json!({}), true, true)]
#[case::overridden(json!({ "htmlResponse": false, "terse": true }), false, false)]
#[tokio::test]
async fn directives_defaults_aliases_fragments_and_one_of_several_operations_work(
    #[case] more: Value,
    #[case] has_html: bool,
    #[case] has_timestamp: bool,
) {
    let server = start().await;
    let mut variables = page("c");
    variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let named = json!({
        "channel": "GraphqlChannel", "query": WITH_DEFAULTS, "variables": variables,
        "operationName": "aiCompletionResponse",
    });
    let identifier = named.to_string();
    let mut cable = cable(&server).await;
    subscribe(&mut cable, &identifier).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("c"))).await;
    let answer = answer(&mut cable, &identifier, &request_id).await;
    answer.content();
    for message in answer.chunks.iter().chain(&answer.finals) {
        assert_eq!(message["__typename"], "AiMessage");
        assert_eq!(message.get("contentHtml").is_some(), has_html, "{message}");
        assert_eq!(message.get("timestamp").is_some(), has_timestamp, "{message}");
    }
}

#[rstest::rstest]
#[case::offered(Some("actioncable-v1-json"), Some("actioncable-v1-json"))]
#[case::among_others(Some("actioncable-v1-json, actioncable-unsupported"), Some("actioncable-v1-json"))]
#[case::none(None, None)]
#[tokio::test]
async fn the_subprotocol_is_echoed_when_offered_and_not_required(
    #[case] offered: Option<&str>,
    #[case] accepted: Option<&str>,
) {
    let server = start().await;
    let cable = open(server.cable().subprotocol(offered).token(ALICE)).await;
    assert_eq!(cable.accepted_subprotocol(), accepted);
}

#[tokio::test]
async fn the_token_is_in_a_header_or_in_the_address_and_in_no_log() {
    let mut home = home();
    home.set("logging", "level", "trace").unwrap();
    let mut server = home.serve().await.unwrap();
    open(server.cable().header("private-token", ALICE)).await;
    let in_the_address = format!("ws://{}/-/cable?access_token={ALICE}", server.address());
    open(Connect::to(in_the_address).subprotocol(None)).await;
    let url = server.url(&format!("/api/graphql?access_token={ALICE}&query=%7BcurrentUser%7Busername%7D%7D"));
    let reply = duologue_harness::graphql::GraphqlClient::new(url, None).unwrap().get("").await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let log = server.whole_log().await.unwrap();
    assert!(log.contains("/-/cable") && !log.contains(ALICE), "{log}");
}

#[rstest::rstest]
#[case::a_bad_token(Some("nobody"), None)]
#[case::none_and_no_page(None, None)]
#[case::none_on_a_page_of_the_server(None, Some("/"))]
#[tokio::test]
async fn who_is_nobody_is_disconnected_for_good(#[case] token: Option<&str>, #[case] page: Option<&str>) {
    let server = start().await;
    let mut connect = server.cable();
    if let Some(token) = token {
        connect = connect.token(token);
    }
    if page.is_some() {
        connect = connect.origin(&server.url(""));
    }
    let (last, (code, _)) = ActionCable::open(connect).await.unwrap().closed().await.unwrap();
    let farewell = json!({ "type": "disconnect", "reason": "unauthorized", "reconnect": false });
    assert_eq!((last, code), (Some(farewell), 4403));
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_at_the_handshake() {
    let server = start().await;
    for origin in ["https://evil.example.com", "null"] {
        match ActionCable::open(server.cable().token(ALICE).origin(origin)).await {
            Err(HandshakeError::Refused(status)) => assert_eq!(status, 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.err()),
        }
    }
    open(server.cable().token(ALICE).origin(&server.url(""))).await;
}

#[tokio::test]
async fn where_nobody_is_asked_a_program_needs_no_token_and_a_foreign_page_is_refused() {
    let mut home = home();
    home.set("auth", "bypass_external", true).unwrap();
    let server = home.serve().await.unwrap();
    let mut cable = open(server.cable()).await;
    subscribe(&mut cable, &identifier(SUBSCRIPTION, &page("c"))).await;
    let foreign = ActionCable::open(server.cable().origin("https://evil.example.com")).await;
    assert!(matches!(foreign.err(), Some(HandshakeError::Refused(403))));
}

#[tokio::test]
async fn a_plain_get_is_no_handshake() {
    let server = start().await;
    assert_eq!(server.get("/-/cable").await.unwrap().status, 400);
}

#[tokio::test]
async fn what_is_no_command_ends_the_connection_for_good() {
    let server = start().await;
    for text in ["hello", "{}", r#"{"command":"subscribe"}"#] {
        let mut cable = cable(&server).await;
        cable.send_text(text).await.unwrap();
        let (last, (code, _)) = cable.closed().await.unwrap();
        let farewell = json!({ "type": "disconnect", "reason": "invalid_request", "reconnect": false });
        assert_eq!((last, code), (Some(farewell), 4400), "{text}");
    }
}

#[tokio::test]
async fn another_users_answers_are_rejected() {
    let server = start().await;
    let mut cable = cable(&server).await;
    let variables = json!({ "userId": ROOT_ID, "clientSubscriptionId": "c" });
    let (error, kind) = refusal(&mut cable, &identifier(SUBSCRIPTION, &variables)).await;
    assert_eq!(
        (&error["message"], &kind),
        (&json!("Unauthorized subscription"), &json!("reject_subscription"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_said_and_the_connection_goes_on() {
    let server = start().await;
    let mut cable = cable(&server).await;
    for (query, code) in [
        ("subscription {", "parseError"),
        ("subscription { nothing }", "undefinedField"),
        ("subscription { aiCompletionResponse(before: \"1\") { id } }", "argumentNotAccepted"),
    ] {
        let (error, kind) = refusal(&mut cable, &identifier(query, &json!({}))).await;
        assert_eq!(
            (&error["extensions"]["code"], &kind),
            (&json!(code), &json!("confirm_subscription")),
            "{error}"
        );
    }
    let (error, _) = refusal(&mut cable, &identifier(SUBSCRIPTION, &json!("{"))).await;
    assert_eq!(error["message"], "Variables are invalid JSON");
    let other_channel = json!({ "channel": "NotesChannel" }).to_string();
    cable.subscribe(&other_channel).await.unwrap();
    let rejection = json!({ "identifier": other_channel, "type": "reject_subscription" });
    assert_eq!(cable.frame().await.unwrap(), rejection);
    subscribe(&mut cable, &identifier(SUBSCRIPTION, &page("c"))).await;
}

#[tokio::test]
async fn a_repeated_subscribe_changes_nothing_and_an_ended_one_may_begin_again() {
    let server = start().await;
    let mut cable = cable(&server).await;
    let identifier = identifier(SUBSCRIPTION, &page("c"));
    subscribe(&mut cable, &identifier).await;
    cable.subscribe(&identifier).await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("c"))).await;
    // Nothing comes twice, and no second confirmation.
    answer(&mut cable, &identifier, &request_id).await.content();
    cable.unsubscribe(&identifier).await.unwrap();
    subscribe(&mut cable, &identifier).await;
}

#[tokio::test]
async fn queries_and_mutations_are_answered_once() {
    let server = start().await;
    let mut cable = cable(&server).await;
    let query = identifier("{ currentUser { username } }", &json!({}));
    cable.subscribe(&query).await.unwrap();
    let result = json!({ "data": { "currentUser": { "username": "alice" } } });
    let frame = json!({ "identifier": query, "message": { "result": result, "more": false } });
    assert_eq!(cable.frame().await.unwrap(), frame);
    assert_eq!(cable.frame().await.unwrap()["type"], "confirm_subscription");
}

#[tokio::test]
async fn an_answer_of_which_nothing_arrived_is_sent_again_until_a_pong_has_acknowledged_it() {
    let server = start().await;
    let identifier = identifier(SUBSCRIPTION, &page("c"));
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, Some("c"))).await;
    for _ in 0..2 {
        let mut forgetful = open(server.cable().token(ALICE).without_pongs()).await;
        assert_eq!(subscribe(&mut forgetful, &identifier).await, "REPLAYED");
        answer(&mut forgetful, &identifier, &request_id).await.content();
    }
    let mut reader = cable(&server).await;
    subscribe(&mut reader, &identifier).await;
    answer(&mut reader, &identifier, &request_id).await.content();
    // The pong goes out while the ping of the protocol is awaited.
    reader.ping().await.unwrap();
    let mut later = cable(&server).await;
    assert_eq!(subscribe(&mut later, &identifier).await, "LIVE");
}

/// Whether two pings came when they were due.
fn is_steady(interval: Duration, expected: Duration) -> bool {
    interval > expected.mul_f64(0.8) && interval < expected.mul_f64(1.4)
}

#[tokio::test]
async fn pings_carry_the_time_and_come_every_three_seconds_whatever_else_goes_on() {
    let server = start().await;
    let mut cable = cable(&server).await;
    let welcomed = Instant::now();
    // As much as one may send, and a subscription with each of it.
    for number in 0..45 {
        let name = format!("c{number}");
        cable.subscribe(&identifier(SUBSCRIPTION, &page(&name))).await.unwrap();
    }
    let client = server.graphql(ALICE).unwrap();
    for number in 0..10 {
        ask(&client, summarize(ISSUE, Some(&format!("c{number}")))).await;
    }
    let expected = Duration::from_secs(3);
    let first = cable.ping().await.unwrap();
    assert!(is_steady(welcomed.elapsed(), expected), "{:?}", welcomed.elapsed());
    let now = now();
    assert!(first <= now && now - first <= 2, "{first} is not {now}");
    let second = cable.ping().await.unwrap();
    assert!((2..=4).contains(&(second - first)), "{first} {second}");
}

#[tokio::test]
async fn a_flood_is_disconnected_and_may_come_back() {
    let server = start().await;
    let mut cable = cable(&server).await;
    for _ in 0..200 {
        if cable.send(json!({ "command": "pong" })).await.is_err() {
            break;
        }
    }
    let (last, (code, _)) = cable.closed().await.unwrap();
    let farewell = json!({ "type": "disconnect", "reason": "remote", "reconnect": true });
    assert_eq!((last, code), (Some(farewell), 1013));
}

#[tokio::test]
async fn one_subscription_too_many_is_rejected_and_the_others_go_on() {
    let mut home = home();
    home.set("websocket", "max_subscriptions", 1).unwrap();
    let server = home.serve().await.unwrap();
    let mut cable = cable(&server).await;
    let first = identifier(SUBSCRIPTION, &page("c"));
    subscribe(&mut cable, &first).await;
    let (error, kind) = refusal(&mut cable, &identifier(SUBSCRIPTION, &page("d"))).await;
    assert_eq!(error["extensions"]["code"], "rate_limited");
    assert_eq!(kind, "reject_subscription");
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("c"))).await;
    answer(&mut cable, &first, &request_id).await.content();
}

#[tokio::test]
async fn one_connection_too_many_of_a_user_may_come_back_and_another_protocol_counts_too() {
    let mut home = home();
    home.set("websocket", "max_connections_per_user", 2).unwrap();
    let server = home.serve().await.unwrap();
    let _first = cable(&server).await;
    let _second = crate::support::socket(&server, ALICE).await;
    let mut third = ActionCable::open(server.cable().token(ALICE)).await.unwrap();
    let (last, (code, _)) = third.closed().await.unwrap();
    let farewell = json!({ "type": "disconnect", "reason": "remote", "reconnect": true });
    assert_eq!((last, code), (Some(farewell), 4403));
    let metrics = server.get("/metrics").await.unwrap().text;
    for protocol in ["actioncable", "graphql-transport-ws"] {
        assert!(metrics.contains(&format!("{{protocol=\"{protocol}\"}} 1")), "{metrics}");
    }
}

#[tokio::test]
async fn a_shutdown_asks_every_client_to_come_back() {
    let mut home = home();
    home.set("server", "drain_seconds", 2).unwrap();
    let mut server = home.serve().await.unwrap();
    let mut cables = vec![cable(&server).await, cable(&server).await];
    server.terminate().await.unwrap();
    for cable in &mut cables {
        let (last, (code, _)) = cable.closed().await.unwrap();
        let farewell = json!({ "type": "disconnect", "reason": "server_restart", "reconnect": true });
        assert_eq!((last, code), (Some(farewell), 1012));
    }
    assert_eq!(server.ended().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn commands_sent_before_the_welcome_are_not_lost() {
    let server = start().await;
    let identifier = identifier(SUBSCRIPTION, &page("c"));
    let mut eager = ActionCable::open(server.cable().token(ALICE)).await.unwrap();
    eager.subscribe(&identifier).await.unwrap();
    eager.welcomed().await.unwrap();
    let mut kinds = HashSet::new();
    let both = async {
        while kinds.len() < 2 {
            let frame = eager.frame().await.unwrap();
            assert_eq!(frame["identifier"], identifier, "{frame}");
            kinds.insert(frame["type"].as_str().unwrap_or("message").to_owned());
        }
    };
    timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!(kinds, HashSet::from(["message".to_owned(), "confirm_subscription".to_owned()]));
}
