//! What is particular about each kind of providers. It is said in the kind's own file and found here, in the one
//! place that knows them all.

use std::sync::Arc;

use super::{Provider, Setup, ai_gateway, anthropic, embedded, openai, vertex_ai};
use crate::config::{ProviderConfig, ProviderKind};

/// One kind of providers.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its name in OpenTelemetry's semantic conventions for generative AI, where those have one for it.
    pub(super) conventional_name: &'static str,
    pub(super) set_up: fn(Setup<'_>) -> Arc<dyn Provider>,
    /// What is missing for a provider of this name to be asked, if anything is.
    pub(super) missing: fn(&str, &ProviderConfig) -> Option<String>,
    /// What to do when a provider of this name refused who asked.
    pub(super) mend: fn(&str, &ProviderConfig) -> Option<String>,
    /// Whether it can be asked for a prompt by name.
    pub(super) keeps_prompts: bool,
    pub(super) has_embeddings: bool,
}

pub(super) fn kind(kind: ProviderKind) -> Kind {
    match kind {
        ProviderKind::Embedded => embedded::KIND,
        ProviderKind::Anthropic => anthropic::KIND,
        ProviderKind::VertexAi => vertex_ai::KIND,
        ProviderKind::Openai => openai::KIND,
        ProviderKind::AiGateway => ai_gateway::KIND,
    }
}

/// Whether providers of this kind can be asked for a prompt by name.
#[must_use]
pub fn keeps_prompts(of: ProviderKind) -> bool {
    kind(of).keeps_prompts
}

/// Whether providers of this kind turn texts into vectors.
#[must_use]
pub fn has_embeddings(of: ProviderKind) -> bool {
    kind(of).has_embeddings
}

/// What to do when the provider of this name refused who asked: a key, a token, or that there was none.
#[must_use]
pub fn mend_of_refusal(name: &str, provider: &ProviderConfig) -> Option<String> {
    (kind(provider.kind).mend)(name, provider)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rstest::rstest;

    use super::*;
    use crate::{
        config::{Config, ConfigFile},
        env_file::Environment,
    };

    #[rstest]
    #[case::in_a_variable("anthropic", Some("check the key in ANTHROPIC_API_KEY"))]
    #[case::in_a_file("filed", Some("check the key in etc/key"))]
    #[case::in_a_variable_that_is_not_set("openai", Some("put a key into OPENAI_API_KEY"))]
    #[case::nowhere("local", Some("name the variable of a key in providers.local.api_key_variable"))]
    #[case::of_a_gateway(
        "ai_gateway",
        Some(
            "check the key in AI_GATEWAY_TOKEN, and that providers.ai_gateway.instance_id and deployment.mode are what \
             the token claims"
        )
    )]
    #[case::of_a_gateway_that_wants_one("other_gateway", Some("put a key into OTHER_TOKEN"))]
    #[case::of_google(
        "vertex_ai",
        Some("check providers.vertex_ai.project, and what whoever asks may do there")
    )]
    #[case::none("embedded", None)]
    fn whoever_is_refused_hears_what_to_do(#[case] name: &str, #[case] mend: Option<&str>) {
        let text = "providers:\n  local: {kind: openai, base_url: 'http://127.0.0.1:1/v1'}\n  filed: {kind: openai, \
                    base_url: 'https://api.example.com/v1', api_key_file: etc/key}\n  \
                    other_gateway: {kind: ai_gateway, api_key_variable: OTHER_TOKEN}\n";
        let file = ConfigFile { path: Path::new("mine.yaml"), text };
        let keys = [("ANTHROPIC_API_KEY", "sk-1"), ("AI_GATEWAY_TOKEN", "token")];
        let environment: Environment = keys.into_iter().collect();
        let config = Config::from_layers(Some(file), &environment).unwrap();
        assert_eq!(mend_of_refusal(name, &config.providers[name]).as_deref(), mend);
    }
}
