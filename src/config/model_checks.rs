//! Whether providers, models and feature settings, which name each other, fit together.

use super::{Config, ProviderConfig, ProviderKind, layers::Origins};
use crate::{document::Fault, spelling, vetted};

/// Everything that does not fit, at the setting that says so.
pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Fault> {
    let mut found = Vec::new();
    for (name, provider) in &config.providers {
        found.extend(provider_faults(config, name, provider));
    }
    for (name, model) in &config.models {
        found.extend(model_faults(config, name, model));
    }
    for (name, models) in &config.feature_settings {
        found.extend(feature_setting_faults(config, name, models));
    }
    found.extend(proxy_fault(config));
    found.into_iter().map(|(setting, reason)| fault_at(origins, &setting, reason)).collect()
}

type Found = (String, String);

/// The fault where the setting was given; of one that was left out, where its entry begins.
fn fault_at(origins: &Origins, setting: &str, reason: String) -> Fault {
    let entry = setting.rsplit_once('.').map_or(setting, |(entry, _)| entry);
    let in_entry = || origins.iter().find(|(given, _)| given.starts_with(&format!("{entry}.")));
    match origins.get(setting).or_else(|| in_entry().map(|(_, origin)| origin)) {
        Some(origin) => origin.fault(reason),
        None => Fault::of_file("the built-in config.yaml", reason),
    }
}

fn provider_faults(config: &Config, name: &str, provider: &ProviderConfig) -> Option<Found> {
    let setting = format!("providers.{name}.base_url");
    let Some(url) = &provider.base_url else {
        let needs_one = matches!(provider.kind, ProviderKind::Anthropic | ProviderKind::Openai);
        return needs_one.then(|| {
            let reason =
                format!("`{setting}` is needed: where the API begins, e.g. http://127.0.0.1:11434/v1");
            (setting, reason)
        });
    };
    let fault = vetted::fault(url, &config.model_calls.allowed_private_hosts)?;
    let reason = format!("`{setting}`: {fault}");
    Some((setting, reason))
}

fn model_faults(config: &Config, name: &str, model: &super::ModelConfig) -> Vec<Found> {
    let mut found = Vec::new();
    if !config.providers.contains_key(&model.provider) {
        let setting = format!("models.{name}.provider");
        let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        let reason = format!("`{setting}`: {}", spelling::unknown("provider", &model.provider, &known));
        found.push((setting, reason));
    }
    let setting = format!("models.{name}.fallbacks");
    for fallback in &model.fallbacks {
        let reason = if fallback == name {
            "a model cannot stand in for itself".to_owned()
        } else if config.models.contains_key(fallback) {
            continue;
        } else {
            unknown_model(config, fallback)
        };
        found.push((setting.clone(), format!("`{setting}`: {reason}")));
    }
    if u64::from(model.limits.output_tokens) >= model.limits.context_tokens {
        let setting = format!("models.{name}.limits.output_tokens");
        let reason = format!("`{setting}` leaves no room for a prompt in `context_tokens`");
        found.push((setting, reason));
    }
    found.extend(minute_fault(name, model));
    found
}

/// A call takes the tokens its answer may have before it is made, and those of its prompt.
fn minute_fault(name: &str, model: &super::ModelConfig) -> Option<Found> {
    let (minute, output) = (model.limits.tokens_per_minute?, model.limits.output_tokens);
    let setting = format!("models.{name}.limits.tokens_per_minute");
    let reason = format!(
        "`{setting}` is {minute}, and one answer may have {output} (`output_tokens`): with its prompt no call \
         would fit in a minute"
    );
    (minute <= u64::from(output)).then_some((setting, reason))
}

/// Credentials of a proxy would stand in a file that is no secret.
fn proxy_fault(config: &Config) -> Option<Found> {
    let setting = "model_calls.proxy";
    let reason = match reqwest::Url::parse(config.model_calls.proxy.as_deref()?) {
        Err(error) => format!("no URL: {error}"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
            "must be an http or https URL, e.g. http://proxy.example.com:3128".to_owned()
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "must not hold credentials: a configuration file is no place for them".to_owned()
        }
        Ok(_) => return None,
    };
    Some((setting.to_owned(), format!("`{setting}`: {reason}")))
}

fn feature_setting_faults(config: &Config, name: &str, models: &[String]) -> Vec<Found> {
    let setting = format!("feature_settings.{name}");
    let mut reasons = Vec::new();
    if config.models.contains_key(name) {
        reasons.push(format!(
            "there is a model of that name too; call the model something else and put it first in {setting}"
        ));
    }
    if models.is_empty() {
        reasons.push("must name a model".to_owned());
    }
    for model in models.iter().filter(|model| !config.models.contains_key(*model)) {
        reasons.push(unknown_model(config, model));
    }
    reasons.into_iter().map(|reason| (setting.clone(), format!("`{setting}`: {reason}"))).collect()
}

fn unknown_model(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.models.keys().map(String::as_str).collect();
    spelling::unknown("model", name, &known)
}
