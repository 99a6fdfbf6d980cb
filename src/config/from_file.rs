//! Reading the user's file against the shape of the defaults.

use super::{
    layers::{Given, Origin},
    shape::{SettingPath, Shape, secret_hint},
};
use crate::document::{Fault, Key, Node, Place, Value};

/// What the file gives. What does not fit the shape goes to `faults`.
pub(super) fn read(file: &str, root: &Node, shape: &Shape, faults: &mut Vec<Fault>) -> Vec<Given> {
    let mut reader = Reader { file, shape, faults, given: Vec::new() };
    reader.section(root, &mut Vec::new());
    reader.given
}

struct Reader<'a> {
    file: &'a str,
    shape: &'a Shape,
    faults: &'a mut Vec<Fault>,
    given: Vec<Given>,
}

impl Reader<'_> {
    fn fault(&mut self, place: Place, reason: String) {
        self.faults.push(Fault { file: self.file.to_owned(), place: Some(place), reason });
    }

    /// A section that says nothing is one whose settings are all commented out.
    fn section(&mut self, node: &Node, path: &mut SettingPath) {
        match &node.value {
            Value::Null => {}
            Value::Map(entries) => {
                for (key, value) in entries {
                    path.push(key.name.clone());
                    self.entry(key, value, path);
                    path.pop();
                }
            }
            other => {
                let name =
                    if path.is_empty() { "the file".to_owned() } else { format!("`{}`", path.join(".")) };
                self.fault(node.place, format!("{name} must be a mapping of settings, not {}", other.kind()));
            }
        }
    }

    fn entry(&mut self, key: &Key, node: &Node, path: &mut SettingPath) {
        match self.shape.at(path) {
            None => self.fault(key.place, unknown(self.shape, path)),
            Some(serde_json::Value::Object(_)) => {
                self.empty_entry(key, node, path);
                self.section(node, path);
            }
            Some(_) => self.setting(node, path),
        }
    }

    fn setting(&mut self, node: &Node, path: &SettingPath) {
        match to_json(&node.value) {
            Some(value) => self.given.push(Given {
                path: path.clone(),
                value,
                origin: Origin::File { file: self.file.to_owned(), place: node.place },
            }),
            None => self.fault(
                node.place,
                format!("`{}` is one setting and must be a value, not a mapping", path.join(".")),
            ),
        }
    }

    /// An entry without a single field is not "unchanged": there is nothing it could be.
    fn empty_entry(&mut self, key: &Key, node: &Node, path: &SettingPath) {
        let says_nothing = match &node.value {
            Value::Null => true,
            Value::Map(entries) => entries.is_empty(),
            _ => false,
        };
        if path.len() != 2 || !says_nothing {
            return;
        }
        if let Some((_, _, required)) = self.shape.new_entry(path) {
            self.fault(key.place, format!("`{}` needs {}", path.join("."), required.join(" and ")));
        }
    }
}

fn unknown(shape: &Shape, path: &SettingPath) -> String {
    let name = path.join(".");
    if let Some(hint) = secret_hint(path) {
        return format!("unknown setting `{name}`; {hint}");
    }
    match shape.nearest(path) {
        Some(meant) => format!("unknown setting `{name}`; did you mean `{}`?", meant.join(".")),
        None => format!("unknown setting `{name}`; {}", known_here(shape, path)),
    }
}

fn known_here(shape: &Shape, path: &SettingPath) -> String {
    let parents = path.split_last().map(|(_, parents)| parents).unwrap_or_default();
    let section = shape.at(parents).and_then(serde_json::Value::as_object);
    let names: Vec<&str> =
        section.into_iter().flat_map(|section| section.keys().map(String::as_str)).collect();
    format!("known here: {}", names.join(", "))
}

/// The value without its places; `None` for anything that holds a mapping.
pub(super) fn to_json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(value) => value.clone().into(),
        Value::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| to_json(&item.value)).collect();
            items?.into()
        }
        Value::Map(_) => return None,
    })
}

/// The whole tree without its places.
pub(super) fn tree_to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| (key.name.clone(), tree_to_json(&node.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => to_json(other).unwrap_or_default(),
    }
}
