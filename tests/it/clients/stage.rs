//! A server, a model that speaks as a test wants it to, and what client libraries saw of its answers.

use std::time::Duration;

use duologue_harness::{
    fake_provider::{
        FakeProvider, Script, Signal, Step,
        shapes::openai::{delta, done, stop},
    },
    proxy::{Passage, Proxy},
    server::{PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Library, folder::Folder};
use crate::support::{ALICE, ALICE_ID, Answer, home};

/// What the model says, one piece after another, and each is a chunk.
pub const PIECES: [&str; 6] = ["Export ", "of large ", "reports ", "is ", "being ", "rebuilt."];

const BETWEEN_PIECES: Duration = Duration::from_millis(20);

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(10);

pub struct Stage {
    pub server: TestServer,
    _model: FakeProvider,
    ping_seconds: u64,
}

/// How a library is put to work: its plays all at once.
pub struct Plan {
    pub library: Library,
    pub graphql_url: String,
    pub user_id: &'static str,
    /// For a response of the mutation that is large.
    pub more_fields: String,
    pub plays: Vec<Play>,
}

/// One subscription over a connection of its own.
pub struct Play {
    scenario: &'static str,
    url: String,
    /// How often the end of the answer has come when the play is over.
    finals: u64,
    /// Whether another question is asked then, up to whose end nothing more of the first may come.
    marked: bool,
}

impl Play {
    pub fn new(scenario: &'static str, url: String) -> Self {
        Self { scenario, url, finals: 1, marked: false }
    }

    /// Asks again when the answer has come, and listens to the end of that too.
    pub fn marked(self) -> Self {
        Self { marked: true, ..self }
    }

    /// Waits until the answer has come once more.
    pub fn until_the_second_final(self) -> Self {
        Self { finals: 2, ..self }
    }
}

impl Stage {
    /// With a model that says its pieces soon after each other.
    pub async fn set(ping_seconds: u64) -> Self {
        Self::with_model(spoken(None), ping_seconds, &[]).await
    }

    /// With a model that waits for the signal before it says its last piece.
    pub async fn set_waiting(signal: &Signal, ping_seconds: u64) -> Self {
        Self::with_model(spoken(Some(signal)), ping_seconds, &[]).await
    }

    /// The same, for pages of `origin`.
    pub async fn set_for_pages(signal: &Signal, origin: &str) -> Self {
        Self::with_model(spoken(Some(signal)), 3, &[origin]).await
    }

    async fn with_model(script: Script, ping_seconds: u64, origins: &[&str]) -> Self {
        let model = FakeProvider::start(script).await.unwrap();
        let mut home = home();
        let provider = json!({ "kind": "openai", "base_url": format!("{}/v1", model.url()) });
        home.set("providers", "local", provider).unwrap();
        home.set("models", "small", json!({ "provider": "local", "model": "tiny" })).unwrap();
        home.set("feature_settings", "default", json!(["small"])).unwrap();
        home.set("websocket", "cable_ping_seconds", ping_seconds).unwrap();
        home.set("server", "allowed_origins", json!(origins)).unwrap();
        for limit in ["max_aliases", "max_complexity", "max_query_characters"] {
            home.set("graphql", limit, 1_000_000).unwrap();
        }
        Self { server: home.serve().await.unwrap(), _model: model, ping_seconds }
    }

    pub fn plan(&self, library: Library, plays: Vec<Play>) -> Plan {
        let graphql_url = self.server.url("/api/graphql");
        Plan { library, graphql_url, user_id: ALICE_ID, more_fields: String::new(), plays }
    }

    /// A proxy in front of the server, whose first connection passes so.
    pub async fn proxy(&self, passage: Passage) -> Proxy {
        let proxy = Proxy::start(self.server.address()).await.unwrap();
        proxy.next(passage);
        proxy
    }

    /// What each play saw.
    pub async fn seen(&self, plan: &Plan) -> Vec<Value> {
        let folder = Folder::of_the_tests().unwrap();
        if plan.library == Library::Relay {
            folder.compile_for_relay().await.unwrap();
        }
        let text = plan.json(self.ping_seconds).to_string();
        let variables = [("PLAN", text.as_str())];
        let said = match plan.library {
            Library::Gql => folder.python("scenario.py", &variables).await,
            _ => folder.node("scenario.js", &variables).await,
        };
        let seen: Vec<Value> = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(seen.len(), plan.plays.len());
        seen
    }
}

impl Plan {
    fn json(&self, ping_seconds: u64) -> Value {
        let play = |Play { scenario, url, finals, marked }: &Play| json!({ "scenario": scenario, "url": url, "finals": finals, "marked": marked });
        json!({
            "client": self.library.adapter(),
            "token": ALICE,
            "userId": self.user_id,
            "graphqlUrl": self.graphql_url,
            "pingSeconds": ping_seconds,
            "moreFields": self.more_fields,
            "plays": self.plays.iter().map(play).collect::<Vec<_>>(),
        })
    }
}

/// Waits until it has happened.
pub async fn until(happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it does not happen");
}

/// What one play saw, after checking that it is of the request it made and that nothing is missing: chunks from 1
/// without a gap, and one final. Only after a reconnect may something come again, and then it is the same.
pub fn checked(seen: &Value, has_reconnected: bool) -> Answer {
    // The Python script has none: there an error ends it.
    assert!([json!([]), Value::Null].contains(&seen["errors"]), "{seen}");
    let mut answer = Answer::default();
    for message in seen["messages"].as_array().unwrap() {
        assert_eq!(message["requestId"], seen["requestId"], "{seen}");
        let is_known =
            [&answer.echoes, &answer.chunks, &answer.finals].iter().any(|known| known.contains(message));
        if is_known {
            assert!(has_reconnected, "twice: {message} in {seen}");
        } else {
            answer.add(message);
        }
    }
    assert_eq!(answer.finals.len(), 1, "{seen}");
    answer
}

/// The same of an answer all of whose chunks must be there.
pub fn whole(seen: &Value, has_reconnected: bool) {
    let answer = checked(seen, has_reconnected);
    assert_eq!((answer.echoes.len(), answer.chunks.len()), (1, PIECES.len()), "{seen}");
    assert_eq!(answer.content(), PIECES.concat());
}

fn spoken(signal: Option<&Signal>) -> Script {
    let mut script = Script::event_stream();
    for (number, piece) in PIECES.iter().enumerate() {
        if let (Some(signal), true) = (signal, number + 1 == PIECES.len()) {
            script = script.then(Step::Until(signal.clone()));
        }
        script = script.wait(BETWEEN_PIECES).send(delta(piece));
    }
    script.send(stop()).send(done())
}
