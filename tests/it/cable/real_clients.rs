//! The client libraries of ActionCable that others wrote, each as those who use it do: `@rails/actioncable`
//! as a page, `@anycable/core` as an editor extension. `make test` installs them and runs these tests too.

use std::time::Duration;

use duologue_harness::{
    fake_provider::{
        FakeProvider, Script,
        shapes::openai::{delta, done, stop},
    },
    proxy::{Passage, Proxy},
    server::TestServer,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    clients::node_with,
    support::{ALICE, ALICE_ID, Answer, ROOT_ID, home},
};

/// What the model says, one piece after another.
const PIECES: [&str; 6] = ["Export ", "of large ", "reports ", "is ", "being ", "rebuilt."];

/// How every message but the last of an operation ends on the wire.
const END_OF_MESSAGE: &str = "\"more\":true}}";

/// With fewer, a response fits into the buffers on its way and is out before anybody has read of it.
const ALIASES: usize = 4_000;

/// A server whose model speaks with pauses, the longest of them before its last word.
struct Stage {
    server: TestServer,
    _model: FakeProvider,
    ping_seconds: u64,
}

/// How a script is run.
struct Play<'a> {
    client: &'a str,
    scenario: &'a str,
    cable_urls: Vec<String>,
    graphql_url: String,
    user_id: &'a str,
    more_fields: String,
}

impl Stage {
    async fn set(pause: Duration, last_pause: Duration, ping_seconds: u64) -> Self {
        let model = FakeProvider::start(speaking(pause, last_pause)).await.unwrap();
        let mut home = home();
        let provider = json!({ "kind": "openai", "base_url": format!("{}/v1", model.url()) });
        home.set("providers", "local", provider).unwrap();
        home.set("models", "small", json!({ "provider": "local", "model": "tiny" })).unwrap();
        home.set("feature_settings", "default", json!(["small"])).unwrap();
        home.set("websocket", "cable_ping_seconds", ping_seconds).unwrap();
        for limit in ["max_aliases", "max_complexity", "max_query_characters"] {
            home.set("graphql", limit, 1_000_000).unwrap();
        }
        Self { server: home.serve().await.unwrap(), _model: model, ping_seconds }
    }

    /// Five connections at once without anything between.
    fn play<'a>(&self, client: &'a str, scenario: &'a str) -> Play<'a> {
        Play {
            client,
            scenario,
            cable_urls: vec![format!("ws://{}/-/cable", self.server.address()); 5],
            graphql_url: self.server.url("/api/graphql"),
            user_id: ALICE_ID,
            more_fields: String::new(),
        }
    }

    /// What each connection saw.
    async fn seen(&self, play: &Play<'_>) -> Vec<Value> {
        let (urls, ping) = (json!(play.cable_urls).to_string(), self.ping_seconds.to_string());
        let variables = [
            ("CLIENT", play.client),
            ("SCENARIO", play.scenario),
            ("CABLE_URLS", urls.as_str()),
            ("GRAPHQL_URL", play.graphql_url.as_str()),
            ("PING_SECONDS", ping.as_str()),
            ("MORE_FIELDS", play.more_fields.as_str()),
            ("USER_ID", play.user_id),
            ("TOKEN", ALICE),
        ];
        let said = node_with("cable-scenario.mjs", &variables).await;
        let seen: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        seen.as_array().unwrap().clone()
    }
}

fn speaking(pause: Duration, last_pause: Duration) -> Script {
    let mut script = Script::event_stream();
    for (number, piece) in PIECES.iter().enumerate() {
        let is_last = number + 1 == PIECES.len();
        script = script.wait(if is_last { last_pause } else { pause }).send(delta(piece));
    }
    script.send(stop()).send(done())
}

/// What one connection saw, after checking that it is of the request it made and that nothing is missing:
/// chunks from 1 without a gap, and one final. What comes again after a reconnect must be the same.
fn checked(seen: &Value) -> Answer {
    assert_eq!(seen["errors"], json!([]), "{seen}");
    let mut answer = Answer::default();
    for message in seen["messages"].as_array().unwrap() {
        assert_eq!(message["requestId"], seen["requestId"], "{seen}");
        if answer.chunks.contains(message) {
            continue;
        }
        answer.add(message);
    }
    assert_eq!(answer.finals.len(), 1, "{seen}");
    answer
}

fn whole(seen: &Value) {
    let answer = checked(seen);
    assert!(!answer.chunks.is_empty(), "{seen}");
    assert_eq!(answer.content(), PIECES.concat());
}

