//! The catalogue: one YAML file per AI action. A file that passes here is an action in the schema, the
//! checks, the prompts and the command line; a faulty one stops the server at start, with every fault
//! of every file named by file, line and column.

use std::{collections::BTreeMap, path::Path};

use duologue_actors::action::{Action, Catalogue};

use crate::{
    builtin,
    config::{Config, ProviderKind, UnlistedFeatures},
    document::{self, Fault, Faults, Place},
    providers::{keeps_prompts, unanswered},
    unit_primitives::UnitPrimitives,
};

mod file;
mod input;
mod names;
mod prompt;
mod response;
mod sample;

pub use input::KNOWN_TYPES;
pub(crate) use names::is_snake_case;

use file::Places;

/// Where the catalogue lies unless the configuration says otherwise.
pub const SHIPPED: &str = "catalogue";

/// What an action may name, and what is made of what its file leaves open.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// Names of the model registry, and feature settings.
    pub models: Vec<&'a str>,
    /// Why those of them cannot be named by whose models nobody can be asked.
    pub unanswered: BTreeMap<String, String>,
    pub providers: Vec<Provider<'a>>,
    pub unit_primitives: &'a UnitPrimitives,
    /// Of an action that gives no maturity.
    pub unlisted: UnlistedFeatures,
}

/// A provider that may have a prompt of its own.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    pub name: &'a str,
    /// Whether it can be asked for a prompt by name.
    pub keeps_prompts: bool,
}

impl<'a> Rules<'a> {
    #[must_use]
    pub fn of(config: &'a Config, unit_primitives: &'a UnitPrimitives) -> Self {
        let names = config.feature_settings.keys().chain(config.models.keys());
        Self {
            models: names.map(String::as_str).collect(),
            unanswered: BTreeMap::new(),
            providers: providers(config),
            unit_primitives,
            unlisted: config.deployment.unlisted_features,
        }
    }

    /// The rules of a catalogue that is served: what its actions name must be set up. Whoever only reads it may
    /// not have the keys.
    #[must_use]
    pub fn to_serve(mut self, config: &Config) -> Self {
        let reason = |name: &&str| Some(((*name).to_owned(), unanswered(config, name)?));
        self.unanswered = self.models.iter().filter_map(reason).collect();
        self
    }
}

/// The configured providers by their names, and all there can be by what is spoken there.
fn providers(config: &Config) -> Vec<Provider<'_>> {
    let kinds = ProviderKind::ALL.into_iter().map(|kind| (kind.as_str(), kind));
    let configured = config.providers.iter().map(|(name, provider)| (name.as_str(), provider.kind));
    let all: BTreeMap<&str, ProviderKind> = kinds.chain(configured).collect();
    all.into_iter().map(|(name, kind)| Provider { name, keeps_prompts: keeps_prompts(kind) }).collect()
}

/// Reads and checks every `*.yaml` of the folder.
///
/// The built-in catalogue is read when `path` is the shipped default and nothing is there.
///
/// # Errors
/// Everything that is wrong, in all files.
pub fn load(path: &Path, rules: &Rules<'_>) -> Result<Catalogue, Faults> {
    let sources =
        if builtin::stands_in_for(path, SHIPPED) { builtin_sources() } else { folder_sources(path)? };
    check(&sources, rules)
}

/// One file of the catalogue before it is understood.
struct Source {
    /// As shown in faults.
    path: String,
    /// The file's name without `.yaml`, which must be the action's name.
    stem: String,
    text: Result<String, Fault>,
}

/// An action that is right in itself, and where its names stand.
struct Parsed {
    path: String,
    places: Places,
    action: Action,
}

impl Parsed {
    fn fault(&self, place: Place, reason: String) -> Fault {
        Fault { file: self.path.clone(), place: Some(place), reason }
    }

    /// The flags it asks about.
    fn flags(&self) -> impl Iterator<Item = (&str, Place)> {
        let own = (self.action.feature_flag.as_str(), self.places.feature_flag);
        std::iter::once(own).chain(self.selections())
    }

    /// The flags that select a version of its prompt.
    fn selections(&self) -> impl Iterator<Item = (&str, Place)> {
        let flags = self.action.prompt.selections.iter().map(|selection| selection.flag.as_str());
        flags.zip(self.places.selections.iter().copied())
    }
}

