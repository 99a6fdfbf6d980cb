//! 25: whoever asked does not want to know any more, or is not there for a while.

use std::time::Duration;

use duologue_harness::fake_provider::{FakeProvider, Step};
use rstest::rstest;
use serde_json::json;
use tokio::time::Instant;

use super::{Dialect, Setup, place::assert_called};
use crate::support::{self, ALICE, socket, subscribe};

const CANCEL: &str = "mutation($id: ID!) { aiCancel(requestId: $id) { requestId errors } }";

/// So patient that nothing but the test ends a call.
fn patient(dialect: Dialect) -> Setup {
    Setup::new(dialect).calls("idle_content_seconds", 30).with("pipeline", "deadline_seconds", 60)
}

#[rstest]
#[tokio::test]
async fn case_25_a_cancelled_request_closes_its_call_within_a_second_and_keeps_what_was_shown(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::start(dialect.begun("Half a clementine").then(Step::Stall)).await.unwrap();
    let mut place = patient(dialect).serve(&a.url()).await;
    let began = Instant::now();
    let request_id = place.begin().await;
    assert_eq!(place.chunk().await, "Half a clementine");

    let cancelled = Instant::now();
    let reply = place.server.graphql(ALICE).unwrap().post(CANCEL, json!({ "id": request_id })).await.unwrap();
    assert_eq!(reply.error_messages(), [] as [&str; 0], "{}", reply.text);
    let calls = a.until(|calls| calls.iter().all(|call| call.caller_closed.is_some())).await.unwrap();
    let closed = calls[0].caller_closed.unwrap() - cancelled;
    assert!(closed <= Duration::from_secs(1), "after {closed:?}");

    let told = place.told(&request_id, began).await;
    assert_eq!((told.content.as_str(), told.shown.as_str()), ("Half a clementine", ""), "{told:?}");
    assert_eq!(told.errors, ["The request was cancelled."]);
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes(), ["cancelled"]);
}

#[rstest]
#[tokio::test]
async fn case_25_a_request_that_is_cancelled_before_its_answer_begins_closes_its_call_too(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::start(duologue_harness::fake_provider::Script::silence()).await.unwrap();
    let mut place = patient(dialect).calls("header_seconds", 30).serve(&a.url()).await;
    let began = Instant::now();
    let request_id = place.begin().await;
    a.until(|calls| !calls.is_empty()).await.unwrap();

    let cancelled = Instant::now();
    place.server.graphql(ALICE).unwrap().post(CANCEL, json!({ "id": request_id })).await.unwrap();
    let calls = a.until(|calls| calls.iter().all(|call| call.caller_closed.is_some())).await.unwrap();
    assert!(calls[0].caller_closed.unwrap() - cancelled <= Duration::from_secs(1));
    assert_eq!(place.told(&request_id, began).await.errors, ["The request was cancelled."]);
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes(), ["cancelled"]);
}

#[rstest]
#[tokio::test]
async fn case_25_a_socket_that_is_gone_cancels_nothing(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let rest = dialect.closing().into_iter().fold(
        dialect
            .begun("Half a clementine")
            .wait(Duration::from_millis(500))
            .send(dialect.delta(" and the rest")),
        duologue_harness::fake_provider::Script::send,
    );
    let a = FakeProvider::start(rest).await.unwrap();
    let mut place = patient(dialect).serve(&a.url()).await;
    let request_id = place.begin().await;
    assert_eq!(place.chunk().await, "Half a clementine");
    let gone = std::mem::replace(&mut place.socket, socket(&place.server, ALICE).await);
    gone.close().await.unwrap();

    let calls = a.until(|calls| calls.iter().all(|call| call.played)).await.unwrap();
    assert_eq!(calls[0].caller_closed, None);
    subscribe(&mut place.socket, "s", json!({ "requestId": request_id })).await;
    let answer = support::answer(&mut place.socket, "s", &request_id).await;
    assert_eq!(answer.content(), "Half a clementine and the rest");
    assert_called(&a, dialect, 1);
    assert_eq!(place.log().await.outcomes(), ["completed"]);
}
