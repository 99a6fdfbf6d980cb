//! What the faults look like in the words of one kind of provider.

use std::sync::LazyLock;

use duologue_harness::{
    fake_provider::{
        Call, Script,
        shapes::{self, ai_gateway, anthropic, openai, vertex_ai},
    },
    google::ServiceAccount,
    server::Home,
};
use serde_json::{Value, json};

/// A kind of provider. The AI Gateway has no events: its stream is the text, and its end is that of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Anthropic,
    Openai,
    Gemini,
    Gateway,
}

use Dialect::{Anthropic, Gateway, Gemini, Openai};

/// printf sk-persimmon | sha256sum | head -c 8
const KEY_ID: &str = "3cf955ba";
const KEY: &str = "sk-persimmon";

/// Gemini is asked with a service account's key, which signs tokens without anybody being asked for them.
static ACCOUNT: LazyLock<String> = LazyLock::new(|| ServiceAccount::new().unwrap().file.to_string());

impl Dialect {
    /// A provider of this kind at `url`, as the configuration has it.
    pub fn provider(self, home: &Home, url: &str) -> Value {
        if self == Gemini {
            home.write("account.json", &ACCOUNT).unwrap();
            return json!({
                "kind": "vertex_ai", "base_url": url, "project": "p1", "credentials_file": "account.json",
            });
        }
        home.write("key", KEY).unwrap();
        let kind = match self {
            Anthropic => "anthropic",
            Openai => "openai",
            Gemini => "vertex_ai",
            Gateway => "ai_gateway",
        };
        json!({ "kind": kind, "base_url": url, "api_key_file": "key" })
    }

    /// How the log names who was refused.
    pub fn asks_with(self) -> String {
        match self {
            Gemini => "the credentials of".to_owned(),
            Anthropic | Openai | Gateway => format!("with the key {KEY_ID}"),
        }
    }

    /// Where its calls go; the gateway's, by their unit primitive.
    pub fn path(self) -> &'static str {
        match self {
            Anthropic => "/v1/messages",
            Openai => "/chat/completions",
            Gemini => {
                "/v1/projects/p1/locations/global/publishers/google/models/scripted:streamGenerateContent?alt=sse"
            }
            Gateway => "/v1/chat/",
        }
    }

    /// What tells a repeated call from a new one; Google has nothing.
    pub fn id_of(self, call: &Call) -> Option<String> {
        let name = match self {
            Anthropic | Openai => "idempotency-key",
            Gateway => "x-request-id",
            Gemini => return None,
        };
        Some(call.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned())
    }

    /// A whole answer.
    pub fn answer(self, pieces: &[&str]) -> Script {
        Script::events(self.events(pieces))
    }

    /// The events of a whole answer, their lines ended by one character.
    pub fn events(self, pieces: &[&str]) -> Vec<String> {
        let pieces = pieces.iter().map(|piece| self.delta(piece));
        self.opening().into_iter().chain(pieces).chain(self.closing()).collect()
    }

    /// An answer that has begun with `text` and goes on with whatever the test has in mind.
    pub fn begun(self, text: &str) -> Script {
        Script::events(self.opening().into_iter().chain([self.delta(text)]))
    }

    pub fn opening(self) -> Vec<String> {
        match self {
            Anthropic => anthropic::opening(),
            Openai => vec![openai::role()],
            Gemini => vec![self.keep_alive()],
            Gateway => Vec::new(),
        }
    }

    pub fn delta(self, text: &str) -> String {
        match self {
            Anthropic => anthropic::delta(text),
            Openai => openai::delta(text),
            Gemini => vertex_ai::delta(text).replace("\r\n", "\n"),
            Gateway => text.to_owned(),
        }
    }

    /// All that comes after the last piece.
    pub fn closing(self) -> Vec<String> {
        match self {
            Anthropic => anthropic::closing(),
            Openai => vec![openai::stop(), openai::done()],
            Gemini => vec![self.stop()],
            Gateway => Vec::new(),
        }
    }

    /// The event that says that the model has stopped; Gemini's last one.
    pub fn stop(self) -> String {
        match self {
            Anthropic => anthropic::stop("end_turn", 1),
            Openai => openai::stop(),
            Gemini => vertex_ai::last_delta("", "STOP", &vertex_ai::Usage::default()).replace("\r\n", "\n"),
            Gateway => self.without_events(),
        }
    }

    /// An event that says nothing but that the connection lives.
    pub fn keep_alive(self) -> String {
        match self {
            Anthropic => anthropic::ping(),
            Openai => openai::role(),
            Gemini => self.delta(""),
            Gateway => self.without_events(),
        }
    }

    /// An event that its readers have never heard of.
    pub fn novelty(self) -> String {
        let data = json!({ "type": "novelty", "object": "novelty", "text": "clementine" });
        shapes::named_event("novelty", &data)
    }

    /// An error instead of an answer.
    pub fn error(self, status: u16) -> Script {
        match self {
            Anthropic => anthropic::error_answer(status, "scripted_error"),
            Openai => openai::error(status, "scripted_error", None),
            Gemini => vertex_ai::error(status, "SCRIPTED"),
            Gateway => ai_gateway::refused(status, "as scripted"),
        }
    }

    /// An error in the stream that means that too much is being asked, and the status it stands for.
    pub fn overloaded(self) -> (String, u16) {
        match self {
            Anthropic => (anthropic::error("overloaded_error"), 529),
            Openai => (openai::error_event("overloaded_error", None), 529),
            Gemini => (vertex_ai::error_event(503, "UNAVAILABLE"), 503),
            Gateway => (self.without_events(), 0),
        }
    }

    fn without_events(self) -> String {
        panic!("{self:?} has no events");
    }
}
