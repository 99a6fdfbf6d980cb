//! 1 to 4: no answer begins.

use std::time::Duration;

use duologue_harness::fake_provider::{Certificate, FakeProvider, Script};
use rstest::rstest;

use super::{
    Dialect, FROM_B, Setup,
    place::{assert_called, closed_after},
};

#[rstest]
#[tokio::test]
async fn case_01_a_refused_connection_is_tried_three_times_and_then_b_answers(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::refusing().unwrap();
    let mut place = Setup::new(dialect).serve(&a.url()).await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(1));
    place.b_was_called(1);
    assert_eq!(place.log().await.failed_attempts("a"), ["connection refused"; 3]);
}

#[rstest]
#[tokio::test]
async fn case_01_without_a_fallback_a_refused_connection_is_unavailable(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::refusing().unwrap();
    let mut place = Setup::new(dialect).without_fallback().serve(&a.url()).await;
    place.ask().await.is_failure("upstream_unavailable", "");
    place.b_was_called(0);
    assert_eq!(place.log().await.failed_attempts("a").len(), 3);
}

#[rstest]
#[tokio::test]
async fn case_02_a_host_that_does_not_resolve_is_tried_twice_and_then_b_answers(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let mut place = Setup::new(dialect).serve("https://name.invalid").await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(2));
    place.b_was_called(1);
    assert_eq!(place.log().await.failed_attempts("a"), ["the host does not resolve"; 2]);
}

#[rstest]
#[tokio::test]
async fn case_03_a_bad_certificate_is_not_tried_again_and_b_answers_if_there_is_one(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values(true, false)] has_fallback: bool,
) {
    let a = FakeProvider::start_tls(dialect.answer(&["clementine"]), Certificate::SelfSigned).await.unwrap();
    let setup = Setup::new(dialect);
    let setup = if has_fallback { setup } else { setup.without_fallback() };
    let mut place = setup.serve(&a.url()).await;
    let told = place.ask().await;
    if has_fallback {
        told.is_answer(FROM_B);
    } else {
        told.is_failure("upstream_unavailable", "");
    }
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_eq!((a.connections(), a.calls().len()), (1, 0));
    place.b_was_called(usize::from(has_fallback));
    assert_eq!(place.log().await.failed_attempts("a"), ["no TLS connection"]);
}

#[rstest]
#[tokio::test]
async fn case_04_silence_is_waited_for_up_to_the_header_deadline_and_then_b_answers(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::start(Script::silence()).await.unwrap();
    let mut place = Setup::new(dialect).serve(&a.url()).await;
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::from_secs(1), Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    assert!(closed_after(&a, 0).await < Duration::from_secs(2));
    place.b_was_called(1);
    assert_eq!(place.log().await.failed_attempts("a").len(), 1);
}

#[rstest]
#[tokio::test]
async fn case_04_without_a_fallback_silence_is_a_timeout(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::deaf().await.unwrap();
    let mut place = Setup::new(dialect).without_fallback().serve(&a.url()).await;
    let told = place.ask().await;
    told.is_failure("upstream_timeout", "");
    told.took(Duration::from_secs(1), Duration::from_secs(1));
    assert_eq!(a.connections(), 1);
    place.log().await;
}
