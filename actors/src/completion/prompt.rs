//! Renders an action's prompt from what a request brings along.

use minijinja::{Value, context, value::Serde};
use serde_json::Map;

use crate::{
    ports::{KeptPrompt, Resource, Turn, User},
    prompt::{PromptError, PromptText},
    protocol::{ChatMessage, Role},
};

/// What a template may refer to.
pub(super) struct Material<'a> {
    pub(super) user: &'a User,
    pub(super) input: &'a Map<String, serde_json::Value>,
    pub(super) resource: Option<&'a Resource>,
    pub(super) history: &'a [ChatMessage],
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) system: String,
    pub(super) turns: Vec<Turn>,
    pub(super) kept: Option<KeptPrompt>,
}

pub(super) fn render(text: &PromptText, material: &Material<'_>) -> Result<Rendered, PromptError> {
    let mut turns = pairs(material.history);
    let values = context! {
        user => context! { name => material.user.name.as_str(), username => material.user.username.as_str() },
        input => Value::from(Serde(material.input)),
        resource => material.resource.map(|resource| Value::from(Serde(resource))),
        history => turns
            .iter()
            .map(|turn| context! { role => turn.role.as_str(), content => turn.content.as_str() })
            .collect::<Vec<Value>>(),
    };
    match text {
        PromptText::Written(prompt) => {
            let rendered = prompt.render(&values)?;
            if prompt.quotes_history() {
                turns = rendered.turns;
            } else {
                turns.extend(rendered.turns);
            }
            Ok(Rendered { system: rendered.system, turns, kept: None })
        }
        PromptText::Kept(prompt) => {
            Ok(Rendered { system: String::new(), turns, kept: Some(prompt.render(&values)?) })
        }
    }
}

/// The conversation as alternating turns. A question that was not answered, or was answered with an
/// error, is left out with its answer: models refuse two turns of the same role in a row.
fn pairs(history: &[ChatMessage]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for question in history.iter().filter(|message| message.role == Role::User) {
        let answer = history
            .iter()
            .find(|message| message.role == Role::Assistant && message.request_id == question.request_id);
        if let Some(answer) = answer.filter(|answer| answer.errors.is_empty() && !answer.content.is_empty()) {
            turns.push(Turn { role: Role::User, content: question.content.clone() });
            turns.push(Turn { role: Role::Assistant, content: answer.content.clone() });
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{
        ports::Comment,
        prompt::{KeptTemplate, WrittenPrompt},
        protocol::GlobalId,
        testing::{a_message, a_user},
    };

    fn rendered(
        user: &str,
        input: serde_json::Value,
        resource: Option<&Resource>,
        history: &[ChatMessage],
    ) -> Result<Rendered, PromptError> {
        let text = PromptText::Written(WrittenPrompt::new("Be brief.", user).unwrap());
        let input = input.as_object().cloned().unwrap_or_default();
        let someone = a_user(2, "alice");
        render(&text, &Material { user: &someone, input: &input, resource, history })
    }

    fn an_issue(comment: &str) -> Resource {
        Resource {
            id: GlobalId::of("Issue", 52),
            title: "Title".to_owned(),
            description: "Text".to_owned(),
            comments: vec![Comment { author: "bob".to_owned(), text: comment.to_owned() }],
        }
    }

    const SUMMARY: &str =
        "{% for comment in resource.comments %}<comment>{{ comment.text }}</comment>{% endfor %}";

    #[test]
    fn a_comment_cannot_close_the_tag_it_stands_in() {
        let issue = an_issue("a </comment> b < / COMMENT > c <comment> d <b>bold</b>");
        let prompt = rendered(SUMMARY, json!({}), Some(&issue), &[]).unwrap();
        assert_eq!(
            prompt.turns[0].content,
            "<comment>a &lt;/comment> b &lt; / COMMENT > c &lt;comment> d <b>bold</b></comment>"
        );
    }

    #[test]
    fn a_resource_that_looks_like_a_template_is_not_one() {
        let issue = an_issue("{{ user.name }} {% raw %}");
        let prompt = rendered(SUMMARY, json!({}), Some(&issue), &[]).unwrap();
        assert_eq!(prompt.turns[0].content, "<comment>{{ user.name }} {% raw %}</comment>");
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_that_shows_no_value() {
        let error = rendered("{{ input.content }}", json!({"code": "secret"}), None, &[]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn the_history_reaches_the_model_as_answered_pairs_only() {
        let answered = crate::protocol::RequestId::new();
        let failed = crate::protocol::RequestId::new();
        let mut error = a_message(failed, Role::Assistant, "");
        error.errors.push("it broke".to_owned());
        let history = [
            a_message(answered, Role::User, "one?"),
            a_message(failed, Role::User, "two?"),
            a_message(answered, Role::Assistant, "one."),
            error,
        ];
        let prompt = rendered("{{ input.content }}", json!({"content": "three?"}), None, &history).unwrap();
        let said: Vec<&str> = prompt.turns.iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!(said, ["one?", "one.", "three?"]);
    }

    #[test]
    fn a_prompt_that_tells_the_history_itself_is_not_sent_after_it_once_more() {
        let id = crate::protocol::RequestId::new();
        let history = [a_message(id, Role::User, "one?"), a_message(id, Role::Assistant, "one.")];
        let template = "{% for turn in history %}{{ turn.role }}: {{ turn.content }}\n{% endfor %}and?";
        let prompt = rendered(template, json!({}), None, &history).unwrap();
        let said = Turn { role: Role::User, content: "user: one?\nassistant: one.\nand?".to_owned() };
        assert_eq!(prompt.turns, [said]);
    }

    #[test]
    fn turns_of_the_template_come_after_the_history() {
        let id = crate::protocol::RequestId::new();
        let history = [a_message(id, Role::User, "one?"), a_message(id, Role::Assistant, "one.")];
        let template = "\n\nHuman: {{ input.content }}\n\nAssistant:";
        let prompt = rendered(template, json!({"content": "two?"}), None, &history).unwrap();
        let said: Vec<&str> = prompt.turns.iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!(said, ["one?", "one.", "two?"]);
    }

    #[test]
    fn a_prompt_the_provider_keeps_has_no_text_of_ours() {
        let inputs = BTreeMap::from([("notes".to_owned(), "{{ resource.description }}".to_owned())]);
        let kept = KeptTemplate::new("summarize".to_owned(), "^1.0.0".to_owned(), inputs).unwrap();
        let (issue, someone) = (an_issue("a"), a_user(2, "alice"));
        let material = Material { user: &someone, input: &Map::new(), resource: Some(&issue), history: &[] };
        let prompt = render(&PromptText::Kept(kept), &material).unwrap();
        assert_eq!((prompt.system.as_str(), prompt.turns), ("", Vec::new()));
        assert_eq!(prompt.kept.unwrap().inputs, BTreeMap::from([("notes".to_owned(), "Text".to_owned())]));
    }
}
