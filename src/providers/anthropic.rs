//! Anthropic's Messages API, streamed. What is on the wire is described in Anthropic's API reference, "Messages"
//! and "Streaming messages"; the statuses of errors in a stream, in "Errors".

use std::sync::Arc;

use duologue_actors::ports::{ModelCall, ModelError, ModelEvent, StopReason, Turn, Usage};
use futures::stream::BoxStream;
use reqwest::{RequestBuilder, header::ACCEPT};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Provider, Setup,
    events::{self, Dialect, Said},
    faults::{self, Rejection},
    keys::{self, Key, KeySource},
    kinds::Kind,
    settings,
    sse::Event,
    transport::{EVENT_STREAM, Transport},
};
use crate::config::ModelConfig;

/// The version of the API, which is not that of any model.
const API_VERSION: &str = "2023-06-01";

pub(super) const KIND: Kind = Kind {
    conventional_name: "anthropic",
    set_up: |setup| Arc::new(Anthropic::new(setup)),
    missing: settings::missing_url_or_key,
    mend: keys::mend,
    keeps_prompts: false,
    has_embeddings: false,
};

#[derive(Clone, Debug)]
struct Anthropic {
    url: String,
    key: KeySource,
    transport: Transport,
}

impl Anthropic {
    fn new(setup: Setup<'_>) -> Self {
        let Setup { config, key, transport, .. } = setup;
        Self { url: config.url("/v1/messages"), key, transport }
    }

    fn request(&self, body: &Map<String, Value>, call: &ModelCall, key: Option<&Key>) -> RequestBuilder {
        let request = self
            .transport
            .post(&self.url)
            .header(ACCEPT, EVENT_STREAM)
            .header("anthropic-version", API_VERSION)
            .header("idempotency-key", call.request_id.to_string())
            .json(body);
        match key {
            Some(key) => request.header("x-api-key", key.header()),
            None => request,
        }
    }
}

impl Provider for Anthropic {
    fn stream(
        &self,
        model: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let mut body = body(&call, model.prompt_cache);
        body.insert("model".to_owned(), model.model.clone().into());
        let key = self.key.key();
        let request = self.request(&body, &call, key.as_ref());
        let transport = self.transport.clone();
        let explain = move |rejection| faults::of_key(rejection, key.as_ref());
        events::of_sse(
            async move { transport.send(request, &[EVENT_STREAM], explain).await },
            MessageStream::default(),
        )
    }
}

/// The request without its model, which not everybody wants in the body.
pub(super) fn body(call: &ModelCall, prompt_cache: bool) -> Map<String, Value> {
    let message = |turn: &Turn| json!({ "role": turn.role.as_str(), "content": turn.content });
    let messages: Vec<Value> = call.turns.iter().map(message).collect();
    let fields = [
        ("max_tokens", call.max_output_tokens.into()),
        ("messages", messages.into()),
        ("stream", true.into()),
    ];
    let system = (!call.system.is_empty()).then(|| ("system", system(&call.system, prompt_cache)));
    fields.into_iter().chain(system).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The prompt's fixed beginning, which the provider may be asked to keep for the next call.
fn system(text: &str, prompt_cache: bool) -> Value {
    if prompt_cache {
        return json!([{ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } }]);
    }
    json!([{ "type": "text", "text": text }])
}

/// The state of one stream of messages.
#[derive(Debug, Default)]
pub(super) struct MessageStream {
    usage: Usage,
    /// Why the model stopped. What comes after that, up to the last event, is accounting.
    stop_reason: Option<StopReason>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamEvent {
    MessageStart {
        message: Message,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: MessageDelta,
        #[serde(default)]
        usage: Option<TokenCounts>,
    },
    MessageStop,
    Error {
        error: StreamError,
    },
    /// Pings, the edges of content blocks, and whatever is invented later.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    usage: Option<TokenCounts>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    /// Thinking, signatures, citations: nothing of the answer's text.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    #[serde(default)]
    stop_reason: Option<String>,
}

/// What was read from the cache, or written to it, is not in `input_tokens`.
#[derive(Deserialize)]
struct TokenCounts {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct StreamError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: Option<String>,
}

impl Dialect for MessageStream {
    fn read(&mut self, event: Event) -> Result<Said, ModelError> {
        let event = serde_json::from_str(&event.data)
            .map_err(|_| faults::foreign("an event that is none of the Messages API"))?;
        Ok(match event {
            // What it says of the answer, which has not begun, is a placeholder.
            StreamEvent::MessageStart { message } => {
                self.count(message.usage.map(|counts| TokenCounts { output_tokens: None, ..counts }))
            }
            StreamEvent::ContentBlockDelta { delta: Delta::TextDelta { text } }
                if self.stop_reason.is_none() =>
            {
                Said::content(text)
            }
            StreamEvent::MessageDelta { delta, usage } => {
                self.stop_reason = self.stop_reason.or(delta.stop_reason.as_deref().map(stop_reason));
                self.count(usage)
            }
            StreamEvent::MessageStop => Said::finished(self.stop_reason.unwrap_or(StopReason::Complete)),
            StreamEvent::Error { error } => return Err(reported(error)),
            StreamEvent::ContentBlockDelta { .. } | StreamEvent::Other => Said::default(),
        })
    }
}

impl MessageStream {
    /// Later counts replace earlier ones; the first has the prompt, the last the answer.
    fn count(&mut self, counts: Option<TokenCounts>) -> Said {
        let Some(counts) = counts else { return Said::default() };
        if let Some(fresh) = counts.input_tokens {
            let cached = counts.cache_read_input_tokens.unwrap_or_default();
            let written = counts.cache_creation_input_tokens.unwrap_or_default();
            self.usage.input_tokens = fresh.saturating_add(cached).saturating_add(written);
            self.usage.cached_input_tokens = cached;
        }
        self.usage.output_tokens = counts.output_tokens.or(self.usage.output_tokens);
        Said { usage: Some(self.usage), ..Said::default() }
    }
}

fn stop_reason(text: &str) -> StopReason {
    match text {
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "refusal" => StopReason::Refused,
        _ => StopReason::Complete,
    }
}

/// An error in the stream means what it would mean as a status.
fn reported(error: StreamError) -> ModelError {
    let status = match error.kind.as_str() {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    };
    let said = error.message.as_deref().map(faults::shortened);
    faults::of_status(Rejection { said, ..Rejection::of_status(status) })
}

#[cfg(test)]
mod tests;
