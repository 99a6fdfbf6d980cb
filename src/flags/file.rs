//! Flags as a file has them: reading one that people write, and writing the one that is changed at run time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use duologue_actors::protocol::GlobalId;

use super::{
    gates::{CONTAINERS, Flag, Groups, Percentage, USER},
    names::{self, Names},
};
use crate::document::{self, Faults, Fields, Key, Node, Report, Value, as_text};

/// The key under which a file defines its named groups. No flag can be called so.
const GROUPS: &str = "$groups";

/// On top of the file that is written here.
const HEADER: &str = "\
# Written by Duologue: flags changed at run time, with /api/v4/features or `duologue flags`.
# A flag here replaces the one of the same name in the file of `flags.path`, with all its gates. To undo a
# change, use `duologue flags delete NAME`, or remove its line: a running server reads this file at once.

";

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FlagFile {
    pub flags: BTreeMap<String, Flag>,
    pub groups: Groups,
}

/// Reads the file people write: flags, and the groups that flags of any file may name.
pub(super) fn parse_start(file: &str, text: &str, names: &Names) -> Result<FlagFile, Faults> {
    let document = document::parse(file, text)?;
    let mut report = Report::new(file);
    let mut read = FlagFile::default();
    let entries = entries(&document, &mut report);
    for (_, node) in entries.iter().filter(|(key, _)| key.name == GROUPS) {
        read.groups = groups(node, &mut report);
    }
    for (key, node) in entries.iter().filter(|(key, _)| key.name != GROUPS) {
        let defined = Some(&read.groups);
        read.flags.extend(flag(key, node, names, defined, &mut report));
    }
    report.conclude(Some(read))
}

/// Reads the file of changes. Groups are defined elsewhere, and may be gone there by now.
pub(super) fn parse_changes(file: &str, text: &str, names: &Names) -> Result<BTreeMap<String, Flag>, Faults> {
    let document = document::parse(file, text)?;
    let mut report = Report::new(file);
    let mut flags = BTreeMap::new();
    for (key, node) in entries(&document, &mut report) {
        if key.name == GROUPS {
            report.fault(key.place, format!("`{GROUPS}` belongs into the file of flags.path"));
        } else {
            flags.extend(flag(key, node, names, None, &mut report));
        }
    }
    report.conclude(Some(flags))
}

/// The file of changes with these flags. Names are quoted: `on` and `1` are flags' names too.
pub(super) fn render_changes(flags: &BTreeMap<String, Flag>) -> String {
    let mut text = HEADER.to_owned();
    for (name, flag) in flags {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\"{name}\": {}", gates(flag));
    }
    text
}

fn gates(flag: &Flag) -> String {
    let mut gates = Vec::new();
    if flag.boolean {
        gates.push("boolean: true".to_owned());
    }
    if !flag.actors.is_empty() {
        let actors: Vec<String> = flag.actors.iter().map(|actor| format!("\"{actor}\"")).collect();
        gates.push(format!("actors: [{}]", actors.join(", ")));
    }
    if !flag.groups.is_empty() {
        let groups: Vec<String> = flag.groups.iter().map(|group| format!("\"{group}\"")).collect();
        gates.push(format!("groups: [{}]", groups.join(", ")));
    }
    if flag.percentage_of_actors != Percentage::NONE {
        gates.push(format!("percentage_of_actors: {}", flag.percentage_of_actors));
    }
    if flag.percentage_of_time != Percentage::NONE {
        gates.push(format!("percentage_of_time: {}", flag.percentage_of_time));
    }
    if *flag == Flag::everyone(flag.boolean) {
        return flag.boolean.to_string();
    }
    format!("{{{}}}", gates.join(", "))
}

fn entries<'n>(document: &'n Node, report: &mut Report) -> &'n [(Key, Node)] {
    match &document.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        other => {
            report.fault(document.place, format!("flags must be a mapping, not {}", other.kind()));
            &[]
        }
    }
}

fn groups(node: &Node, report: &mut Report) -> Groups {
    let Value::Map(entries) = &node.value else {
        let reason = format!("`{GROUPS}` must be a mapping of names to lists, not {}", node.value.kind());
        report.fault(node.place, reason);
        return Groups::new();
    };
    entries.iter().map(|(key, node)| (key.name.clone(), group(key, node, report))).collect()
}

fn group(key: &Key, node: &Node, report: &mut Report) -> BTreeSet<GlobalId> {
    if !names::is_plain(&key.name) {
        report.fault(key.place, format!("`{}` cannot be the name of a group: use a-z, 0-9 and _", key.name));
    }
    let Value::List(items) = &node.value else {
        let reason = format!("`{}` must be a list of users, not {}", key.name, node.value.kind());
        report.fault(node.place, reason);
        return BTreeSet::new();
    };
    items
        .iter()
        .filter_map(|node| member(node, &key.name, &[USER], "be in a feature group", report))
        .collect()
}

