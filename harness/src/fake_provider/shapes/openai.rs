//! Chat completions as OpenAI and everything compatible with it stream them (OpenAI's API reference, "Chat
//! completions", "Streaming").

use serde_json::{Value, json};

use super::{event, with};
use crate::fake_provider::Script;

/// A whole answer in the given pieces, without any usage, as many compatible servers give it.
#[must_use]
pub fn answer(pieces: &[&str]) -> Script {
    let pieces = pieces.iter().map(|piece| delta(piece));
    Script::events(pieces.chain([stop(), done()]))
}

/// The same as OpenAI gives it to who asks for `stream_options.include_usage`: opened by the role, closed by
/// the usage.
#[must_use]
pub fn answer_with_usage(pieces: &[&str], counted: &Usage) -> Script {
    let pieces = pieces.iter().map(|piece| delta(piece));
    Script::events([role()].into_iter().chain(pieces).chain([stop(), usage(counted), done()]))
}

/// Tokens as OpenAI counts them.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Of the whole prompt, with what was cached.
    pub prompt: u64,
    pub cached: u64,
    pub completion: u64,
}

/// The event that opens an answer, without any content.
#[must_use]
pub fn role() -> String {
    event(&chunk(&json!({ "role": "assistant", "content": "" }), &Value::Null))
}

/// One piece of an answer.
#[must_use]
pub fn delta(content: &str) -> String {
    event(&chunk(&json!({ "content": content }), &Value::Null))
}

/// The event that says that the answer is complete.
#[must_use]
pub fn stop() -> String {
    finish("stop")
}

/// The event that says why the answer ends: `stop`, `length`, `content_filter`, ...
#[must_use]
pub fn finish(reason: &str) -> String {
    event(&chunk(&json!({}), &json!(reason)))
}

/// The event that counts the tokens, without any choice.
#[must_use]
pub fn usage(counted: &Usage) -> String {
    let without_choices = with(chunk(&json!({}), &Value::Null), "choices", json!([]));
    let usage = json!({
        "prompt_tokens": counted.prompt,
        "completion_tokens": counted.completion,
        "total_tokens": counted.prompt + counted.completion,
        "prompt_tokens_details": { "cached_tokens": counted.cached },
    });
    event(&with(without_choices, "usage", usage))
}

/// The terminator, without which an answer is not whole.
#[must_use]
pub fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}

/// An error instead of an answer.
#[must_use]
pub fn error(status: u16, kind: &str, code: Option<&str>) -> Script {
    Script::json(status, &error_body(kind, code))
}

/// An error in the middle of a stream.
#[must_use]
pub fn error_event(kind: &str, code: Option<&str>) -> String {
    event(&error_body(kind, code))
}

fn error_body(kind: &str, code: Option<&str>) -> Value {
    json!({ "error": { "message": "as scripted", "type": kind, "param": null, "code": code } })
}

fn chunk(delta: &Value, finish_reason: &Value) -> Value {
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "scripted",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
    })
}
