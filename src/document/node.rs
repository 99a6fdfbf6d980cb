//! The tree of a document: YAML values with the places they stand at.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::Place;

#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub place: Place,
    pub name: String,
}

impl Value {
    /// What kind of value this is, for people: "a number", "a list".
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Parses one document, or says where and why it is none.
pub(super) fn parse(text: &str) -> Result<Node, (Option<Place>, String)> {
    match serde_saphyr::from_str::<Spanned<Value>>(text) {
        Ok(spanned) => Ok(spanned.into()),
        Err(error) => {
            let plain = error.without_snippet();
            Err((plain.location().and_then(known_place), reason(plain)))
        }
    }
}

/// What is wrong, in our words where the parser's speak of its own settings; without the place the
/// message ends with, which stands in front of ours.
fn reason(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_ref().map_or("a key".to_owned(), |key| format!("`{key}`"));
        return format!("{key} is there twice");
    }
    let message = error.to_string();
    let first_line = message.lines().next().unwrap_or_default();
    match first_line.rfind(" at line ") {
        Some(end) => first_line.get(..end).unwrap_or(first_line).trim_end_matches(',').to_owned(),
        None => first_line.to_owned(),
    }
}

fn known_place(location: Location) -> Option<Place> {
    (location.line() > 0).then(|| Place { line: location.line(), column: location.column() })
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        let place = known_place(spanned.referenced).unwrap_or(Place { line: 1, column: 1 });
        Self { place, value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Value>>()? {
            let place = known_place(key.referenced).unwrap_or(Place { line: 1, column: 1 });
            map.push((Key { place, name: key.value }, value.into()));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_key_remembers_its_place() {
        let node = parse("a: 1\nb:\n  - x\n  - {c: true}\n").unwrap();
        let Value::Map(entries) = node.value else { panic!("not a mapping") };
        let (key, list) = &entries[1];
        assert_eq!((key.name.as_str(), key.place), ("b", Place { line: 2, column: 1 }));
        let Value::List(items) = &list.value else { panic!("not a list") };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
        let Value::Map(inner) = &items[1].value else { panic!("not a mapping") };
        assert_eq!(inner[0].1.place, Place { line: 4, column: 9 });
        assert!(matches!(inner[0].1.value, Value::Bool(true)));
    }

    #[test]
    fn a_key_given_twice_is_refused_at_its_second_place() {
        let (place, reason) = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(place.unwrap(), Place { line: 3, column: 1 });
        assert_eq!(reason, "`a` is there twice");
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        let (place, _) = parse("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(place.unwrap().line >= 1);
    }
}
