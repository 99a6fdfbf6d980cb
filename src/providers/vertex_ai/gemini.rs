//! What is sent to Gemini and how its streams are read: Google Cloud's REST reference, "GenerateContentRequest"
//! and "GenerateContentResponse"; errors, "Status" of its APIs' error model.

use duologue_actors::{
    ports::{ModelCall, ModelError, StopReason, Usage},
    protocol::Role,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::providers::{
    events::{Dialect, Said},
    faults::{self, Rejection},
    sse::Event,
};

pub(super) fn body(call: &ModelCall) -> Value {
    let contents: Vec<Value> = call
        .turns
        .iter()
        .map(|turn| json!({ "role": role(turn.role), "parts": parts(&turn.content) }))
        .collect();
    let fields = [
        ("contents", contents.into()),
        ("generationConfig", json!({ "maxOutputTokens": call.max_output_tokens })),
    ];
    let system =
        (!call.system.is_empty()).then(|| ("systemInstruction", json!({ "parts": parts(&call.system) })));
    fields.into_iter().chain(system).collect()
}

/// There are two roles in a conversation.
fn role(role: Role) -> &'static str {
    match role {
        Role::Assistant => "model",
        Role::User | Role::System => "user",
    }
}

fn parts(text: &str) -> Value {
    json!([{ "text": text }])
}

/// A stream of generated content. It has no terminator: the chunk that says why the model stopped is the last.
#[derive(Debug)]
pub(super) struct GeneratedContent;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    usage_metadata: Option<TokenCounts>,
    #[serde(default)]
    error: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    /// Whether it is a summary of the model's thinking, and nothing of its answer.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    #[serde(default)]
    block_reason: Option<String>,
}

/// Chunks before the last may have none of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenCounts {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    /// Billed as output, and not among the candidates' tokens.
    thoughts_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
}

impl Dialect for GeneratedContent {
    fn read(&mut self, event: Event) -> Result<Said, ModelError> {
        let chunk =
            parse(&event.data).ok_or_else(|| faults::foreign("an event that is no generated content"))?;
        if let Some(status) = chunk.error {
            return Err(reported(status));
        }
        let blocked = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason);
        let mut said = Said {
            usage: chunk.usage_metadata.and_then(usage),
            finished: blocked
                .as_deref()
                .and_then(|reason| is_specified(reason).then_some(StopReason::Refused)),
            ..Said::default()
        };
        if let Some(candidate) = chunk.candidates.into_iter().next() {
            said.content = candidate.content.and_then(text);
            said.finished = said.finished.or(candidate.finish_reason.as_deref().and_then(stop_reason));
        }
        Ok(said)
    }
}

/// An error may come in a list of one.
fn parse(data: &str) -> Option<Chunk> {
    if data.trim_start().starts_with('[') {
        let chunks: Vec<Chunk> = serde_json::from_str(data).ok()?;
        return chunks.into_iter().next();
    }
    serde_json::from_str(data).ok()
}

fn text(content: Content) -> Option<String> {
    let answer = content.parts.into_iter().filter(|part| !part.thought);
    let text: String = answer.filter_map(|part| part.text).collect();
    (!text.is_empty()).then_some(text)
}

fn usage(counts: TokenCounts) -> Option<Usage> {
    let output = match (counts.candidates_token_count, counts.thoughts_token_count) {
        (None, None) => None,
        (said, thought) => Some(said.unwrap_or_default().saturating_add(thought.unwrap_or_default())),
    };
    Some(Usage {
        input_tokens: counts.prompt_token_count?,
        cached_input_tokens: counts.cached_content_token_count.unwrap_or_default(),
        output_tokens: output,
    })
}

/// Every reason but two is one not to go on: safety, recitation, prohibited content, and those yet to be named.
fn stop_reason(reason: &str) -> Option<StopReason> {
    match reason {
        "STOP" => Some(StopReason::Complete),
        "MAX_TOKENS" => Some(StopReason::Length),
        _ => is_specified(reason).then_some(StopReason::Refused),
    }
}

/// `FINISH_REASON_UNSPECIFIED` and `BLOCKED_REASON_UNSPECIFIED` say nothing.
fn is_specified(reason: &str) -> bool {
    !reason.ends_with("_UNSPECIFIED")
}

/// An error in the stream means what it would mean as a status, and its code is one.
fn reported(status: Status) -> ModelError {
    let code = status.code.filter(|code| *code >= 400).unwrap_or(500);
    let said = status.message.as_deref().map(faults::shortened);
    faults::of_status(Rejection { said, ..Rejection::of_status(code) })
}
