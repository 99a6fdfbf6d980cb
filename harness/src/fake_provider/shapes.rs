//! Answers in the shapes that providers give them: the least of each that a client must understand.

use serde_json::Value;

pub mod ai_gateway;
pub mod anthropic;
pub mod openai;
pub mod vertex_ai;

/// One server-sent event without a name.
#[must_use]
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// One server-sent event with a name.
#[must_use]
pub fn named_event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// The object with one more field, or another value of one it has.
fn with(mut object: Value, field: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert(field.to_owned(), value);
    }
    object
}

#[cfg(test)]
mod tests;
