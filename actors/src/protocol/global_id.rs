//! `gid://gitlab/Issue/52`: how the outside names users, resources, projects and groups.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest id part taken: commit ids have 64 hexadecimal digits, everything else is shorter.
const MAX_PART_LENGTH: usize = 128;

/// A parsed global id. Model names may be namespaced (`Ai::Conversation::Thread`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GlobalId {
    model: Arc<str>,
    id: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a global id such as gid://gitlab/Issue/52")]
pub struct MalformedGlobalId(String);

impl GlobalId {
    /// The global id of `model` number `id`.
    #[must_use]
    pub fn of(model: &str, id: u64) -> Self {
        Self { model: model.into(), id: id.to_string().into() }
    }

    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The part after the model: a number for everything but commits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id as a number, where it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.id.parse().ok()
    }
}

impl FromStr for GlobalId {
    type Err = MalformedGlobalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || MalformedGlobalId(text.chars().take(MAX_PART_LENGTH).collect());
        let rest = text.strip_prefix("gid://gitlab/").ok_or_else(malformed)?;
        let (model, id) = rest.split_once('/').ok_or_else(malformed)?;
        let model_is_a_constant = model.split("::").all(|part| {
            part.starts_with(|c: char| c.is_ascii_uppercase())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let id_is_plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
        if !model_is_a_constant || !id_is_plain || model.len().max(id.len()) > MAX_PART_LENGTH {
            return Err(malformed());
        }
        Ok(Self { model: model.into(), id: id.into() })
    }
}

impl fmt::Display for GlobalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gid://gitlab/{}/{}", self.model, self.id)
    }
}

impl TryFrom<String> for GlobalId {
    type Error = MalformedGlobalId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GlobalId> for String {
    fn from(id: GlobalId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_seeds_issue_is_parsed_into_model_and_id() {
        let id: GlobalId = "gid://gitlab/Issue/52".parse().unwrap();
        assert_eq!((id.model(), id.id(), id.number()), ("Issue", "52", Some(52)));
    }

    #[test]
    fn a_namespaced_model_is_one_model() {
        let id: GlobalId = "gid://gitlab/Ai::Conversation::Thread/1".parse().unwrap();
        assert_eq!(id.model(), "Ai::Conversation::Thread");
    }

    #[rstest::rstest]
    #[case("")]
    #[case("Issue/52")]
    #[case("gid://other/Issue/52")]
    #[case("gid://gitlab/Issue")]
    #[case("gid://gitlab/Issue/")]
    #[case("gid://gitlab//52")]
    #[case("gid://gitlab/issue/52")]
    #[case("gid://gitlab/Issue/52/../53")]
    #[case("gid://gitlab/Issue/52 ")]
    fn what_only_looks_like_a_global_id_is_refused(#[case] text: &str) {
        assert!(text.parse::<GlobalId>().is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_prints_back_to_itself(text in ".{0,60}|gid://gitlab/[A-Z][a-z:]{0,8}/[a-z0-9]{1,8}") {
            if let Ok(id) = text.parse::<GlobalId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
