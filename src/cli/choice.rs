//! Which model a command line means, and a registry with no more in it than it takes to ask that one.

use duologue_actors::{models::Route, ports::Models};

use crate::{
    config::{Config, ModelConfig, ModelPrice},
    providers::{self, Registry, RegistryError},
    spelling,
};

/// The entry of `models` that shows what an entry has when nothing is said.
const EXAMPLE: &str = "embedded";

/// Asked when nothing is said.
pub(super) const DEFAULT: &str = "default";

pub(super) struct Choice {
    pub(super) route: Route,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ChoiceError {
    #[error("unknown {what} `{name}`; {meant}")]
    Unknown { what: &'static str, name: String, meant: String },
    #[error("{0}")]
    NotSetUp(String),
    #[error(
        "no entry of `models` is of the provider `{provider}`; name one of its models with --model, or add an \
         entry"
    )]
    NoModel { provider: String },
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Choice {
    /// A model of one provider, without fallbacks: by the provider's own name for it, else the one that feature
    /// settings prefer.
    pub(super) fn of_provider(
        config: &Config,
        provider: &str,
        model: Option<&str>,
    ) -> Result<Self, ChoiceError> {
        check_provider(config, provider)?;
        let (name, mut entry) = entry(config, provider, model)?;
        entry.fallbacks.clear();
        let mut narrow = config.clone();
        narrow.models.clear();
        narrow.models.insert(name.clone(), entry);
        Self::in_narrow(narrow, &name)
    }

    /// What the server would ask for an action that names `name`, a model or a feature setting.
    pub(super) fn of_name(config: &Config, name: &str) -> Result<Self, ChoiceError> {
        let known = || config.feature_settings.keys().chain(config.models.keys()).map(String::as_str);
        if !known().any(|known| known == name) {
            return Err(unknown("model", name, known()));
        }
        let Some(first) = providers::stands_for(config, name) else {
            let why = providers::unanswered(config, name).unwrap_or_default();
            return Err(ChoiceError::NotSetUp(why));
        };
        if let Some(entry) = config.models.get(first) {
            check_set_up(config, &entry.provider)?;
        }
        let fallbacks = config.models.get(first).map(|entry| entry.fallbacks.clone()).unwrap_or_default();
        let mut narrow = config.clone();
        narrow.models.retain(|name, _| name == first || fallbacks.contains(name));
        Self::in_narrow(narrow, first)
    }

    /// Settings of what is not asked must not be in the way, such as the key file of another provider.
    fn in_narrow(mut narrow: Config, name: &str) -> Result<Self, ChoiceError> {
        narrow.feature_settings.clear();
        let asked: Vec<String> = narrow.models.values().map(|entry| entry.provider.clone()).collect();
        narrow.providers.retain(|name, _| asked.contains(name));
        let registry = Registry::new(&narrow)?;
        let route = registry.route(name).unwrap_or_else(|| Route::new(Vec::new()));
        Ok(Self { route })
    }

    /// `provider/model` of the model asked first.
    pub(super) fn full_name(&self) -> String {
        self.route.models().next().map(|model| model.provider().model().to_owned()).unwrap_or_default()
    }
}

/// Whether there is a provider of that name, with all it needs to be asked.
pub(super) fn check_provider(config: &Config, name: &str) -> Result<(), ChoiceError> {
    if !config.providers.contains_key(name) {
        return Err(unknown("provider", name, config.providers.keys().map(String::as_str)));
    }
    check_set_up(config, name)
}

fn check_set_up(config: &Config, name: &str) -> Result<(), ChoiceError> {
    let Some(provider) = config.providers.get(name) else { return Ok(()) };
    let Some(missing) = providers::missing(name, provider) else { return Ok(()) };
    let is_key = provider.api_key_variable.as_ref().is_some_and(|variable| missing.starts_with(variable));
    let mend = if is_key {
        format!(
            "put the key into that variable, in the environment or in .env, or name a file that holds it in \
             providers.{name}.api_key_file"
        )
    } else {
        "set it in the configuration; config.yaml explains it".to_owned()
    };
    Err(ChoiceError::NotSetUp(format!("the provider `{name}` is not set up: {missing}; {mend}")))
}

/// The entry to ask, which is made up where the registry has none for the model.
fn entry(config: &Config, provider: &str, model: Option<&str>) -> Result<(String, ModelConfig), ChoiceError> {
    let preferred = [DEFAULT].into_iter().chain(config.feature_settings.keys().map(String::as_str));
    let preferred = preferred.filter_map(|name| config.feature_settings.get(name)).flatten();
    let own: Vec<(&String, &ModelConfig)> = preferred
        .chain(config.models.keys())
        .filter_map(|name| config.models.get_key_value(name))
        .filter(|(_, entry)| entry.provider == provider)
        .collect();
    let found = match model {
        None => own.first(),
        Some(model) => own.iter().find(|(_, entry)| entry.model == model),
    };
    if let Some((name, entry)) = found {
        return Ok(((*name).clone(), (*entry).clone()));
    }
    let no_model = || ChoiceError::NoModel { provider: provider.to_owned() };
    let model = model.ok_or_else(no_model)?;
    let like =
        own.first().map(|(_, entry)| *entry).or_else(|| config.models.get(EXAMPLE)).ok_or_else(no_model)?;
    let entry = ModelConfig {
        provider: provider.to_owned(),
        model: model.to_owned(),
        price: ModelPrice { input: 0.0, cached_input: 0.0, output: 0.0 },
        ..like.clone()
    };
    Ok((model.to_owned(), entry))
}

fn unknown<'k>(what: &'static str, name: &str, known: impl Iterator<Item = &'k str>) -> ChoiceError {
    let known: Vec<&str> = known.collect();
    let meant = match spelling::nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    ChoiceError::Unknown { what, name: name.to_owned(), meant }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;
    use crate::{config::ConfigFile, env_file::Environment};

