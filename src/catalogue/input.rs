//! The input of an action: its fields, their GraphQL types and limits.

use duologue_actors::action::InputField;

use super::names::{camel_case, is_snake_case};
use crate::document::{Fields, Key, Node, Place, Report, Value};

/// Types an input field may have, besides lists of them. The objects are described in
/// `graphql/input_types.rs`.
pub const KNOWN_TYPES: &[&str] = &[
    "String",
    "Int",
    "Float",
    "Boolean",
    "ID",
    "AiModelID",
    "UserID",
    "ProjectID",
    "NamespaceID",
    "AiCurrentFileInput",
    "AiAdditionalContextInput",
];

/// The field the server adds by itself.
const RESOURCE_ID: &str = "resource_id";

/// Reads `input:`, in which a field is `name: Type` or `name: {type: Type, max_length: 100}`.
pub(super) fn read(entries: &[(Key, Node)], report: &mut Report) -> Vec<InputField> {
    let mut fields: Vec<InputField> = Vec::new();
    for (key, node) in entries {
        check_name(key, &fields, report);
        fields.extend(read_field(&key.name, node, report));
    }
    fields
}

fn check_name(key: &Key, earlier: &[InputField], report: &mut Report) {
    let name = key.name.as_str();
    if name == RESOURCE_ID {
        let reason = "`resource_id` is added by itself; say `resource: required` or `resource: optional`";
        report.fault(key.place, reason);
    } else if !is_snake_case(name) {
        report.fault(key.place, format!("`{name}` is not snake_case, such as user_input"));
    } else if let Some(twin) = earlier.iter().find(|field| camel_case(&field.name) == camel_case(name)) {
        let camel = camel_case(name);
        report.fault(key.place, format!("`{name}` and `{}` are both `{camel}` in GraphQL", twin.name));
    }
}

fn read_field(name: &str, node: &Node, report: &mut Report) -> Option<InputField> {
    if let Value::Text(type_name) = &node.value {
        check_type(type_name, node.place, report);
        let type_name = type_name.clone();
        return Some(InputField { name: name.to_owned(), type_name, max_length: None, allow_blank: true });
    }
    let mut fields = Fields::of(node, "an input field", report)?;
    let type_name = fields.required_text("type", report);
    let max_length = fields.count("max_length", report);
    let allow_blank = fields.bool("allow_blank", report);
    fields.finish(report);
    let (place, type_name) = type_name?;
    check_type(type_name, place, report);
    let limits_a_text = max_length.is_some() || allow_blank.is_some();
    if limits_a_text && is_known(type_name) && base_type(type_name) != Some("String") {
        report.fault(place, "`max_length` and `allow_blank` are for texts: String or lists of it");
    }
    Some(InputField {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        max_length: max_length.and_then(|(_, length)| usize::try_from(length).ok()),
        allow_blank: allow_blank.unwrap_or(true),
    })
}

fn check_type(type_name: &str, place: Place, report: &mut Report) {
    if !is_known(type_name) {
        let known = KNOWN_TYPES.join(", ");
        let reason =
            format!("unknown input type `{type_name}`; known: {known}, each also as `T!` and `[T!]`");
        report.fault(place, reason);
    }
}

fn is_known(type_name: &str) -> bool {
    base_type(type_name).is_some_and(|base| KNOWN_TYPES.contains(&base))
}

/// `String` of `String!`, `[String!]` or `[String!]!`; nothing if it is no such type.
pub(super) fn base_type(type_name: &str) -> Option<&str> {
    let nullable = type_name.strip_suffix('!').unwrap_or(type_name);
    let item = match nullable.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').map(|item| item.strip_suffix('!').unwrap_or(item))?,
        None => nullable,
    };
    let is_name = !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("String", Some("String"))]
    #[case("String!", Some("String"))]
    #[case("[String]", Some("String"))]
    #[case("[String!]!", Some("String"))]
    #[case("String!!", None)]
    #[case("[String", None)]
    #[case("[[String]]", None)]
    #[case("", None)]
    fn the_base_of_a_type_is_found(#[case] type_name: &str, #[case] base: Option<&str>) {
        assert_eq!(base_type(type_name), base);
    }
}
