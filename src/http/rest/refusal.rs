//! Refusals in the words and forms of GitLab's REST API: `{"message": "403 Forbidden"}`, and `{"error": ...}`
//! for a parameter that is not as it should be.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{ALLOW, CACHE_CONTROL, RETRY_AFTER},
    },
};
use duologue_actors::protocol::Failure;
use serde_json::json;

use crate::http::error::{Refused, retry_after, status_of_failure};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Refusal {
    Unauthorized,
    Forbidden,
    /// The same, and why.
    NotOffered(&'static str),
    NotFound,
    /// The path takes these methods only.
    Method(&'static str),
    /// What is asked for cannot be done.
    BadRequest(String),
    /// A parameter is not as it should be.
    Parameter(String),
    /// The body did not arrive, or not as it should have.
    Body(Refused),
    /// A `Content-Type` that is not read.
    MediaType,
    /// Not now.
    Unavailable(String),
    /// The pipeline refused, or there is no answer.
    Failed(Failure),
}

/// A client that asks again sooner hardly finds anything changed.
const RETRY_SECONDS: u8 = 1;

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::NotOffered(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest(_) | Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::Body(refused) => refused.status(),
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(failure) => status_of_failure(failure.code),
        }
    }

    pub fn response(&self) -> HttpResponse {
        let status = self.status();
        let body = match self {
            Self::Parameter(error) => json!({ "error": error }),
            Self::NotOffered(reason) => json!({ "message": format!("{status} - {reason}") }),
            Self::BadRequest(reason) => json!({ "message": format!("400 Bad request - {reason}") }),
            Self::Body(refused) => json!({ "message": format!("{status} - {refused}") }),
            Self::Unavailable(reason) => json!({ "message": format!("{status} - {reason}") }),
            Self::Failed(failure) => json!({ "message": format!("{status} - {}", failure.text) }),
            Self::MediaType => json!({
                "error": "The provided content-type is not supported: send application/json or \
                          application/x-www-form-urlencoded"
            }),
            _ => json!({ "message": status.to_string() }),
        };
        self.head().json(body)
    }

    /// The same in the form of OAuth (RFC 6749, section 5.2; RFC 6750, section 3.1).
    pub fn oauth_response(&self) -> HttpResponse {
        let (error, description) = match self {
            Self::Unauthorized => ("invalid_token", "The access token is invalid".to_owned()),
            Self::Unavailable(reason) => ("temporarily_unavailable", reason.clone()),
            _ => ("invalid_request", self.status().to_string()),
        };
        let body = json!({ "error": error, "error_description": description });
        self.head().json(body)
    }

    /// The status and the headers.
    fn head(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status());
        response.insert_header((CACHE_CONTROL, "no-store"));
        match self {
            Self::Unauthorized => drop(response.insert_header(("www-authenticate", "Bearer"))),
            Self::Method(allowed) => drop(response.insert_header((ALLOW, *allowed))),
            Self::Unavailable(_) => drop(response.insert_header((RETRY_AFTER, RETRY_SECONDS.to_string()))),
            Self::Failed(Failure { retry_after: Some(wait), .. }) => {
                response.insert_header(retry_after(*wait));
            }
            // The rest of such a body is not read.
            Self::Body(_) => drop(response.force_close()),
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::protocol::{Code, Hop};

    use super::*;

    #[actix_web::test]
    async fn every_refusal_has_the_form_gitlabs_clients_read() {
        let all = [
            Refusal::Unauthorized,
            Refusal::Forbidden,
            Refusal::NotOffered("Direct connections are disabled"),
            Refusal::NotFound,
            Refusal::Method("GET"),
            Refusal::BadRequest("ghost is not found!".to_owned()),
            Refusal::Parameter("value is missing".to_owned()),
            Refusal::Body(Refused::TooLarge(65_536)),
            Refusal::MediaType,
            Refusal::Unavailable("the disk is full".to_owned()),
            Refusal::Failed(Failure::new(Code::RateLimited, Hop::Auth, "Too often.")),
        ];
        let mut lines = Vec::new();
        for refusal in all {
            let body = actix_web::body::to_bytes(refusal.response().into_body()).await.unwrap();
            lines.push(format!("{} {}", refusal.status().as_u16(), String::from_utf8_lossy(&body)));
        }
        let expected = [
            r#"401 {"message":"401 Unauthorized"}"#,
            r#"403 {"message":"403 Forbidden"}"#,
            r#"403 {"message":"403 Forbidden - Direct connections are disabled"}"#,
            r#"404 {"message":"404 Not Found"}"#,
            r#"405 {"message":"405 Method Not Allowed"}"#,
            r#"400 {"message":"400 Bad request - ghost is not found!"}"#,
            r#"400 {"error":"value is missing"}"#,
            r#"413 {"message":"413 Payload Too Large - the body is larger than 65536 bytes"}"#,
            r#"415 {"error":"The provided content-type is not supported: send application/json or application/x-www-form-urlencoded"}"#,
            r#"503 {"message":"503 Service Unavailable - the disk is full"}"#,
            r#"429 {"message":"429 Too Many Requests - Too often."}"#,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn whoever_is_to_wait_is_told_how_long() {
        let failure = Failure::new(Code::RateLimited, Hop::Auth, "Too often.");
        let response = Refusal::Failed(failure.retry_after(Duration::from_millis(2_500))).response();
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "3");
    }
}
