//! Which model a name stands for: one of the registry, or a feature setting's first one that is set up.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::models::{Model, Route};

use super::{NoSuchModel, keys, kinds::kind};
use crate::config::{Config, ModelConfig, ProviderConfig};

/// Why the models are not as the configuration has them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryError(String);

impl RegistryError {
    pub(super) fn of(name: &str, entry: &ModelConfig, error: &NoSuchModel) -> Self {
        Self(format!("models.{name}: the provider `{}` {error}", entry.provider))
    }

    pub(super) fn fault(reason: String) -> Self {
        Self(reason)
    }

    pub(super) fn transport(reason: &str) -> Self {
        Self(format!("model_calls: no HTTP client can be made: {reason}"))
    }
}

/// What is missing for a provider to be asked, if anything is.
#[must_use]
pub fn missing(name: &str, provider: &ProviderConfig) -> Option<String> {
    (kind(provider.kind).missing)(name, provider)
}

/// What is missing where an address is needed.
pub(super) fn missing_url(name: &str, provider: &ProviderConfig) -> Option<String> {
    provider.base_url.is_none().then(|| not_set(name, "base_url"))
}

/// What is missing where an address and a key are needed. What is served on this machine mostly asks for none.
pub(super) fn missing_url_or_key(name: &str, provider: &ProviderConfig) -> Option<String> {
    let missing_key = || {
        let variable = provider.api_key_variable.as_ref()?;
        let is_needed = !keys::is_given(provider) && !provider.is_on_this_machine();
        is_needed.then(|| format!("{variable} is not set"))
    };
    missing_url(name, provider).or_else(missing_key)
}

pub(super) fn not_set(name: &str, setting: &str) -> String {
    format!("providers.{name}.{setting} is not set")
}

/// Why a model of the registry cannot be asked, if it cannot.
#[must_use]
pub fn missing_for(config: &Config, model: &str) -> Option<String> {
    let provider = &config.models.get(model)?.provider;
    missing(provider, config.providers.get(provider)?)
}

/// The model that an action's `model:` stands for: itself, or a feature setting's first one that is set up.
#[must_use]
pub fn stands_for<'c>(config: &'c Config, name: &'c str) -> Option<&'c str> {
    let Some(candidates) = config.feature_settings.get(name) else {
        return config.models.contains_key(name).then_some(name);
    };
    candidates.iter().map(String::as_str).find(|model| missing_for(config, model).is_none())
}

/// The models of a feature setting that come before the one it stands for, each with what it is missing:
/// `claude: ANTHROPIC_API_KEY is not set; gpt: ...`.
#[must_use]
pub fn passed_over(config: &Config, feature_setting: &str) -> String {
    let candidates = config.feature_settings.get(feature_setting).into_iter().flatten();
    let reasons = candidates.map_while(|model| Some(format!("{model}: {}", missing_for(config, model)?)));
    reasons.collect::<Vec<_>>().join("; ")
}

/// Why the name of a model or of a feature setting leads to nobody who can be asked, if it does not.
#[must_use]
pub fn unanswered(config: &Config, name: &str) -> Option<String> {
    if config.feature_settings.contains_key(name) {
        let is_unanswered = stands_for(config, name).is_none();
        return is_unanswered
            .then(|| format!("no model of `{name}` is set up: {}", passed_over(config, name)));
    }
    missing_for(config, name).map(|missing| format!("`{name}` is not set up: {missing}"))
}

/// Whether calls can go where the configuration sends them: every feature setting stands for a model, and what
/// stands in for a model that is set up is set up too.
pub(super) fn check(config: &Config) -> Result<(), RegistryError> {
    let mut faults = Vec::new();
    for name in config.feature_settings.keys() {
        faults.extend(unanswered(config, name).map(|why| format!("feature_settings.{name}: {why}")));
    }
    for (name, entry) in &config.models {
        if missing_for(config, name).is_some() {
            continue;
        }
        let absent = entry.fallbacks.iter().filter_map(|fallback| unanswered(config, fallback));
        faults.extend(absent.map(|why| format!("models.{name}.fallbacks: {why}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(RegistryError::fault(faults.join("\n"))) }
}

/// The route of every name an action may use.
pub(super) fn routes(config: &Config, models: &BTreeMap<String, Arc<Model>>) -> BTreeMap<String, Route> {
    let names = config.models.keys().chain(config.feature_settings.keys());
    let route = |name: &String| {
        let first = stands_for(config, name)?;
        let fallbacks = config.models.get(first)?.fallbacks.iter().map(String::as_str);
        let route = std::iter::once(first).chain(fallbacks).filter_map(|name| models.get(name).cloned());
        Some((name.clone(), Route::new(route.collect())))
    };
    names.filter_map(route).collect()
}
