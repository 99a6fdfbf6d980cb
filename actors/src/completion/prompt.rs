//! Renders an action's prompt. What comes from users and resources is data: it cannot close or open the
//! tags with which the template's author marks it.

use std::collections::BTreeSet;

use minijinja::{Environment, UndefinedBehavior, Value, context, value::Serde};
use serde_json::Map;

use crate::{
    action::PromptText,
    ports::{Resource, Turn, User},
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
}

/// The template names something that is not there. The text names the place, never the values.
#[derive(Debug, thiserror::Error)]
#[error("prompt template cannot be rendered: {kind} in line {line}")]
pub(super) struct PromptError {
    kind: minijinja::ErrorKind,
    line: usize,
}

impl From<minijinja::Error> for PromptError {
    fn from(error: minijinja::Error) -> Self {
        Self { kind: error.kind(), line: error.line().unwrap_or_default() }
    }
}

pub(super) fn render(text: &PromptText, material: &Material<'_>) -> Result<Rendered, PromptError> {
    let history = pairs(material.history);
    let values = context! {
        user => context! { name => material.user.name.as_str(), username => material.user.username.as_str() },
        input => Value::from(Serde(material.input)),
        resource => material.resource.map(|resource| Value::from(Serde(resource))),
        history => history
            .iter()
            .map(|turn| context! { role => turn.role.as_str(), content => turn.content.as_str() })
            .collect::<Vec<Value>>(),
    };
    // One set for both: what the system text says of a tag must hold in the user's text.
    let tags: BTreeSet<String> = tags_of(&text.system).chain(tags_of(&text.user)).collect();
    let user = render_text(&text.user, &values, &tags)?;
    let mut turns = history;
    turns.push(Turn { role: Role::User, content: user });
    Ok(Rendered { system: render_text(&text.system, &values, &tags)?, turns })
}

fn render_text(source: &str, values: &Value, tags: &BTreeSet<String>) -> Result<String, PromptError> {
    let tags = tags.clone();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(move |out, _, value| {
        let text = if value.is_none() { String::new() } else { value.to_string() };
        out.write_str(&without_tags(&text, &tags))?;
        Ok(())
    });
    Ok(environment.render_str(source, values)?)
}

/// The names of the tags the template itself uses: `<resource>`, `</comment>` ...
fn tags_of(template: &str) -> impl Iterator<Item = String> {
    template.split('<').skip(1).map(tag_name).filter(|name| !name.is_empty())
}

/// The tag name a text that follows `<` begins with, in lower case; empty when it is no tag.
fn tag_name(after_bracket: &str) -> String {
    at_name(after_bracket).chars().take_while(is_of_a_name).collect::<String>().to_ascii_lowercase()
}

/// Whether a value that ends with this text after its last `<` could be made a tag by the value that
/// stands next to it.
fn may_become_a_tag(after_bracket: &str, tags: &BTreeSet<String>) -> bool {
    let begun = at_name(after_bracket).to_ascii_lowercase();
    begun.chars().all(|c| is_of_a_name(&c)) && tags.iter().any(|tag| tag.starts_with(&begun))
}

fn at_name(after_bracket: &str) -> &str {
    after_bracket.trim_start().trim_start_matches('/').trim_start()
}

fn is_of_a_name(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == '_' || *c == '-'
}

/// The text with the `<` of each of `tags` written as `&lt;`; all other markup stays as it is, because
/// code and discussions are full of it.
fn without_tags(text: &str, tags: &BTreeSet<String>) -> String {
    let mut pieces = text.split('<').peekable();
    let mut safe = pieces.next().unwrap_or_default().to_owned();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let is_tag = tags.contains(&tag_name(piece)) || (is_last && may_become_a_tag(piece, tags));
        safe.push_str(if is_tag { "&lt;" } else { "<" });
        safe.push_str(piece);
    }
    safe
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        ports::Comment,
        protocol::GlobalId,
        testing::{a_message, a_user},
    };

    fn rendered(
        user: &str,
        input: serde_json::Value,
        resource: Option<&Resource>,
        history: &[ChatMessage],
    ) -> Result<Rendered, PromptError> {
        let text = PromptText { system: "Be brief.".to_owned(), user: user.to_owned() };
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
    fn two_values_side_by_side_cannot_make_a_tag_together() {
        let template = "<comment>{{ input.a }}{{ input.b }}</comment>";
        for (a, b) in [("<", "/comment>"), ("</", "comment>"), ("</com", "ment>"), ("< ", " / comment>")] {
            let prompt = rendered(template, json!({ "a": a, "b": b }), None, &[]).unwrap();
            let text = &prompt.turns[0].content;
            assert_eq!(tags_in(text), ["comment", "comment"], "{text}");
        }
    }

    #[test]
    fn a_bracket_at_the_end_that_begins_no_tag_stays_as_it_is() {
        let prompt = rendered("<comment>{{ input.a }}</comment>", json!({ "a": "a < b <x" }), None, &[]);
        assert_eq!(prompt.unwrap().turns[0].content, "<comment>a < b <x</comment>");
    }

    /// The tags of the template's author that a reader of `text` would see.
    fn tags_in(text: &str) -> Vec<String> {
        let known: BTreeSet<String> = tags_of(TAGGED).collect();
        text.split('<').skip(1).map(tag_name).filter(|name| known.contains(name)).collect()
    }

    const TAGGED: &str = "<comment>{{ input.a }}{{ input.b }}</comment><code-1>{{ input.c }}</code-1>";

    /// Texts full of what tags are made of.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[<>/ \n\t]{1,3}",
            Just("comment".to_owned()),
            Just("COMMENT".to_owned()),
            Just("code-1".to_owned()),
            "(com|ment|co|de|-1|_|é)",
            ".{0,4}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_the_data_is_the_only_tags_are_the_templates(
            a in hostile(),
            b in hostile(),
            c in hostile(),
        ) {
            let prompt = rendered(TAGGED, json!({ "a": a, "b": b, "c": c }), None, &[]).unwrap();
            let text = &prompt.turns[0].content;
            prop_assert_eq!(tags_in(text), ["comment", "comment", "code-1", "code-1"], "{}", text);
            // Nothing but brackets is changed.
            prop_assert_eq!(
                text.replace("&lt;", "<"),
                format!("<comment>{a}{b}</comment><code-1>{c}</code-1>").replace("&lt;", "<")
            );
        }
    }
}
