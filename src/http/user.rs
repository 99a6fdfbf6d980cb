//! `/api/v4/user`: whose token it is.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use duologue_actors::ports::User;
use serde_json::{Value, json};

use super::rest::{self, Refusal};
use crate::server::Edge;

pub const PATH: &str = "/api/v4/user";

/// The caller.
pub async fn user(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(shown(&request, &edge).await)
}

async fn shown(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Refusal> {
    let identity = rest::caller(request, edge).await?;
    Ok(rest::json_body(StatusCode::OK, &json_of(&identity.user)))
}

/// Only who is good is known here, so that everybody is active. Nobody has a picture or a page of their own.
fn json_of(user: &User) -> Value {
    let mut json = json!({
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": "active",
        "locked": false,
        "avatar_url": null,
        "web_url": null,
    });
    // As at GitLab, the field is there for admins only.
    if user.admin
        && let Some(fields) = json.as_object_mut()
    {
        fields.insert("is_admin".to_owned(), Value::Bool(true));
    }
    json
}
