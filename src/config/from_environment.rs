//! `DUOLOGUE__SECTION__KEY` variables, and the names the seeds' `.env` files use for the same settings.

use serde_json::Value;

use super::{
    from_file::to_json,
    layers::{Given, Origin},
    shape::{SettingPath, Shape, secret_hint},
};
use crate::{
    document::{self, Fault},
    env_file::Environment,
};

const PREFIX: &str = "DUOLOGUE__";
const SEPARATOR: &str = "__";

/// What the environment gives; the aliases first, so that a `DUOLOGUE__` name wins over them.
pub(super) fn read(environment: &Environment, shape: &Shape, faults: &mut Vec<Fault>) -> Vec<Given> {
    let mut given = aliases(environment, shape, faults);
    for (name, text) in environment.iter() {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path: SettingPath = rest.to_lowercase().split(SEPARATOR).map(str::to_owned).collect();
        match shape.at(&path) {
            None => faults.push(Fault::of_file(variable(name), unknown(shape, &path))),
            Some(Value::Object(_)) => faults.push(Fault::of_file(
                variable(name),
                format!("`{}` is a section; name one of its settings: {name}__KEY", path.join(".")),
            )),
            Some(default) => {
                let value = value_like(default, text);
                given.push(Given { path, value, origin: Origin::Variable(name.to_owned()) });
            }
        }
    }
    given
}

/// How a variable is named in faults.
pub(super) fn variable(name: &str) -> String {
    format!("environment variable {name}")
}

fn unknown(shape: &Shape, path: &SettingPath) -> String {
    let name = path.join(".");
    if let Some(hint) = secret_hint(path) {
        return format!("unknown setting `{name}`; {hint}");
    }
    match shape.nearest(path) {
        Some(meant) => {
            let meant = meant.join(SEPARATOR).to_uppercase();
            format!("unknown setting `{name}`; did you mean {PREFIX}{meant}?")
        }
        None => format!("unknown setting `{name}`; config.yaml lists them all"),
    }
}

/// A setting by the name that the `.env` of GitLab's AI gateway has for it.
struct Alias {
    name: &'static str,
    path: &'static [&'static str],
    /// What the text stands for, or what it should have been.
    read: fn(&str) -> Result<Value, &'static str>,
}

const fn alias(
    name: &'static str,
    path: &'static [&'static str],
    read: fn(&str) -> Result<Value, &'static str>,
) -> Alias {
    Alias { name, path, read }
}

const ALIASES: [Alias; 12] = [
    alias("AIGW_LOGGING__LEVEL", &["logging", "level"], |text| Ok(python_level(text).into())),
    alias("AIGW_LOGGING__FORMAT_JSON", &["logging", "format"], json_or_pretty),
    alias("AIGW_LOGGING__TO_FILE", &["logging", "to_file"], |text| Ok(text_or_nothing(text))),
    alias("AIGW_AUTH__BYPASS_EXTERNAL", &["auth", "bypass_external"], |text| {
        yes_or_no(text).map(Value::from)
    }),
    alias("AIGW_GITLAB_URL", &["auth", "gitlab_url"], |text| Ok(text_or_nothing(text))),
    alias("AIGW_CUSTOMER_PORTAL_URL", &["auth", "customer_portal_url"], |text| Ok(text_or_nothing(text))),
    alias("ANTHROPIC_BASE_URL", &["providers", "anthropic", "base_url"], |text| Ok(text_or_nothing(text))),
    alias("OPENAI_BASE_URL", &["providers", "openai", "base_url"], |text| Ok(text_or_nothing(text))),
    alias("AI_GATEWAY_URL", &["providers", "ai_gateway", "base_url"], |text| Ok(text_or_nothing(text))),
    alias("AIGW_GOOGLE_CLOUD_PLATFORM__PROJECT", &["providers", "vertex_ai", "project"], |text| {
        Ok(text_or_nothing(text))
    }),
    alias("GOOGLE_APPLICATION_CREDENTIALS", &["providers", "vertex_ai", "credentials_file"], |text| {
        Ok(text_or_nothing(text))
    }),
    alias("AIGW_CLOUD_CONNECTOR_SERVICE_NAME", &["auth", "audience"], |text| Ok(text_or_nothing(text))),
];

fn aliases(environment: &Environment, shape: &Shape, faults: &mut Vec<Fault>) -> Vec<Given> {
    let mut given = Vec::new();
    for Alias { name, path, read } in ALIASES {
        let Some(text) = environment.get(name) else {
            continue;
        };
        let path: SettingPath = path.iter().map(|&name| name.to_owned()).collect();
        match read(text) {
            // Such a file leaves empty what it does not set.
            Ok(Value::Null) if shape.at(&path).is_some_and(|default| !default.is_null()) => {}
            Ok(value) => given.push(Given { path, value, origin: Origin::Variable(name.to_owned()) }),
            Err(expected) => {
                faults.push(Fault::of_file(variable(name), format!("must be {expected}, not {text:?}")));
            }
        }
    }
    given
}

fn json_or_pretty(text: &str) -> Result<Value, &'static str> {
    yes_or_no(text).map(|json| if json { "json" } else { "pretty" }.into())
}

/// Those files are written for a Python program, whose levels are upper case and named a little differently.
fn python_level(level: &str) -> String {
    match level.to_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        other => other.to_owned(),
    }
}

fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("true or false"),
    }
}

fn text_or_nothing(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// A variable is a text; the default says what it stands for. What does not read as that stays a text
/// and is refused with the setting's name.
fn value_like(default: &Value, text: &str) -> Value {
    match default {
        Value::String(_) => text.into(),
        Value::Null => text_or_nothing(text),
        Value::Array(_) if !text.trim_start().starts_with('[') => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        }
        _ => as_yaml(text).unwrap_or_else(|| text.into()),
    }
}

/// What a text says to a reader of YAML.
pub(super) fn as_yaml(text: &str) -> Option<Value> {
    document::parse("", text).ok().and_then(|node| to_json(&node.value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_is_read_as_what_its_default_is() {
        assert_eq!(value_like(&json!("18.6.0"), "18.6"), json!("18.6"));
        assert_eq!(value_like(&json!(1), "1_000"), json!(1_000));
        assert_eq!(value_like(&json!(true), "false"), json!(false));
        assert_eq!(
            value_like(&json!([]), "https://a.example, https://b.example"),
            json!(["https://a.example", "https://b.example"])
        );
        assert_eq!(value_like(&json!([]), "[https://a.example]"), json!(["https://a.example"]));
        assert_eq!(value_like(&json!([]), ""), json!([]));
        assert_eq!(value_like(&json!(null), ""), json!(null));
        assert_eq!(value_like(&json!(null), "log.txt"), json!("log.txt"));
        assert_eq!(value_like(&json!(1), "many"), json!("many"));
    }
}
