//! `/-/cable`, where clients of ActionCable connect.

use actix_web::{HttpRequest, HttpResponse, web};

use super::credentials;
use crate::{server::Edge, websocket::Protocol};

pub const PATH: &str = "/-/cable";

/// Takes websockets.
pub async fn get(request: HttpRequest, edge: web::Data<Edge>, payload: web::Payload) -> HttpResponse {
    let credentials = credentials::of_request(&request);
    edge.sockets.upgrade(Protocol::ActionCable, credentials, request, payload).await
}
