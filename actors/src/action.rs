//! An AI action as the catalogue describes it. The pipeline reads it; `src/catalogue` parses and
//! validates the files.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::prompt::PromptTemplate;

/// All the actions the server offers, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue(BTreeMap<String, Arc<Action>>);

impl Catalogue {
    #[must_use]
    pub fn new(actions: Vec<Action>) -> Self {
        Self(actions.into_iter().map(|action| (action.name.clone(), Arc::new(action))).collect())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Action>> {
        self.0.get(name).cloned()
    }

    /// The actions in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Action>> {
        self.0.values()
    }
}

/// One action. Everything the schema, the checks, the prompt and the command line need of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Snake case, e.g. `summarize_comments`; on the wire `summarizeComments`.
    pub name: String,
    /// One line for people: help texts and the schema's descriptions.
    pub description: String,
    pub feature_flag: String,
    /// The flag's state while the flag source says nothing about it.
    pub flag_default: bool,
    /// What a licence must contain; never the flag's name.
    pub licensed_feature: String,
    pub unit_primitive: String,
    pub maturity: Maturity,
    pub resource: ResourceRule,
    /// Models of the resources it takes, e.g. `Issue`.
    pub resource_types: Vec<String>,
    pub input: Vec<InputField>,
    /// Keep question and answer in the user's conversation.
    pub cache_response: bool,
    /// A name of the configuration's model registry.
    pub model: String,
    pub prompt: PromptTemplate,
    /// What is done to a whole answer before it is kept. What is shown must be what is kept, so an action
    /// with such steps sends no chunks: its one final message has the text.
    pub response: Vec<Modifier>,
    pub on_disconnect: OnDisconnect,
}

impl Action {
    /// The name of the `aiAction` input field: `summarizeComments`.
    #[must_use]
    pub fn graphql_name(&self) -> String {
        let mut words = self.name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |mut name, word| {
            let mut letters = word.chars();
            name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            name.push_str(letters.as_str());
            name
        })
    }

    /// The value of the `AiAction` enum: `SUMMARIZE_COMMENTS`.
    #[must_use]
    pub fn enum_name(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The input that is the user's own message in a conversation.
    #[must_use]
    pub fn question(&self) -> Option<&InputField> {
        question(&self.input)
    }

    /// Chat has a switch of its own; all other actions share the global one.
    #[must_use]
    pub fn is_chat(&self) -> bool {
        self.name == "chat"
    }
}

/// The one of `input` that is the user's own message in a conversation: `content`, else the first text.
#[must_use]
pub fn question(input: &[InputField]) -> Option<&InputField> {
    let is_text = |field: &&InputField| field.type_name.trim_end_matches('!') == "String";
    let content = input.iter().find(|field| field.name == "content");
    content.filter(is_text).or_else(|| input.iter().find(is_text))
}

/// How finished a feature is. Experimental and beta features need the root namespace's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maturity {
    Experimental,
    Beta,
    Ga,
    /// In none of these lists, where the configuration refuses such features.
    Unlisted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceRule {
    Required,
    Optional,
    None,
}

/// One field of an action's input object, besides `resourceId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputField {
    /// Snake case; on the wire camel case.
    pub name: String,
    /// A GraphQL type: a scalar, or an input object the server knows, e.g. `String!`.
    pub type_name: String,
    /// The most characters a text may have.
    pub max_length: Option<usize>,
    /// Whether an empty or blank text is taken.
    pub allow_blank: bool,
}

/// A step that is applied to a whole answer. Their order in an action is the order they are applied in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    /// Without the white space around it.
    Trim,
    /// Without the code fence around it.
    StripCodeFence,
    /// The first JSON object or array in it, and nothing else.
    ExtractJson,
}

impl Modifier {
    pub const ALL: [Self; 3] = [Self::Trim, Self::StripCodeFence, Self::ExtractJson];

    /// As the catalogue calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::StripCodeFence => "strip_code_fence",
            Self::ExtractJson => "extract_json",
        }
    }
}

/// What becomes of an answer that is streamed straight to whoever asked, when they leave before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The call is ended: nobody pays for what nobody reads.
    #[default]
    Cancel,
    /// The call goes on, and its answer is kept.
    Drain,
}

impl OnDisconnect {
    pub const ALL: [Self; 2] = [Self::Cancel, Self::Drain];

    /// As the catalogue calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Drain => "drain",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::an_action;

    #[test]
    fn an_action_has_one_name_in_three_spellings() {
        let action = an_action("amazing_new_ai_feature");
        assert_eq!(action.graphql_name(), "amazingNewAiFeature");
        assert_eq!(action.enum_name(), "AMAZING_NEW_AI_FEATURE");
    }
}
