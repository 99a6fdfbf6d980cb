//! Where a case is played: a server with two models, `a` and its fallback `b`, and a socket on which answers come.

use std::time::Duration;

use duologue_harness::{
    fake_provider::FakeProvider,
    server::{Home, TestServer},
    transport_ws::TransportWs,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Dialect;
use crate::support::{self, ALICE, Answer, ask, chat, home, socket};

/// What A says when nothing is wrong.
pub const PIECES: [&str; 3] = ["Grüße, ", "clementine ", "👋🏽"];
pub const ANSWER: &str = "Grüße, clementine 👋🏽";
/// What B says, always.
pub const FROM_B: &str = "A kumquat from B";

const QUESTION: &str = "Which marmalade goes with the periwinkle export?";

/// What may be in no log: of the key, the prompt, the answers, and what providers say of errors.
const SECRETS: [&str; 7] =
    ["persimmon", "PRIVATE KEY", "marmalade", "periwinkle", "clementine", "kumquat", "as scripted"];

/// How much later than its bound something may be seen on a busy machine.
pub const SLACK: Duration = Duration::from_secs(2);

pub struct Setup {
    home: Home,
    dialect: Dialect,
    has_fallback: bool,
}

impl Setup {
    /// Small bounds, so that nothing takes long.
    pub fn new(dialect: Dialect) -> Self {
        let mut home = home();
        home.set("logging", "level", "trace").unwrap();
        home.set("logging", "format", "json").unwrap();
        Self { home, dialect, has_fallback: true }
            .calls("header_seconds", 1)
            .calls("connect_seconds", 1)
            .calls("idle_content_seconds", 1)
            .calls("shortest_retry_wait_milliseconds", 10)
            .calls("longest_retry_wait_milliseconds", 20)
            .with("pipeline", "deadline_seconds", 20)
    }

    pub fn with(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        self.home.set(section, key, value).unwrap();
        self
    }

    /// Sets one bound of calls to models.
    pub fn calls(self, key: &str, value: impl Into<Value>) -> Self {
        self.with("model_calls", key, value)
    }

    /// Where there is nobody to ask when A fails.
    pub fn without_fallback(mut self) -> Self {
        self.has_fallback = false;
        self
    }

    /// Starts the server; A is at `a`.
    pub async fn serve(mut self, a: &str) -> Place {
        let b = FakeProvider::start(self.dialect.answer(&[FROM_B])).await.unwrap();
        for (name, url) in [("a", a), ("b", &b.url())] {
            let provider = self.dialect.provider(&self.home, url);
            self.home.set("providers", name, provider).unwrap();
            let fallbacks = if name == "a" && self.has_fallback { json!(["b"]) } else { json!([]) };
            let model = json!({ "provider": name, "model": "scripted", "fallbacks": fallbacks });
            self.home.set("models", name, model).unwrap();
        }
        self.home.set("feature_settings", "default", json!(["a"])).unwrap();
        let server = self.home.serve().await.unwrap();
        let socket = listening(&server).await;
        Place { server, socket, b }
    }
}

async fn listening(server: &TestServer) -> TransportWs {
    let mut socket = socket(server, ALICE).await;
    support::subscribe(&mut socket, "s", json!({ "clientSubscriptionId": "page" })).await;
    socket
}

pub struct Place {
    pub server: TestServer,
    pub socket: TransportWs,
    pub b: FakeProvider,
}

impl Place {
    /// Asks, without waiting for anything of the answer.
    pub async fn begin(&self) -> String {
        ask(&self.server.graphql(ALICE).unwrap(), chat(QUESTION, Some("page"))).await
    }

    /// Asks, and listens to the end.
    pub async fn ask(&mut self) -> Told {
        let began = Instant::now();
        let request_id = self.begin().await;
        self.told(&request_id, began).await
    }

    /// Listens to the end of a request that was begun.
    pub async fn told(&mut self, request_id: &str, began: Instant) -> Told {
        let mut answer = Answer::default();
        loop {
            let frame = self.socket.frame().await.unwrap();
            let message = support::message(&frame, "s");
            assert_eq!(message["requestId"], request_id, "{frame}");
            answer.add(message);
            if !answer.finals.is_empty() {
                let failure = frame["payload"]["extensions"]["failure"].clone();
                return Told::new(answer, failure, began.elapsed());
            }
        }
    }

    /// The text of the next chunk.
    pub async fn chunk(&mut self) -> String {
        loop {
            let frame = self.socket.frame().await.unwrap();
            let message = support::message(&frame, "s");
            if message["role"] == "ASSISTANT" {
                assert!(message["chunkId"].is_u64(), "not a chunk: {frame}");
                return message["content"].as_str().unwrap().to_owned();
            }
        }
    }

    /// B has been called so often.
    #[track_caller]
    pub fn b_was_called(&self, times: usize) {
        assert_eq!(self.b.calls().len(), times, "calls of B");
    }

    /// A socket on which answers come from now on; the other one is gone.
    pub async fn listen_again(&mut self) {
        self.socket = listening(&self.server).await;
    }

    /// Ends the server and looks through all it has logged.
    pub async fn log(mut self) -> Log {
        let text = self.server.whole_log().await.unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in the log: {text}");
        }
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        Log(text.lines().map(line).collect())
    }
}

