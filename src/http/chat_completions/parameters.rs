//! The parameters of a question. Names and bounds are GitLab's.

use std::sync::Arc;

use duologue_actors::{action::Action, protocol::GlobalId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RESET;
use crate::{
    config::RestConfig,
    graphql::input_types,
    http::{
        direct::{self, Order},
        rest::Refusal,
    },
};

/// What a question may be about, and the model of it.
const RESOURCE_TYPES: [(&str, &str); 6] = [
    ("issue", "Issue"),
    ("epic", "Epic"),
    ("group", "Group"),
    ("project", "Project"),
    ("merge_request", "MergeRequest"),
    ("commit", COMMIT),
];

/// The model of what only its project can find.
const COMMIT: &str = "Commit";

/// As GitLab does, what is not known here is not looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    content: String,
    resource_type: Option<String>,
    resource_id: Option<Id>,
    /// The page the question was asked on. Taken, and not looked at: nothing here has pages.
    referer_url: Option<String>,
    client_subscription_id: Option<String>,
    #[serde(default)]
    with_clean_history: bool,
    project_id: Option<Id>,
    current_file: Option<CurrentFile>,
    additional_context: Option<Vec<AdditionalContext>>,
}

/// A number, as a number or as a text, or the hash of a commit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize, Serialize)]
struct CurrentFile {
    file_name: String,
    selected_text: String,
    content_above_cursor: Option<String>,
    content_below_cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct AdditionalContext {
    category: String,
    id: String,
    content: String,
    metadata: Option<Value>,
}

impl Parameters {
    /// # Errors
    /// The first parameter that is not as it should be, by its name.
    pub fn read(body: &[u8], bounds: &RestConfig, max_label_characters: usize) -> Result<Self, Refusal> {
        let mut given: Self = serde_json::from_slice(body).map_err(|error| unfit(&error))?;
        if given.content.trim().is_empty() {
            return Err(Refusal::Parameter("content is missing".to_owned()));
        }
        at_most(bounds.max_chat_characters, "content", Some(&given.content))?;
        at_most(bounds.max_referer_url_characters, "referer_url", given.referer_url.as_deref())?;
        at_most(max_label_characters, "client_subscription_id", given.client_subscription_id.as_deref())?;
        given.file_is_bounded()?;
        given.context_is_bounded()?;
        Ok(given)
    }

    /// The question.
    pub fn order(self, chat: &Arc<Action>) -> Result<Order, Refusal> {
        let (resource_id, project_id) = (self.resource()?, self.project()?);
        let content_too_long = chat.question().and_then(|field| field.max_length);
        at_most(content_too_long.unwrap_or(usize::MAX), "content", Some(&self.content))?;
        let json = |value: Result<Value, _>| value.unwrap_or_default();
        let given = [
            ("content".to_owned(), Value::String(self.content)),
            ("current_file".to_owned(), json(serde_json::to_value(self.current_file))),
            ("additional_context".to_owned(), json(serde_json::to_value(self.additional_context))),
        ];
        Ok(Order {
            action: chat.clone(),
            input: direct::input(chat, given),
            resource_id,
            project_id,
            client_subscription_id: self.client_subscription_id,
            brought: None,
        })
    }

    /// What lets the conversation begin anew, if that is wanted. It is not for the page that waits for the answer.
    pub fn reset(&self, chat: &Arc<Action>) -> Option<Order> {
        let content = ("content".to_owned(), Value::String(RESET.to_owned()));
        self.with_clean_history.then(|| Order {
            action: chat.clone(),
            input: direct::input(chat, [content]),
            resource_id: None,
            project_id: None,
            client_subscription_id: None,
            brought: None,
        })
    }

    fn resource(&self) -> Result<Option<GlobalId>, Refusal> {
        let (kind, id) = match (&self.resource_type, &self.resource_id) {
            (None, None) => return Ok(None),
            (Some(kind), Some(id)) => (kind, id),
            (Some(_), None) => return Err(missing("resource_id")),
            (None, Some(_)) => return Err(missing("resource_type")),
        };
        let known = RESOURCE_TYPES.iter().find(|(name, _)| name == kind);
        let (_, model) = known
            .ok_or_else(|| Refusal::Parameter("resource_type does not have a valid value".to_owned()))?;
        if *model == COMMIT && self.project_id.is_none() {
            return Err(missing("project_id"));
        }
        id.of(model, "resource_id").map(Some)
    }

    fn project(&self) -> Result<Option<GlobalId>, Refusal> {
        self.project_id.as_ref().map(|id| id.of("Project", "project_id")).transpose()
    }

    fn file_is_bounded(&self) -> Result<(), Refusal> {
        let Some(file) = &self.current_file else { return Ok(()) };
        at_most(input_types::MAX_FILE_NAME, "current_file[file_name]", Some(&file.file_name))?;
        let texts = [
            ("current_file[selected_text]", Some(file.selected_text.as_str())),
            ("current_file[content_above_cursor]", file.content_above_cursor.as_deref()),
            ("current_file[content_below_cursor]", file.content_below_cursor.as_deref()),
        ];
        texts.into_iter().try_for_each(|(name, text)| at_most(input_types::MAX_FILE_TEXT, name, text))
    }

