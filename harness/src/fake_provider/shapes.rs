//! Answers in the shapes that providers give them: the least of each that a client must understand.

use serde_json::{Value, json};

/// One server-sent event without a name.
#[must_use]
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// One server-sent event with a name.
#[must_use]
pub fn named_event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// Chat completions as OpenAI and everything compatible with it stream them.
pub mod openai {
    use super::{Value, event, json};
    use crate::fake_provider::Script;

    /// A whole answer in the given pieces.
    #[must_use]
    pub fn answer(pieces: &[&str]) -> Script {
        let pieces = pieces.iter().map(|piece| delta(piece));
        Script::events(pieces.chain([stop(), done()]))
    }

    /// One piece of an answer.
    #[must_use]
    pub fn delta(content: &str) -> String {
        event(&completion(&json!({ "content": content }), &Value::Null))
    }

    /// The event that says why the answer ends.
    #[must_use]
    pub fn stop() -> String {
        event(&completion(&json!({}), &json!("stop")))
    }

    /// The terminator, without which an answer is not whole.
    #[must_use]
    pub fn done() -> String {
        "data: [DONE]\n\n".to_owned()
    }

    fn completion(delta: &Value, finish_reason: &Value) -> Value {
        json!({
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "model": "scripted",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        })
    }
}

/// Messages as Anthropic streams them.
pub mod anthropic {
    use super::{json, named_event};
    use crate::fake_provider::Script;

    /// A whole answer in the given pieces.
    #[must_use]
    pub fn answer(pieces: &[&str]) -> Script {
        let pieces = pieces.iter().map(|piece| delta(piece));
        Script::events(opening().into_iter().chain(pieces).chain(closing()))
    }

    /// What comes before the first piece.
    #[must_use]
    pub fn opening() -> Vec<String> {
        let message = json!({ "id": "msg_scripted", "type": "message", "role": "assistant", "model": "scripted", "content": [] });
        let block = json!({ "type": "text", "text": "" });
        vec![
            named_event("message_start", &json!({ "type": "message_start", "message": message })),
            named_event(
                "content_block_start",
                &json!({ "type": "content_block_start", "index": 0, "content_block": block }),
            ),
        ]
    }

    /// One piece of an answer.
    #[must_use]
    pub fn delta(text: &str) -> String {
        let delta = json!({ "type": "text_delta", "text": text });
        named_event(
            "content_block_delta",
            &json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        )
    }

    /// What comes after the last piece.
    #[must_use]
    pub fn closing() -> Vec<String> {
        vec![
            named_event("content_block_stop", &json!({ "type": "content_block_stop", "index": 0 })),
            named_event(
                "message_delta",
                &json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
            ),
            named_event("message_stop", &json!({ "type": "message_stop" })),
        ]
    }

    /// An error in the middle of a stream.
    #[must_use]
    pub fn error(kind: &str) -> String {
        named_event("error", &json!({ "type": "error", "error": { "type": kind, "message": "as scripted" } }))
    }
}
