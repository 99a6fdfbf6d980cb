//! 5 to 11, and 13: an answer that is a status.

use std::time::Duration;

use duologue_harness::fake_provider::FakeProvider;
use rstest::rstest;
use serde_json::Value;

use super::{
    ANSWER, Dialect, FROM_B, PIECES, Setup,
    place::{Place, SLACK, assert_called},
};

/// A provider A that answers, once the scripts it is given are played.
async fn answering(dialect: Dialect) -> FakeProvider {
    FakeProvider::start(dialect.answer(&PIECES)).await.unwrap()
}

async fn at(a: &FakeProvider, dialect: Dialect) -> Place {
    Setup::new(dialect).serve(&a.url()).await
}

#[rstest]
#[tokio::test]
async fn case_05_a_refused_key_ends_the_request_and_is_named_by_its_id_in_the_log(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values(401, 403)] status: u16,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(status));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_failure("upstream_auth", "");
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    let log = place.log().await;
    let what = log.failed_attempts("a");
    assert_eq!(what.len(), 1, "{what:?}");
    assert!(
        what[0].starts_with(&format!("status {status}")) && what[0].contains(&dialect.asks_with()),
        "{what:?}"
    );
}

#[rstest]
#[tokio::test]
async fn case_06_a_call_that_is_at_fault_itself_is_not_repeated_anywhere(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values((400, "upstream_rejected"), (413, "upstream_too_large"))] fault: (u16, &str),
) {
    let (status, code) = fault;
    let a = answering(dialect).await;
    a.enqueue(dialect.error(status));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_failure(code, "");
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.failed_attempts("a"), [format!("status {status}")]);
}

#[rstest]
#[tokio::test]
async fn case_07_a_timeout_or_a_conflict_at_the_provider_is_repeated(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values(408, 409)] status: u16,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(status));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_answer(ANSWER);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 2);
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_08_a_429_that_asks_for_a_second_is_repeated_after_one_to_one_and_a_half(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(429).header("retry-after", "1"));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_answer(ANSWER);
    told.took(Duration::from_secs(1), Duration::from_millis(1_500));
    assert_called(&a, dialect, 2);
    let calls = a.calls();
    let waited = calls[1].arrived - calls[0].arrived;
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1_500) + SLACK, "{waited:?}");
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_09_a_429_that_asks_for_an_hour_sends_the_call_to_b_at_once(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(429).header("retry-after", "3600"));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(1);
    place.log().await;
}

#[rstest]
#[case::case_09_an_hour(Some("3600"))]
#[case::case_10_nothing(None)]
#[tokio::test]
async fn cases_09_and_10_a_429_without_a_fallback_ends_the_request_and_says_for_how_long(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[case] retry_after: Option<&str>,
) {
    let a = answering(dialect).await;
    let refusal = dialect.error(429);
    a.enqueue(match retry_after {
        Some(seconds) => refusal.header("retry-after", seconds),
        None => refusal,
    });
    let mut place = Setup::new(dialect).without_fallback().serve(&a.url()).await;
    let told = place.ask().await;
    told.is_failure("upstream_rate_limited", "");
    told.took(Duration::ZERO, Duration::from_secs(1));
    let expected: Option<u64> = retry_after.map(|seconds| seconds.parse().unwrap());
    assert_eq!(told.failure.get("retryAfter").and_then(Value::as_u64), expected, "{told:?}");
    assert_called(&a, dialect, 1);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_10_a_429_that_does_not_say_when_sends_the_call_to_b_without_a_retry(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(429));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(1);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_11_two_500s_and_an_answer_are_three_calls_under_one_idempotency_key(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = answering(dialect).await;
    let mut place = at(&a, dialect).await;
    for _ in 0..2 {
        a.enqueue(dialect.error(500));
    }
    let told = place.ask().await;
    told.is_answer(ANSWER);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 3);
    let first = a.calls();
    assert!(first.iter().all(|call| dialect.id_of(call) == dialect.id_of(&first[0])));
    assert!(first[0].json().is_object() && first.iter().all(|call| call.json() == first[0].json()));

    // Another request is another call, with the fallback as with the model itself.
    a.always(dialect.error(500));
    place.ask().await.is_answer(FROM_B);
    assert_called(&a, dialect, 6);
    let second = [&a.calls()[3..], &place.b.calls()].concat();
    assert!(second.iter().all(|call| dialect.id_of(call) == dialect.id_of(&second[0])));
    assert!(dialect.id_of(&first[0]).is_none_or(|id| dialect.id_of(&second[0]) != Some(id)));
    place.b_was_called(1);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_13_a_500_that_says_not_to_retry_is_not_retried(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = answering(dialect).await;
    a.enqueue(dialect.error(500).header("x-should-retry", "false"));
    let mut place = at(&a, dialect).await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(1);
    place.log().await;
}
