//! The prompt of an action: one version of it, or several of which users get the one `use` says and some
//! users the one a flag selects.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::{
    action::{InputField, ResourceRule},
    prompt::{PromptTemplate, PromptText, PromptVersion, Selection},
};
use semver::{Version, VersionReq};

use super::{Provider, names};
use crate::{
    document::{Fields, Key, Node, Place, Report},
    spelling,
};

mod template;
mod text;

/// What a prompt of this action may refer to.
pub(super) struct Scope<'s> {
    /// The whole file, to find a template's lines in it.
    pub source: &'s str,
    pub resource: ResourceRule,
    pub input: &'s [InputField],
    /// Whether what was said before is a part of what is asked.
    pub is_conversation: bool,
    pub providers: &'s [Provider<'s>],
}

/// A prompt, and where in the file the flags are named that select a version of it.
pub(super) struct Read {
    pub prompt: PromptTemplate,
    pub flags: Vec<Place>,
}

pub(super) fn read(action: &mut Fields, scope: &Scope, report: &mut Report) -> Option<Read> {
    let node = action.require("prompt", report)?;
    let mut fields = Fields::of(node, "`prompt`", report)?;
    let read = if fields.take("versions").is_some() {
        several(&mut fields, scope, report)
    } else {
        let version = fields.required_text("version", report);
        let version = version.and_then(|(place, text)| self::version(place, text, report));
        let only = prompt_version(version, &mut fields, scope, report);
        only.map(|only| Read { prompt: PromptTemplate::only(only), flags: Vec::new() })
    };
    fields.finish(report);
    read
}

fn version(place: Place, text: &str, report: &mut Report) -> Option<Version> {
    match Version::parse(text) {
        Ok(version) => Some(version),
        Err(error) => {
            report.fault(place, format!("`{text}` is not a version such as 1.0.0: {error}"));
            None
        }
    }
}

fn prompt_version(
    version: Option<Version>,
    fields: &mut Fields,
    scope: &Scope,
    report: &mut Report,
) -> Option<PromptVersion> {
    // Whatever else may be asked, some provider needs our words.
    let text = text::written(fields, scope, report).map(PromptText::Written);
    let mut for_provider = BTreeMap::new();
    for (key, node) in fields.map("for", report) {
        let Some(mut fields) = Fields::of(node, "a provider's prompt", report) else {
            continue;
        };
        let text = text::read(&mut fields, scope, report);
        let is_kept = fields.take("prompt_id").is_some();
        fields.finish(report);
        check_provider(key, is_kept, scope.providers, report);
        for_provider.extend(text.map(|text| (key.name.clone(), text)));
    }
    Some(PromptVersion { version: version?, text: text?, for_provider })
}

fn check_provider(key: &Key, is_kept: bool, providers: &[Provider<'_>], report: &mut Report) {
    let Some(provider) = providers.iter().find(|provider| provider.name == key.name) else {
        let names: Vec<&str> = providers.iter().map(|provider| provider.name).collect();
        report.fault(key.place, spelling::unknown("provider", &key.name, &names));
        return;
    };
    if is_kept && !provider.keeps_prompts {
        let reason = format!("{} keeps no prompts: give it `system` and `user` instead", provider.name);
        report.fault(key.place, reason);
    }
}

/// The versions a file has, and those of them that are right.
struct Versions {
    place: Place,
    /// In their order. A faulty one is there too: what names it is not at fault.
    known: Vec<Version>,
    right: Vec<Arc<PromptVersion>>,
}

fn several(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<Read> {
    let versions = versions(fields, scope, report)?;
    let default = default(fields, &versions, report);
    let mut flags = Vec::new();
    let mut selections = Vec::new();
    for node in fields.list("select", report) {
        let Some((place, selection)) = selection(node, &versions, report) else {
            continue;
        };
        if selections.iter().any(|earlier: &Selection| earlier.flag == selection.flag) {
            report.fault(place, format!("`{}` selects a version already", selection.flag));
        }
        flags.push(place);
        selections.push(selection);
    }
    Some(Read { prompt: PromptTemplate { versions: versions.right, default: default?, selections }, flags })
}

fn versions(fields: &mut Fields, scope: &Scope, report: &mut Report) -> Option<Versions> {
    let place = fields.take("versions").map_or(fields.place(), |node| node.place);
    let mut versions = Versions { place, known: Vec::new(), right: Vec::new() };
    for (key, node) in fields.map("versions", report) {
        let version = version(key.place, &key.name, report);
        versions.known.extend(version.clone());
        let Some(mut fields) = Fields::of(node, "a version of the prompt", report) else {
            continue;
        };
        let prompt = prompt_version(version, &mut fields, scope, report);
        versions.right.extend(prompt.map(Arc::new));
        fields.finish(report);
    }
    if versions.known.is_empty() {
        report.fault(place, "`versions` has no version such as 1.0.0");
        return None;
    }
    versions.known.sort();
    versions.right.sort_by(|a, b| a.version.cmp(&b.version));
    Some(versions)
}

/// The version for whom no flag selects another: what `use` says, else the highest that is no pre-release.
fn default(fields: &mut Fields, versions: &Versions, report: &mut Report) -> Option<Arc<PromptVersion>> {
    if fields.take("use").is_some() {
        let (place, text) = fields.text("use", report)?;
        return versions.matching(place, text, report);
    }
    let Some(stable) = versions.known.iter().rfind(|version| version.pre.is_empty()) else {
        let known = list(&versions.known);
        let reason = format!("each version is a pre-release: {known}; say with `use` which one users get");
        report.fault(versions.place, reason);
        return None;
    };
    versions.get(stable)
}

fn selection(node: &Node, versions: &Versions, report: &mut Report) -> Option<(Place, Selection)> {
    let mut fields = Fields::of(node, "an item of `select`", report)?;
    let flag = fields.required_text("flag", report);
    let requirement = fields.required_text("use", report);
    fields.finish(report);
    let prompt = requirement.and_then(|(place, text)| versions.matching(place, text, report));
    let (place, flag) = flag?;
    names::check_flag("flag", place, flag, report);
    Some((place, Selection { flag: flag.to_owned(), prompt: prompt? }))
}

impl Versions {
    /// The highest version that matches. Pre-releases match only a requirement that names one.
    fn matching(&self, place: Place, text: &str, report: &mut Report) -> Option<Arc<PromptVersion>> {
        let requirement: VersionReq = text::check_requirement(place, text, report)?;
        let Some(version) = self.known.iter().rfind(|version| requirement.matches(version)) else {
            report.fault(place, format!("no version matches `{text}`; there are: {}", list(&self.known)));
            return None;
        };
        self.get(version)
    }

    fn get(&self, version: &Version) -> Option<Arc<PromptVersion>> {
        self.right.iter().find(|prompt| prompt.version == *version).cloned()
    }
}

fn list(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
}
