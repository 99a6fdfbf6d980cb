//! What the paths of GitLab's REST API have in common: who asks, and the form of what they hear.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CACHE_CONTROL},
};
use duologue_actors::{
    ports::{Credentials, Identity},
    protocol::Code,
};
use serde::Serialize;

use super::credentials;
use crate::server::Edge;

mod refusal;

pub(super) use refusal::Refusal;

/// Who asks, by the Auth actor like everywhere else.
pub(super) async fn caller(request: &HttpRequest, edge: &Edge) -> Result<Identity, Refusal> {
    identify(edge, credentials::of(request.headers())).await
}

/// Whose these credentials are.
pub(super) async fn identify(edge: &Edge, credentials: Credentials) -> Result<Identity, Refusal> {
    edge.entrance.identify(credentials).await.map_err(|failure| match failure.code {
        Code::Unauthenticated => Refusal::Unauthorized,
        _ => Refusal::Unavailable(failure.text),
    })
}

pub(super) fn answer(answered: Result<HttpResponse, Refusal>) -> HttpResponse {
    answered.unwrap_or_else(|refusal| refusal.response())
}

/// A response that is its caller's alone.
pub(super) fn json_body(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(body)
}

/// What other methods get at a path that takes `allowed`.
pub fn other_than(allowed: &'static str) -> HttpResponse {
    Refusal::Method(allowed).response()
}
