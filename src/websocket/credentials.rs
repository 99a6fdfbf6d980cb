//! The token in the payload of `connection_init`, and what is stated of it: under the same names as in the
//! headers of the upgrade, in any case. The payload's token counts more: a proxy may have put its own
//! `Authorization` on the request. What is stated counts in both places, and must be the same where both say
//! it: else the headers a proxy vouches for could be talked away.

use duologue_actors::ports::{Credentials, Stated};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use crate::http::credentials::{among, of_nobody};

/// The credentials of a socket; those of an anonymous one have no token.
#[must_use]
pub fn of_init(payload: &Map<String, Value>, upgrade: Credentials) -> Credentials {
    let payload = of_payload(payload);
    let is_nobodys = upgrade.token.as_ref().is_some_and(|token| token.expose_secret().is_empty());
    match merged(payload.stated, upgrade.stated) {
        Some(stated) if !is_nobodys => Credentials { token: payload.token.or(upgrade.token), stated },
        _ => of_nobody(),
    }
}

fn of_payload(payload: &Map<String, Value>) -> Credentials {
    among(|name| {
        let named = payload.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.and_then(|(_, value)| value.as_str())
    })
}

/// What both say together; nothing when they contradict each other.
fn merged(one: Stated, other: Stated) -> Option<Stated> {
    Some(Stated {
        realm: either(one.realm, other.realm)?,
        instance_id: either(one.instance_id, other.instance_id)?,
        global_user_id: either(one.global_user_id, other.global_user_id)?,
    })
}

/// An empty text says nothing.
fn either(one: Option<String>, other: Option<String>) -> Option<Option<String>> {
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (said(one), said(other)) {
        (Some(one), Some(other)) if one != other => None,
        (one, other) => Some(one.or(other)),
    }
}

#[cfg(test)]
mod tests {
    use duologue_actors::ports::Credentials;
    use rstest::rstest;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn shown(credentials: Credentials) -> Option<String> {
        credentials.token.map(|token| token.expose_secret().to_owned())
    }

    #[rstest]
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
        assert_eq!(shown(of_init(payload.as_object().unwrap(), Credentials::default())).as_deref(), token);
    }

    #[test]
    fn what_is_stated_of_the_token_is_found_beside_it() {
        let payload =
            json!({"Authorization": "Bearer a", "X-Gitlab-Realm": "saas", "x-gitlab-instance-id": 7});
        let stated = of_init(payload.as_object().unwrap(), Credentials::default()).stated;
        assert_eq!((stated.realm.as_deref(), stated.instance_id), (Some("saas"), None));
    }

    fn stated(user: &str) -> Stated {
        Stated { global_user_id: Some(user.to_owned()), ..Stated::default() }
    }

    fn upgrade(token: Option<&str>, user: &str) -> Credentials {
        let token = token.map(|token| Credentials::token(token).token);
        Credentials { token: token.flatten(), stated: stated(user) }
    }

    #[rstest]
    #[case::only_the_upgrade_states_it(json!({"Authorization": "Bearer a"}), upgrade(None, "g"), Some("a"))]
    #[case::both_state_it(json!({"Authorization": "Bearer a", "X-Gitlab-Global-User-Id": "g"}), upgrade(Some("b"), "g"), Some("a"))]
    #[case::only_the_payload_states_it(json!({"X-Gitlab-Global-User-Id": "g"}), upgrade(Some("b"), ""), Some("b"))]
    #[case::nobody_has_a_token(json!({}), upgrade(None, "g"), None)]
    fn what_is_stated_in_either_place_counts(
        #[case] payload: Value,
        #[case] upgrade: Credentials,
        #[case] token: Option<&str>,
    ) {
        let credentials = of_init(payload.as_object().unwrap(), upgrade);
        assert_eq!(credentials.stated, stated("g"));
        assert_eq!(shown(credentials).as_deref(), token);
    }

    #[rstest]
    #[case::another_user(upgrade(None, "h"))]
    #[case::another_user_and_a_token(upgrade(Some("b"), "h"))]
    #[case::headers_that_are_nobodys(of_nobody())]
    fn contradictions_make_them_nobodys(#[case] upgrade: Credentials) {
        let payload = json!({"Authorization": "Bearer a", "X-Gitlab-Global-User-Id": "g"});
        assert_eq!(shown(of_init(payload.as_object().unwrap(), upgrade)).as_deref(), Some(""));
    }
}
