//! What an action can ask for: the types an input field may have, the input objects the server knows, and
//! how a client's values become the plain JSON that prompts read. Names are camel case on the wire and
//! snake case inside.

use async_graphql::{
    Value,
    dynamic::{Enum, InputObject, InputValue, SchemaBuilder, TypeRef},
};
use serde_json::{Map, Value as Json};

use super::{error, names, scalars};

const ADDITIONAL_CONTEXT_CATEGORY: &str = "AiAdditionalContextCategory";
/// What the user may add to a question.
pub const CATEGORIES: &[&str] = &[
    "FILE",
    "SNIPPET",
    "MERGE_REQUEST",
    "ISSUE",
    "DEPENDENCY",
    "LOCAL_GIT",
    "TERMINAL",
    "USER_RULE",
    "REPOSITORY",
    "DIRECTORY",
    "AGENT_USER_ENVIRONMENT",
];

/// A field of an input object, and of an action's input.
#[derive(Clone, Copy, Debug)]
pub struct FieldRule<'a> {
    /// As on the wire.
    pub name: &'a str,
    /// A GraphQL type such as `[String!]!`.
    pub type_name: &'a str,
    /// The most characters a text may have.
    pub max_length: Option<usize>,
    pub allow_blank: bool,
}

struct KnownObject {
    name: &'static str,
    description: &'static str,
    fields: &'static [FieldRule<'static>],
}

/// Characters of a file's name. All of these are GitLab's bounds, which its editor extensions rely on.
pub const MAX_FILE_NAME: usize = 1_000;
/// Characters of what is selected in a file, and of what stands above and below the cursor.
pub const MAX_FILE_TEXT: usize = 400_000;
/// Characters of the id of what was added to a question.
pub const MAX_CONTEXT_ID: usize = 255;
/// Characters of what was added to a question.
pub const MAX_CONTEXT_TEXT: usize = 600_000;

/// What is required is GitLab's word too.
const OBJECTS: &[KnownObject] = &[
    KnownObject {
        name: "AiCurrentFileInput",
        description: "The file the user is looking at.",
        fields: &[
            text("fileName", "String!", MAX_FILE_NAME),
            text("selectedText", "String!", MAX_FILE_TEXT),
            text("contentAboveCursor", "String", MAX_FILE_TEXT),
            text("contentBelowCursor", "String", MAX_FILE_TEXT),
        ],
    },
    KnownObject {
        name: "AiAdditionalContextInput",
        description: "Something the user added to the question: a file, an issue, a snippet.",
        fields: &[
            text("id", "String!", MAX_CONTEXT_ID),
            FieldRule {
                name: "category",
                type_name: "AiAdditionalContextCategory!",
                max_length: None,
                allow_blank: true,
            },
            text("content", "String!", MAX_CONTEXT_TEXT),
            FieldRule { name: "metadata", type_name: "JSON", max_length: None, allow_blank: true },
        ],
    },
];

const fn text(name: &'static str, type_name: &'static str, max_length: usize) -> FieldRule<'static> {
    FieldRule { name, type_name, max_length: Some(max_length), allow_blank: true }
}

/// Whether an action's input may have fields of this type, e.g. `String!` or `[AiAdditionalContextInput!]`.
#[must_use]
pub fn is_known(type_name: &str) -> bool {
    type_ref(type_name).is_some_and(|type_ref| {
        let name = type_ref.type_name();
        ["String", "Int", "Float", "Boolean", "ID", ADDITIONAL_CONTEXT_CATEGORY].contains(&name)
            || scalars::INPUT_SCALARS.contains(&name)
            || known_object(name).is_some()
    })
}

/// Reads a GraphQL type.
#[must_use]
pub fn type_ref(text: &str) -> Option<TypeRef> {
    if let Some(inner) = text.strip_suffix('!') {
        return (!inner.ends_with('!')).then(|| type_ref(inner))?.map(|inner| TypeRef::NonNull(inner.into()));
    }
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').and_then(type_ref).map(|inner| TypeRef::List(inner.into()));
    }
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| TypeRef::named(text))
}

pub(super) fn register(mut schema: SchemaBuilder) -> SchemaBuilder {
    for object in OBJECTS {
        let mut input = InputObject::new(object.name).description(object.description);
        for field in object.fields {
            if let Some(type_ref) = type_ref(field.type_name) {
                input = input.field(InputValue::new(field.name, type_ref));
            }
        }
        schema = schema.register(input);
    }
    schema.register(Enum::new(ADDITIONAL_CONTEXT_CATEGORY).items(CATEGORIES.iter().copied()))
}

/// The JSON of the fields of `values` that have a rule, by snake-case name. A field that was left out is
/// null, so that a strict template may ask for it.
///
/// # Errors
/// When a value does not fit its type, a text is longer than allowed, or blank where it may not be.
pub(super) fn fields_to_json<'a>(
    values: &async_graphql::indexmap::IndexMap<async_graphql::Name, Value>,
    rules: impl IntoIterator<Item = FieldRule<'a>>,
    path: &str,
) -> async_graphql::Result<Map<String, Json>> {
    let mut fields = Map::new();
    for rule in rules {
        let path = format!("{path}.{}", rule.name);
        let value = values.get(rule.name).unwrap_or(&Value::Null);
        let type_ref =
            type_ref(rule.type_name).ok_or_else(|| error::unfit_argument(&path, rule.type_name))?;
        fields.insert(names::snake_case(rule.name), to_json(value, &type_ref, &rule, &path)?);
    }
    Ok(fields)
}

