//! How much one user may ask for.

use std::time::Duration;

use duologue_harness::{
    graphql::Reply,
    raw_http::{Unread, whole_body},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{AI_ACTION, ALICE, ISSUE, ROOT, ask, home, socket, summarize, try_ask, until_ended};

const TOO_OFTEN: &str = "This endpoint has been requested too many times. Try again later.";
const PERIOD: Duration = Duration::from_secs(28_800);

/// Checks that a reply says `rate_limited`; its text and the seconds to wait.
fn rate_limited(reply: &Reply) -> (String, u64) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.at("/data"), json!({ "aiAction": null }), "{}", reply.text);
    let extensions = reply.at("/errors/0/extensions");
    assert_eq!((&extensions["code"], &extensions["hop"]), (&json!("rate_limited"), &json!("auth")));
    let wait = extensions["retryAfter"].as_u64().unwrap_or_else(|| panic!("{}", reply.text));
    assert_eq!(reply.header("retry-after"), Some(wait.to_string().as_str()), "{:?}", reply.headers);
    (reply.error_messages().concat(), wait)
}

#[tokio::test]
async fn of_a_thousand_requests_at_once_exactly_160_are_accepted() {
    let mut home = home();
    home.set("rate_limits", "in_flight_per_user", 1_000).unwrap();
    home.set("server", "max_new_connections_per_second", 10_000).unwrap();
    let server = home.serve().await.unwrap();
    let body = json!({ "query": AI_ACTION, "variables": { "input": summarize(ISSUE, None) } }).to_string();
    let post = |_| Unread::post(server.address(), "/api/graphql", ALICE, &body).unwrap();
    // All of them are on their way before any answer is read.
    let unread: Vec<Unread> = (0..1_000).map(post).collect();
    let answers: Vec<String> = unread.into_iter().map(|answer| answer.whole().unwrap()).collect();
    let body = |answer: &String| serde_json::from_str::<Value>(whole_body(answer).unwrap()).unwrap();
    let (accepted, refused): (Vec<&String>, Vec<&String>) =
        answers.iter().partition(|answer| body(answer)["data"]["aiAction"]["requestId"].is_string());
    assert_eq!((accepted.len(), refused.len()), (160, 840));
    for answer in refused {
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("retry-after: 28"), "{answer}");
        let error = &body(answer)["errors"][0];
        assert_eq!(
            (&error["message"], &error["extensions"]["code"]),
            (&json!(TOO_OFTEN), &json!("rate_limited"))
        );
        let wait = error["extensions"]["retryAfter"].as_u64().unwrap();
        assert!(wait <= PERIOD.as_secs() && wait > PERIOD.as_secs() - 600, "{wait}");
    }
    // What was accepted runs, and another user has an allowance of their own.
    let last = &body(accepted[159])["data"]["aiAction"]["requestId"];
    until_ended(&server, ALICE, last.as_str().unwrap()).await;
    ask(&server.graphql(ROOT).unwrap(), summarize(ISSUE, None)).await;
}

#[tokio::test]
async fn a_websocket_is_told_the_same() {
    let mut home = home();
    home.set("rate_limits", "ai_action", 1).unwrap();
    let server = home.serve().await.unwrap();
    ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    let mut socket = socket(&server, ALICE).await;
    let input = json!({ "input": summarize(ISSUE, None) });
    socket.subscribe("1", AI_ACTION, input).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!((&frame["id"], &frame["type"]), (&json!("1"), &json!("next")), "{frame}");
    let error = &frame["payload"]["errors"][0];
    assert_eq!(error["message"], TOO_OFTEN, "{frame}");
    assert_eq!(error["extensions"]["code"], "rate_limited", "{frame}");
    assert!(error["extensions"]["retryAfter"].is_u64(), "{frame}");
    assert_eq!(socket.frame().await.unwrap(), json!({ "id": "1", "type": "complete" }));
}

#[tokio::test]
async fn one_request_in_flight_too_many_is_refused_for_a_moment_only() {
    let mut home = home();
    home.set("rate_limits", "in_flight_per_user", 1).unwrap();
    home.set("rate_limits", "ai_action", 10_000).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    // Whether two requests meet is a matter of time, so they are sent until some did.
    while refused == 0 || accepted < 2 {
        for reply in join_all((0..16).map(|_| try_ask(&client, summarize(ISSUE, None)))).await {
            if reply.at("/data/aiAction/requestId") != Value::Null {
                accepted += 1;
                continue;
            }
            let (text, wait) = rate_limited(&reply);
            assert!(text.contains("requests in flight, which is the limit"), "{text}");
            assert_eq!(wait, 1);
            refused += 1;
        }
        assert!(accepted < 5_000, "one seat was never taken");
    }
}

#[tokio::test]
async fn the_allowance_is_the_configurations() {
    let mut home = home();
    home.set("rate_limits", "ai_action", 2).unwrap();
    home.set("rate_limits", "ai_action_period_seconds", 100).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    for _ in 0..2 {
        ask(&client, summarize(ISSUE, None)).await;
    }
    let (text, wait) = rate_limited(&try_ask(&client, summarize(ISSUE, None)).await);
    assert!(text == TOO_OFTEN && wait <= 100 && wait > 40, "{text} {wait}");
}
