//! Taking typed fields from a mapping while reporting everything that does not fit.

use super::{Key, Node, Place, Report, Value};

/// The fields of one mapping. What has not been taken when reading is over is an unknown key.
#[derive(Debug)]
pub struct Fields<'n> {
    place: Place,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The fields of `node`, if it is a mapping; `what` names it for the reader of the fault.
    pub fn of(node: &'n Node, what: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { place: node.place, entries, known: Vec::new() }),
            other => {
                report.fault(node.place, format!("{what} must be a mapping, not {}", other.kind()));
                None
            }
        }
    }

    /// Where the mapping starts.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The field's node, if it is there and says something.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The field's node; its absence is a fault.
    pub fn require(&mut self, name: &'static str, report: &mut Report) -> Option<&'n Node> {
        let node = self.take(name);
        if node.is_none() {
            report.fault(self.place, format!("`{name}` is missing"));
        }
        node
    }

    pub fn text(&mut self, name: &'static str, report: &mut Report) -> Option<(Place, &'n str)> {
        let node = self.take(name)?;
        as_text(node, name, report)
    }

    pub fn required_text(&mut self, name: &'static str, report: &mut Report) -> Option<(Place, &'n str)> {
        let node = self.require(name, report)?;
        as_text(node, name, report)
    }

    pub fn bool(&mut self, name: &'static str, report: &mut Report) -> Option<bool> {
        let node = self.take(name)?;
        match &node.value {
            Value::Bool(value) => Some(*value),
            other => {
                report.fault(node.place, format!("`{name}` must be true or false, not {}", other.kind()));
                None
            }
        }
    }

    /// A whole number above zero.
    pub fn count(&mut self, name: &'static str, report: &mut Report) -> Option<(Place, u64)> {
        let node = self.take(name)?;
        match node.value {
            Value::Integer(value) if value > 0 => Some((node.place, value.unsigned_abs())),
            _ => {
                report.fault(node.place, format!("`{name}` must be a whole number above 0"));
                None
            }
        }
    }

    /// The items of a list; an absent list is empty.
    pub fn list(&mut self, name: &'static str, report: &mut Report) -> &'n [Node] {
        let Some(node) = self.take(name) else { return &[] };
        match &node.value {
            Value::List(items) => items,
            other => {
                report.fault(node.place, format!("`{name}` must be a list, not {}", other.kind()));
                &[]
            }
        }
    }

    /// The entries of a mapping whose keys are free; an absent mapping is empty.
    pub fn map(&mut self, name: &'static str, report: &mut Report) -> &'n [(Key, Node)] {
        let Some(node) = self.take(name) else { return &[] };
        match &node.value {
            Value::Map(entries) => entries,
            other => {
                report.fault(node.place, format!("`{name}` must be a mapping, not {}", other.kind()));
                &[]
            }
        }
    }

    /// Reports every key nobody asked for.
    pub fn finish(self, report: &mut Report) {
        for (key, _) in self.entries {
            if !self.known.contains(&key.name.as_str()) {
                let known = self.known.join(", ");
                report.fault(key.place, format!("unknown key `{}`; known here: {known}", key.name));
            }
        }
    }
}

/// The node's text; anything else is a fault.
pub fn as_text<'n>(node: &'n Node, name: &str, report: &mut Report) -> Option<(Place, &'n str)> {
    match &node.value {
        Value::Text(text) => Some((node.place, text)),
        other => {
            report.fault(node.place, format!("`{name}` must be a text, not {}", other.kind()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    #[test]
    fn unknown_keys_and_wrong_kinds_are_reported_together_in_the_order_of_the_file() {
        let node = parse("f", "colour: red\nname: 7\nsize: many\n").unwrap();
        let mut report = Report::new("f");
        let mut fields = Fields::of(&node, "a thing", &mut report).unwrap();
        fields.required_text("name", &mut report);
        fields.count("size", &mut report);
        fields.require("owner", &mut report);
        fields.finish(&mut report);
        let faults: Vec<String> = report.into_faults().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "f:1:1: `owner` is missing",
                "f:1:1: unknown key `colour`; known here: name, size, owner",
                "f:2:7: `name` must be a text, not a number",
                "f:3:7: `size` must be a whole number above 0",
            ]
        );
    }
}
