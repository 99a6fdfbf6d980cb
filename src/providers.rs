//! The models an action can name: the configuration's `models`, each served by one of its `providers`.
//!
//! One file for each thing that is spoken with a provider, and no vendor's name outside its own but in `kinds`, which
//! lists them. What they have in common is `transport` (HTTP within bounds), `events` over `sse` (streams), and
//! `faults`.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use duologue_actors::{
    models::{Breaker, Capacity, Guard, Model, RetryBudget, Route},
    ports::{ModelCall, ModelError, ModelEvent, Models},
};
use futures::stream::BoxStream;

use crate::config::{Config, ModelConfig, ProviderConfig};

mod ai_gateway;
mod anthropic;
pub mod embedded;
mod embedding;
mod events;
mod faults;
mod files;
mod keys;
mod kinds;
mod offered;
mod openai;
mod settings;
mod sse;
mod status;
#[cfg(test)]
mod testing;
mod transport;
mod utf8;
mod vertex_ai;

pub use embedding::{EmbedError, Embedding, EmbeddingCall};
pub use keys::id_of as key_id;
pub use kinds::{has_embeddings, keeps_prompts, mend_of_refusal};
pub use settings::{RegistryError, missing, missing_for, passed_over, stands_for, unanswered};
pub use status::{BreakerStatus, Entry, Live, ModelStatus, Status};

use keys::KeySource;
use kinds::kind;
use offered::Offered;
use transport::Transport;

/// A provider of the configuration, set up.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Whether it has a model of that name of its own, as far as that is known without asking.
    ///
    /// # Errors
    /// When it has not.
    fn check(&self, _model: &str) -> Result<(), NoSuchModel> {
        Ok(())
    }

    /// Makes one attempt at one of its models and streams the answer. Dropping the stream ends the call.
    fn stream(
        &self,
        model: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// The vector of a text, by the embedding model of that name, else by the one the provider is known for.
    ///
    /// # Errors
    /// When the provider has none, or the call fails.
    async fn embed(&self, _call: EmbeddingCall) -> Result<Embedding, EmbedError> {
        Err(EmbedError::NotOffered)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has no model `{model}`; it has: {known}")]
pub struct NoSuchModel {
    pub model: String,
    pub known: &'static str,
}

/// What a provider is made of.
pub(crate) struct Setup<'a> {
    /// Its name in the configuration.
    pub(crate) name: &'a str,
    pub(crate) config: &'a ProviderConfig,
    pub(crate) key: KeySource,
    pub(crate) transport: Transport,
    /// Of this server, as tokens name it.
    pub(crate) realm: &'static str,
    /// The version of GitLab that this server stands for.
    pub(crate) advertised_version: &'a str,
}

/// Every configured provider and model, by their names in the configuration.
pub struct Registry {
    providers: BTreeMap<String, Arc<dyn Provider>>,
    models: BTreeMap<String, Arc<Model>>,
    /// By every name an action may use.
    routes: BTreeMap<String, Route>,
    /// The models as they are configured, by name.
    entries: Vec<Entry>,
    /// What each feature setting stands for.
    feature_settings: BTreeMap<String, String>,
}

impl Registry {
    /// # Errors
    /// When a key cannot be read, a model is configured that its provider does not have, or one that is not set
    /// up is needed.
    pub fn new(config: &Config) -> Result<Self, RegistryError> {
        settings::check(config)?;
        let transport =
            Transport::new(&config.model_calls).map_err(|reason| RegistryError::transport(&reason))?;
        let mut providers = BTreeMap::new();
        for (name, provider) in &config.providers {
            let setup = Setup {
                name,
                config: provider,
                key: keys::read(name, provider)?,
                transport: transport.clone(),
                realm: config.deployment.mode.realm(),
                advertised_version: &config.server.advertised_version,
            };
            providers.insert(name.clone(), (kind(provider.kind).set_up)(setup));
        }
        let models = models(config, &providers)?;
        let routes = settings::routes(config, &models);
        let stands_for = |name: &String| Some((name.clone(), stands_for(config, name)?.to_owned()));
        let feature_settings = config.feature_settings.keys().filter_map(stands_for).collect();
        Ok(Self { providers, models, routes, entries: Entry::all(config).collect(), feature_settings })
    }

    /// The provider of that name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.providers.get(name)
    }

    /// All models, by name.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.values()
    }
}

impl Models for Registry {
    fn route(&self, name: &str) -> Option<Route> {
        self.routes.get(name).cloned()
    }
}