fn flag(
    key: &Key,
    node: &Node,
    names: &Names,
    defined: Option<&Groups>,
    report: &mut Report,
) -> Option<(String, Flag)> {
    if let Err(fault) = names.check(&key.name) {
        report.fault(key.place, fault.to_string());
        return None;
    }
    let flag = match &node.value {
        Value::Bool(on) => Flag::everyone(*on),
        Value::Map(entries) if entries.is_empty() => {
            report.fault(node.place, format!("`{}` has no gate: say true or false", key.name));
            return None;
        }
        Value::Map(_) => flag_of_gates(&key.name, node, defined, report)?,
        other => {
            let reason = format!(
                "`{}` must be true, false or gates, {{actors: [...]}}, not {}",
                key.name,
                other.kind()
            );
            report.fault(node.place, reason);
            return None;
        }
    };
    Some((key.name.clone(), flag))
}

fn flag_of_gates(name: &str, node: &Node, defined: Option<&Groups>, report: &mut Report) -> Option<Flag> {
    let all = [&[USER], CONTAINERS.as_slice()].concat();
    let (allowed, what_for) = match names::is_switch(name) {
        true => (&[USER][..], "be an actor of a switch, which is asked about the user alone"),
        false => (all.as_slice(), "be a flag's actor"),
    };
    let mut fields = Fields::of(node, "a flag", report)?;
    let boolean = fields.bool("boolean", report).unwrap_or_default();
    let actors = fields.list("actors", report);
    let groups = fields.list("groups", report);
    let percentage_of_actors = percentage("percentage_of_actors", &mut fields, report);
    let percentage_of_time = percentage("percentage_of_time", &mut fields, report);
    fields.finish(report);
    let actors = actors.iter().filter_map(|node| member(node, "actors", allowed, what_for, report));
    Some(Flag {
        boolean,
        actors: actors.collect(),
        groups: groups.iter().filter_map(|node| group_name(node, defined, report)).collect(),
        percentage_of_actors,
        percentage_of_time,
    })
}

fn percentage(name: &'static str, fields: &mut Fields<'_>, report: &mut Report) -> Percentage {
    let Some(node) = fields.take(name) else { return Percentage::NONE };
    let value = match node.value {
        // Such a number is far beyond 100 anyway.
        Value::Integer(value) => value as f64,
        Value::Float(value) => value,
        _ => f64::NAN,
    };
    Percentage::new(value).unwrap_or_else(|fault| {
        report.fault(node.place, format!("`{name}`: {fault}"));
        Percentage::NONE
    })
}

fn group_name(node: &Node, defined: Option<&Groups>, report: &mut Report) -> Option<String> {
    let (place, name) = as_text(node, "groups", report)?;
    if defined.is_some_and(|defined| !defined.contains_key(name)) {
        report.fault(place, format!("`{name}` is not defined under `{GROUPS}` of this file"));
        return None;
    }
    if !names::is_plain(name) {
        report.fault(place, format!("`{name}` cannot be the name of a group: use a-z, 0-9 and _"));
        return None;
    }
    Some(name.to_owned())
}

