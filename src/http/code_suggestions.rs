//! `/api/v4/code_suggestions/`: what GitLab's editor extensions ask about code suggestions before they ask for
//! any. None are offered here, and that is what they hear: they leave the feature off, and go on.

use actix_web::{HttpRequest, HttpResponse, web};

use super::rest::{self, Refusal};
use crate::server::Edge;

pub const ENABLED_PATH: &str = "/api/v4/code_suggestions/enabled";
pub const DIRECT_ACCESS_PATH: &str = "/api/v4/code_suggestions/direct_access";

/// Whether they are on in a project: in none. Which one is asked about is not looked at, so that nobody learns
/// from the answer which projects there are.
pub async fn enabled(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    refused(&request, &edge, Refusal::Forbidden).await
}

/// A token with which an extension would ask a gateway itself.
pub async fn direct_access(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    refused(&request, &edge, Refusal::NotOffered("Direct connections are disabled")).await
}

async fn refused(request: &HttpRequest, edge: &Edge, refusal: Refusal) -> HttpResponse {
    let known = rest::caller(request, edge).await;
    known.err().unwrap_or(refusal).response()
}
