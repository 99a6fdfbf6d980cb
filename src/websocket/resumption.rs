//! The cursors a client brings in `connection_init.payload.resume`, each under the `clientSubscriptionId` of the
//! subscription that goes on from there: a client that connects again need not change its documents.

use std::collections::HashMap;

use duologue_actors::broadcaster::{Cursor, Filter};
use serde_json::{Map, Value};

const RESUME: &str = "resume";

/// How far the subscriptions of a socket had come on an earlier one. No larger than the message it came in.
#[derive(Debug, Default)]
pub struct Resumption(HashMap<String, Cursor>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("`payload.resume` is not an object of cursors")]
    NoObject,
    #[error("`payload.resume` has a value that is not a cursor of this server")]
    NoCursor,
}

impl Resumption {
    /// # Errors
    /// When what the payload says cannot be understood. It is not passed over: the client would believe that it
    /// had missed nothing.
    pub fn of_init(payload: &Map<String, Value>) -> Result<Self, Malformed> {
        let cursors = match payload.get(RESUME) {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Object(cursors)) => cursors,
            Some(_) => return Err(Malformed::NoObject),
        };
        let cursor = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let read = cursors.iter().map(|(page, value)| Some((page.clone(), cursor(value)?)));
        read.collect::<Option<_>>().map(Self).ok_or(Malformed::NoCursor)
    }

    /// Where a subscription that does not say so itself goes on.
    #[must_use]
    pub fn of(&self, filter: &Filter) -> Option<Cursor> {
        self.0.get(filter.client_subscription_id()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use duologue_actors::protocol::UserId;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const CURSOR: &str = "00000000000000ff0000000000000007";

    fn read(resume: Value) -> Result<Resumption, Malformed> {
        let Value::Object(payload) = json!({ "resume": resume }) else { unreachable!() };
        Resumption::of_init(&payload)
    }

    fn page(name: Option<&str>) -> Filter {
        Filter::new(UserId(2), Some("chat"), None, name.map(ToOwned::to_owned), None).unwrap()
    }

    #[test]
    fn a_subscription_goes_on_where_its_page_was() {
        let resumption = read(json!({ "mine": CURSOR })).unwrap();
        assert_eq!(resumption.of(&page(Some("mine"))), CURSOR.parse().ok());
        assert_eq!(resumption.of(&page(Some("another"))), None);
        assert_eq!(resumption.of(&page(None)), None);
    }

    #[test]
    fn whoever_says_nothing_resumes_nothing() {
        assert!(read(Value::Null).unwrap().0.is_empty());
        assert!(Resumption::of_init(&Map::new()).unwrap().0.is_empty());
    }

    #[rstest]
    #[case::a_list(json!([CURSOR]), Malformed::NoObject)]
    #[case::a_text(json!(CURSOR), Malformed::NoObject)]
    #[case::a_number_for_a_cursor(json!({ "mine": 7 }), Malformed::NoCursor)]
    #[case::one_bad_among_good_ones(json!({ "mine": CURSOR, "other": "7" }), Malformed::NoCursor)]
    fn what_cannot_be_understood_is_not_passed_over(#[case] resume: Value, #[case] expected: Malformed) {
        assert_eq!(read(resume).unwrap_err(), expected);
    }
}
