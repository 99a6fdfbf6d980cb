//! Laying the user's file and the environment over the defaults.

use std::collections::{BTreeMap, BTreeSet};

use garde::Validate;
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Config, ConfigFile, DEFAULTS, cross_checks, from_environment, from_file, model_checks, paths,
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
    missing_fields(&given, &shape, &mut faults);
    let fitting = only_fitting(given, &shape, &mut faults);

    let (tree, origins) = lay(&fitting, &shape);
    let mut config: Config = serde_json::from_value(tree).map_err(shipped_fault)?;
    faults.extend(out_of_bounds(&config, &origins));
    faults.extend(cross_checks::check(&config, &origins));
    faults.extend(model_checks::check(&config, &origins));
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    paths::resolve(&mut config, file.map(|file| file.path), &origins);
    take_secrets(&mut config, environment);
    Ok(config)
}

fn shape() -> Result<Shape, Faults> {
    let defaults = document::parse("the built-in config.yaml", DEFAULTS)?;
    Ok(Shape::new(from_file::tree_to_json(&defaults.value)))
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
        match fit(&given.path, given.value.clone(), shape) {
            Ok(()) => fitting.push(given),
            Err(error) => {
                match other_reading(&given).filter(|value| fit(&given.path, value.clone(), shape).is_ok()) {
                    Some(value) => fitting.push(Given { value, ..given }),
                    None => {
                        let reason =
                            format!("`{}`: {}", given.path.join("."), in_plain_words(&error.to_string()));
                        faults.push(given.origin.fault(reason));
                    }
                }
            }
        }
    }
    fitting
}

fn fit(path: &SettingPath, value: Value, shape: &Shape) -> Result<(), serde_json::Error> {
    serde_json::from_value::<Config>(shape.with(path, value)).map(drop)
}

/// A variable is taken for a text where nothing stands by default. It can be a number all the same.
fn other_reading(given: &Given) -> Option<Value> {
    match (&given.origin, &given.value) {
        (Origin::Variable(_), Value::String(text)) => from_environment::as_yaml(text),
        _ => None,
    }
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

/// An entry that the defaults do not have must be given with all it needs. What is given and does not fit is not
/// missing.
fn missing_fields(all: &[Given], shape: &Shape, faults: &mut Vec<Fault>) {
    let paths: BTreeSet<&SettingPath> = all.iter().map(|given| &given.path).collect();
    let mut looked_at = BTreeSet::new();
    for given in all {
        let Some((section, name, required)) = shape.new_entry(&given.path) else {
            continue;
        };
        if !looked_at.insert((section, name)) {
            continue;
        }
        for field in required {
            let path = vec![section.to_owned(), name.to_owned(), (*field).to_owned()];
            if !paths.contains(&path) {
                faults.push(given.origin.fault(format!("`{section}.{name}` needs {field}")));
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

/// What the variables hold that settings name.
fn take_secrets(config: &mut Config, environment: &Environment) {
    let held = |variable: Option<&str>| {
        let held = variable.and_then(|name| environment.get(name));
        held.map(str::trim).filter(|secret| !secret.is_empty()).map(SecretString::from)
    };
    for provider in config.providers.values_mut() {
        provider.api_key = held(provider.api_key_variable.as_deref());
    }
    let redis = &mut config.conversation.redis;
    redis.password = held(redis.password_variable.as_deref());
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
