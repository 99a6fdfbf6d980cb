//! The catalogue: one YAML file per AI action. A file that passes here is an action in the schema, the
//! checks, the prompts and the command line; a faulty one stops the server at start, with every fault
//! of every file named by file, line and column.

use std::{collections::BTreeMap, path::Path};

use duologue_actors::action::{Action, Catalogue};

use crate::{
    builtin,
    document::{self, Fault, Faults, Place},
};

mod file;
mod input;
mod names;
mod prompt;
mod sample;

pub use input::KNOWN_TYPES;

/// Where the catalogue lies unless the configuration says otherwise.
pub const SHIPPED: &str = "catalogue";

/// Reads and checks every `*.yaml` of the folder. `model_names` are the models an action may name.
///
/// The built-in catalogue is read when `path` is the shipped default and nothing is there.
///
/// # Errors
/// Everything that is wrong, in all files.
pub fn load(path: &Path, model_names: &[&str]) -> Result<Catalogue, Faults> {
    let sources =
        if builtin::stands_in_for(path, SHIPPED) { builtin_sources() } else { folder_sources(path)? };
    check(&sources, model_names)
}

/// One file of the catalogue before it is understood.
struct Source {
    /// As shown in faults.
    path: String,
    /// The file's name without `.yaml`, which must be the action's name.
    stem: String,
    text: Result<String, Fault>,
}

/// An action that is right in itself, and where its name stands.
struct Parsed {
    path: String,
    name_place: Place,
    action: Action,
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

fn check(sources: &[Source], model_names: &[&str]) -> Result<Catalogue, Faults> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    for source in sources {
        match parse(source, model_names) {
            Ok(action) => parsed.push(action),
            Err(Faults(found)) => faults.extend(found),
        }
    }
    faults.extend(clashes(&parsed));
    if faults.is_empty() {
        Ok(Catalogue::new(parsed.into_iter().map(|parsed| parsed.action).collect()))
    } else {
        Err(Faults(faults))
    }
}

fn parse(source: &Source, model_names: &[&str]) -> Result<Parsed, Faults> {
    let text = source.text.as_ref().map_err(|fault| Faults::from(fault.clone()))?;
    let (name_place, action) = file::read(&source.path, &source.stem, text, model_names)?;
    Ok(Parsed { path: source.path.clone(), name_place, action })
}

/// Two actions whose names would be one field of `aiAction`: `a_1` and `a1` are both `a1` there.
fn clashes(parsed: &[Parsed]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<String, &Parsed> = BTreeMap::new();
    for candidate in parsed {
        let field = candidate.action.graphql_name();
        if let Some(first) = seen.get(&field) {
            let reason = format!("the field `{field}` of `aiAction` is already taken by {}", first.path);
            let place = Some(candidate.name_place);
            faults.push(Fault { file: candidate.path.clone(), place, reason });
        } else {
            seen.insert(field, candidate);
        }
    }
    faults
}

#[cfg(test)]
mod tests;
