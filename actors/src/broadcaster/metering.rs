//! Counts what is published: once a request, whoever listens.

use std::time::{Duration, UNIX_EPOCH};

use super::event::{Draft, EventKind};
use crate::protocol::Address;

/// Notes the first chunk and the end of a request.
pub(super) fn published(address: &Address, draft: &Draft) {
    let action = address.action.clone();
    match draft.kind {
        EventKind::Chunk if draft.message.chunk_id == Some(1) => {
            let waited = since_asked(address, draft);
            metrics::histogram!("duologue_time_to_first_chunk_seconds", "action" => action).record(waited);
        }
        EventKind::Final => {
            let labels = [("action", action), ("outcome", outcome(draft).to_owned())];
            metrics::counter!("duologue_answers_total", &labels).increment(1);
        }
        EventKind::Echo | EventKind::Restart | EventKind::Chunk => {}
    }
}

fn outcome(last: &Draft) -> &'static str {
    match &last.failure {
        Some(failure) => failure.code.as_str(),
        None if last.message.errors.is_empty() => "completed",
        None => "cancelled",
    }
}

/// From the request's birth, which its id tells, to the message's.
fn since_asked(address: &Address, draft: &Draft) -> Duration {
    let born = address.request_id.as_uuid().get_timestamp().map(|moment| moment.to_unix());
    let (seconds, nanoseconds) = born.unwrap_or_default();
    let born = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    draft.message.timestamp.duration_since(born).unwrap_or_default()
}
