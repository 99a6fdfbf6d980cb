//! What was asked for, as a hash: whether two requests under one key are the same.

use async_graphql::{Name, Value, dynamic::indexmap::IndexMap};
use sha2::{Digest, Sha256};

/// The hash of everything `aiAction` was given, variables filled in. The order of its fields is no difference.
pub(super) fn of(input: &IndexMap<Name, Value>) -> [u8; 32] {
    // A value that is no JSON cannot have come from a client.
    of_json(Value::Object(input.clone()).into_json().unwrap_or_default())
}

/// The hash of what was asked for otherwise. The order of fields is no difference.
#[must_use]
pub fn of_json(mut asked: serde_json::Value) -> [u8; 32] {
    asked.sort_all_objects();
    Sha256::digest(asked.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(json: &str) -> [u8; 32] {
        let Value::Object(input) = Value::from_json(serde_json::from_str(json).unwrap()).unwrap() else {
            panic!("{json} is no input");
        };
        of(&input)
    }

    #[test]
    fn the_order_of_fields_makes_no_difference() {
        let one = r#"{"chat": {"content": "why?", "resourceId": null}, "platformOrigin": "web"}"#;
        let other = r#"{"platformOrigin": "web", "chat": {"resourceId": null, "content": "why?"}}"#;
        assert_eq!(fingerprint(one), fingerprint(other));
    }

    #[rstest::rstest]
    #[case(r#"{"chat": {"content": "why!"}}"#)]
    #[case(r#"{"chat": {"content": "why?"}, "clientSubscriptionId": "a"}"#)]
    #[case(r#"{"other": {"content": "why?"}}"#)]
    fn whatever_else_is_asked_for_does(#[case] other: &str) {
        assert_ne!(fingerprint(r#"{"chat": {"content": "why?"}}"#), fingerprint(other));
    }
}
