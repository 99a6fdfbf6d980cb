//! The one map from refusals to statuses, and the one form of an error outside GraphQL's own: clients of
//! every path read `errors[].message` and `errors[].extensions.code`.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    },
};

use super::accept::ResponseType;
use crate::graphql::{Rejection, error};

/// Why a request got no further than HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is nothing at this path")]
    NoSuchPath,
    #[error("this path takes {0} only")]
    Method(&'static str),
    #[error("the client accepts neither application/json nor application/graphql-response+json")]
    NotAcceptable,
    #[error("the body must be application/json in UTF-8")]
    MediaType,
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body did not arrive whole")]
    CutShort,
    #[error("the body is not JSON")]
    NotJson,
    #[error("a list of requests is not taken: send them one by one")]
    Batch,
    #[error("{0}")]
    NotGraphql(&'static str),
    #[error("Idempotency-Key {0}")]
    IdempotencyKey(&'static str),
    #[error("mutations are not taken by GET: use POST")]
    MutationByGet,
    #[error("the server has no room for this connection")]
    NoRoom,
    #[error(
        "auth.bypass_external is on, so this server answers its own machine only: ask for localhost or 127.0.0.1"
    )]
    ForeignHost,
    #[error(
        "auth.bypass_external is on, so this server answers its own machine only, and what comes through a proxy \
         may come from anywhere: ask it directly, or set auth.bypass_external: false"
    )]
    Proxied,
    #[error(
        "auth.bypass_external is on, so pages of other sites are not answered: add the page's origin to \
         server.allowed_origins"
    )]
    ForeignPage,
}

impl Refused {
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Method(_) | Self::MutationByGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::CutShort | Self::NotJson | Self::Batch | Self::NotGraphql(_) | Self::IdempotencyKey(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::ForeignHost | Self::Proxied | Self::ForeignPage => StatusCode::FORBIDDEN,
        }
    }

    /// `extensions.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchPath => "not_found",
            Self::NoRoom => "overloaded",
            Self::ForeignHost | Self::Proxied | Self::ForeignPage => "forbidden",
            _ => "invalid_input",
        }
    }

    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let body = error::to_bytes(&error::refusal(self.code(), self.to_string()));
        let mut response = HttpResponse::build(self.status());
        match self {
            Self::Method(allowed) => drop(response.insert_header(("allow", *allowed))),
            Self::MutationByGet => drop(response.insert_header(("allow", "POST"))),
            Self::NoRoom => drop(response.insert_header(retry_after(Duration::from_secs(1))).force_close()),
            // The rest of such a body is not read.
            Self::TooLarge(_) | Self::TooSlow | Self::CutShort => drop(response.force_close()),
            _ => {}
        }
        response.insert_header((CONTENT_TYPE, ResponseType::Json.as_str())).body(body)
    }
}

/// The status of a request that failed as a whole.
#[must_use]
pub fn status_of(rejection: Rejection) -> StatusCode {
    match rejection {
        Rejection::Unauthenticated => StatusCode::UNAUTHORIZED,
        Rejection::Conflict => StatusCode::CONFLICT,
        Rejection::Overloaded | Rejection::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `Retry-After`, in whole seconds.
#[must_use]
pub fn retry_after(wait: Duration) -> (actix_web::http::header::HeaderName, HeaderValue) {
    (RETRY_AFTER, HeaderValue::from(error::whole_seconds(wait).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn every_refusal_has_a_status_a_text_and_a_code() {
        let all = [
            Refused::NoSuchPath,
            Refused::Method("GET"),
            Refused::NotAcceptable,
            Refused::MediaType,
            Refused::TooLarge(1_048_576),
            Refused::TooSlow,
            Refused::CutShort,
            Refused::NotJson,
            Refused::Batch,
            Refused::NotGraphql("query is missing"),
            Refused::MutationByGet,
            Refused::NoRoom,
            Refused::ForeignHost,
            Refused::Proxied,
            Refused::ForeignPage,
        ];
        let mut lines = Vec::new();
        for refused in all {
            let response = refused.response();
            let (status, allow) = (response.status().as_u16(), response.headers().get("allow").cloned());
            let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
            lines.push(format!("{status} {allow:?} {}", String::from_utf8_lossy(&body)));
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
404 None {"errors":[{"message":"there is nothing at this path","extensions":{"code":"not_found","hop":"edge"}}]}
405 Some("GET") {"errors":[{"message":"this path takes GET only","extensions":{"code":"invalid_input","hop":"edge"}}]}
406 None {"errors":[{"message":"the client accepts neither application/json nor application/graphql-response+json","extensions":{"code":"invalid_input","hop":"edge"}}]}
415 None {"errors":[{"message":"the body must be application/json in UTF-8","extensions":{"code":"invalid_input","hop":"edge"}}]}
413 None {"errors":[{"message":"the body is larger than 1048576 bytes","extensions":{"code":"invalid_input","hop":"edge"}}]}
408 None {"errors":[{"message":"the body did not arrive in time","extensions":{"code":"invalid_input","hop":"edge"}}]}
400 None {"errors":[{"message":"the body did not arrive whole","extensions":{"code":"invalid_input","hop":"edge"}}]}
400 None {"errors":[{"message":"the body is not JSON","extensions":{"code":"invalid_input","hop":"edge"}}]}
400 None {"errors":[{"message":"a list of requests is not taken: send them one by one","extensions":{"code":"invalid_input","hop":"edge"}}]}
400 None {"errors":[{"message":"query is missing","extensions":{"code":"invalid_input","hop":"edge"}}]}
405 Some("POST") {"errors":[{"message":"mutations are not taken by GET: use POST","extensions":{"code":"invalid_input","hop":"edge"}}]}
503 None {"errors":[{"message":"the server has no room for this connection","extensions":{"code":"overloaded","hop":"edge"}}]}
403 None {"errors":[{"message":"auth.bypass_external is on, so this server answers its own machine only: ask for localhost or 127.0.0.1","extensions":{"code":"forbidden","hop":"edge"}}]}
403 None {"errors":[{"message":"auth.bypass_external is on, so this server answers its own machine only, and what comes through a proxy may come from anywhere: ask it directly, or set auth.bypass_external: false","extensions":{"code":"forbidden","hop":"edge"}}]}
403 None {"errors":[{"message":"auth.bypass_external is on, so pages of other sites are not answered: add the page's origin to server.allowed_origins","extensions":{"code":"forbidden","hop":"edge"}}]}
"#);
    }
}
