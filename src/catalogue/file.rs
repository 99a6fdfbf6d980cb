//! One file of the catalogue, read into an action.

use duologue_actors::action::{self, Action, InputField, Maturity, ResourceRule};

use super::{Rules, input, names, prompt, response};
use crate::{
    config::UnlistedFeatures,
    document::{self, Faults, Fields, Node, Place, Report, as_text},
};

/// What a resource can be.
const RESOURCE_TYPES: &[&str] =
    &["Issue", "MergeRequest", "Epic", "Project", "Group", "Commit", "WorkItem", "User"];

/// The feature setting of an action that names no model.
const DEFAULT_MODEL: &str = "default";

/// Where in the file stands what other files must agree with.
pub(super) struct Places {
    pub name: Place,
    pub feature_flag: Place,
    pub licensed_feature: Place,
    /// The flags of the prompt's selections, in their order.
    pub selections: Vec<Place>,
}

/// Reads one file.
pub(super) fn read(
    path: &str,
    stem: &str,
    text: &str,
    rules: &Rules<'_>,
) -> Result<(Places, Action), Faults> {
    let document = document::parse(path, text)?;
    let mut report = Report::new(path);
    let action = action(&document, stem, text, rules, &mut report);
    report.conclude(action)
}

fn action(
    document: &Node,
    stem: &str,
    text: &str,
    rules: &Rules<'_>,
    report: &mut Report,
) -> Option<(Places, Action)> {
    let mut fields = Fields::of(document, "an action", report)?;
    let name = name(&mut fields, stem, report);
    let description = fields.text("description", report).map(|(_, text)| text.trim().to_owned());
    let feature_flag = name_of_flag(&mut fields, "feature_flag", report);
    let flag_default = fields.bool("flag_default", report).unwrap_or(false);
    let licensed_feature = name_of_flag(&mut fields, "licensed_feature", report);
    let unit_primitive = unit_primitive(&mut fields, rules, report);
    let maturity = maturity(&mut fields, rules.unlisted, report);
    let (resource, resource_types) = resource(&mut fields, report);
    let input = input::read(fields.map("input", report), report);
    let cache_response = cache_response(&mut fields, &input, report);
    let model = model(&mut fields, rules, report);
    let providers = &rules.providers;
    let is_conversation = cache_response;
    let scope = prompt::Scope { source: text, resource, input: &input, is_conversation, providers };
    let prompt = prompt::read(&mut fields, &scope, report);
    let response = response::modifiers(&mut fields, report);
    let on_disconnect = response::on_disconnect(&mut fields, report);
    fields.finish(report);

    let (name_place, name) = name?;
    let ((flag_place, feature_flag), (feature_place, licensed_feature)) = (feature_flag?, licensed_feature?);
    let prompt::Read { prompt, flags } = prompt?;
    let places = Places {
        name: name_place,
        feature_flag: flag_place,
        licensed_feature: feature_place,
        selections: flags,
    };
    let action = Action {
        description: description.unwrap_or_else(|| sentence(&name)),
        name,
        feature_flag,
        flag_default,
        licensed_feature,
        unit_primitive: unit_primitive?,
        maturity: maturity?,
        resource,
        resource_types,
        input,
        cache_response,
        model: model?,
        prompt,
        response,
        on_disconnect,
    };
    Some((places, action))
}

fn name(fields: &mut Fields, stem: &str, report: &mut Report) -> Option<(Place, String)> {
    let (place, name) = fields.required_text("name", report)?;
    if let Some(reason) = names::action_name_fault(name) {
        report.fault(place, reason);
    }
    if name != stem {
        report.fault(place, format!("the file must be called {name}.yaml, or the action `{stem}`"));
    }
    Some((place, name.to_owned()))
}

fn unit_primitive(fields: &mut Fields, rules: &Rules<'_>, report: &mut Report) -> Option<String> {
    let (place, name) = fields.required_text("unit_primitive", report)?;
    if let Some(fault) = rules.unit_primitives.fault(name) {
        report.fault(place, fault);
    }
    Some(name.to_owned())
}

/// The stage a file gives. Without one the action is in no list of stages, and the configuration says what
/// becomes of it.
fn maturity(fields: &mut Fields, unlisted: UnlistedFeatures, report: &mut Report) -> Option<Maturity> {
    if fields.take("maturity").is_none() {
        return Some(match unlisted {
            UnlistedFeatures::Allow => Maturity::Ga,
            UnlistedFeatures::Refuse => Maturity::Unlisted,
        });
    }
    let (place, word) = fields.text("maturity", report)?;
    match word {
        "experimental" => Some(Maturity::Experimental),
        "beta" => Some(Maturity::Beta),
        "ga" => Some(Maturity::Ga),
        _ => {
            report.fault(place, format!("unknown maturity `{word}`; known: experimental, beta, ga"));
            None
        }
    }
}

fn resource(fields: &mut Fields, report: &mut Report) -> (ResourceRule, Vec<String>) {
    let place = fields.place();
    let (place, word) = fields.text("resource", report).unwrap_or((place, "none"));
    let rule = match word {
        "required" => ResourceRule::Required,
        "optional" => ResourceRule::Optional,
        "none" => ResourceRule::None,
        _ => {
            report.fault(place, format!("unknown resource rule `{word}`; known: required, optional, none"));
            ResourceRule::Optional
        }
    };
    let types = resource_types(fields, report);
    match (rule, types.is_empty()) {
        (ResourceRule::None, false) => report.fault(place, "`resource_types` without a resource"),
        (ResourceRule::Required | ResourceRule::Optional, true) => {
            report.fault(
                place,
                format!("`resource_types` must name what is taken: {}", RESOURCE_TYPES.join(", ")),
            );
        }
        _ => {}
    }
    (rule, types)
}

fn resource_types(fields: &mut Fields, report: &mut Report) -> Vec<String> {
    let mut types = Vec::new();
    for node in fields.list("resource_types", report) {
        let Some((place, name)) = as_text(node, "resource_types", report) else {
            continue;
        };
        if !RESOURCE_TYPES.contains(&name) {
            report.fault(
                place,
                format!("unknown resource type `{name}`; known: {}", RESOURCE_TYPES.join(", ")),
            );
        }
        types.push(name.to_owned());
    }
    types
}

/// A conversation keeps what the user said, so there must be an input that says something.
fn cache_response(fields: &mut Fields, input: &[InputField], report: &mut Report) -> bool {
    let place = fields.place();
    let keeps = fields.bool("cache_response", report).unwrap_or(false);
    if keeps && action::question(input).is_none() {
        report.fault(place, "`cache_response` keeps the user's message, but no input is a String");
    }
    keeps
}

fn model(fields: &mut Fields, rules: &Rules<'_>, report: &mut Report) -> Option<String> {
    let place = fields.place();
    let (place, name) = fields.text("model", report).unwrap_or((place, DEFAULT_MODEL));
    if let Some(why) = rules.unanswered.get(name) {
        report.fault(place, format!("{why}; set it, or name another model"));
    }
    if !rules.models.contains(&name) {
        let known = rules.models.join(", ");
        report.fault(
            place,
            format!(
                "unknown model `{name}`; `feature_settings` and `models` in the configuration have: {known}"
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

/// The name of a flag, or of a licensed feature, like which no flag may be called.
fn name_of_flag(fields: &mut Fields, key: &'static str, report: &mut Report) -> Option<(Place, String)> {
    let (place, name) = fields.required_text(key, report)?;
    names::check_flag(key, place, name, report);
    Some((place, name.to_owned()))
}

/// `summarize_comments` as "Summarize comments".
fn sentence(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}
