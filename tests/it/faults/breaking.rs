//! 12: a provider that is overloaded, and left alone for a while.

use std::time::Duration;

use duologue_harness::fake_provider::FakeProvider;
use futures::future::join_all;
use rstest::rstest;
use tokio::time::Instant;

use super::{
    ANSWER, Dialect, FROM_B, PIECES, Setup,
    place::{Place, assert_called},
};
use crate::support::{ALICE, ask, chat, until_ended};

const OPEN: Duration = Duration::from_secs(2);

/// Asks until A is called once more. What comes from B meanwhile says nothing of A.
async fn ask_until_a_is_probed(place: &mut Place, a: &FakeProvider) {
    let calls = a.calls().len();
    while a.calls().len() == calls {
        place.ask().await.is_answer(FROM_B);
    }
}

/// Asks five times at once, beside the socket; whoever is asked, there is an answer.
async fn ask_five_at_once(place: &Place) {
    let client = place.server.graphql(ALICE).unwrap();
    let begun = join_all((0..5).map(|_| ask(&client, chat("Which marmalade?", None)))).await;
    for request_id in begun {
        until_ended(&place.server, ALICE, &request_id).await;
    }
}

#[rstest]
#[tokio::test]
async fn case_12_after_five_529s_a_is_left_alone_and_then_tried_by_one_call(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let a = FakeProvider::start(dialect.error(529)).await.unwrap();
    let setup = Setup::new(dialect).calls("breaker_open_seconds", OPEN.as_secs());
    let mut place = setup.with("rate_limits", "ai_action", 10_000).serve(&a.url()).await;

    // Three calls of the first request and two of the second, which open the breaker; then none.
    place.ask().await.is_answer(FROM_B);
    assert_called(&a, dialect, 3);
    place.ask().await.is_answer(FROM_B);
    assert_called(&a, dialect, 5);
    let opened = a.calls()[4].arrived;
    ask_five_at_once(&place).await;
    assert_called(&a, dialect, 5);

    // One call tries A and fails: nobody else tries it then.
    ask_until_a_is_probed(&mut place, &a).await;
    let probed = a.calls()[5].arrived;
    assert!(probed - opened >= OPEN, "after {:?}", probed - opened);
    ask_five_at_once(&place).await;
    if Instant::now() - probed < OPEN {
        assert_called(&a, dialect, 6);
    }

    // One that gets an answer ends it.
    a.always(dialect.answer(&PIECES));
    let deadline = Instant::now() + 5 * OPEN;
    while place.ask().await.content != ANSWER {
        assert!(Instant::now() < deadline, "A is not asked any more");
    }
    place.ask().await.is_answer(ANSWER);
    let asked_of_a = a.calls().len();
    assert!(asked_of_a <= 9, "{asked_of_a} calls of A");
    place.log().await;
}
