//! All flags as a table.

use crate::{
    cli::output,
    flags::{FileFlags, Flag, Listed, Origin, Percentage, flipper_id},
};

pub(super) fn table(flags: &FileFlags) -> String {
    let mut names: Vec<String> =
        flags.names().definitions().map(|definition| definition.name.clone()).collect();
    names.extend(flags.list().into_iter().map(|listed| listed.name));
    names.sort();
    names.dedup();
    let headings = ["FLAG", "STATE", "GATES", "FROM"].map(str::to_owned);
    let rows: Vec<_> =
        std::iter::once(headings).chain(names.iter().map(|name| row(flags, flags.get(name)))).collect();
    output::table(&rows)
}

fn row(flags: &FileFlags, listed: Listed) -> [String; 4] {
    let Listed { name, flag, origin } = listed;
    let default = flags.names().definition(&name).is_some_and(|definition| definition.default_enabled);
    let origin = match origin {
        Origin::Changed => "changed",
        Origin::File => "file",
        Origin::Default => "default",
    };
    let (state, gates) = match flag {
        Some(flag) => (flag.state().to_string(), gates(&flag)),
        None if default => ("on".to_owned(), "-".to_owned()),
        None => ("off".to_owned(), "-".to_owned()),
    };
    [name, state, gates, origin.to_owned()]
}

fn gates(flag: &Flag) -> String {
    let mut open: Vec<String> = Vec::new();
    if flag.boolean {
        open.push("everyone".to_owned());
    }
    open.extend(flag.actors.iter().map(flipper_id));
    open.extend(flag.groups.iter().map(|group| format!("${group}")));
    if flag.percentage_of_actors != Percentage::NONE {
        open.push(format!("{} % of users", flag.percentage_of_actors));
    }
    if flag.percentage_of_time != Percentage::NONE {
        open.push(format!("{} % of time", flag.percentage_of_time));
    }
    if open.is_empty() { "-".to_owned() } else { open.join(", ") }
}
