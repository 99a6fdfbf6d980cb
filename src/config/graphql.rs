use garde::Validate;
use serde::Deserialize;

use super::AuthConfig;

/// Bounds of one GraphQL document, and what may be asked of it.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct GraphqlConfig {
    #[garde(range(min = 1))]
    pub max_depth: usize,
    #[garde(range(min = 1))]
    pub max_complexity: usize,
    #[garde(range(min = 1))]
    pub max_query_characters: usize,
    #[garde(skip)]
    pub max_aliases: usize,
    #[garde(range(min = 1))]
    pub max_page_size: usize,
    #[garde(range(min = 1))]
    pub max_label_characters: usize,
    #[garde(range(min = 1))]
    pub max_flag_names: usize,
    #[garde(skip)]
    pub inline: InlineAnswers,
}

/// Where `aiAction` may wait for the end of its answer, when it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum InlineAnswers {
    /// Where tokens that everybody knows are taken, or none is asked for: on a developer's machine.
    Development,
    Always,
    Never,
}

impl InlineAnswers {
    #[must_use]
    pub fn allowed(self, auth: &AuthConfig) -> bool {
        match self {
            Self::Development => auth.development_tokens || auth.bypass_external,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{config::Config, env_file::Environment};

    #[rstest]
    #[case::for_developers(InlineAnswers::Development, [false, true, true])]
    #[case::always(InlineAnswers::Always, [true, true, true])]
    #[case::never(InlineAnswers::Never, [false, false, false])]
    fn an_answer_is_waited_for_where_developers_are(
        #[case] inline: InlineAnswers,
        #[case] expected: [bool; 3],
    ) {
        let mut auth = Config::from_layers(None, &Environment::default()).unwrap().auth;
        let allowed = [(false, false), (true, false), (false, true)].map(|(tokens, bypass)| {
            (auth.development_tokens, auth.bypass_external) = (tokens, bypass);
            inline.allowed(&auth)
        });
        assert_eq!(allowed, expected);
    }
}
