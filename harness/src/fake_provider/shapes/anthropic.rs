//! Messages as Anthropic streams them (Anthropic's API reference, "Messages", "Streaming" and "Errors").

use serde_json::{Value, json};

use super::{named_event, with};
use crate::fake_provider::Script;

/// A whole answer in the given pieces.
#[must_use]
pub fn answer(pieces: &[&str]) -> Script {
    answer_with_usage(pieces, &Usage::default())
}

/// The same, with tokens counted.
#[must_use]
pub fn answer_with_usage(pieces: &[&str], counted: &Usage) -> Script {
    let pieces = pieces.iter().map(|piece| delta(piece));
    let closing = closing_with("end_turn", counted.output);
    Script::events(opening_with(counted).into_iter().chain(pieces).chain(closing))
}

/// Tokens as Anthropic counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Of the prompt, without what was read from the cache or written to it.
    pub input: u64,
    pub cache_read: u64,
    pub cache_creation: u64,
    pub output: u64,
}

/// What comes before the first piece.
#[must_use]
pub fn opening() -> Vec<String> {
    opening_with(&Usage::default())
}

/// The same, with the tokens of the prompt counted.
#[must_use]
pub fn opening_with(counted: &Usage) -> Vec<String> {
    let message = json!({
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": counted.input,
            "cache_creation_input_tokens": counted.cache_creation,
            "cache_read_input_tokens": counted.cache_read,
            "output_tokens": 1,
        },
    });
    let block = json!({ "type": "text", "text": "" });
    vec![
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({ "index": 0, "content_block": block })),
        ping(),
    ]
}

/// An event that says that the connection lives, and nothing else.
#[must_use]
pub fn ping() -> String {
    event("ping", json!({}))
}

/// One piece of an answer.
#[must_use]
pub fn delta(text: &str) -> String {
    event("content_block_delta", json!({ "index": 0, "delta": { "type": "text_delta", "text": text } }))
}

/// What comes after the last piece.
#[must_use]
pub fn closing() -> Vec<String> {
    closing_with("end_turn", 0)
}

/// The same, with the reason for the end (`end_turn`, `max_tokens`, `stop_sequence`, `refusal`, ...) and the
/// tokens of the answer.
#[must_use]
pub fn closing_with(stop_reason: &str, output_tokens: u64) -> Vec<String> {
    vec![event("content_block_stop", json!({ "index": 0 })), stop(stop_reason, output_tokens), message_stop()]
}

/// The event that says why the answer ends.
#[must_use]
pub fn stop(reason: &str, output_tokens: u64) -> String {
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    event("message_delta", json!({ "delta": delta, "usage": { "output_tokens": output_tokens } }))
}

/// The terminator, without which an answer is not whole.
#[must_use]
pub fn message_stop() -> String {
    event("message_stop", json!({}))
}

/// An error instead of an answer, e.g. 529 and `overloaded_error`.
#[must_use]
pub fn error_answer(status: u16, kind: &str) -> Script {
    Script::json(status, &error_body(kind)).header("request-id", "req_scripted")
}

/// An error in the middle of a stream.
#[must_use]
pub fn error(kind: &str) -> String {
    named_event("error", &error_body(kind))
}

fn error_body(kind: &str) -> Value {
    let error = json!({ "type": kind, "message": "as scripted" });
    json!({ "type": "error", "error": error, "request_id": "req_scripted" })
}

/// An event whose data repeats its name as `type`.
fn event(name: &str, data: Value) -> String {
    named_event(name, &with(data, "type", json!(name)))
}
