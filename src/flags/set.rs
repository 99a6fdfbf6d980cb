//! All flags of a file at one moment.

use std::collections::{BTreeMap, HashSet};

use duologue_actors::{ports::Flags, protocol::GlobalId};

use crate::document::{self, Faults, Fields, Key, Node, Report, Value, as_text};

/// Models whose instances can be a flag's actors besides users.
const CONTAINERS: &[&str] = &["Group", "Project"];
const USER: &str = "User";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FlagSet(BTreeMap<String, Gate>);

#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Everyone(bool),
    Only(HashSet<GlobalId>),
}

impl Flags for FlagSet {
    fn enabled(&self, flag: &str, default: bool, actors: &[GlobalId]) -> bool {
        match self.0.get(flag) {
            None => default,
            Some(Gate::Everyone(on)) => *on,
            Some(Gate::Only(members)) => actors.iter().any(|actor| members.contains(actor)),
        }
    }

    fn depends_on_container(&self, flag: &str) -> bool {
        match self.0.get(flag) {
            None | Some(Gate::Everyone(_)) => false,
            Some(Gate::Only(members)) => members.iter().any(|actor| CONTAINERS.contains(&actor.model())),
        }
    }
}

/// Reads `flag: true | false | {actors: [gid, ...]}` for any number of flags.
pub(super) fn parse(file: &str, text: &str) -> Result<FlagSet, Faults> {
    let document = document::parse(file, text)?;
    let mut report = Report::new(file);
    let flags = match &document.value {
        Value::Map(entries) => {
            entries.iter().filter_map(|(key, node)| flag(key, node, &mut report)).collect()
        }
        Value::Null => BTreeMap::new(),
        other => {
            report.fault(document.place, format!("flags must be a mapping, not {}", other.kind()));
            BTreeMap::new()
        }
    };
    report.conclude(Some(FlagSet(flags)))
}

fn flag(key: &Key, node: &Node, report: &mut Report) -> Option<(String, Gate)> {
    let gate = match &node.value {
        Value::Bool(on) => Gate::Everyone(*on),
        Value::Map(_) => {
            let mut fields = Fields::of(node, "a flag", report)?;
            fields.require("actors", report)?;
            let actors = fields.list("actors", report);
            fields.finish(report);
            Gate::Only(actors.iter().filter_map(|node| actor(node, report)).collect())
        }
        other => {
            let reason =
                format!("`{}` must be true, false or {{actors: [...]}}, not {}", key.name, other.kind());
            report.fault(node.place, reason);
            return None;
        }
    };
    Some((key.name.clone(), gate))
}

fn actor(node: &Node, report: &mut Report) -> Option<GlobalId> {
    let (place, text) = as_text(node, "actors", report)?;
    match text.parse::<GlobalId>() {
        Ok(id) if id.model() == USER || CONTAINERS.contains(&id.model()) => Some(id),
        Ok(id) => {
            report.fault(
                place,
                format!("a flag can be on for a User, Group or Project, not for {}", id.model()),
            );
            None
        }
        Err(error) => {
            report.fault(place, error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(text: &str) -> GlobalId {
        text.parse().unwrap()
    }

    #[test]
    fn a_flag_is_on_off_on_for_some_or_unknown() {
        let flags = parse("f", "on: true\noff: false\nsome: {actors: [gid://gitlab/User/2]}\n").unwrap();
        let alice = [gid("gid://gitlab/User/2")];
        assert!(flags.enabled("on", false, &[]));
        assert!(!flags.enabled("off", true, &alice));
        assert!(flags.enabled("some", false, &alice));
        assert!(!flags.enabled("some", true, &[gid("gid://gitlab/User/3")]));
        assert!(flags.enabled("unknown", true, &[]) && !flags.enabled("unknown", false, &alice));
    }

    #[test]
    fn only_gates_of_groups_and_projects_wait_for_the_container() {
        let text = "a: {actors: [gid://gitlab/User/2]}\nb: {actors: [gid://gitlab/Group/10]}\nc: true\n";
        let flags = parse("f", text).unwrap();
        assert!(!flags.depends_on_container("a"));
        assert!(flags.depends_on_container("b"));
        assert!(!flags.depends_on_container("c") && !flags.depends_on_container("unknown"));
    }

    #[test]
    fn all_faults_are_named_with_their_places() {
        let text = "a: 7\nb: {actor: [x]}\nc: {actors: [Issue/52, gid://gitlab/Issue/52]}\n";
        let faults = parse("flags.yaml", text).unwrap_err().to_string();
        let expected = [
            "flags.yaml:1:4: `a` must be true, false or {actors: [...]}, not a number",
            "flags.yaml:2:4: `actors` is missing",
            "flags.yaml:3:14: \"Issue/52\" is not a global id such as gid://gitlab/Issue/52",
            "flags.yaml:3:24: a flag can be on for a User, Group or Project, not for Issue",
        ];
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    }
}
