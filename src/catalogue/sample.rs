//! Stand-ins for what the renderer will supply, so that a template can be tried before anyone asks.

use std::collections::BTreeMap;

use duologue_actors::action::ResourceRule;
use minijinja::Value;

use super::{input, prompt::Scope};

/// The two ends of what a template meets: everything there, and everything optional absent. What is
/// absent is `none`, so a template asks `{% if resource %}`.
pub(super) fn contexts(scope: &Scope) -> [(&'static str, Value); 2] {
    [("when everything is there", full(scope)), ("when what is optional is absent", sparse(scope))]
}

fn full(scope: &Scope) -> Value {
    let comments = vec![comment("Ada", "It fails."), comment("Ben", "Confirmed.")];
    let turn = map([("role", Value::from("user")), ("content", Value::from("A question"))]);
    map([
        ("resource", resource(scope, "A description", comments)),
        ("input", map(scope.input.iter().map(|field| (field.name.as_str(), value(&field.type_name))))),
        ("user", user()),
        ("history", Value::from(vec![turn])),
    ])
}

fn sparse(scope: &Scope) -> Value {
    let absent_or = |type_name: &str| {
        if type_name.ends_with('!') { value(type_name) } else { Value::from(()) }
    };
    let resource = match scope.resource {
        ResourceRule::Required => resource(scope, "", Vec::new()),
        ResourceRule::Optional | ResourceRule::None => Value::from(()),
    };
    map([
        ("resource", resource),
        ("input", map(scope.input.iter().map(|field| (field.name.as_str(), absent_or(&field.type_name))))),
        ("user", user()),
        ("history", Value::from(Vec::<Value>::new())),
    ])
}

fn resource(scope: &Scope, description: &str, comments: Vec<Value>) -> Value {
    if scope.resource == ResourceRule::None {
        return Value::from(());
    }
    map([
        ("title", Value::from("A title")),
        ("description", Value::from(description)),
        ("comments", Value::from(comments)),
    ])
}

fn comment(author: &str, text: &str) -> Value {
    map([("author", Value::from(author)), ("text", Value::from(text))])
}

fn user() -> Value {
    map([("name", Value::from("Ada")), ("username", Value::from("ada"))])
}

/// A value of a GraphQL type. The objects' fields are those of `graphql/input_types.rs`.
fn value(type_name: &str) -> Value {
    if type_name.starts_with('[') {
        let item = input::base_type(type_name).unwrap_or_default();
        return Value::from(vec![value(item)]);
    }
    match input::base_type(type_name).unwrap_or_default() {
        "Int" => Value::from(1),
        "Float" => Value::from(1.5),
        "Boolean" => Value::from(true),
        "AiCurrentFileInput" => {
            texts(&["file_name", "selected_text", "content_above_cursor", "content_below_cursor"])
        }
        "AiAdditionalContextInput" => texts(&["id", "category", "content", "metadata"]),
        _ => Value::from("text"),
    }
}

fn texts(names: &[&str]) -> Value {
    map(names.iter().map(|name| (*name, Value::from("text"))))
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let entries: BTreeMap<String, Value> =
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Value::from(entries)
}
