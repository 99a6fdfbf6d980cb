//! What is noted of a request at the door, whichever entrance it came by: a count and a line in the log.

use duologue_actors::{
    entrance::Refusal,
    protocol::{Failure, RequestId},
};

/// Counts a request for `action` by how it fared.
pub fn count(action: &str, refused: Option<&Failure>) {
    let outcome = refused.map_or("accepted", |failure| failure.code.as_str());
    metrics::counter!("duologue_requests_total", "action" => action.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// Says how the pipeline received a request.
pub fn log(action: &str, platform_origin: Option<&str>, received: Result<RequestId, &Refusal>) {
    let request_id = received.unwrap_or_else(|refusal| refusal.request_id);
    tracing::Span::current().record("request_id", tracing::field::display(request_id));
    match received {
        Ok(_) => tracing::info!(%request_id, action, ?platform_origin, "request accepted"),
        Err(Refusal { failure, .. }) => tracing::info!(
            %request_id, action, code = %failure.code, hop = failure.hop.as_str(), "request refused"
        ),
    }
}
