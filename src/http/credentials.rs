//! Where a request carries its token: `Authorization: Bearer …`, else `PRIVATE-TOKEN: …`.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use duologue_actors::ports::Credentials;

const PRIVATE_TOKEN: &str = "private-token";

/// What the client presented; nothing at all for an anonymous one. Another scheme of `Authorization` is
/// not for us: a proxy in front may have its own.
#[must_use]
pub fn of(headers: &HeaderMap) -> Credentials {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let private = || headers.get(PRIVATE_TOKEN).and_then(|value| value.to_str().ok()).map(str::trim);
    match bearer.or_else(private).filter(|token| !token.is_empty()) {
        Some(token) => Credentials::token(token),
        None => Credentials::default(),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use secrecy::ExposeSecret;

    use super::*;

    #[rstest::rstest]
    #[case(&[("Authorization", "Bearer a")], Some("a"))]
    #[case(&[("authorization", "bearer  a ")], Some("a"))]
    #[case(&[("PRIVATE-TOKEN", "a")], Some("a"))]
    #[case(&[("PRIVATE-TOKEN", "a"), ("Authorization", "Bearer b")], Some("b"))]
    #[case(&[("PRIVATE-TOKEN", "a"), ("Authorization", "Basic b")], Some("a"))]
    #[case(&[("Authorization", "Basic b")], None)]
    #[case(&[("Authorization", "Bearer ")], None)]
    #[case(&[], None)]
    fn a_token_is_found_in_its_places(#[case] headers: &[(&str, &str)], #[case] found: Option<&str>) {
        let request =
            headers.iter().fold(TestRequest::get(), |request, header| request.insert_header(*header));
        let credentials = of(request.to_http_request().headers());
        assert_eq!(credentials.token.as_ref().map(|token| token.expose_secret()), found);
    }
}
