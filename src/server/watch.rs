//! A span around every HTTP request, with a line when it is answered. Never its query string or headers:
//! documents carry prompts, headers carry tokens.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use tokio::time::Instant;
use tracing::Instrument;

pub(super) async fn trace<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let span = tracing::info_span!(
        "http", method = %request.method(), path = request.path(), request_id = tracing::field::Empty
    );
    let started = Instant::now();
    async {
        let response = next.call(request).await?;
        let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
        tracing::debug!(status = response.status().as_u16(), milliseconds, "answered");
        Ok(response)
    }
    .instrument(span)
    .await
}