    /// Categories are written in lower case here, and in upper case inside.
    fn context_is_bounded(&mut self) -> Result<(), Refusal> {
        for item in self.additional_context.iter_mut().flatten() {
            item.category.make_ascii_uppercase();
            if !input_types::CATEGORIES.contains(&item.category.as_str()) {
                let reason = "additional_context[category] does not have a valid value";
                return Err(Refusal::Parameter(reason.to_owned()));
            }
            at_most(input_types::MAX_CONTEXT_ID, "additional_context[id]", Some(&item.id))?;
            at_most(input_types::MAX_CONTEXT_TEXT, "additional_context[content]", Some(&item.content))?;
        }
        Ok(())
    }
}

impl Id {
    fn of(&self, model: &str, parameter: &str) -> Result<GlobalId, Refusal> {
        let text = match self {
            Self::Number(number) => return Ok(GlobalId::of(model, *number)),
            Self::Text(text) => text,
        };
        let id = format!("gid://gitlab/{model}/{text}");
        id.parse().map_err(|_| Refusal::Parameter(format!("{parameter} is invalid")))
    }
}

fn missing(parameter: &str) -> Refusal {
    Refusal::Parameter(format!("{parameter} is missing"))
}

/// What does not fit is not repeated: it may be part of a question.
fn unfit(error: &serde_json::Error) -> Refusal {
    let reason = if error.is_data() { "a parameter has the wrong type" } else { "the body is not JSON" };
    Refusal::Parameter(reason.to_owned())
}

fn at_most(maximum: usize, parameter: &str, text: Option<&str>) -> Result<(), Refusal> {
    match text {
        // Bytes are never fewer than characters: most texts need no counting.
        Some(text) if text.len() > maximum && text.chars().count() > maximum => {
            Err(Refusal::Parameter(format!("{parameter} is too long (maximum is {maximum} characters)")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use duologue_actors::testing::an_action;
    use serde_json::json;

    use super::*;

    const BOUNDS: RestConfig = RestConfig {
        max_chat_characters: 10,
        max_referer_url_characters: 10,
        heartbeat_seconds: 15,
        retry_milliseconds: 1_000,
    };

    fn ordered(body: &Value) -> Result<Order, Refusal> {
        Parameters::read(body.to_string().as_bytes(), &BOUNDS, 10)?.order(&an_action("chat"))
    }

    fn refusal(body: &Value) -> String {
        match ordered(body) {
            Err(Refusal::Parameter(reason)) => reason,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("{body} is taken"),
        }
    }

    #[rstest::rstest]
    #[case(json!({}), "content is missing")]
    #[case(json!({"content": " "}), "content is missing")]
    #[case(json!({"content": "ä".repeat(11)}), "content is too long (maximum is 10 characters)")]
    #[case(json!({"content": 1}), "a parameter has the wrong type")]
    #[case(json!({"content": "a", "referer_url": "a".repeat(11)}), "referer_url is too long (maximum is 10 characters)")]
    #[case(json!({"content": "a", "client_subscription_id": "a".repeat(11)}), "client_subscription_id is too long (maximum is 10 characters)")]
    #[case(json!({"content": "a", "resource_type": "issue"}), "resource_id is missing")]
    #[case(json!({"content": "a", "resource_id": 1}), "resource_type is missing")]
    #[case(json!({"content": "a", "resource_type": "user", "resource_id": 1}), "resource_type does not have a valid value")]
    #[case(json!({"content": "a", "resource_type": "issue", "resource_id": "1/2"}), "resource_id is invalid")]
    #[case(json!({"content": "a", "resource_type": "commit", "resource_id": "abc"}), "project_id is missing")]
    #[case(json!({"content": "a", "current_file": {"file_name": "a".repeat(1_001), "selected_text": ""}}), "current_file[file_name] is too long (maximum is 1000 characters)")]
    #[case(json!({"content": "a", "additional_context": [{"category": "rumour", "id": "1", "content": ""}]}), "additional_context[category] does not have a valid value")]
    #[case(json!({"content": "a", "additional_context": [{"category": "file", "id": "a".repeat(256), "content": ""}]}), "additional_context[id] is too long (maximum is 255 characters)")]
    fn a_parameter_that_is_not_as_it_should_be_is_named(#[case] body: Value, #[case] reason: &str) {
        assert_eq!(refusal(&body), reason);
    }

    #[test]
    fn a_body_that_is_no_json_is_refused() {
        let refused = Parameters::read(b"content=a", &BOUNDS, 10).unwrap_err();
        assert_eq!(refused, Refusal::Parameter("the body is not JSON".to_owned()));
    }

    #[rstest::rstest]
    #[case(json!({"content": "a"}), None)]
    #[case(json!({"content": "a", "resource_type": "issue", "resource_id": 52}), Some("gid://gitlab/Issue/52"))]
    #[case(json!({"content": "a", "resource_type": "merge_request", "resource_id": "52"}), Some("gid://gitlab/MergeRequest/52"))]
    #[case(json!({"content": "a", "resource_type": "commit", "resource_id": "abc1", "project_id": 20}), Some("gid://gitlab/Commit/abc1"))]
    fn a_resource_has_a_type_and_an_id(#[case] body: Value, #[case] expected: Option<&str>) {
        let order = ordered(&body).unwrap();
        assert_eq!(order.resource_id.map(|id| id.to_string()).as_deref(), expected);
    }

    #[test]
    fn what_the_action_does_not_take_is_left_out_and_what_it_takes_is_as_graphql_has_it() {
        let context = json!([{"category": "file", "id": "1", "content": "x", "metadata": {"a": 1}}]);
        let body = json!({"content": "a", "additional_context": context, "current_file": null});
        assert_eq!(Value::from(ordered(&body).unwrap().input), json!({"content": "a"}));
        let mut chat = Action::clone(&an_action("chat"));
        let mut field = chat.input[0].clone();
        field.name = "additional_context".to_owned();
        chat.input.push(field);
        let given = Parameters::read(body.to_string().as_bytes(), &BOUNDS, 10).unwrap();
        let input = given.order(&Arc::new(chat)).unwrap().input;
        let inside = json!([{"category": "FILE", "id": "1", "content": "x", "metadata": {"a": 1}}]);
        assert_eq!(input["additional_context"], inside);
    }
}
