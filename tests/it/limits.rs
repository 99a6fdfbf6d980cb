//! Everything a client can overdo over HTTP, and how it is told.

use duologue_harness::graphql::{GraphqlClient, Reply, send};
use futures::future::join_all;
use serde_json::json;

use crate::support::{
    ALICE, ALICE_ID, ISSUE, answer, ask, home, socket, start, subscribe, summarize, try_ask, until_ended,
};

/// A refusal has one error with a text and a code, whatever the status.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.error_messages().len(), 1, "{}", reply.text);
    assert!(reply.code().is_some_and(|code| !code.is_empty()), "{}", reply.text);
    assert!(reply.json()["data"].is_null(), "{}", reply.text);
    assert!(reply.header("content-type").is_some_and(|kind| kind.contains("json")), "{:?}", reply.headers);
}

async fn query(client: &GraphqlClient, document: &str) -> Reply {
    client.post(document, json!({})).await.unwrap()
}

#[tokio::test]
async fn a_document_may_be_20_levels_deep() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    // `__type`, then one `ofType` inside the other, then a name.
    let nested = |levels: usize| {
        let (open, close) = ("ofType { ".repeat(levels - 2), "} ".repeat(levels - 2));
        format!("{{ __type(name: \"Query\") {{ {open} name {close} }} }}")
    };
    let allowed = query(&client, &nested(20)).await;
    assert_eq!(allowed.error_messages(), [] as [&str; 0], "{}", allowed.text);
    assert_refused(&query(&client, &nested(21)).await, 200);
    assert_refused(&query(&client, &nested(200)).await, 200);
}

#[tokio::test]
async fn a_document_may_ask_for_250_fields() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let fields = |count: usize| format!("{{ currentUser {{ {} }} }}", "id ".repeat(count - 1));
    let allowed = query(&client, &fields(250)).await;
    assert_eq!(allowed.json(), json!({ "data": { "currentUser": { "id": ALICE_ID } } }));
    assert_refused(&query(&client, &fields(251)).await, 200);
}

#[tokio::test]
async fn a_document_may_have_10_000_characters() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let long = |characters: usize| format!("{:ü<characters$}", "{ __typename } #");
    assert_eq!(query(&client, &long(10_000)).await.json(), json!({ "data": { "__typename": "Query" } }));
    assert_refused(&query(&client, &long(10_001)).await, 200);
}

#[tokio::test]
async fn a_document_may_have_32_aliases() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let aliased = |count: usize| {
        let aliases: String = (0..count).map(|number| format!("a{number}: __typename ")).collect();
        format!("{{ {aliases} }}")
    };
    assert_eq!(query(&client, &aliased(32)).await.error_messages(), [] as [&str; 0]);
    assert_refused(&query(&client, &aliased(33)).await, 200);
}

#[tokio::test]
async fn a_full_server_says_so_at_once_and_keeps_what_it_accepted() {
    let mut home = home();
    home.set("pipeline", "permits", 1).unwrap();
    home.set("rate_limits", "ai_action", 1_000).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    // Whether two requests meet is a matter of time, so they are sent until some did.
    while refused == 0 || accepted.is_empty() {
        let replies = join_all((0..16).map(|_| try_ask(&client, summarize(ISSUE, None)))).await;
        for reply in replies {
            if reply.status == 200 {
                accepted.push(reply.at("/data/aiAction/requestId").as_str().unwrap().to_owned());
                continue;
            }
            refused += 1;
            assert_eq!(reply.status, 503, "{}", reply.text);
            assert_eq!(reply.code().as_deref(), Some("overloaded"), "{}", reply.text);
            assert!(
                reply.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok()),
                "{:?}",
                reply.headers
            );
        }
        assert!(accepted.len() < 1_000, "one permit never ran out");
    }
    for request_id in accepted.iter().rev().take(8) {
        until_ended(&server, ALICE, request_id).await;
    }
}

#[tokio::test]
async fn the_limits_are_the_configurations() {
    let mut home = home();
    home.set("graphql", "max_aliases", 1).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    assert_refused(&query(&client, "{ a: __typename b: __typename }").await, 200);
}

#[tokio::test]
async fn a_batch_is_refused_with_400() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let batch = json!([{ "query": "{ __typename }" }, { "query": "{ __typename }" }]);
    assert_refused(&client.post_json(&batch).await.unwrap(), 400);
    assert_refused(&client.post_json(&json!([])).await.unwrap(), 400);
}

#[rstest::rstest]
#[case::no_json("{\"query\": ")]
#[case::no_object("7")]
#[case::no_query("{}")]
#[case::a_query_that_is_no_text(r#"{"query": 7}"#)]
#[case::variables_that_are_no_object(r#"{"query": "{ __typename }", "variables": "7"}"#)]
#[tokio::test]
async fn a_body_that_is_no_request_is_refused_with_400(#[case] body: &str) {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    assert_refused(&client.post_raw("application/json", body.to_owned()).await.unwrap(), 400);
}

