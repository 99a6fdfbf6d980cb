//! `/api/v4/version` and `/api/v4/metadata`: by what they say, GitLab's clients choose the queries they send.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde_json::{Value, json};

use super::rest::{self, Refusal};
use crate::server::Edge;

pub const VERSION_PATH: &str = "/api/v4/version";
pub const METADATA_PATH: &str = "/api/v4/metadata";

/// What serves in GitLab's place: there it is the commit the instance was built from.
const REVISION: &str = concat!("duologue-", env!("CARGO_PKG_VERSION"));

/// The version of GitLab that is advertised.
pub async fn version(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(shown(&request, &edge, version_of).await)
}

/// The same, and what else GitLab's clients ask an instance about.
pub async fn metadata(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(shown(&request, &edge, metadata_of).await)
}

async fn shown(request: &HttpRequest, edge: &Edge, body: fn(&str) -> Value) -> Result<HttpResponse, Refusal> {
    rest::caller(request, edge).await?;
    Ok(rest::json_body(StatusCode::OK, &body(edge.graphql.advertised_version())))
}

fn version_of(advertised: &str) -> Value {
    json!({ "version": advertised, "revision": REVISION })
}

/// There is no agent server for Kubernetes here. AI features are there in GitLab's Enterprise Edition only, so
/// this is one.
fn metadata_of(advertised: &str) -> Value {
    json!({
        "version": advertised,
        "revision": REVISION,
        "kas": { "enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null },
        "enterprise": true,
    })
}
