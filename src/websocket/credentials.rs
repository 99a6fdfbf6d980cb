//! The token in the payload of `connection_init`: under the same names as in the headers of the upgrade,
//! in any case. What the payload says counts more: a proxy may have put its own `Authorization` on the
//! request.

use actix_web::http::header::AUTHORIZATION;
use duologue_actors::ports::Credentials;
use serde_json::{Map, Value};

use crate::http::credentials::{PRIVATE_TOKEN, chosen};

#[must_use]
pub fn of_payload(payload: &Map<String, Value>) -> Option<Credentials> {
    let text = |name: &str| {
        let named = payload.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.and_then(|(_, value)| value.as_str())
    };
    chosen(text(AUTHORIZATION.as_str()), text(PRIVATE_TOKEN))
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
}
