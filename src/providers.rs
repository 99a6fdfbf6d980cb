//! The models an action can name: the configuration's `models`, each served by a provider.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::ports::{ModelProvider, Models};

use crate::{
    builtin,
    config::{ModelConfig, ProviderKind},
};

pub mod embedded;

use embedded::Extractive;

/// Where the documentation the embedded provider answers from lies inside the binary.
const DOCUMENTATION: &str = "docs";

/// Every configured model, by its name in the configuration.
pub struct Registry {
    models: BTreeMap<String, Arc<dyn ModelProvider>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("models.{name}: the provider `{provider}` has no model `{model}`; it has: {known}")]
pub struct UnknownModel {
    pub name: String,
    pub provider: &'static str,
    pub model: String,
    pub known: &'static str,
}

impl Registry {
    /// # Errors
    /// When a model is configured that its provider does not have.
    pub fn new(configured: &BTreeMap<String, ModelConfig>) -> Result<Self, UnknownModel> {
        let mut models = BTreeMap::new();
        for (name, config) in configured {
            models.insert(name.clone(), provider(name, config)?);
        }
        Ok(Self { models })
    }
}

impl Models for Registry {
    fn model(&self, name: &str) -> Option<Arc<dyn ModelProvider>> {
        self.models.get(name).cloned()
    }
}

fn provider(name: &str, config: &ModelConfig) -> Result<Arc<dyn ModelProvider>, UnknownModel> {
    match config.provider {
        ProviderKind::Embedded if config.model == embedded::MODEL => {
            let pages = builtin::list(DOCUMENTATION)
                .into_iter()
                .filter_map(|path| builtin::read(&path).map(|text| (path, text)));
            Ok(Arc::new(Extractive::new(pages)))
        }
        ProviderKind::Embedded => Err(UnknownModel {
            name: name.to_owned(),
            provider: embedded::PROVIDER,
            model: config.model.clone(),
            known: embedded::MODEL,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(model: &str) -> BTreeMap<String, ModelConfig> {
        let config = ModelConfig { provider: ProviderKind::Embedded, model: model.to_owned() };
        BTreeMap::from([("default".to_owned(), config)])
    }

    #[test]
    fn a_configured_model_is_found_by_its_name_and_says_what_it_is() {
        let registry = Registry::new(&configured("extractive")).unwrap();
        let model = registry.model("default").unwrap();
        assert_eq!((model.provider(), model.model()), ("embedded", "embedded/extractive"));
        assert!(registry.model("claude").is_none());
    }

    #[test]
    fn a_model_its_provider_does_not_have_is_refused_by_name() {
        let refused = Registry::new(&configured("gpt")).err().unwrap().to_string();
        assert_eq!(refused, "models.default: the provider `embedded` has no model `gpt`; it has: extractive");
    }
}
