//! Every library, subscribing at every moment, with its connection cut at every message: its user gets the whole
//! answer, in order and once. The model keeps its last piece back until everybody is there, or there again.

use duologue_harness::{
    fake_provider::Signal,
    proxy::{Passage, Proxy},
};
use rstest::rstest;
use serde_json::Value;

use super::{
    Library::{self, AnycableCore, Apollo, Gql, GraphqlWs, RailsActioncable, Relay, Urql},
    stage::{PIECES, Play, Stage, checked, until, whole},
};

/// Messages of a subscription over its life: that it stands, the question, the chunks and the final.
const MESSAGES: usize = PIECES.len() + 3;

/// As many of them as are sent before the model waits.
const MESSAGES_BEFORE_THE_SIGNAL: usize = MESSAGES - 2;

/// How the first word of a subscription is known.
const STANDS: &str = "\"subscribed\":true";

/// How often clients of ActionCable expect a ping. When one is missing they look for another connection.
const PING_SECONDS: u64 = 1;

/// A proxy that one play is behind, and what must be seen of it.
struct Line {
    proxy: Proxy,
    /// How often it is subscribed over it before the model may say its last piece.
    subscriptions_before_the_signal: usize,
    connections: usize,
}

impl Line {
    /// One that is cut once, and whose play subscribes again before the model goes on.
    async fn cut(stage: &Stage, passage: Passage) -> Self {
        Self { proxy: stage.proxy(passage).await, subscriptions_before_the_signal: 2, connections: 2 }
    }

    /// One that is not cut, with so many subscriptions, each on a connection of its own.
    async fn whole(stage: &Stage, subscriptions: usize) -> Self {
        let proxy = stage.proxy(Passage::default()).await;
        Self { proxy, subscriptions_before_the_signal: subscriptions, connections: subscriptions }
    }

    fn play(self, library: Library, scenario: &'static str) -> (Play, Self) {
        (Play::new(scenario, library.url_at(self.proxy.address())), self)
    }

    fn is_subscribed(&self) -> bool {
        self.proxy.passed(STANDS) >= self.subscriptions_before_the_signal
    }
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm and pip: run make test"]
async fn whenever_a_client_subscribes_it_gets_the_answer(
    #[values(GraphqlWs, Apollo, Urql, Relay, RailsActioncable, AnycableCore, Gql)] library: Library,
) {
    let signal = Signal::default();
    let stage = Stage::set_waiting(&signal, PING_SECONDS).await;
    let plays = [
        Line::whole(&stage, 1).await.play(library, "before"),
        Line::whole(&stage, 1).await.play(library, "race"),
        // The second is that of the witness, by whom it knows that the answer has begun.
        Line::whole(&stage, 2).await.play(library, "during"),
        Line::whole(&stage, 0).await.play(library, "after"),
    ];
    let seen = seen(&stage, library, plays.into(), &signal).await;
    let [in_time @ .., (after, _)] = seen.as_slice() else { panic!("{}", seen.len()) };
    for (seen, line) in in_time {
        whole(seen, false);
        assert_eq!(line.proxy.connections(), line.connections, "{seen}");
    }
    // The chunks of an answer that is complete are in it.
    assert_eq!(checked(after, false).finals[0]["content"], PIECES.concat(), "{after}");
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm and pip: run make test"]
async fn a_connection_cut_at_any_message_costs_nothing(
    #[values(GraphqlWs, Apollo, Urql, Relay, RailsActioncable, AnycableCore, Gql)] library: Library,
) {
    let signal = Signal::default();
    let stage = Stage::set_waiting(&signal, PING_SECONDS).await;
    let inside_a_chunk = Passage::cut_after_text("\"chunkId\":3", 1);
    let mut plays = vec![Line::cut(&stage, inside_a_chunk).await.play(library, "before")];
    for number in 1..=MESSAGES {
        plays.push(cut_after_message(&stage, library, number).await);
    }
    for (seen, line) in seen(&stage, library, plays, &signal).await {
        whole(&seen, true);
        assert_eq!(line.proxy.connections(), line.connections, "{seen}");
    }
}

async fn cut_after_message(stage: &Stage, library: Library, number: usize) -> (Play, Line) {
    let passage = Passage::cut_after_message(library.mark_of_a_result(), number);
    let mut line = Line::cut(stage, passage).await;
    if number > MESSAGES_BEFORE_THE_SIGNAL {
        line.subscriptions_before_the_signal = 1;
    }
    let (play, line) = line.play(library, "before");
    match (number < MESSAGES, library.subscribes_again_by_itself()) {
        (true, _) => (play, line),
        // Nobody has said yet that the final arrived, so who subscribes again gets it again.
        (false, true) => (play.until_the_second_final(), line),
        // With its cursor it does not.
        (false, false) => (play, line),
    }
}

/// What each play saw, with its line. Gives the signal when all of them have subscribed as often as they are to.
async fn seen(
    stage: &Stage,
    library: Library,
    plays: Vec<(Play, Line)>,
    signal: &Signal,
) -> Vec<(Value, Line)> {
    let (plays, lines): (Vec<_>, Vec<_>) = plays.into_iter().unzip();
    let plays = plays.into_iter().map(Play::marked).collect();
    let plan = stage.plan(library, plays);
    let all_are_there = async {
        until(|| lines.iter().all(Line::is_subscribed)).await;
        signal.give();
    };
    let (seen, ()) = tokio::join!(stage.seen(&plan), all_are_there);
    seen.into_iter().zip(lines).collect()
}
