//! Where a client puts its token, whatever the transport: `Authorization: Bearer …`, else
//! `PRIVATE-TOKEN: …`.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use duologue_actors::ports::Credentials;

/// The other name under which a token may come.
pub const PRIVATE_TOKEN: &str = "private-token";

/// What the headers of a request present; nothing for an anonymous one.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<Credentials> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    chosen(text(AUTHORIZATION.as_str()), text(PRIVATE_TOKEN))
}

/// The credentials among the values of the two names. Another scheme of `Authorization` is not for us: a
/// proxy in front may have its own.
#[must_use]
pub fn chosen(authorization: Option<&str>, private_token: Option<&str>) -> Option<Credentials> {
    let token = authorization.and_then(bearer).or(private_token).map(str::trim);
    token.filter(|token| !token.is_empty()).map(Credentials::token)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
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
        let token = of(request.to_http_request().headers()).and_then(|credentials| credentials.token);
        assert_eq!(token.as_ref().map(|token| token.expose_secret()), found);
    }
}
