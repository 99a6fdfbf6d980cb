//! 14 to 18, and 22 to 24: what is wrong with the answer itself.

use std::time::Duration;

use duologue_harness::fake_provider::{FakeProvider, Script, Step};
use rstest::rstest;

use super::{
    ANSWER, Dialect, FROM_B, PIECES, Setup,
    place::{Place, assert_called},
};

/// A server, and a provider A to which each test gives its scripts.
async fn place(dialect: Dialect) -> (FakeProvider, Place) {
    let a = FakeProvider::start(dialect.answer(&PIECES)).await.unwrap();
    // Many faults in a row are no reason to leave A alone here.
    let place = Setup::new(dialect).calls("breaker_failures", 1_000).serve(&a.url()).await;
    (a, place)
}

#[rstest]
#[tokio::test]
async fn case_14_what_is_no_answer_is_malformed_and_nothing_of_it_is_shown(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    let cut_json = r#"{"id": "1", "choices": [{"message": {"content": "clementine"#;
    let mut scripts = vec![
        Script::body(200, "text/html", "<html><title>clementine</title></html>"),
        Script::body(200, "application/json", cut_json),
    ];
    if dialect != Dialect::Gateway {
        scripts.push(Script::event_stream().send(dialect.delta("clementine").replace("}\n", "\n")));
    }
    for (number, script) in scripts.into_iter().enumerate() {
        a.enqueue(script);
        let told = place.ask().await;
        told.is_failure("upstream_malformed", "");
        told.took(Duration::ZERO, Duration::from_secs(1));
        assert_called(&a, dialect, number + 1);
    }
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_14_a_redirect_is_not_followed(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values(301, 307)] status: u16,
) {
    let elsewhere = FakeProvider::start(dialect.answer(&["clementine"])).await.unwrap();
    let (a, mut place) = place(dialect).await;
    a.enqueue(Script::redirect(status, &format!("{}{}", elsewhere.url(), dialect.path())));
    place.ask().await.is_failure("upstream_malformed", "");
    assert_called(&a, dialect, 1);
    assert_eq!(elsewhere.connections(), 0);
    place.b_was_called(0);
    place.log().await;
}

/// A whole answer with everything in it that a stream may have and that says nothing.
fn decorated(dialect: Dialect) -> String {
    let events = dialect.events(&PIECES).into_iter().map(|event| {
        // The same data in two lines: a line feed between two members is nothing to JSON.
        let event = event.replacen("data: {", "data: {\ndata:", 1);
        format!(": a comment\nid: 7\nretry: 10\n{event}:\n\n{}", dialect.novelty())
    });
    format!("\u{FEFF}{}", events.collect::<String>())
}

#[rstest]
#[tokio::test]
async fn case_15_a_stream_gives_the_same_answer_however_it_is_split_and_whatever_is_around_it(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
    #[values("\n", "\r\n", "\r")] line_end: &str,
) {
    let (a, mut place) = place(dialect).await;
    let stream = decorated(dialect).replace('\n', line_end);
    for (number, length) in [1, 2, 3, 7, 64, usize::MAX].into_iter().enumerate() {
        a.enqueue(Script::event_stream().send(stream.as_str()).in_pieces_of(length));
        place.ask().await.is_answer(ANSWER);
        assert_called(&a, dialect, number + 1);
    }
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_16_an_error_event_before_any_content_is_retried_as_its_status_is_and_then_b_answers(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    let (overloaded, status) = dialect.overloaded();
    a.always(Script::events(dialect.opening().into_iter().chain([overloaded])));
    let told = place.ask().await;
    told.is_answer(FROM_B);
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 3);
    place.b_was_called(1);
    assert_eq!(place.log().await.failed_attempts("a"), [format!("status {status}").as_str(); 3]);
}

#[rstest]
#[tokio::test]
async fn case_17_an_error_event_after_content_keeps_the_content_and_ends_the_request(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    a.enqueue(dialect.begun("Half a clementine").send(dialect.overloaded().0));
    let told = place.ask().await;
    told.is_failure("upstream_overloaded", "Half a clementine");
    told.took(Duration::ZERO, Duration::from_secs(1));
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes(), ["upstream_overloaded"]);
}

#[rstest]
#[tokio::test]
async fn case_18_a_stream_that_ends_without_its_terminator_is_truncated_however_it_ends(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    // What is still on its way when a connection is reset may be lost with it.
    let begun = || dialect.begun("Half a clementine").wait(Duration::from_millis(100));
    let scripts = [
        begun().then(Step::Close),
        begun().then(Step::Cut),
        begun().until_closed(),
        begun().until_closed().then(Step::Cut),
        // Said to be over in the words of HTTP, but not in its own.
        begun(),
        // The beginning of an event that never ends.
        begun().send("data: {").until_closed(),
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        a.enqueue(script);
        let told = place.ask().await;
        told.is_failure("upstream_truncated", "Half a clementine");
        told.took(Duration::ZERO, Duration::from_secs(1));
        assert_called(&a, dialect, number + 1);
    }
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_18_a_stream_that_ends_before_any_content_is_retried(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    for step in [Step::Cut, Step::Close] {
        a.enqueue(Script::events(dialect.opening()).wait(Duration::from_millis(100)).then(step));
    }
    place.ask().await.is_answer(ANSWER);
    assert_called(&a, dialect, 3);
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_22_an_empty_success_is_malformed(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    for (number, pieces) in [&[][..], &["", ""]].into_iter().enumerate() {
        a.enqueue(dialect.answer(pieces));
        let told = place.ask().await;
        told.is_failure("upstream_malformed", "");
        told.took(Duration::ZERO, Duration::from_secs(1));
        assert_called(&a, dialect, number + 1);
    }
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_23_what_is_no_utf_8_is_replaced_in_place_and_the_rest_is_intact(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[values(1, 1_000)] length: usize,
) {
    let (a, mut place) = place(dialect).await;
    let stream: String = dialect.events(&["Grüße, #cle", "mentine# 👋"]).concat();
    let bytes: Vec<u8> = stream.bytes().map(|byte| if byte == b'#' { 0xFF } else { byte }).collect();
    a.enqueue(Script::event_stream().send(bytes).in_pieces_of(length));
    place.ask().await.is_answer("Grüße, \u{FFFD}clementine\u{FFFD} 👋");
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    place.log().await;
}

#[rstest]
#[tokio::test]
async fn case_24_the_first_stop_wins_over_a_second_one_and_over_content_after_it(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let (a, mut place) = place(dialect).await;
    let begun = || dialect.opening().into_iter().chain([dialect.delta(ANSWER)]);
    let late = || [dialect.delta(" and more"), dialect.stop(), dialect.delta(" and more")];
    let scripts = [
        // After the last event.
        Script::events(begun().chain(dialect.closing()).chain(late()).chain(dialect.closing())),
        // Before it.
        Script::events(begun().chain([dialect.stop()]).chain(late()).chain(dialect.closing())),
    ];
    for (number, script) in scripts.into_iter().enumerate() {
        a.enqueue(script);
        place.ask().await.is_answer(ANSWER);
        assert_called(&a, dialect, number + 1);
    }
    place.b_was_called(0);
    place.log().await;
}