fn member(node: &Node, list: &str, models: &[&str], what_for: &str, report: &mut Report) -> Option<GlobalId> {
    let (place, text) = as_text(node, list, report)?;
    match text.parse::<GlobalId>() {
        Ok(id) if models.contains(&id.model()) => Some(id),
        Ok(id) => {
            let models = models.join(" or a ");
            report.fault(place, format!("only a {models} can {what_for}, not {}", id.model()));
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
    use duologue_actors::{action::Catalogue, testing::an_action};
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::of(&Catalogue::new(vec![an_action("chat").as_ref().clone()]))
    }

    fn faults(text: &str) -> Vec<String> {
        let faults = parse_start("flags.yaml", text, &names()).unwrap_err().to_string();
        faults.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_has_flags_and_groups() {
        let text = "$groups: {team: [gid://gitlab/User/2]}\n\
                    on: true\n\
                    off: false\n\
                    some: {actors: [gid://gitlab/Group/10], groups: [team], percentage_of_actors: 12.5}\n\
                    seldom: {percentage_of_time: 1}\n";
        let read = parse_start("f", text, &names()).unwrap();
        assert_eq!(read.groups["team"], BTreeSet::from([GlobalId::of("User", 2)]));
        assert_eq!(read.flags["on"], Flag::everyone(true));
        assert_eq!(read.flags["off"], Flag::everyone(false));
        let some = Flag {
            actors: BTreeSet::from([GlobalId::of("Group", 10)]),
            groups: BTreeSet::from(["team".to_owned()]),
            percentage_of_actors: Percentage::new(12.5).unwrap(),
            ..Flag::default()
        };
        assert_eq!(read.flags["some"], some);
        assert_eq!(read.flags["seldom"].percentage_of_time, Percentage::new(1.0).unwrap());
        assert_eq!(parse_start("f", "", &names()).unwrap(), FlagFile::default());
    }

    #[test]
    fn all_faults_are_named_with_their_places() {
        let text = "a: 7\n\
                    b: {actor: [x]}\n\
                    c: {actors: [Issue/52, gid://gitlab/Issue/52]}\n\
                    d: {groups: [team]}\n\
                    e: {percentage_of_actors: 101, percentage_of_time: often}\n\
                    f: {}\n\
                    Big-Flag: true\n\
                    $groups: {other: [gid://gitlab/Group/10], more: 7}\n";
        let expected = [
            "flags.yaml:1:4: `a` must be true, false or gates, {actors: [...]}, not a number",
            "flags.yaml:2:5: unknown key `actor`; known here: boolean, actors, groups, percentage_of_actors, \
             percentage_of_time",
            "flags.yaml:3:14: \"Issue/52\" is not a global id such as gid://gitlab/Issue/52",
            "flags.yaml:3:24: only a User or a Group or a Project can be a flag's actor, not Issue",
            "flags.yaml:4:14: `team` is not defined under `$groups` of this file",
            "flags.yaml:5:27: `percentage_of_actors`: a percentage is a number from 0 to 100, such as 25 or 0.5",
            "flags.yaml:5:52: `percentage_of_time`: a percentage is a number from 0 to 100, such as 25 or 0.5",
            "flags.yaml:6:4: `f` has no gate: say true or false",
            "flags.yaml:7:1: `Big-Flag` cannot be the name of a flag: use a-z, 0-9 and _, at most 255 of them",
            "flags.yaml:8:19: only a User can be in a feature group, not Group",
            "flags.yaml:8:49: `more` must be a list of users, not a number",
        ];
        assert_eq!(faults(text), expected);
    }

    #[test]
    fn a_flag_called_like_a_licensed_feature_is_a_fault() {
        let feature = an_action("chat").licensed_feature.clone();
        let faults = faults(&format!("a: true\n{feature}: true\n"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("flags.yaml:2:1: ") && faults[0].contains("licensed"), "{faults:?}");
        let changes = parse_changes("data/flags.yaml", &format!("{feature}: true\n"), &names());
        assert!(changes.unwrap_err().to_string().starts_with("data/flags.yaml:1:1: "));
    }

    #[test]
    fn a_switch_is_for_no_group_or_project_in_either_file() {
        let text = "ai_global_switch: {actors: [gid://gitlab/User/2, gid://gitlab/Group/10]}\n\
                    ai_duo_chat_switch: {actors: [gid://gitlab/Project/20]}\n";
        let of_changes = parse_changes("flags.yaml", text, &names()).unwrap_err().to_string();
        let why = "only a User can be an actor of a switch, which is asked about the user alone, not";
        let expected = [format!("flags.yaml:1:50: {why} Group"), format!("flags.yaml:2:31: {why} Project")];
        assert_eq!(faults(text), expected);
        assert_eq!(of_changes.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn changes_define_no_groups() {
        let changes = parse_changes("c", "$groups: {}\na: {groups: [anything]}\n", &names());
        let faults = changes.unwrap_err().to_string();
        assert_eq!(faults, "c:1:1: `$groups` belongs into the file of flags.path");
    }

    fn any_flag() -> impl Strategy<Value = Flag> {
        let actor = ("User|Group|Project", any::<u64>()).prop_map(|(model, id)| GlobalId::of(&model, id));
        let percentage = (0.0..=100.0f64).prop_map(|value| Percentage::new(value).unwrap());
        let actors = proptest::collection::btree_set(actor, 0..4);
        let groups = proptest::collection::btree_set("[a-z0-9_]{1,5}", 0..3);
        (any::<bool>(), actors, groups, percentage.clone(), percentage).prop_map(
            |(boolean, actors, groups, percentage_of_actors, percentage_of_time)| Flag {
                boolean,
                actors,
                groups,
                percentage_of_actors,
                percentage_of_time,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            flags in proptest::collection::btree_map("[a-z0-9_]{1,6}|on|null|true|1e3", any_flag(), 0..5),
            plain in any::<bool>(),
        ) {
            let mut flags = flags;
            flags.insert("plain".to_owned(), Flag::everyone(plain));
            flags.retain(|name, _| names().check(name).is_ok());
            let text = render_changes(&flags);
            prop_assert_eq!(parse_changes("c", &text, &names()).unwrap(), flags, "{}", text);
        }
    }

    #[test]
    fn the_written_file_can_be_read_by_people() {
        let flags = BTreeMap::from([
            ("a".to_owned(), Flag::everyone(true)),
            (
                "b".to_owned(),
                Flag {
                    actors: BTreeSet::from([GlobalId::of("User", 2)]),
                    percentage_of_time: Percentage::new(10.0).unwrap(),
                    ..Flag::default()
                },
            ),
            ("c".to_owned(), Flag::everyone(false)),
        ]);
        let text = render_changes(&flags);
        let lines = "\"a\": true\n\
                     \"b\": {actors: [\"gid://gitlab/User/2\"], percentage_of_time: 10}\n\
                     \"c\": false\n";
        assert_eq!(text, format!("{HEADER}{lines}"));
    }
}
