//! `/-/models`: every model of the registry as it is right now, for the ones who run the server.

use actix_web::{HttpResponse, web};

use crate::server::Edge;

pub const PATH: &str = "/-/models";

/// As [`crate::providers::Status`] has it.
pub async fn models(edge: web::Data<Edge>) -> HttpResponse {
    HttpResponse::Ok().json(edge.models.status())
}
