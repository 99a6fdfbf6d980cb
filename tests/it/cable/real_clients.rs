//! What only ActionCable has, as the client libraries of it see it that others wrote: `@rails/actioncable` as a page,
//! `@anycable/core` as an editor extension. When they subscribe, and what a cut costs them, is in `clients`.

use std::time::Duration;

use duologue_harness::proxy::Passage;
use rstest::rstest;
use serde_json::json;

use crate::{
    clients::{
        Library,
        stage::{PIECES, Play, Stage, checked, whole},
    },
    support::ROOT_ID,
};

/// With fewer, a response fits into the buffers on its way and is out before anybody has read of it.
const ALIASES: usize = 4_000;

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn nothing_comes_before_a_response_that_is_late(
    #[values(Library::RailsActioncable, Library::AnycableCore)] library: Library,
) {
    let stage = Stage::set(3).await;
    let proxy = stage.proxy(Passage::held(Duration::from_secs(1))).await;
    let mut plan = stage.plan(library, vec![Play::new("before", library.url(&stage.server))]);
    plan.graphql_url = format!("http://{}/api/graphql", proxy.address());
    plan.more_fields = (0..ALIASES).map(|number| format!(" a{number}: clientMutationId")).collect();
    for seen in stage.seen(&plan).await {
        assert_eq!(seen["early"], 0, "{seen}");
        whole(&seen, false);
    }
    assert_eq!(proxy.connections(), 1);
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_client_that_misses_its_pings_comes_back_and_gets_what_it_missed(
    #[values(Library::RailsActioncable, Library::AnycableCore)] library: Library,
) {
    let stage = Stage::set(1).await;
    // Behind the subscription's own message, the question and the first chunk.
    let proxy = stage.proxy(Passage::silent_after_text("\"more\":true}}", 3)).await;
    let plan = stage.plan(library, vec![Play::new("before", library.url_at(proxy.address()))]);
    for seen in stage.seen(&plan).await {
        let answer = checked(&seen, true);
        assert_eq!(answer.finals[0]["content"], PIECES.concat(), "{seen}");
        assert_eq!((answer.chunks.len(), proxy.connections()), (1, 2), "{seen}");
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_client_that_may_not_is_rejected(
    #[values(Library::RailsActioncable, Library::AnycableCore)] library: Library,
) {
    let stage = Stage::set(3).await;
    let mut plan = stage.plan(library, vec![Play::new("rejected", library.url(&stage.server))]);
    plan.user_id = ROOT_ID;
    let seen = stage.seen(&plan).await;
    // The other library shows nothing of a subscription before it is confirmed.
    if library == Library::RailsActioncable {
        assert_eq!(seen[0]["errors"][0]["message"], "Unauthorized subscription", "{seen:?}");
    }
    assert_eq!(seen[0]["messages"], json!([]));
}