const SOON: Duration = Duration::from_millis(20);

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn whenever_a_client_subscribes_it_gets_the_answer(#[values("actioncable", "anycable")] client: &str) {
    let stage = Stage::set(SOON, SOON, 3).await;
    for scenario in ["before", "race"] {
        let seen = stage.seen(&stage.play(client, scenario)).await;
        assert_eq!(seen.len(), 5);
        seen.iter().for_each(whole);
    }
    // The chunks of an answer that is complete are in it.
    for seen in stage.seen(&stage.play(client, "after")).await {
        assert_eq!(checked(&seen).finals[0]["content"], PIECES.concat(), "{seen}");
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_client_that_subscribes_in_the_middle_gets_the_chunks_it_missed(
    #[values("actioncable", "anycable")] client: &str,
) {
    let stage = Stage::set(SOON, Duration::from_secs(1), 3).await;
    stage.seen(&stage.play(client, "during")).await.iter().for_each(whole);
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn nothing_comes_before_a_response_that_is_late(#[values("actioncable", "anycable")] client: &str) {
    let stage = Stage::set(SOON, SOON, 3).await;
    let proxy = Proxy::start(stage.server.address()).await.unwrap();
    proxy.next(Passage::held(Duration::from_secs(1)));
    let mut play = stage.play(client, "before");
    play.cable_urls.truncate(1);
    play.graphql_url = format!("http://{}/api/graphql", proxy.address());
    play.more_fields = (0..ALIASES).map(|number| format!(" a{number}: clientMutationId")).collect();
    for seen in stage.seen(&play).await {
        assert_eq!(seen["early"], 0, "{seen}");
        whole(&seen);
    }
    assert_eq!(proxy.connections(), 1);
}

/// Proxies in front of the cable, one for each passage, which the first connection of each takes.
async fn proxies(stage: &Stage, passages: impl IntoIterator<Item = Passage>) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for passage in passages {
        let proxy = Proxy::start(stage.server.address()).await.unwrap();
        proxy.next(passage);
        proxies.push(proxy);
    }
    proxies
}

fn cable_urls(proxies: &[Proxy]) -> Vec<String> {
    proxies.iter().map(|proxy| format!("ws://{}/-/cable", proxy.address())).collect()
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_connection_cut_at_any_chunk_costs_no_chunk(#[values("actioncable", "anycable")] client: &str) {
    // The model is still at it when the slowest client is back.
    let stage = Stage::set(SOON, Duration::from_secs(12), 1).await;
    // The subscription's own message, the question, and all chunks but the last.
    let boundaries = (1..=PIECES.len() + 1).map(|times| Passage::cut_after_text(END_OF_MESSAGE, times));
    let inside_a_chunk = Passage::cut_after_text("\"chunkId\":3", 1);
    let proxies = proxies(&stage, boundaries.chain([inside_a_chunk])).await;
    let play = Play { cable_urls: cable_urls(&proxies), ..stage.play(client, "before") };
    for (seen, proxy) in stage.seen(&play).await.iter().zip(&proxies) {
        whole(seen);
        assert_eq!(proxy.connections(), 2, "{seen}");
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_client_that_misses_its_pings_comes_back_and_gets_what_it_missed(
    #[values("actioncable", "anycable")] client: &str,
) {
    let stage = Stage::set(SOON, SOON, 1).await;
    // Behind the subscription's own message, the question and the first chunk.
    let passage = Passage::silent_after_text(END_OF_MESSAGE, 3);
    let proxies = proxies(&stage, [passage]).await;
    let play = Play { cable_urls: cable_urls(&proxies), ..stage.play(client, "before") };
    for seen in stage.seen(&play).await {
        let answer = checked(&seen);
        assert_eq!(answer.finals[0]["content"], PIECES.concat(), "{seen}");
        assert_eq!((answer.chunks.len(), proxies[0].connections()), (1, 2), "{seen}");
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn a_client_that_may_not_is_rejected(#[values("actioncable", "anycable")] client: &str) {
    let stage = Stage::set(SOON, SOON, 3).await;
    let mut play = Play { user_id: ROOT_ID, ..stage.play(client, "rejected") };
    play.cable_urls.truncate(1);
    let seen = stage.seen(&play).await;
    // The other library shows nothing of a subscription before it is confirmed.
    if client == "actioncable" {
        assert_eq!(seen[0]["errors"][0]["message"], "Unauthorized subscription", "{seen:?}");
    }
    assert_eq!(seen[0]["messages"], json!([]));
}
