//! Values as YAML a person can read: one key a line, texts plain where that is safe.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::document;

/// Texts that would be read as something else.
const NOT_TEXTS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"];
const INDENT: usize = 2;

/// The value without the places it was read at.
pub(super) fn plain(value: &document::Value) -> Value {
    match value {
        document::Value::Null => Value::Null,
        document::Value::Bool(value) => (*value).into(),
        document::Value::Integer(value) => (*value).into(),
        document::Value::Float(value) => (*value).into(),
        document::Value::Text(value) => value.clone().into(),
        document::Value::List(items) => items.iter().map(|item| plain(&item.value)).collect(),
        document::Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| (key.name.clone(), plain(&node.value)));
            Value::Object(entries.collect())
        }
    }
}

pub(super) fn render(document: &Map<String, Value>) -> String {
    let mut text = String::new();
    mapping(document, 0, &mut text);
    text
}

fn mapping(entries: &Map<String, Value>, indent: usize, text: &mut String) {
    for (key, value) in entries {
        let _ = write!(text, "{:indent$}{}:", "", scalar(key));
        if is_block(value) {
            text.push('\n');
            block(value, indent + INDENT, text);
        } else {
            let _ = writeln!(text, " {}", inline(value));
        }
    }
}

fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(entries) => mapping(entries, indent, text),
        Value::Array(items) => items.iter().for_each(|item| list_item(item, indent, text)),
        other => text.push_str(&inline(other)),
    }
}

fn list_item(item: &Value, indent: usize, text: &mut String) {
    let _ = write!(text, "{:indent$}- ", "");
    if is_block(item) {
        let mut within = String::new();
        block(item, indent + INDENT, &mut within);
        // Its first line stands beside the dash.
        text.push_str(within.trim_start());
    } else {
        let _ = writeln!(text, "{}", inline(item));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./ ".contains(c))
        && !text.ends_with(' ')
        && !NOT_TEXTS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// Between double quotes, with everything escaped that YAML does not call printable.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => escape(c, &mut quoted),
            c if c.is_control() => escape(c, &mut quoted),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn escape(c: char, text: &mut String) {
    let _ = write!(text, "\\U{:08X}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_back(text: &str) -> Value {
        plain(&document::parse("f", text).unwrap_or_else(|fault| panic!("{fault} in {text}")).value)
    }

    #[test]
    fn it_reads_like_something_a_person_wrote() {
        let Value::Object(document) = json!({
            "groups": [{"id": 1, "path": "a/b", "members": {"x": "owner"}, "add_ons": ["duo_pro"], "none": []}],
            "texts": ["yes", "7", "a: b", "größer", "two\nlines", ""],
        }) else {
            unreachable!()
        };
        let expected = "\
groups:
  - id: 1
    path: a/b
    members:
      x: owner
    add_ons:
      - duo_pro
    none: []
texts:
  - \"yes\"
  - \"7\"
  - \"a: b\"
  - \"größer\"
  - \"two\\nlines\"
  - \"\"
";
        assert_eq!(render(&document), expected);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ -~]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z: #-]{1,6}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_the_same(values in prop::collection::vec(any_value(), 1..4)) {
            let document = Map::from_iter([("values".to_owned(), Value::from(values))]);
            prop_assert_eq!(read_back(&render(&document)), Value::Object(document));
        }
    }
}
