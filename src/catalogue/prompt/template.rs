//! One template: that it compiles, uses only what the renderer supplies, and renders both with everything
//! there and with everything optional absent.

use duologue_actors::action::ResourceRule;
use minijinja::{Environment, UndefinedBehavior};

use super::Scope;
use crate::{
    catalogue::sample,
    document::{Place, Report},
};

/// What the renderer supplies besides the action's own input.
const RESOURCE_FIELDS: &[&str] = &["title", "description", "comments"];
const USER_FIELDS: &[&str] = &["name", "username"];

/// The template called `key`, if nothing is wrong with it.
pub(super) fn checked(
    key: &str,
    (place, text): (Place, &str),
    scope: &Scope,
    report: &mut Report,
) -> Option<String> {
    if text.trim().is_empty() {
        report.fault(place, format!("`{key}` is empty"));
        return None;
    }
    let faults = template_faults(text, scope);
    for (line, reason) in &faults {
        report.fault(line_in_file(scope.source, place, *line), reason.clone());
    }
    faults.is_empty().then(|| text.to_owned())
}

/// What is wrong with a template, by line of the template, counted from 1.
fn template_faults(text: &str, scope: &Scope) -> Vec<(usize, String)> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            return vec![(
                error.line().unwrap_or(1),
                format!("the template does not compile: {}", brief(&error)),
            )];
        }
    };
    let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    names.sort();
    let unknown: Vec<_> =
        names.iter().filter_map(|name| Some((line_of(text, name), unknown_name(name, scope)?))).collect();
    if !unknown.is_empty() {
        return unknown;
    }
    for (situation, context) in sample::contexts(scope) {
        if let Err(error) = template.render(context) {
            let line = error.line().unwrap_or(1);
            return vec![(line, format!("the template does not render {situation}: {}", brief(&error)))];
        }
    }
    Vec::new()
}

/// Why a template may not say `name`, e.g. `resource.titel`, if it may not.
fn unknown_name(name: &str, scope: &Scope) -> Option<String> {
    let (root, field) = match name.split_once('.') {
        Some((root, rest)) => (root, rest.split('.').next()),
        None => (name, None),
    };
    let declared: Vec<&str> = scope.input.iter().map(|field| field.name.as_str()).collect();
    let known: &[&str] = match root {
        "resource" if scope.resource == ResourceRule::None => {
            return Some(format!("the template says `{name}`, but the action takes no resource"));
        }
        "resource" => RESOURCE_FIELDS,
        "user" => USER_FIELDS,
        "input" => &declared,
        "history" => return None,
        _ => {
            return Some(format!("the template says `{name}`; it may use resource, input, user and history"));
        }
    };
    let field = field.filter(|field| !known.contains(field))?;
    Some(format!("the template says `{root}.{field}`; `{root}` has: {}", known.join(", ")))
}

fn brief(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// The first line of a template that says `name`.
fn line_of(text: &str, name: &str) -> usize {
    text.lines().position(|line| line.contains(name)).map_or(1, |index| index + 1)
}

/// Where line `line` of a template stands in the file. A block text (`|`) keeps its lines and begins on
/// the line after its mark; of any other text only the beginning is known.
pub(super) fn line_in_file(source: &str, place: Place, line: usize) -> Place {
    let before = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let mark = source.lines().take(before).enumerate().filter(|(_, text)| !text.trim().is_empty()).last();
    match mark {
        Some((index, text)) if ends_with_block_mark(text) => {
            Place { line: (index + 1 + line) as u64, column: place.column }
        }
        _ => place,
    }
}

/// Whether a line ends as `user: |`, `user: |-` or `user: |2` do.
fn ends_with_block_mark(line: &str) -> bool {
    line.rsplit_once(": ").is_some_and(|(_, value)| {
        let mut letters = value.trim().chars();
        letters.next() == Some('|') && letters.all(|c| c == '-' || c == '+' || c.is_ascii_digit())
    })
}