    const LOCAL: &str = "providers:
  local: {kind: openai, base_url: 'http://127.0.0.1:1/v1'}
  other: {kind: openai, base_url: 'http://127.0.0.1:1/v1', api_key_file: /no/such/key}
models:
  a_small: {provider: local, model: small}
  big: {provider: local, model: large, fallbacks: [embedded]}
feature_settings: {chosen: [big]}
";

    fn config(yaml: &str) -> Config {
        let file = ConfigFile { path: Path::new("mine.yaml"), text: yaml };
        Config::from_layers(Some(file), &Environment::default()).unwrap()
    }

    fn asked(choice: Result<Choice, ChoiceError>) -> Vec<String> {
        let route = choice.unwrap_or_else(|error| panic!("{error}")).route;
        route.models().map(|model| model.provider().model().to_owned()).collect()
    }

    #[rstest]
    #[case::the_one_feature_settings_prefer(None, "local/large")]
    #[case::by_the_providers_name(Some("small"), "local/small")]
    #[case::one_the_registry_has_not(Some("tiny"), "local/tiny")]
    #[case::one_the_registry_calls_something_else_by_that_name(Some("a_small"), "local/a_small")]
    fn a_provider_s_model_is_asked_alone(#[case] model: Option<&str>, #[case] expected: &str) {
        assert_eq!(asked(Choice::of_provider(&config(LOCAL), "local", model)), [expected]);
    }

    #[rstest]
    #[case("big", &["local/large", "embedded/extractive"])]
    #[case("chosen", &["local/large", "embedded/extractive"])]
    #[case("default", &["embedded/extractive"])]
    fn a_name_is_asked_as_the_server_would(#[case] name: &str, #[case] expected: &[&str]) {
        assert_eq!(asked(Choice::of_name(&config(LOCAL), name)), expected);
    }

    #[rstest]
    #[case::a_slip("anthropc", None, "unknown provider `anthropc`; did you mean `anthropic`?")]
    #[case::nothing_like_it("acme", None, "unknown provider `acme`; there are ai_gateway, anthropic, ")]
    #[case::no_key(
        "anthropic",
        None,
        "the provider `anthropic` is not set up: ANTHROPIC_API_KEY is not set; put the key into that variable"
    )]
    #[case::no_project(
        "vertex_ai",
        None,
        "the provider `vertex_ai` is not set up: providers.vertex_ai.project is not set; set it in"
    )]
    #[case::no_entry("other", None, "no entry of `models` is of the provider `other`; name one")]
    #[case::no_key_file("other", Some("m"), "providers.other.api_key_file: /no/such/key cannot be read")]
    #[case::a_model_it_has_not(
        "embedded",
        Some("gpt"),
        "models.gpt: the provider `embedded` has no model `gpt`"
    )]
    fn what_is_in_the_way_is_said_with_the_mend(
        #[case] provider: &str,
        #[case] model: Option<&str>,
        #[case] said: &str,
    ) {
        let error = Choice::of_provider(&config(LOCAL), provider, model).err().unwrap().to_string();
        assert!(error.starts_with(said), "{error}");
    }

    #[test]
    fn a_name_that_leads_to_nobody_is_refused() {
        let error = |name: &str| Choice::of_name(&config(LOCAL), name).err().unwrap().to_string();
        assert_eq!(error("bigg"), "unknown model `bigg`; did you mean `big`?");
        assert!(error("claude").starts_with("the provider `anthropic` is not set up: ANTHROPIC_API_KEY"));
    }
}
