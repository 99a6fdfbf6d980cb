//! Where a client puts its token: `Authorization: Bearer …` or `PRIVATE-TOKEN: …` of the upgrade request,
//! or the same names, in any case, in the payload of `connection_init`. What the payload says counts more:
//! a proxy may have put its own `Authorization` on the request.

use actix_web::http::header::HeaderMap;
use duologue_actors::ports::Credentials;
use serde_json::{Map, Value};

const AUTHORIZATION: &str = "authorization";
const PRIVATE_TOKEN: &str = "private-token";

#[must_use]
pub fn of_headers(headers: &HeaderMap) -> Option<Credentials> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    chosen(text(AUTHORIZATION), text(PRIVATE_TOKEN))
}

#[must_use]
pub fn of_payload(payload: &Map<String, Value>) -> Option<Credentials> {
    let text = |name: &str| {
        let named = payload.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.and_then(|(_, value)| value.as_str())
    };
    chosen(text(AUTHORIZATION), text(PRIVATE_TOKEN))
}

fn chosen(authorization: Option<&str>, private_token: Option<&str>) -> Option<Credentials> {
    let token = authorization.and_then(bearer).or(private_token).map(str::trim);
    token.filter(|token| !token.is_empty()).map(Credentials::token)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use duologue_actors::ports::Credentials;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn shown(credentials: Option<Credentials>) -> Option<String> {
        credentials.and_then(|it| it.token).map(|token| token.expose_secret().to_owned())
    }

    #[rstest::rstest]
    #[case(json!({"Authorization": "Bearer a"}), Some("a"))]
    #[case(json!({"authorization": "bearer  a "}), Some("a"))]
    #[case(json!({"PRIVATE-TOKEN": "a"}), Some("a"))]
    #[case(json!({"private-token": "a", "Authorization": "Basic b"}), Some("a"))]
    #[case(json!({"private-token": "a", "Authorization": "Bearer b"}), Some("b"))]
    #[case(json!({"Authorization": "a"}), None)]
    #[case(json!({"Authorization": "Bearer "}), None)]
    #[case(json!({"Authorization": 1}), None)]
    #[case(json!({"token": "a"}), None)]
    fn a_token_is_found_under_either_name_in_any_case(#[case] payload: Value, #[case] token: Option<&str>) {
        assert_eq!(shown(of_payload(payload.as_object().unwrap())).as_deref(), token);
    }

    #[test]
    fn a_token_is_found_in_the_upgrades_headers() {
        let request = actix_web::test::TestRequest::default()
            .insert_header(("PRIVATE-TOKEN", "demo-alice"))
            .to_http_request();
        assert_eq!(shown(of_headers(request.headers())).as_deref(), Some("demo-alice"));
    }
}
