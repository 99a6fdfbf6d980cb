//! What things may be called: names become GraphQL fields and enum values, flag names and file names.

use duologue_actors::{
    completion::EXPANDED_LOGGING,
    feature_flag::{CHAT_SWITCH, GLOBAL_SWITCH},
};

use crate::{
    document::{Place, Report},
    flags::REST_CHAT,
};

/// The flags that are there without any action.
const TAKEN_FLAGS: [&str; 4] = [CHAT_SWITCH, GLOBAL_SWITCH, EXPANDED_LOGGING, REST_CHAT];

/// Fields every `aiAction` input has besides the actions; an action cannot be called like one.
const RESERVED_FIELDS: &[&str] = &[
    "clientSubscriptionId",
    "clientMutationId",
    "platformOrigin",
    "projectId",
    "rootNamespaceId",
    "conversationType",
    "threadId",
];

/// Words GraphQL does not take as enum values.
const RESERVED_VALUES: &[&str] = &["true", "false", "null"];

/// `words_like_this_1`: lower case letters and digits, single underscores, a letter first.
pub(crate) fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('_').all(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

/// `words_like_this` as `wordsLikeThis`.
pub(super) fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

/// Reports why `name`, which stands under `key`, cannot be a flag's or a licensed feature's.
pub(super) fn check_flag(key: &str, place: Place, name: &str, report: &mut Report) {
    if TAKEN_FLAGS.contains(&name) {
        report.fault(
            place,
            format!("`{key}` must not be `{name}`: the server has a flag of that name for itself"),
        );
    }
    if !is_snake_case(name) {
        report.fault(place, format!("`{key}` must be snake_case, such as summarize_comments, not `{name}`"));
    }
}

/// Why an action cannot be called `name`, if it cannot.
pub(super) fn action_name_fault(name: &str) -> Option<String> {
    if !is_snake_case(name) {
        return Some(format!("`{name}` is not snake_case, such as summarize_comments"));
    }
    let field = camel_case(name);
    if RESERVED_FIELDS.contains(&field.as_str()) {
        return Some(format!("`{field}` is already a field of `aiAction`'s input"));
    }
    RESERVED_VALUES.contains(&name).then(|| format!("`{name}` is a word GraphQL keeps for itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("chat", true)]
    #[case("summarize_comments", true)]
    #[case("top_3", true)]
    #[case("", false)]
    #[case("3_top", false)]
    #[case("summarizeComments", false)]
    #[case("a__b", false)]
    #[case("a_", false)]
    #[case("_a", false)]
    #[case("a-b", false)]
    fn snake_case_is_recognised(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_snake_case(name), expected);
    }

    #[test]
    fn an_action_cannot_take_the_name_of_a_field_that_is_there_already() {
        for name in ["client_subscription_id", "project_id", "thread_id", "null"] {
            assert!(action_name_fault(name).is_some(), "{name}");
        }
        assert_eq!(action_name_fault("chat"), None);
    }
}
