//! What flags may be called, and which of them mean something here.

use std::collections::{BTreeMap, BTreeSet};

use duologue_actors::{
    action::Catalogue,
    completion::EXPANDED_LOGGING,
    feature_flag::{CHAT_SWITCH, GLOBAL_SWITCH},
};

/// GitLab's flag for its REST entrance to chat, off there until somebody sets it.
pub const REST_CHAT: &str = "access_rest_chat";

/// GitLab's column for the name of a gate takes no more.
const MAX_LENGTH: usize = 255;
/// Of a name that cannot be one, as much as helps to find it.
const SHOWN_LENGTH: usize = 64;

/// The flags the server asks about, and the names no flag may have.
#[derive(Clone, Debug, Default)]
pub struct Names {
    definitions: BTreeMap<String, Definition>,
    licensed: BTreeSet<String>,
}

/// A flag the server asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// As GitLab sorts its flags: `ops` for a switch that stays, `development` for one of an action.
    pub kind: &'static str,
    /// Its state while nobody has set it.
    pub default_enabled: bool,
    /// Whether a feature is behind it, rather than a help in finding faults or another prompt.
    pub of_feature: bool,
}

/// Why a flag cannot be called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("`{0}` cannot be the name of a flag: use a-z, 0-9 and _, at most {MAX_LENGTH} of them")]
    Malformed(String),
    #[error(
        "`{0}` is a licensed feature of the catalogue, and no flag may be called like one: set the \
         `feature_flag` of its action instead"
    )]
    Licensed(String),
}

impl Names {
    /// The two switches, the flags and licensed features of the actions, the flags that select one of their
    /// prompts, the flag of the log, and the one of chat over REST.
    #[must_use]
    pub fn of(catalogue: &Catalogue) -> Self {
        let mut names = Self::default();
        names.define(CHAT_SWITCH, "ops", true, true);
        names.define(GLOBAL_SWITCH, "ops", true, true);
        names.define(EXPANDED_LOGGING, "ops", false, false);
        names.define(REST_CHAT, "development", false, true);
        for action in catalogue.iter() {
            names.define(&action.feature_flag, "development", action.flag_default, true);
            names.licensed.insert(action.licensed_feature.clone());
            for selection in &action.prompt.selections {
                names.define(&selection.flag, "development", false, false);
            }
        }
        names
    }

    /// An action may share its flag with others: it is on by default when it is for one of them.
    fn define(&mut self, name: &str, kind: &'static str, default_enabled: bool, of_feature: bool) {
        let fresh = Definition { name: name.to_owned(), kind, default_enabled: false, of_feature };
        self.definitions.entry(name.to_owned()).or_insert(fresh).default_enabled |= default_enabled;
    }

    /// # Errors
    /// When no flag may be called `name`.
    pub fn check(&self, name: &str) -> Result<(), NameFault> {
        if !is_plain(name) {
            return Err(NameFault::Malformed(name.chars().take(SHOWN_LENGTH).collect()));
        }
        if self.licensed.contains(name) { Err(NameFault::Licensed(name.to_owned())) } else { Ok(()) }
    }

    #[must_use]
    pub fn definition(&self, name: &str) -> Option<&Definition> {
        self.definitions.get(name)
    }

    /// In the order of their names.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.values()
    }
}

/// The two that are asked before anything is known of the groups and the project a request is about. A gate
/// for one of those would never be open, and the switch off for everyone.
pub(super) fn is_switch(name: &str) -> bool {
    [CHAT_SWITCH, GLOBAL_SWITCH].contains(&name)
}

/// `[a-z0-9_]+`, as the names of GitLab's flags are.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= MAX_LENGTH && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use duologue_actors::{action::Action, prompt::Selection, testing::an_action};

    use super::*;

    fn names() -> Names {
        let chat = Action {
            feature_flag: "duo_chat".to_owned(),
            licensed_feature: "ai_chat".to_owned(),
            flag_default: true,
            ..Action::clone(&an_action("chat"))
        };
        let explain = Action { flag_default: false, name: "explain".to_owned(), ..chat.clone() };
        Names::of(&Catalogue::new(vec![chat, explain]))
    }

    #[test]
    fn the_switches_the_actions_flags_and_the_logs_are_defined() {
        let defined: Vec<_> = names()
            .definitions()
            .map(|definition| (definition.name.clone(), definition.kind, definition.default_enabled))
            .collect();
        let expected = [
            ("access_rest_chat", "development", false),
            ("ai_duo_chat_switch", "ops", true),
            ("ai_global_switch", "ops", true),
            ("duo_chat", "development", true),
            ("expanded_ai_logging", "ops", false),
        ];
        assert_eq!(defined, expected.map(|(name, kind, default)| (name.to_owned(), kind, default)));
    }

    #[test]
    fn a_flag_that_selects_a_prompt_is_defined_and_off_and_no_feature() {
        let mut chat = Action::clone(&an_action("chat"));
        let prompt = chat.prompt.default.clone();
        chat.prompt.selections.push(Selection { flag: "chat_v2".to_owned(), prompt });
        let names = Names::of(&Catalogue::new(vec![chat]));
        let expected = Definition {
            name: "chat_v2".to_owned(),
            kind: "development",
            default_enabled: false,
            of_feature: false,
        };
        assert_eq!(names.definition("chat_v2"), Some(&expected));
    }

    #[test]
    fn a_flag_is_not_called_like_a_licensed_feature() {
        let fault = names().check("ai_chat").unwrap_err();
        assert!(fault.to_string().contains("`ai_chat` is a licensed feature"), "{fault}");
        assert_eq!(names().check("duo_chat"), Ok(()));
    }

    #[rstest::rstest]
    #[case("")]
    #[case("Duo_chat")]
    #[case("duo-chat")]
    #[case("$groups")]
    #[case("../x")]
    #[case("größe")]
    fn a_name_is_lower_case_letters_digits_and_underscores(#[case] name: &str) {
        assert_eq!(names().check(name), Err(NameFault::Malformed(name.to_owned())));
        assert_eq!(names().check("x_1"), Ok(()));
    }

    #[test]
    fn an_endless_name_is_refused_and_not_repeated() {
        let fault = names().check(&"x".repeat(256)).unwrap_err();
        assert!(fault.to_string().len() < 200, "{fault}");
        assert_eq!(names().check(&"x".repeat(255)), Ok(()));
    }

    #[test]
    fn only_the_two_switches_are_asked_about_the_user_alone() {
        let names = names();
        let switches: Vec<_> =
            names.definitions().map(|flag| flag.name.as_str()).filter(|name| is_switch(name)).collect();
        assert_eq!(switches, ["ai_duo_chat_switch", "ai_global_switch"]);
    }
}
