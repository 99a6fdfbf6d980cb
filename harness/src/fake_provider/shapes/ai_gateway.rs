//! What GitLab's AI Gateway answers on `/v1/chat/agent` and `/v1/prompts/{id}`, as seen on the wire of a running
//! one.

use serde_json::json;

use crate::fake_provider::Script;

/// A streamed answer: the text as it is, in the given pieces, in spite of what its type says. It has no
/// terminator but the end of its body.
#[must_use]
pub fn stream(pieces: &[&str]) -> Script {
    pieces.iter().fold(Script::event_stream(), |script, piece| script.send(*piece))
}

/// A whole answer of `/v1/prompts/{id}`: one JSON string.
#[must_use]
pub fn prompt_answer(text: &str) -> Script {
    Script::json(200, &json!(text))
}

/// A whole answer of `/v1/chat/agent`.
#[must_use]
pub fn chat_answer(text: &str) -> Script {
    let metadata = json!({ "provider": "anthropic", "model": "scripted", "timestamp": 1_700_000_000 });
    Script::json(200, &json!({ "response": text, "metadata": metadata }))
}

/// A refusal by an endpoint, e.g. 403 and `Unauthorized to access duo_chat`. A model's own status comes as 421
/// and `401: Unauthorized`.
#[must_use]
pub fn refused(status: u16, detail: &str) -> Script {
    Script::json(status, &json!({ "detail": detail }))
}

/// A refusal of the caller's credentials.
#[must_use]
pub fn unauthenticated(error: &str) -> Script {
    Script::json(401, &json!({ "error": error }))
}

/// A refusal because nothing is left to spend.
#[must_use]
pub fn out_of_credits() -> Script {
    Script::json(
        402,
        &json!({
            "error": "insufficient_credits",
            "error_code": "USAGE_QUOTA_EXCEEDED",
            "message": "as scripted",
        }),
    )
}

/// What it answers when something went wrong that it did not foresee.
#[must_use]
pub fn crashed() -> Script {
    Script::body(500, "text/plain; charset=utf-8", "Internal Server Error")
}
