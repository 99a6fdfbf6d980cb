//! What an operator looks at.

use serde_json::json;

use crate::support::{ALICE, ISSUE, ask_to_the_end, chat, start, summarize, try_ask};

/// The value of the first sample whose line starts with `series`.
fn sample(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn the_server_says_that_it_is_alive_and_ready() {
    let server = start().await;
    let liveness = server.get("/-/liveness").await.unwrap();
    assert_eq!(liveness.status, 200);
    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!(readiness.status, 200, "{}", readiness.text);
    for part in ["auth", "feature_flag", "policy", "completion", "cache", "broadcaster"] {
        assert!(readiness.text.contains(part), "{part} is not listed: {}", readiness.text);
    }
}

#[tokio::test]
async fn one_request_passes_every_actor_and_is_counted() {
    let server = start().await;
    ask_to_the_end(&server, ALICE, summarize(ISSUE, None)).await;
    let metrics = server.get("/metrics").await.unwrap();
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
        "{:?}",
        metrics.headers
    );
    for actor in ["auth", "feature_flag", "policy", "completion", "cache", "broadcaster"] {
        let handled = sample(&metrics.text, &format!("duologue_actor_messages_total{{actor=\"{actor}\"}}"));
        assert!(handled > Some(0.0), "{actor} handled nothing:\n{}", metrics.text);
        let restarts = sample(&metrics.text, &format!("duologue_actor_restarts_total{{actor=\"{actor}\"}}"));
        assert_eq!(restarts, Some(0.0), "{}", metrics.text);
    }
    let accepted = "duologue_requests_total{action=\"summarize_comments\",outcome=\"accepted\"}";
    assert_eq!(sample(&metrics.text, accepted), Some(1.0), "{}", metrics.text);
}

#[tokio::test]
async fn credentials_that_are_not_taken_are_counted_at_every_entrance() {
    let server = start().await;
    let guess = server.graphql("a-guess").unwrap();
    assert_eq!(guess.post("{ currentUser { id } }", json!({})).await.unwrap().status, 401);
    assert_eq!(try_ask(&guess, chat("Who am I?", None)).await.status, 401);
    let mut socket = server.websocket().open().await.unwrap();
    assert!(socket.init(Some(json!({ "Authorization": "Bearer a-guess" }))).await.is_err());
    ask_to_the_end(&server, ALICE, summarize(ISSUE, None)).await;
    let metrics = server.get("/metrics").await.unwrap().text;
    let refused = "duologue_credentials_refused_total{reason=\"invalid\"}";
    assert_eq!(sample(&metrics, refused), Some(3.0), "{metrics}");
}

#[tokio::test]
async fn a_page_that_is_not_there_is_a_404() {
    let server = start().await;
    assert_eq!(server.get("/-/nothing").await.unwrap().status, 404);
}
