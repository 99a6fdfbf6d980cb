//! Chat completions, streamed, as OpenAI has them and everything compatible with it: Ollama, vLLM, llama.cpp's
//! server, LiteLLM. What is on the wire is described in OpenAI's API reference, "Chat" and "Streaming".

use std::sync::Arc;

use duologue_actors::{
    ports::{ModelCall, ModelError, ModelEvent, StopReason, Usage},
    protocol::Role,
};
use futures::stream::BoxStream;
use reqwest::{RequestBuilder, header::ACCEPT};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Provider, Setup,
    events::{self, Dialect, Said},
    faults::{self, Rejection},
    keys::{self, Key, KeySource},
    kinds::Kind,
    settings,
    sse::Event,
    transport::{EVENT_STREAM, JSON, Transport},
};
use crate::config::ModelConfig;

/// Where OpenAI's own models are.
const OWN_HOST: &str = "api.openai.com";

/// The last event of a whole answer.
const DONE: &str = "[DONE]";

pub(super) const KIND: Kind = Kind {
    conventional_name: "openai",
    set_up: |setup| Arc::new(OpenAi::new(setup)),
    missing: settings::missing_url_or_key,
    mend: keys::mend,
    keeps_prompts: false,
    has_embeddings: false,
};

#[derive(Clone, Debug)]
struct OpenAi {
    url: String,
    key: KeySource,
    transport: Transport,
    max_tokens_field: &'static str,
}

impl OpenAi {
    fn new(setup: Setup<'_>) -> Self {
        let Setup { config, key, transport, .. } = setup;
        let url = config.url("/chat/completions");
        let max_tokens_field = max_tokens_field(&url);
        Self { url, key, transport, max_tokens_field }
    }

    fn request(&self, body: &Value, call: &ModelCall, key: Option<&Key>) -> RequestBuilder {
        let request = self
            .transport
            .post(&self.url)
            .header(ACCEPT, EVENT_STREAM)
            .header("idempotency-key", call.request_id.to_string())
            .json(body);
        match key {
            Some(key) => request.header(reqwest::header::AUTHORIZATION, key.bearer()),
            None => request,
        }
    }
}

impl Provider for OpenAi {
    fn stream(
        &self,
        model: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let body = body(&call, &model.model, self.max_tokens_field);
        let key = self.key.key();
        let request = self.request(&body, &call, key.as_ref());
        let transport = self.transport.clone();
        let explain = move |rejection| faults::of_key(rejection, key.as_ref());
        events::of_sse(
            async move { transport.send(request, &[EVENT_STREAM, JSON], explain).await },
            CompletionStream::default(),
        )
    }
}

/// What bounds an answer: OpenAI's newer models take nothing else, and many who are compatible know only the
/// older name.
fn max_tokens_field(url: &str) -> &'static str {
    let is_own = reqwest::Url::parse(url).is_ok_and(|url| url.host_str() == Some(OWN_HOST));
    if is_own { "max_completion_tokens" } else { "max_tokens" }
}

fn body(call: &ModelCall, model: &str, max_tokens_field: &str) -> Value {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let system = (!call.system.is_empty()).then(|| message(Role::System.as_str(), &call.system));
    let turns = call.turns.iter().map(|turn| message(turn.role.as_str(), &turn.content));
    let messages: Vec<Value> = system.into_iter().chain(turns).collect();
    json!({
        "model": model,
        "messages": messages,
        "stream": true,
        "stream_options": { "include_usage": true },
        max_tokens_field: call.max_output_tokens,
    })
}

/// The state of one stream of completions.
#[derive(Debug, Default)]
struct CompletionStream {
    /// Why the model stopped. What comes after that, up to [`DONE`], is accounting.
    stop_reason: Option<StopReason>,
    /// The text is that of a refusal.
    refuses: bool,
}

/// One event; or a whole completion, which differs only in that it has messages where this has deltas.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<TokenCounts>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    /// In place of content, when the model would not answer.
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct TokenCounts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u64>,
}

impl Dialect for CompletionStream {
    fn read(&mut self, event: Event) -> Result<Said, ModelError> {
        if event.data.trim() == DONE {
            return Ok(self.done());
        }
        let chunk: Chunk = serde_json::from_str(&event.data)
            .map_err(|_| faults::foreign("an event that is no chunk of a chat completion"))?;
        if let Some(error) = chunk.error {
            return Err(reported(&error));
        }
        let choice = chunk.choices.into_iter().flatten().next();
        let content = choice.and_then(|choice| self.choose(choice));
        Ok(Said { content, usage: chunk.usage.and_then(usage), finished: None })
    }

    /// Some leave the last event out. A model that said why it stopped was not cut.
    fn ended(&mut self) -> Said {
        Said { finished: self.stop_reason, ..Said::default() }
    }

    fn is_whole(&self) -> bool {
        self.stop_reason.is_some()
    }
}

impl CompletionStream {
    /// The text in the first choice, which is the only one that is asked for.
    fn choose(&mut self, choice: Choice) -> Option<String> {
        let has_stopped = self.stop_reason.is_some();
        let Delta { content, refusal } = choice.delta.unwrap_or_default();
        let refusal = refusal.filter(|text| !text.is_empty());
        self.refuses |= refusal.is_some();
        // Some send an empty reason with every delta.
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        let reason =
            reason.map(|reason| if self.refuses { StopReason::Refused } else { stop_reason(&reason) });
        self.stop_reason = self.stop_reason.or(reason);
        content.filter(|text| !text.is_empty()).or(refusal).filter(|_| !has_stopped)
    }

    fn done(&self) -> Said {
        Said::finished(self.stop_reason.unwrap_or(StopReason::Complete))
    }
}

/// `None` when nothing was counted.
fn usage(counts: TokenCounts) -> Option<Usage> {
    let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens);
    Some(Usage {
        input_tokens: counts.prompt_tokens?,
        cached_input_tokens: cached.unwrap_or_default(),
        output_tokens: counts.completion_tokens,
    })
}

fn stop_reason(text: &str) -> StopReason {
    match text {
        "length" => StopReason::Length,
        "content_filter" => StopReason::Refused,
        _ => StopReason::Complete,
    }
}

/// An error in the stream means what it would mean as a status: the `code` or `status` in it where that is one,
/// else what its type says.
fn reported(error: &Value) -> ModelError {
    let number = ["code", "status", "status_code"].iter().find_map(|name| {
        let value = error.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    });
    let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number >= 400);
    let kind = ["type", "code"].iter().find_map(|name| error.get(name)?.as_str()).unwrap_or_default();
    let status = number.unwrap_or(match kind {
        "invalid_request_error" | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "insufficient_quota" | "rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests" => 429,
        "overloaded_error" => 529,
        _ => 500,
    });
    let said = error.get("message").and_then(Value::as_str).or(error.as_str()).map(faults::shortened);
    faults::of_status(Rejection { said, ..Rejection::of_status(status) })
}

#[cfg(test)]
mod tests;
