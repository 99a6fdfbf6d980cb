//! The text of a prompt: written in the file, or kept by the provider.

use std::collections::BTreeMap;

use duologue_actors::prompt::{KeptTemplate, PromptError, PromptText, TurnsError, WrittenPrompt};
use semver::VersionReq;

use super::{Scope, template};
use crate::{
    catalogue::sample,
    document::{Fields, Place, Report, as_text},
};

/// Turns are sent only with a prompt of our own words.
const FORGETFUL: &str = "the action keeps its conversation (`cache_response`), but a prompt that the provider keeps \
                         hears of it only through its `inputs`: let one of them say `history`";

pub(super) fn read(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<PromptText> {
    if fields.take("prompt_id").is_some() {
        return kept(fields, scope, report).map(PromptText::Kept);
    }
    written(fields, scope, report).map(PromptText::Written)
}

pub(super) fn written(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<WrittenPrompt> {
    let system = fields.required_text("system", report);
    let user = fields.required_text("user", report);
    let system = system.and_then(|system| template::checked("system", system, scope, report));
    let (place, user_text) = user?;
    let user_text = template::checked("user", (place, user_text), scope, report)?;
    let prompt = match WrittenPrompt::new(system?, user_text.as_str()) {
        Ok(prompt) => prompt,
        Err(error) => {
            report.fault(place, error.to_string());
            return None;
        }
    };
    let fault = turns_fault(&prompt, scope);
    if let Some((line, reason)) = &fault {
        report.fault(template::line_in_file(scope.source, place, *line), reason.clone());
    }
    fault.is_none().then_some(prompt)
}

/// What is wrong with the turns of a user's text, if it has any, by line of the text.
fn turns_fault(prompt: &WrittenPrompt, scope: &Scope) -> Option<(usize, String)> {
    sample::contexts(scope).into_iter().find_map(|(situation, values)| match prompt.render(&values) {
        Err(PromptError::Turns(error)) => {
            let reason = format!("the turns cannot be sent {situation}: {error}");
            Some((turn_at_fault(prompt.user(), error), reason))
        }
        Err(error @ PromptError::Template { .. }) => Some((1, error.to_string())),
        Ok(_) => None,
    })
}

/// The line of the turn because of which `text` cannot be sent, counted from 1.
fn turn_at_fault(text: &str, error: TurnsError) -> usize {
    let line_of = |speaker: &'static str| {
        text.lines()
            .enumerate()
            .filter(move |(_, line)| line.starts_with(speaker))
            .map(|(index, _)| index + 1)
    };
    let line = match error {
        TurnsError::Prefill => line_of("Assistant:").last(),
        TurnsError::AssistantFirst => line_of("Assistant:").next(),
        TurnsError::NothingAsked => line_of("Human:").next(),
    };
    line.unwrap_or(1)
}

fn kept(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<KeptTemplate> {
    let id = fields.required_text("prompt_id", report);
    let version = fields.required_text("prompt_version", report);
    let inputs = inputs(fields, scope, report);
    let (place, id) = id?;
    if !is_prompt_id(id) {
        report.fault(place, format!("`{id}` is not a prompt id such as chat/explain_code"));
    }
    let (version_place, version) = version?;
    if !is_plain(version) {
        report.fault(version_place, format!("`{}` is not a version such as ^1.0.0", version.escape_debug()));
    }
    match KeptTemplate::new(id.to_owned(), version.to_owned(), inputs?) {
        Ok(kept) if scope.is_conversation && !kept.quotes_history() => {
            report.fault(place, FORGETFUL);
            None
        }
        Ok(kept) => Some(kept),
        Err(error) => {
            report.fault(place, error.to_string());
            None
        }
    }
}

fn inputs(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let mut inputs = Some(BTreeMap::new());
    for (key, node) in fields.map("inputs", report) {
        let text = as_text(node, &key.name, report);
        match text.and_then(|text| template::checked(&key.name, text, scope, report)) {
            Some(text) => inputs.iter_mut().for_each(|inputs| {
                inputs.insert(key.name.clone(), text.clone());
            }),
            None => inputs = None,
        }
    }
    inputs
}

/// What can be a requirement on versions, in whatever grammar the provider reads: it is the one who knows.
fn is_plain(version: &str) -> bool {
    !version.is_empty() && version.trim() == version && !version.contains(char::is_control)
}

/// What may become part of a path.
fn is_prompt_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    id.split('/').all(|segment| !segment.is_empty() && segment.chars().all(is_plain))
}

/// A requirement on versions, as Cargo writes them.
pub(super) fn check_requirement(place: Place, text: &str, report: &mut Report) -> Option<VersionReq> {
    match VersionReq::parse(text) {
        Ok(requirement) => Some(requirement),
        Err(error) => {
            report.fault(place, format!("`{text}` is not a requirement on versions such as ^1.0.0: {error}"));
            None
        }
    }
}