fn builtin_sources() -> Vec<Source> {
    tracing::info!(path = SHIPPED, "using the built-in catalogue");
    builtin::list(SHIPPED)
        .into_iter()
        .filter_map(|path| {
            Some(Source { stem: stem(Path::new(&path)), text: Ok(builtin::read(&path)?), path })
        })
        .collect()
}

fn folder_sources(folder: &Path) -> Result<Vec<Source>, Fault> {
    let unreadable = |error: std::io::Error| {
        Fault::of_file(folder.display().to_string(), format!("the catalogue cannot be read: {error}"))
    };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let text = document::read_file(&path);
            sources.push(Source { path: path.display().to_string(), stem: stem(&path), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    if sources.is_empty() {
        return Err(Fault::of_file(folder.display().to_string(), "no *.yaml file describes an action"));
    }
    Ok(sources)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn check(sources: &[Source], rules: &Rules<'_>) -> Result<Catalogue, Faults> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    for source in sources {
        match parse(source, rules) {
            Ok(action) => parsed.push(action),
            Err(Faults(found)) => faults.extend(found),
        }
    }
    faults.extend(clashes(&parsed));
    faults.extend(flags_like_features(&parsed));
    faults.extend(selections_by_feature_flags(&parsed));
    if faults.is_empty() {
        Ok(Catalogue::new(parsed.into_iter().map(|parsed| parsed.action).collect()))
    } else {
        Err(Faults(faults))
    }
}

fn parse(source: &Source, rules: &Rules<'_>) -> Result<Parsed, Faults> {
    let text = source.text.as_ref().map_err(|fault| Faults::from(fault.clone()))?;
    let (places, action) = file::read(&source.path, &source.stem, text, rules)?;
    Ok(Parsed { path: source.path.clone(), places, action })
}

/// Two actions whose names would be one field of `aiAction`: `a_1` and `a1` are both `a1` there.
fn clashes(parsed: &[Parsed]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<String, &Parsed> = BTreeMap::new();
    for candidate in parsed {
        let field = candidate.action.graphql_name();
        if let Some(first) = seen.get(&field) {
            let reason = format!("the field `{field}` of `aiAction` is already taken by {}", first.path);
            faults.push(candidate.fault(candidate.places.name, reason));
        } else {
            seen.insert(field, candidate);
        }
    }
    faults
}

/// No flag may be set whose name is that of a licensed feature, of whichever action: one that is asked about would
/// be off for ever.
fn flags_like_features(parsed: &[Parsed]) -> Vec<Fault> {
    let mut licensed: BTreeMap<&str, &Parsed> = BTreeMap::new();
    for candidate in parsed {
        licensed.entry(&candidate.action.licensed_feature).or_insert(candidate);
    }
    let mut faults = Vec::new();
    for candidate in parsed {
        for (flag, place) in candidate.flags() {
            let Some(other) = licensed.get(flag) else { continue };
            let (path, Place { line, column }) = (&other.path, other.places.licensed_feature);
            let reason = format!(
                "the feature flag must not be called like a licensed feature, and `{flag}` is one at \
                 {path}:{line}:{column}"
            );
            faults.push(candidate.fault(place, reason));
        }
    }
    faults
}

/// A flag that selects a prompt is off until it is switched on; that of an action has a default of its own,
/// and who switches it means the action.
fn selections_by_feature_flags(parsed: &[Parsed]) -> Vec<Fault> {
    let feature_flags: BTreeMap<&str, &Parsed> =
        parsed.iter().map(|candidate| (candidate.action.feature_flag.as_str(), candidate)).collect();
    let mut faults = Vec::new();
    for candidate in parsed {
        for (flag, place) in candidate.selections() {
            let Some(other) = feature_flags.get(flag) else { continue };
            let (path, Place { line, column }) = (&other.path, other.places.feature_flag);
            let reason = format!(
                "a version of the prompt must be selected by a flag of its own, and `{flag}` is the feature \
                 flag at {path}:{line}:{column}"
            );
            faults.push(candidate.fault(place, reason));
        }
    }
    faults
}

#[cfg(test)]
pub(crate) mod tests;
