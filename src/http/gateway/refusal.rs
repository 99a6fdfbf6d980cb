//! Refusals in the forms of GitLab's AI gateway: `{"detail": …}`, and `{"error": …}` for a token.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, CACHE_CONTROL},
    },
};
use duologue_actors::protocol::{Code, Failure};
use serde_json::json;

use crate::http::error::{Refused, retry_after, status_of_failure};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Method,
    /// The body is not as it must be. The gateway does not say in what.
    Validation,
    /// The body did not arrive, or is not of its kind.
    Body(Refused),
    /// The pipeline refused, or there is no answer.
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Validation => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Body(refused) => refused.status(),
            Self::Failed(failure) => status_of_failure(failure.code),
        }
    }

    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.insert_header((CACHE_CONTROL, "no-store"));
        match self {
            Self::Method => drop(response.insert_header((ALLOW, "POST"))),
            // The rest of such a body is not read.
            Self::Body(_) => drop(response.force_close()),
            Self::Failed(failure) => {
                if let Some(wait) = failure.retry_after {
                    response.insert_header(retry_after(wait));
                }
            }
            Self::NotFound | Self::Validation => {}
        }
        if let Self::Failed(Failure { code: Code::Unauthenticated, text, .. }) = self {
            return response.insert_header(("www-authenticate", "Bearer")).json(json!({ "error": text }));
        }
        response.json(json!({ "detail": self.detail() }))
    }

    fn detail(&self) -> String {
        match self {
            Self::NotFound => "Not found".to_owned(),
            Self::Method => "Method Not Allowed".to_owned(),
            Self::Validation => "Validation error".to_owned(),
            Self::Body(refused) => refused.to_string(),
            Self::Failed(Failure { code: Code::RateLimited | Code::UpstreamRateLimited, .. }) => {
                "Too many requests. Please try again later.".to_owned()
            }
            Self::Failed(failure) => failure.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::protocol::Hop;

    use super::*;

    async fn shown(refusal: Refusal) -> String {
        let response = refusal.response();
        let status = response.status().as_u16();
        let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        format!("{status} {wait:?} {}", String::from_utf8_lossy(&body))
    }

    #[actix_web::test]
    async fn every_refusal_has_the_form_the_gateways_clients_read() {
        let failed = |code, text: &str| Failure::new(code, Hop::Policy, text);
        let limited = failed(Code::UpstreamRateLimited, "full").retry_after(Duration::from_secs(3));
        let all = [
            (Refusal::NotFound, r#"404 None {"detail":"Not found"}"#),
            (Refusal::Method, r#"405 None {"detail":"Method Not Allowed"}"#),
            (Refusal::Validation, r#"422 None {"detail":"Validation error"}"#),
            (failed(Code::Unauthenticated, "Invalid token").into(), r#"401 None {"error":"Invalid token"}"#),
            (
                failed(Code::Forbidden, "Unauthorized to access duo_chat").into(),
                r#"403 None {"detail":"Unauthorized to access duo_chat"}"#,
            ),
            (limited.into(), r#"429 Some("3") {"detail":"Too many requests. Please try again later."}"#),
            (failed(Code::UpstreamTimeout, "too late").into(), r#"504 None {"detail":"too late"}"#),
        ];
        for (refusal, expected) in all {
            assert_eq!(shown(refusal).await, expected);
        }
    }
}