/// The models of the registry. Entries that are one model of one provider fail together, so they share its
/// breaker, and the retries it may be sent; the limits of each are its own.
fn models(
    config: &Config,
    providers: &BTreeMap<String, Arc<dyn Provider>>,
) -> Result<BTreeMap<String, Arc<Model>>, RegistryError> {
    let mut shared: BTreeMap<(&str, &str), (Breaker, RetryBudget)> = BTreeMap::new();
    let mut models = BTreeMap::new();
    for (name, entry) in &config.models {
        let found = config.providers.get(&entry.provider).zip(providers.get(&entry.provider));
        let Some((ProviderConfig { kind, .. }, provider)) = found else { continue };
        provider.check(&entry.model).map_err(|error| RegistryError::of(name, entry, &error))?;
        let offered = Arc::new(Offered::new(provider.clone(), *kind, entry));
        let calls = &config.model_calls;
        let (breaker, budget) = shared
            .entry((entry.provider.as_str(), entry.model.as_str()))
            .or_insert_with(|| (Breaker::new(calls.breaker()), RetryBudget::new(calls.budget())));
        let guard = Guard {
            breaker: breaker.clone(),
            capacity: Capacity::new(entry.capacity()),
            budget: budget.clone(),
        };
        let model = Model::new(name.clone(), offered, entry.bounds(), guard).priced(entry.price());
        models.insert(name.clone(), Arc::new(model));
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use duologue_actors::{
        models::{self, Purpose},
        protocol::RequestId,
    };
    use tokio::time::Instant;

    use super::*;
    use crate::env_file::Environment;

    fn config(yaml: &str, variables: &[(&str, &str)]) -> Config {
        let file = crate::config::ConfigFile { path: std::path::Path::new("mine.yaml"), text: yaml };
        Config::from_layers(Some(file), &variables.iter().copied().collect::<Environment>()).unwrap()
    }

    fn asked_first(config: &Config, name: &str) -> String {
        let registry = Registry::new(config).unwrap();
        let route = registry.route(name).unwrap();
        route.models().next().unwrap().provider().model().to_owned()
    }

    #[test]
    fn without_any_key_the_embedded_model_answers_and_with_one_that_provider_s() {
        assert_eq!(asked_first(&config("", &[]), "default"), "embedded/extractive");
        let with_key = config("", &[("ANTHROPIC_API_KEY", "sk-1")]);
        assert_eq!(asked_first(&with_key, "default"), "anthropic/claude-sonnet-4-6");
        let with_other = config("", &[("OPENAI_API_KEY", "sk-2")]);
        assert_eq!(asked_first(&with_other, "default"), "openai/gpt-4.1-mini");
        let with_url = config("", &[("AI_GATEWAY_URL", "http://localhost:5052")]);
        assert_eq!(asked_first(&with_url, "default"), "ai_gateway/claude-sonnet-4-5-20250929");
        let with_project = config("", &[("AIGW_GOOGLE_CLOUD_PLATFORM__PROJECT", "p")]);
        assert_eq!(asked_first(&with_project, "default"), "vertex_ai/gemini-2.5-flash-lite");
    }

    #[test]
    fn a_model_of_the_registry_is_found_by_its_name_with_its_fallbacks() {
        let config =
            config("models:\n  big: {provider: embedded, model: extractive, fallbacks: [embedded]}\n", &[]);
        let registry = Registry::new(&config).unwrap();
        let names: Vec<String> =
            registry.route("big").unwrap().models().map(|model| model.name().to_owned()).collect();
        assert_eq!(names, ["big", "embedded"]);
        assert!(registry.route("small").is_none());
    }

    #[test]
    fn what_is_needed_must_be_set_up() {
        let refused = |yaml: &str| Registry::new(&config(yaml, &[])).err().map(|error| error.to_string());
        assert_eq!(
            refused(
                "models: {embedded: {fallbacks: [claude]}}\nfeature_settings: {duo_chat: [gpt, claude]}\n"
            )
            .unwrap(),
            "feature_settings.duo_chat: no model of `duo_chat` is set up: gpt: OPENAI_API_KEY is not set; claude: \
             ANTHROPIC_API_KEY is not set\nmodels.embedded.fallbacks: `claude` is not set up: ANTHROPIC_API_KEY is \
             not set"
        );
        // Nobody needs what stands in for a model that is not asked itself.
        assert_eq!(refused("models: {claude: {fallbacks: [gpt]}}\n"), None);
    }

    #[test]
    fn the_limits_of_an_entry_are_its_own_also_where_another_is_the_same_model() {
        let limits = "{concurrency: 2, tokens_per_minute: 40000}";
        let twin = format!("models:\n  twin: {{provider: embedded, model: extractive, limits: {limits}}}\n");
        let registry = Registry::new(&config(&twin, &[])).unwrap();
        let concurrency = |name: &str| {
            let route = registry.route(name).unwrap();
            route.models().next().unwrap().guard().capacity.bounds().concurrency
        };
        assert_eq!((concurrency("twin"), concurrency("embedded")), (2, 256));
    }

    /// Ends when a call of that model has, whatever came of it.
    async fn call(registry: &Registry, name: &str, config: &Config) {
        let purpose = Purpose {
            request_id: RequestId::new(),
            action: None,
            unit_primitive: "duo_chat".to_owned(),
            prompt_version: None,
        };
        let deadline = Instant::now() + config.pipeline.deadline();
        let (route, bounds) = (registry.route(name).unwrap(), config.model_calls.bounds());
        let mut answer = models::answer(purpose, route, bounds, deadline, |_| Ok(testing::a_call()));
        while answer.next().await.is_some() {}
    }

    #[tokio::test]
    async fn entries_that_are_one_model_share_the_retries_it_may_be_sent() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mine = format!(
            "providers:\n  mine: {{kind: openai, base_url: 'http://{closed}/v1'}}\n\
             models:\n  one: {{provider: mine, model: m}}\n  twin: {{provider: mine, model: m}}\n  \
             other: {{provider: mine, model: another}}\n\
             model_calls: {{shortest_retry_wait_milliseconds: 1, longest_retry_wait_milliseconds: 1}}\n"
        );
        let config = config(&mine, &[]);
        let registry = Registry::new(&config).unwrap();
        call(&registry, "one", &config).await;
        let left = |name: &str| registry.route(name).unwrap().models().next().unwrap().guard().budget.left();
        assert_eq!((left("one"), left("twin"), left("other")), (8, 8, 10));
    }

    #[test]
    fn a_model_its_provider_does_not_have_is_refused_by_name() {
        let config = config("models:\n  odd: {provider: embedded, model: gpt}\n", &[]);
        let refused = Registry::new(&config).err().unwrap().to_string();
        assert_eq!(refused, "models.odd: the provider `embedded` has no model `gpt`; it has: extractive");
    }
}
