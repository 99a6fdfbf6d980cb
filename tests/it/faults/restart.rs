//! 26: what was allowed when it was asked is not any more when it is run again.

use duologue_harness::fake_provider::{FakeProvider, Step};
use rstest::rstest;
use tokio::time::Instant;

use super::{Dialect, PIECES, Setup, place::assert_called};
use crate::support::{ALICE, ISSUE, ask, summarize};

#[rstest]
#[case::flag_off(
    "demo/flags.yaml",
    "\nsummarize_comments_ai: true\n",
    "\nsummarize_comments_ai: false\n",
    "feature_disabled"
)]
#[case::licence_gone("demo/directory.yaml", "    plan: ultimate\n", "", "forbidden")]
#[case::no_member_any_more("demo/directory.yaml", "members: {alice: developer}", "members: {}", "not_found")]
#[tokio::test]
async fn case_26_a_request_that_is_not_allowed_any_more_after_a_restart_ends_without_a_call(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
    #[case] file: &str,
    #[case] line: &str,
    #[case] instead: &str,
    #[case] code: &str,
) {
    let a = FakeProvider::start(dialect.answer(&PIECES)).await.unwrap();
    a.enqueue(dialect.begun("Half a clementine").then(Step::Stall));
    let setup = Setup::new(dialect).calls("idle_content_seconds", 30);
    let mut place = setup.with("pipeline", "deadline_seconds", 60).serve(&a.url()).await;
    let request_id = ask(&place.server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("page"))).await;
    assert_eq!(place.chunk().await, "Half a clementine");

    place.server.kill9().await.unwrap();
    let text = place.server.home().read(file).unwrap();
    assert_eq!(text.matches(line).count(), 1, "{line:?} in {file}");
    place.server.home().write(file, &text.replace(line, instead)).unwrap();
    place.server.restart().await.unwrap();
    place.listen_again().await;

    let told = place.told(&request_id, Instant::now()).await;
    assert_eq!((told.failure["code"].as_str(), told.content.as_str()), (Some(code), ""), "{told:?}");
    assert_called(&a, dialect, 1);
    place.b_was_called(0);
    place.log().await;
}
