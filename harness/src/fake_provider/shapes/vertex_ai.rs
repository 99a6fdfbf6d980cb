//! Gemini's streams and the embeddings of Vertex AI (Google Cloud's REST reference,
//! "models.streamGenerateContent", "TextEmbedding", and the error model of its APIs).

use serde_json::{Value, json};

use super::with;
use crate::fake_provider::Script;

/// A whole answer in the given pieces. A stream of Gemini's has no terminator but the reason for its end, which
/// the last piece of content carries.
#[must_use]
pub fn answer(pieces: &[&str], counted: &Usage) -> Script {
    let (last, others) = pieces.split_last().unwrap_or((&"", &[]));
    let others = others.iter().map(|piece| delta(piece));
    Script::events(others.chain([last_delta(last, "STOP", counted)]))
}

/// Tokens as Gemini counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Of the whole prompt, with what was cached.
    pub prompt: u64,
    pub cached: u64,
    pub candidates: u64,
    /// Thought, billed as output and not among the candidates' tokens.
    pub thoughts: u64,
}

/// One piece of an answer.
#[must_use]
pub fn delta(text: &str) -> String {
    event(&json!({ "candidates": [candidate(text)], "modelVersion": "scripted" }))
}

/// The last piece, with the reason for the end: `STOP`, `MAX_TOKENS`, `SAFETY`, ...
#[must_use]
pub fn last_delta(text: &str, finish_reason: &str, counted: &Usage) -> String {
    let candidate = with(candidate(text), "finishReason", json!(finish_reason));
    let usage = json!({
        "promptTokenCount": counted.prompt,
        "cachedContentTokenCount": counted.cached,
        "candidatesTokenCount": counted.candidates,
        "thoughtsTokenCount": counted.thoughts,
        "totalTokenCount": counted.prompt + counted.candidates + counted.thoughts,
    });
    event(&json!({ "candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted" }))
}

/// The only event of a stream whose prompt was refused; it has no candidate.
#[must_use]
pub fn blocked(reason: &str) -> String {
    event(&json!({ "promptFeedback": { "blockReason": reason }, "modelVersion": "scripted" }))
}

/// One answer of `:predict` for texts, each with its vector and the number of its tokens.
#[must_use]
pub fn embeddings(texts: &[(&[f32], u64)]) -> Script {
    let prediction = |(values, tokens): &(&[f32], u64)| {
        let statistics = json!({ "token_count": tokens, "truncated": false });
        json!({ "embeddings": { "values": values, "statistics": statistics } })
    };
    let predictions: Vec<Value> = texts.iter().map(prediction).collect();
    Script::json(200, &json!({ "predictions": predictions, "metadata": { "billableCharacterCount": 1 } }))
}

/// An error instead of an answer, e.g. 429 and `RESOURCE_EXHAUSTED`.
#[must_use]
pub fn error(code: u16, status: &str) -> Script {
    Script::json(code, &error_body(code, status))
}

/// An error in the middle of a stream.
#[must_use]
pub fn error_event(code: u16, status: &str) -> String {
    event(&error_body(code, status))
}

fn error_body(code: u16, status: &str) -> Value {
    json!({ "error": { "code": code, "message": "as scripted", "status": status } })
}

fn candidate(text: &str) -> Value {
    json!({ "index": 0, "content": { "role": "model", "parts": [{ "text": text }] } })
}

/// Google ends its lines with both characters.
fn event(data: &Value) -> String {
    format!("data: {data}\r\n\r\n")
}
