//! How an entry of a later file completes one of an earlier file.

use crate::document::{Key, Node, Report, Value};

/// What both say together: fields of `later` replace those of `earlier`, mappings (`members`) are joined, and
/// what `later` leaves out or says nothing about stays. Only the id cannot change: others refer to it.
pub(super) fn complete(earlier: &Node, later: &Node, name: &str, report: &mut Report) -> Node {
    let (Value::Map(known), Value::Map(given)) = (&earlier.value, &later.value) else {
        return later.clone();
    };
    let mut entries = known.clone();
    for (key, node) in given {
        if key.name == "id" && !is_same_number(known, node) {
            let was = number(known).map_or_else(String::new, |id| format!(", which is {id}"));
            report.fault(node.place, format!("`{name}` has an id already{was}: leave `id` out here"));
            continue;
        }
        put(&mut entries, key, node);
    }
    Node { place: later.place, value: Value::Map(entries) }
}

fn put(entries: &mut Vec<(Key, Node)>, key: &Key, node: &Node) {
    let known = entries.iter_mut().find(|(known, _)| known.name == key.name);
    match (known, &node.value) {
        (_, Value::Null) => {}
        (None, _) => entries.push((key.clone(), node.clone())),
        (Some((_, Node { value: Value::Map(known), .. })), Value::Map(given)) => {
            for (key, node) in given {
                put(known, key, node);
            }
        }
        (Some(known), _) => *known = (key.clone(), node.clone()),
    }
}

fn is_same_number(entries: &[(Key, Node)], node: &Node) -> bool {
    match node.value {
        Value::Null => true,
        Value::Integer(given) => number(entries) == Some(given),
        _ => false,
    }
}

fn number(entries: &[(Key, Node)]) -> Option<i64> {
    entries.iter().find_map(|(key, node)| match node.value {
        Value::Integer(id) if key.name == "id" => Some(id),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn completed(earlier: &str, later: &str) -> (Node, Vec<String>) {
        let (earlier, later) = (document::parse("a", earlier).unwrap(), document::parse("b", later).unwrap());
        let mut report = Report::new("b");
        let node = complete(&earlier, &later, "demo", &mut report);
        (node, report.into_faults().iter().map(ToString::to_string).collect())
    }

    fn shape(node: &Node) -> String {
        match &node.value {
            Value::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, node)| format!("{}: {}", key.name, shape(node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_given_replaces_and_members_are_added() {
        let (node, faults) = completed(
            "{id: 1, path: demo, plan: premium, members: {a: guest, b: guest}}",
            "{path: demo, plan: ultimate, name: null, members: {b: owner, c: owner}}",
        );
        assert_eq!(
            shape(&node),
            "{id: 1, path: demo, plan: ultimate, members: {a: guest, b: owner, c: owner}}"
        );
        assert_eq!(faults, [] as [String; 0]);
    }

    #[test]
    fn the_id_may_be_repeated_but_not_changed() {
        assert_eq!(completed("{id: 1, path: demo}", "{id: 1, path: demo}").1, [] as [String; 0]);
        let (node, faults) = completed("{id: 1, path: demo}", "{path: demo, id: 2}");
        assert_eq!(shape(&node), "{id: 1, path: demo}");
        assert_eq!(faults, ["b:1:18: `demo` has an id already, which is 1: leave `id` out here"]);
    }
}
