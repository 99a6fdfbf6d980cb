//! The same faults where a stream has no events: the AI Gateway's text ends with its body, and with nothing else.

use std::time::Duration;

use duologue_harness::fake_provider::{FakeProvider, Script, Step};

use super::{
    Dialect::Gateway,
    PIECES, Setup,
    place::{Place, assert_called, closed_after},
};

async fn place() -> (FakeProvider, Place) {
    let a = FakeProvider::start(Gateway.answer(&PIECES)).await.unwrap();
    let place = Setup::new(Gateway).calls("breaker_failures", 1_000).serve(&a.url()).await;
    (a, place)
}

#[tokio::test]
async fn case_15_the_gateways_text_is_the_same_however_it_is_split() {
    let (a, mut place) = place().await;
    let text = "data: Grüße,\r\n\u{FEFF}: 👋🏽\n\nevent: clementine\r";
    for length in [1, 2, 3, 7, usize::MAX] {
        a.enqueue(Script::event_stream().send(text).in_pieces_of(length));
        place.ask().await.is_answer(text);
    }
    assert_called(&a, Gateway, 5);
    place.log().await;
}

#[tokio::test]
async fn case_18_the_gateways_text_is_truncated_when_its_body_is() {
    let (a, mut place) = place().await;
    let begun = || Gateway.begun("Half a clementine").wait(Duration::from_millis(100));
    for script in [begun().then(Step::Close), begun().then(Step::Cut), begun().content_length(100)] {
        a.enqueue(script);
        place.ask().await.is_failure("upstream_truncated", "Half a clementine");
    }
    // Nobody could tell whether this one was cut.
    a.enqueue(begun().until_closed());
    place.ask().await.is_failure("upstream_malformed", "");
    assert_called(&a, Gateway, 4);
    place.b_was_called(0);
    place.log().await;
}

#[tokio::test]
async fn case_19_a_gateway_that_goes_silent_after_content_is_stalled() {
    let a = FakeProvider::start(Gateway.begun("Half a clementine").then(Step::Stall)).await.unwrap();
    let mut place = Setup::new(Gateway).serve(&a.url()).await;
    let told = place.ask().await;
    told.is_failure("upstream_stalled", "Half a clementine");
    told.took(Duration::from_secs(1), Duration::from_secs(1));
    assert!(closed_after(&a, 0).await <= Duration::from_secs(2));
    assert_called(&a, Gateway, 1);
    place.b_was_called(0);
    place.log().await;
}

#[tokio::test]
async fn case_21_what_unpacks_to_a_gibibyte_of_the_gateways_text_is_cut() {
    let bomb = Script::event_stream().send_gzip(&[(&[b'x'; 65_536], 16_384)]);
    let (told, growth) = super::size::played(Gateway, bomb).await;
    assert_eq!(told.failure["code"], "upstream_malformed");
    super::size::assert_bounded(growth);
}
