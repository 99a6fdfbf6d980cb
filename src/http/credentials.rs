//! Where a client puts its token, whatever the transport: `Authorization: Bearer …`, else
//! `PRIVATE-TOKEN: …`; and what it states of that token beside it, as GitLab instances do.
//!
//! Where GitLab takes a token in the address too, so does this server: `access_token=…` over HTTP and at the
//! cable, because a page cannot set headers on a websocket. A header counts more.
//!
//! A header that is there twice, or is no text, could mean one thing here and another to a proxy in front:
//! credentials with one are those of nobody.

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, HeaderMap},
};
use duologue_actors::ports::{Credentials, Stated};
use secrecy::SecretString;

/// The other name under which a token may come.
const PRIVATE_TOKEN: &str = "private-token";

/// The name of a token in the address.
const ACCESS_TOKEN: &str = "access_token";

// What GitLab's Cloud Connector states of the token it sends.
const REALM: &str = "x-gitlab-realm";
const INSTANCE_ID: &str = "x-gitlab-instance-id";
const GLOBAL_USER_ID: &str = "x-gitlab-global-user-id";

/// What the headers of a request present: for an anonymous one no token, and yet what is stated of one.
#[must_use]
pub fn of(headers: &HeaderMap) -> Credentials {
    let names = [AUTHORIZATION.as_str(), PRIVATE_TOKEN, REALM, INSTANCE_ID, GLOBAL_USER_ID];
    if !names.into_iter().all(|name| is_plain(headers, name)) {
        return of_nobody();
    }
    among(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

/// What a request presents in its headers or, where those have no token, in its address.
#[must_use]
pub fn of_request(request: &HttpRequest) -> Credentials {
    let credentials = of(request.headers());
    if credentials.token.is_some() {
        return credentials;
    }
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let mut tokens = pairs.filter(|(name, token)| name == ACCESS_TOKEN && !token.is_empty());
    match (tokens.next(), tokens.next()) {
        (None, _) => credentials,
        (Some((_, token)), None) => {
            Credentials { token: Some(SecretString::from(token.trim())), ..credentials }
        }
        (Some(_), Some(_)) => of_nobody(),
    }
}

/// Whether the header says at most one thing.
fn is_plain(headers: &HeaderMap, name: &str) -> bool {
    let mut values = headers.get_all(name);
    values.next().is_none_or(|value| value.to_str().is_ok()) && values.next().is_none()
}

/// Credentials that no verifier takes.
#[must_use]
pub fn of_nobody() -> Credentials {
    Credentials::token("")
}

/// The credentials among values that have names; they are asked for in lower case. Another scheme of
/// `Authorization` is not for us: a proxy in front may have its own.
#[must_use]
pub fn among<'v>(named: impl Fn(&str) -> Option<&'v str>) -> Credentials {
    let token = named(AUTHORIZATION.as_str()).and_then(bearer).or_else(|| named(PRIVATE_TOKEN));
    let token = token.map(str::trim).filter(|token| !token.is_empty()).map(SecretString::from);
    let text = |name: &str| named(name).map(str::to_owned);
    let stated =
        Stated { realm: text(REALM), instance_id: text(INSTANCE_ID), global_user_id: text(GLOBAL_USER_ID) };
    Credentials { token, stated }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use actix_web::{
        http::header::{HeaderName, HeaderValue},
        test::TestRequest,
    };
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
        let token = of(request.to_http_request().headers()).token;
        assert_eq!(token.as_ref().map(|token| token.expose_secret()), found);
    }

    #[rstest::rstest]
    #[case::in_the_address("/-/cable?access_token=a%2Bb", &[], Some("a+b"))]
    #[case::among_others("/-/cable?x=1&access_token=a", &[], Some("a"))]
    #[case::a_header_counts_more("/-/cable?access_token=a", &[("authorization", "Bearer b")], Some("b"))]
    #[case::not_even_a_bad_header_is_mended("/-/cable?access_token=a", &[("private-token", "b"), ("private-token", "c")], Some(""))]
    #[case::two_are_nobodys("/-/cable?access_token=a&access_token=b", &[], Some(""))]
    #[case::an_empty_one_is_none("/-/cable?access_token=", &[], None)]
    #[case::another_name("/-/cable?private_token=a&token=b", &[], None)]
    fn a_token_may_be_in_the_address(
        #[case] uri: &str,
        #[case] headers: &[(&str, &str)],
        #[case] found: Option<&str>,
    ) {
        let request = TestRequest::get().uri(uri);
        let request = headers.iter().fold(request, |request, header| request.append_header(*header));
        let token = of_request(&request.to_http_request()).token;
        assert_eq!(token.as_ref().map(|token| token.expose_secret()), found);
    }

    #[rstest::rstest]
    #[case::authorization("authorization", &["Bearer a", "Bearer b"])]
    #[case::authorization_of_two_kinds("authorization", &["Basic a", "Bearer b"])]
    #[case::private_token("private-token", &["a", "a"])]
    #[case::realm("x-gitlab-realm", &["saas", "self-managed"])]
    #[case::instance("x-gitlab-instance-id", &["7", "8"])]
    #[case::user("x-gitlab-global-user-id", &["g", "h"])]
    #[case::no_text("x-gitlab-global-user-id", &["gü"])]
    #[case::no_text_as_token("authorization", &["Bearer ü"])]
    fn a_header_that_is_there_twice_or_is_no_text_makes_them_nobodys(
        #[case] name: &'static str,
        #[case] values: &[&str],
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.remove(name);
        for value in values {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let Credentials { token, stated } = of(&headers);
        assert_eq!((token.unwrap().expose_secret(), stated), ("", Stated::default()));
    }

    #[test]
    fn what_is_stated_of_the_token_is_found_beside_it() {
        let headers = [
            ("Authorization", "Bearer a"),
            ("X-Gitlab-Realm", "saas"),
            ("X-GitLab-Instance-Id", "7"),
            ("x-gitlab-global-user-id", "g"),
        ];
        let request =
            headers.iter().fold(TestRequest::get(), |request, header| request.insert_header(*header));
        let some = |text: &str| Some(text.to_owned());
        let expected = Stated { realm: some("saas"), instance_id: some("7"), global_user_id: some("g") };
        assert_eq!(of(request.to_http_request().headers()).stated, expected);
        let without = TestRequest::get().insert_header(("Authorization", "Bearer a")).to_http_request();
        assert_eq!(of(without.headers()).stated, Stated::default());
    }
}