fn to_json(
    value: &Value,
    type_ref: &TypeRef,
    rule: &FieldRule<'_>,
    path: &str,
) -> async_graphql::Result<Json> {
    match (type_ref, value) {
        (TypeRef::NonNull(_), Value::Null) => Err(error::unfit_argument(path, &type_ref.to_string())),
        (TypeRef::NonNull(inner), _) => to_json(value, inner, rule, path),
        (_, Value::Null) => Ok(Json::Null),
        (TypeRef::List(inner), Value::List(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| to_json(item, inner, rule, &format!("{path}.{index}")))
            .collect::<async_graphql::Result<Vec<_>>>()
            .map(Json::Array),
        // A single value stands for a list of one, by GraphQL's rules of coercion.
        (TypeRef::List(inner), _) => Ok(Json::Array(vec![to_json(value, inner, rule, path)?])),
        (TypeRef::Named(name), _) => named_to_json(value, name, rule, path),
    }
}

fn named_to_json(
    value: &Value,
    type_name: &str,
    rule: &FieldRule<'_>,
    path: &str,
) -> async_graphql::Result<Json> {
    if let Some(object) = known_object(type_name) {
        let Value::Object(values) = value else {
            return Err(error::unfit_argument(path, type_name));
        };
        return fields_to_json(values, object.fields.iter().copied(), path).map(Json::Object);
    }
    match value {
        Value::String(text) => check_text(text, rule)?,
        Value::Number(number) if type_name == "ID" => return Ok(Json::String(number.to_string())),
        _ => {}
    }
    value.clone().into_json().map_err(|_| error::unfit_argument(path, type_name))
}

fn check_text(text: &str, rule: &FieldRule<'_>) -> async_graphql::Result<()> {
    if !rule.allow_blank && text.trim().is_empty() {
        return Err(error::invalid_input(format!("{} can't be blank", rule.name)));
    }
    // Bytes are never fewer than characters: most texts need no counting.
    match rule.max_length {
        Some(maximum) if text.len() > maximum && text.chars().count() > maximum => {
            Err(error::invalid_input(format!("{} is too long (maximum is {maximum})", rule.name)))
        }
        _ => Ok(()),
    }
}

fn known_object(name: &str) -> Option<&'static KnownObject> {
    OBJECTS.iter().find(|object| object.name == name)
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    fn rule(type_name: &'static str) -> FieldRule<'static> {
        FieldRule { name: "userInput", type_name, max_length: Some(4), allow_blank: false }
    }

    fn read(values: Value, rule: FieldRule<'static>) -> Result<Json, String> {
        let Value::Object(values) = values else { panic!("not an object") };
        fields_to_json(&values, [rule], "input.action").map(Json::Object).map_err(|error| error.message)
    }

    #[test]
    fn names_become_snake_case_and_what_was_left_out_is_null() {
        assert_eq!(
            read(value!({"userInput": "hi"}), rule("String!")),
            Ok(serde_json::json!({"user_input": "hi"}))
        );
        assert_eq!(read(value!({}), rule("String")), Ok(serde_json::json!({"user_input": null})));
    }

    #[test]
    fn a_length_is_counted_in_characters() {
        assert!(read(value!({"userInput": "äöüß"}), rule("String!")).is_ok());
        let refused = read(value!({"userInput": "äöüßs"}), rule("String!")).unwrap_err();
        assert_eq!(refused, "userInput is too long (maximum is 4)");
    }

    #[test]
    fn a_blank_text_is_refused_where_one_is_needed() {
        assert_eq!(
            read(value!({"userInput": " \n"}), rule("String!")),
            Err("userInput can't be blank".to_owned())
        );
    }

    #[test]
    fn a_limit_holds_inside_lists_too() {
        assert!(read(value!({"userInput": ["ok", "too long"]}), rule("[String!]")).is_err());
    }

    #[test]
    fn a_single_value_stands_for_a_list_of_one() {
        assert_eq!(
            read(value!({"userInput": "a"}), rule("[String!]!")),
            Ok(serde_json::json!({"user_input": ["a"]}))
        );
    }

    #[test]
    fn an_input_object_is_read_field_by_field_and_its_free_json_is_left_alone() {
        let context = FieldRule { type_name: "[AiAdditionalContextInput!]", ..rule("") };
        let given = value!({"userInput": [
            {"id": "1", "category": "FILE", "content": "x", "metadata": {"fileName": 1}}
        ]});
        let expected = serde_json::json!({"user_input": [
            {"id": "1", "category": "FILE", "content": "x", "metadata": {"fileName": 1}}
        ]});
        assert_eq!(read(given, context), Ok(expected));
        let long = value!({"userInput": {"id": "1".repeat(256), "category": "FILE", "content": "x"}});
        assert_eq!(read(long, context), Err("id is too long (maximum is 255)".to_owned()));
    }

    #[test]
    fn a_text_in_place_of_an_input_object_is_refused() {
        let file = FieldRule { type_name: "AiCurrentFileInput", ..rule("") };
        let refused = read(value!({"userInput": "main.rs"}), file).unwrap_err();
        assert!(refused.contains("expected type \"AiCurrentFileInput\""), "{refused}");
    }

    #[rstest::rstest]
    #[case("String!", true)]
    #[case("[AiAdditionalContextInput!]!", true)]
    #[case("MergeRequestID", true)]
    #[case("Strin", false)]
    #[case("String!!", false)]
    #[case("[String", false)]
    #[case("", false)]
    fn only_types_the_server_knows_are_taken(#[case] type_name: &str, #[case] known: bool) {
        assert_eq!(is_known(type_name), known);
    }
}