#[rstest::rstest]
#[case("text/plain")]
#[case("application/x-www-form-urlencoded")]
#[case("multipart/form-data")]
#[tokio::test]
async fn only_json_is_taken(#[case] content_type: &str) {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let body = r#"{"query": "{ __typename }"}"#;
    assert_refused(&client.post_raw(content_type, body).await.unwrap(), 415);
    let with_charset = client.post_raw("application/json; charset=utf-8", body).await.unwrap();
    assert_eq!(with_charset.json(), json!({ "data": { "__typename": "Query" } }));
}

#[tokio::test]
async fn a_body_without_a_content_type_is_refused() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let reply = send(client.post_request().body(r#"{"query": "{ __typename }"}"#)).await.unwrap();
    assert_refused(&reply, 415);
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused_with_413() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let sized = |bytes: usize| {
        let rest = json!({ "query": "{ __typename }", "variables": { "padding": "" } }).to_string().len();
        json!({ "query": "{ __typename }", "variables": { "padding": "x".repeat(bytes - rest) } }).to_string()
    };
    let mebibyte = 1_048_576;
    let allowed = client.post_raw("application/json", sized(mebibyte)).await.unwrap();
    assert_eq!(allowed.json(), json!({ "data": { "__typename": "Query" } }), "{}", allowed.text);
    assert_refused(&client.post_raw("application/json", sized(mebibyte + 1)).await.unwrap(), 413);
}

#[tokio::test]
async fn a_get_is_for_queries_only() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let query = client.get("{ currentUser { username } }").await.unwrap();
    assert_eq!(query.json(), json!({ "data": { "currentUser": { "username": "alice" } } }));

    let mutation = r#"mutation { aiAction(input: { chat: { content: "Hello?" } }) { requestId } }"#;
    let refused = client.get(mutation).await.unwrap();
    assert_refused(&refused, 405);
    assert_eq!(refused.header("allow"), Some("POST"));
}

#[tokio::test]
async fn another_method_is_refused() {
    let server = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = send(client.put(server.url("/api/graphql"))).await.unwrap();
    assert_eq!(reply.status, 405, "{}", reply.text);
}

#[tokio::test]
async fn a_subscription_needs_a_websocket() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let reply = query(&client, "subscription { aiCompletionResponse { content } }").await;
    assert_eq!(reply.error_messages().len(), 1, "{}", reply.text);
    assert!(reply.code().is_some(), "{}", reply.text);
}

/// Clients probe for features by what a document is refused for.
#[rstest::rstest]
#[case::unknown_field("{ nothing }", "undefinedField")]
#[case::unknown_argument("{ aiMessages(nothing: 1) { nodes { id } } }", "argumentNotAccepted")]
#[case::unknown_input_field(
    r#"mutation { aiAction(input: { chat: { content: "x", nothing: 1 } }) { requestId } }"#,
    "argumentNotAccepted"
)]
#[tokio::test]
async fn an_invalid_document_says_why_in_its_code(#[case] document: &str, #[case] code: &str) {
    let server = start().await;
    let reply = query(&server.graphql(ALICE).unwrap(), document).await;
    assert_eq!(reply.code().as_deref(), Some(code), "{}", reply.text);
}

#[tokio::test]
async fn a_syntax_error_has_a_place_and_a_code() {
    let server = start().await;
    let reply = query(&server.graphql(ALICE).unwrap(), "{ currentUser ").await;
    assert_refused(&reply, 200);
    assert!(reply.at("/errors/0/locations/0/line").is_u64(), "{}", reply.text);
}

/// A time that cannot be added to now ends the actor that tries it.
#[tokio::test]
async fn with_the_largest_settings_a_question_is_answered() {
    let mut home = home();
    for (section, key, value) in [
        ("rate_limits", "ai_action_period_seconds", json!(31_536_000)),
        ("rate_limits", "in_flight_per_user", json!(65_536)),
        ("auth", "gitlab_tokens", json!(true)),
        ("auth", "gitlab_token_seconds", json!(3_600)),
        ("auth", "recheck_seconds", json!(3_600)),
        ("auth", "issuers", json!(["http://127.0.0.1:1"])),
        ("auth", "jwks_refresh_seconds", json!(86_400)),
        ("auth", "jwks_unknown_key_seconds", json!(86_400)),
        ("auth", "jwks_max_stale_seconds", json!(31_536_000)),
        ("auth", "verified_tokens", json!(10_000_000)),
        ("gitlab", "url", json!("http://127.0.0.1:1")),
        ("gitlab", "cache_seconds", json!(3_600)),
        ("gitlab", "cache_entries", json!(10_000_000)),
    ] {
        home.set(section, key, value).unwrap();
    }
    let mut server = home.serve().await.unwrap();
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "s", json!({"clientSubscriptionId": "page"})).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("page"))).await;
    assert!(!answer(&mut socket, "s", &request_id).await.content().is_empty());
    let log = server.whole_log().await.unwrap();
    assert!(!log.contains("panicked"), "{log}");
}
