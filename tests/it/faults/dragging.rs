//! 19 and 20: an answer that does not come to its end.

use std::time::Duration;

use duologue_harness::fake_provider::{FakeProvider, Step};
use rstest::rstest;

use super::{
    Dialect, Setup,
    place::{assert_called, closed_after},
};

const OFTEN: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
enum Stall {
    Silence,
    Comments,
    EmptyEvents,
}

#[rstest]
#[tokio::test]
async fn case_19_a_stall_after_content_ends_at_the_idle_limit_whatever_keeps_the_line_alive(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
    #[values(Stall::Silence, Stall::Comments, Stall::EmptyEvents)] stall: Stall,
) {
    let step = match stall {
        Stall::Silence => Step::Stall,
        Stall::Comments => Step::Repeat(b": keep-alive\n\n".to_vec(), OFTEN),
        Stall::EmptyEvents => Step::Repeat(dialect.keep_alive().into_bytes(), OFTEN),
    };
    let a = FakeProvider::start(dialect.begun("Half a clementine").then(step)).await.unwrap();
    let mut place = Setup::new(dialect).serve(&a.url()).await;
    let told = place.ask().await;
    told.is_failure("upstream_stalled", "Half a clementine");
    told.took(Duration::from_secs(1), Duration::from_secs(1));
    // One second of silence, and no more than one until the socket is closed.
    let closed = closed_after(&a, 0).await;
    assert!(closed >= Duration::from_secs(1) && closed <= Duration::from_secs(2), "after {closed:?}");
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes(), ["upstream_stalled"]);
}

#[rstest]
#[tokio::test]
async fn case_19_a_stall_before_any_content_sends_the_call_to_b(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let comments = Step::Repeat(b": keep-alive\n\n".to_vec(), OFTEN);
    let a = FakeProvider::start(
        duologue_harness::fake_provider::Script::events(dialect.opening()).then(comments),
    )
    .await
    .unwrap();
    let mut place = Setup::new(dialect).serve(&a.url()).await;
    let told = place.ask().await;
    told.is_answer(super::FROM_B);
    told.took(Duration::from_secs(1), Duration::from_secs(1));
    assert!(closed_after(&a, 0).await <= Duration::from_secs(2));
    assert_called(&a, dialect, 1);
    place.b_was_called(1);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_20_an_answer_without_an_end_ends_at_the_deadline(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let deadline = Duration::from_secs(2);
    let endless = Step::Repeat(dialect.delta("clementine ").into_bytes(), OFTEN);
    let a = FakeProvider::start(dialect.begun("One ").then(endless)).await.unwrap();
    let setup = Setup::new(dialect).with("pipeline", "deadline_seconds", deadline.as_secs());
    let mut place = setup.serve(&a.url()).await;
    let told = place.ask().await;
    told.is_failure("deadline_exceeded", &told.shown);
    assert!(told.shown.starts_with("One clementine clementine "), "{told:?}");
    told.took(deadline, deadline);
    assert!(closed_after(&a, 0).await <= deadline + Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes(), ["deadline_exceeded"]);
}
