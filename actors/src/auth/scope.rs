//! What a token is good for, whoever its user is: a narrow token stays narrow.
//!
//! A JWT is issued for unit primitives, and may ask for the actions of these. Whatever they are, it may
//! besides read its user's messages, subscribe to their answers, and cancel their requests, also those
//! another token asked for: GitLab's Cloud Connector has no unit primitive for that. A JWT without any is good
//! for none of this.

use crate::{
    action::Action,
    ports::Scope,
    protocol::{Code, Failure, Hop},
};

/// Scopes of a GitLab token with which one may ask for actions, as for the fields of GitLab's mutations.
const ASKING: [&str; 2] = ["api", "ai_features"];
/// Scopes with which one may read messages, as for the fields of GitLab's `AiMessage`.
const READING: [&str; 3] = ["api", "read_api", "ai_features"];

impl Scope {
    /// Whether the token may ask for `action`.
    ///
    /// # Errors
    /// `forbidden`, with what is missing: the token is good, and not for this.
    pub fn may_ask(&self, action: &Action) -> Result<(), Failure> {
        match self {
            Self::Everything => Ok(()),
            Self::UnitPrimitives(granted) if granted.contains(&action.unit_primitive) => Ok(()),
            Self::UnitPrimitives(_) => {
                Err(forbidden(format!("Unauthorized to access {}", action.unit_primitive)))
            }
            Self::Gitlab(_) => self.may_change(),
        }
    }

    /// Whether the token may be used for what changes something but asks for no action: a cancel.
    ///
    /// # Errors
    /// `forbidden`, with the scopes of which one is needed.
    pub fn may_change(&self) -> Result<(), Failure> {
        self.needs_one_of(&ASKING)
    }

    /// Whether the token may read its user's messages.
    ///
    /// # Errors
    /// `forbidden`, with the scopes of which one is needed.
    pub fn may_read(&self) -> Result<(), Failure> {
        self.needs_one_of(&READING)
    }

    fn needs_one_of(&self, scopes: &[&str]) -> Result<(), Failure> {
        match self {
            Self::UnitPrimitives(granted) if granted.is_empty() => {
                Err(forbidden("Unauthorized: the token has no unit primitive in its scopes".to_owned()))
            }
            Self::Gitlab(granted) if !scopes.iter().any(|scope| granted.contains(*scope)) => {
                Err(forbidden(format!("insufficient_scope: the token needs one of {}", scopes.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

fn forbidden(text: String) -> Failure {
    Failure::new(Code::Forbidden, Hop::Auth, text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::an_action;

    fn set(names: &[&str]) -> Arc<std::collections::BTreeSet<String>> {
        Arc::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_jwt_is_good_for_its_unit_primitives_only() {
        let scope = Scope::UnitPrimitives(set(&["chat", "explain_code"]));
        assert!(scope.may_ask(&an_action("chat")).is_ok());
        let refusal = scope.may_ask(&an_action("summarize_comments")).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
        assert_eq!(refusal.text, "Unauthorized to access summarize_comments");
        assert!(scope.may_read().is_ok(), "the user's own messages");
    }

    #[test]
    fn a_jwt_without_a_unit_primitive_is_good_for_nothing() {
        let scope = Scope::UnitPrimitives(set(&[]));
        for refusal in [scope.may_ask(&an_action("chat")), scope.may_read(), scope.may_change()] {
            assert_eq!(refusal.unwrap_err().code, Code::Forbidden);
        }
        let any = Scope::UnitPrimitives(set(&["of_another_service"]));
        assert!(any.may_read().is_ok() && any.may_change().is_ok());
    }

    #[rstest::rstest]
    #[case(&["api"], true, true)]
    #[case(&["ai_features"], true, true)]
    #[case(&["read_api"], false, true)]
    #[case(&["read_user", "read_repository"], false, false)]
    #[case(&[], false, false)]
    fn a_gitlab_token_needs_a_scope_of_the_field(
        #[case] scopes: &[&str],
        #[case] asks: bool,
        #[case] reads: bool,
    ) {
        let scope = Scope::Gitlab(set(scopes));
        assert_eq!((scope.may_ask(&an_action("chat")).is_ok(), scope.may_read().is_ok()), (asks, reads));
        assert_eq!(scope.may_change().is_ok(), asks);
    }

    #[test]
    fn the_refusal_names_the_scopes_that_would_do() {
        let refusal = Scope::Gitlab(set(&["read_user"])).may_read().unwrap_err();
        assert_eq!(refusal.text, "insufficient_scope: the token needs one of api, read_api, ai_features");
    }
}