/// What a client was told of a request.
#[derive(Debug)]
pub struct Told {
    /// The chunks, one after the other.
    pub shown: String,
    pub content: String,
    pub errors: Vec<String>,
    /// What programs are told of a failure; `Null` without one.
    pub failure: Value,
    /// From the question to the final message.
    pub took: Duration,
}

impl Told {
    fn new(answer: Answer, failure: Value, took: Duration) -> Self {
        let text = |message: &Value| message["content"].as_str().unwrap().to_owned();
        let errors = answer.finals[0]["errors"].as_array().unwrap().iter();
        Self {
            shown: answer.chunks.iter().map(text).collect(),
            content: text(&answer.finals[0]),
            errors: errors.map(|error| error.as_str().unwrap().to_owned()).collect(),
            failure,
            took,
        }
    }

    /// The request has completed with this text, of which nothing was shown twice.
    #[track_caller]
    pub fn is_answer(&self, text: &str) {
        assert_eq!((self.content.as_str(), self.shown.as_str()), (text, text), "{self:?}");
        assert_eq!((&self.errors, &self.failure), (&vec![], &Value::Null), "{self:?}");
    }

    /// The request has failed with `code`, and of the answer there is this much.
    #[track_caller]
    pub fn is_failure(&self, code: &str, partial: &str) {
        assert_eq!((self.content.as_str(), self.shown.as_str()), (partial, partial), "{self:?}");
        assert_eq!(self.failure["code"], code, "{self:?}");
        let ending = format!("Error code: {}", gitlab_code(code));
        assert!(matches!(self.errors.as_slice(), [error] if error.ends_with(&ending)), "{self:?}");
    }

    /// It took no less than `least`, and no more than `most` beyond what a busy machine adds.
    #[track_caller]
    pub fn took(&self, least: Duration, most: Duration) {
        assert!(self.took >= least && self.took < most + SLACK, "{self:?}");
    }
}

fn gitlab_code(code: &str) -> &'static str {
    match code {
        "upstream_timeout" | "upstream_stalled" | "deadline_exceeded" => "A1000",
        "upstream_unavailable" | "upstream_overloaded" => "A1001",
        "upstream_malformed" => "A1002",
        "upstream_truncated" => "A1003",
        "upstream_too_large" => "A1005",
        _ => "A9999",
    }
}

/// All that a server has logged.
pub struct Log(Vec<Value>);

impl Log {
    /// Lines with this message.
    pub fn lines(&self, message: &str) -> Vec<&Value> {
        self.0.iter().filter(|line| line["message"] == message).collect()
    }

    /// What went wrong with each failed attempt at the models of a provider.
    pub fn failed_attempts(&self, provider: &str) -> Vec<&str> {
        let lines = self.lines("model attempt failed").into_iter();
        let lines = lines.filter(|line| line["provider"] == provider);
        lines.map(|line| line["what"].as_str().unwrap()).collect()
    }

    /// How calls of models ended, by their own account.
    pub fn outcomes(&self) -> Vec<&str> {
        let lines = self.lines("model call ended").into_iter();
        lines.map(|line| line["outcome"].as_str().unwrap()).collect()
    }
}

/// A has been called so often, always at its one address.
#[track_caller]
pub fn assert_called(a: &FakeProvider, dialect: Dialect, times: usize) {
    let calls = a.calls();
    assert_eq!(calls.len(), times, "calls of A");
    for call in &calls {
        assert!(call.method == "POST" && call.path.starts_with(dialect.path()), "{}", call.path);
    }
}

/// Waits until the server has closed the connection of A's call `number`; how long after the request it did so.
pub async fn closed_after(a: &FakeProvider, number: usize) -> Duration {
    let calls =
        a.until(|calls| calls.get(number).is_some_and(|call| call.caller_closed.is_some())).await.unwrap();
    calls[number].caller_closed.unwrap().duration_since(calls[number].arrived)
}
