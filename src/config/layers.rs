//! Laying the user's file and the environment over the defaults.

use std::collections::{BTreeMap, BTreeSet};

use garde::Validate;
use serde_json::Value;

use super::{
    Config, ConfigFile, DEFAULTS, cross_checks, from_environment, from_file, paths,
    shape::{SettingPath, Shape},
};
use crate::{
    document::{self, Fault, Faults, Place},
    env_file::Environment,
};

/// One setting that a layer gives.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) path: SettingPath,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Who gave a setting.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File { file: String, place: Place },
    Variable(String),
}

impl Origin {
    pub(super) fn fault(&self, reason: String) -> Fault {
        match self {
            Self::File { file, place } => Fault { file: file.clone(), place: Some(*place), reason },
            Self::Variable(name) => Fault::of_file(from_environment::variable(name), reason),
        }
    }
}

/// Who gave each setting that is not left at its default, by its dotted name.
pub(super) type Origins = BTreeMap<String, Origin>;

/// The checked settings.
///
/// # Errors
/// Everything that is wrong in the file and in the environment.
pub(super) fn settle(file: Option<ConfigFile<'_>>, environment: &Environment) -> Result<Config, Faults> {
    let shape = shape()?;
    let mut faults = Vec::new();
    let given = gather(file, environment, &shape, &mut faults);
    let fitting = only_fitting(given, &shape, &mut faults);
    missing_model_fields(&fitting, &shape, &mut faults);

    let (tree, origins) = lay(&fitting, &shape);
    let mut config: Config = serde_json::from_value(tree).map_err(shipped_fault)?;
    faults.extend(out_of_bounds(&config, &origins));
    faults.extend(cross_checks::check(&config, &origins));
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    paths::resolve(&mut config, file.map(|file| file.path), &origins);
    Ok(config)
}

fn shape() -> Result<Shape, Faults> {
    let defaults = document::parse("the built-in config.yaml", DEFAULTS)?;
    Ok(Shape(from_file::tree_to_json(&defaults.value)))
}

/// Reached only if the shipped `config.yaml` and the structs differ, which the tests exclude.
fn shipped_fault(error: serde_json::Error) -> Faults {
    Fault::of_file("the built-in config.yaml", error.to_string()).into()
}

fn gather(
    file: Option<ConfigFile<'_>>,
    environment: &Environment,
    shape: &Shape,
    faults: &mut Vec<Fault>,
) -> Vec<Given> {
    let mut given = Vec::new();
    if let Some(file) = file {
        let name = file.path.display().to_string();
        match document::parse(&name, file.text) {
            Ok(root) => given = from_file::read(&name, &root, shape, faults),
            Err(fault) => faults.push(fault),
        }
    }
    given.extend(from_environment::read(environment, shape, faults));
    given
}

/// Keeps what has the right type. Each setting is tried alone on the defaults, so that one mistake does
/// not hide another.
fn only_fitting(given: Vec<Given>, shape: &Shape, faults: &mut Vec<Fault>) -> Vec<Given> {
    let mut fitting = Vec::new();
    for given in given {
        match serde_json::from_value::<Config>(shape.with(&given.path, given.value.clone())) {
            Ok(_) => fitting.push(given),
            Err(error) => {
                let reason = format!("`{}`: {}", given.path.join("."), in_plain_words(&error.to_string()));
                faults.push(given.origin.fault(reason));
            }
        }
    }
    fitting
}

/// Names of Rust types mean nothing to who writes a configuration.
fn in_plain_words(message: &str) -> String {
    let mut words = message.to_owned();
    for (type_name, meaning) in [
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path"),
        ("expected a string", "expected a text (put it in quotes)"),
        ("expected a sequence", "expected a list"),
        ("invalid socket address syntax", "expected an address and port such as 127.0.0.1:8080"),
    ] {
        words = words.replace(type_name, meaning);
    }
    words
}

/// A model that the defaults do not have must be given whole.
fn missing_model_fields(fitting: &[Given], shape: &Shape, faults: &mut Vec<Fault>) {
    let paths: BTreeSet<&SettingPath> = fitting.iter().map(|given| &given.path).collect();
    let mut looked_at = BTreeSet::new();
    for given in fitting {
        let Some(model) = shape.new_model(&given.path) else {
            continue;
        };
        if !looked_at.insert(model) {
            continue;
        }
        for field in shape.model_fields() {
            let path = vec!["models".to_owned(), model.to_owned(), field.clone()];
            if !paths.contains(&path) {
                faults.push(given.origin.fault(format!("`models.{model}` needs {field}")));
            }
        }
    }
}

fn lay(fitting: &[Given], shape: &Shape) -> (Value, Origins) {
    let mut tree = shape.0.clone();
    let mut origins = Origins::new();
    for given in fitting {
        shape.set(&mut tree, &given.path, given.value.clone());
        origins.insert(given.path.join("."), given.origin.clone());
    }
    (tree, origins)
}

/// The settings whose values are of the right type but out of bounds.
fn out_of_bounds(config: &Config, origins: &Origins) -> Vec<Fault> {
    let Err(report) = config.validate() else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (path, error) in report.iter() {
        let path = path.to_string();
        let setting = path.split('[').next().unwrap_or_default();
        let reason = format!("`{path}`: {error}");
        faults.push(match origins.get(setting) {
            Some(origin) => origin.fault(reason),
            None => Fault::of_file("the built-in config.yaml", reason),
        });
    }
    faults
}
