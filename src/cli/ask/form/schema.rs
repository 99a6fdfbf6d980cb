//! Reading the actions and their inputs from the server's schema.

use serde::Deserialize;
use serde_json::Value;

use super::{ActionForm, Input, InputKind};

/// `AiActionInput`: each of its fields that is an object is an action.
pub(in crate::cli::ask) const INTROSPECTION: &str = "query actions { __type(name: \"AiActionInput\") { \
     inputFields { name type { kind inputFields { name type { kind name ofType { kind name } } } } } } }";

#[derive(Debug, Deserialize)]
struct Introspection {
    __type: Option<Type>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Type {
    kind: String,
    name: Option<String>,
    of_type: Option<Box<Type>>,
    input_fields: Option<Vec<Field>>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    r#type: Type,
}

/// The actions in the answer to [`INTROSPECTION`].
pub(in crate::cli::ask) fn read(data: &Value) -> Vec<ActionForm> {
    let introspection = Introspection::deserialize(data).unwrap_or(Introspection { __type: None });
    introspection
        .__type
        .and_then(|input| input.input_fields)
        .into_iter()
        .flatten()
        .filter(|field| field.r#type.kind == "INPUT_OBJECT")
        .map(|field| ActionForm {
            name: field.name,
            inputs: field.r#type.input_fields.into_iter().flatten().map(input).collect(),
        })
        .collect()
}

fn input(field: Field) -> Input {
    let required = field.r#type.kind == "NON_NULL";
    let of_type = if required { field.r#type.of_type.map(|inner| *inner) } else { Some(field.r#type) };
    Input { name: field.name, required, kind: of_type.map_or(InputKind::Json, |of_type| kind(&of_type)) }
}

fn kind(of_type: &Type) -> InputKind {
    match (of_type.kind.as_str(), of_type.name.as_deref()) {
        ("SCALAR", Some("String")) => InputKind::Text,
        ("SCALAR", Some("Int" | "Float" | "Boolean" | "JSON")) => InputKind::Json,
        ("SCALAR" | "ENUM", _) => InputKind::Word,
        _ => InputKind::Json,
    }
}
