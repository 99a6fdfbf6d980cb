//! `duologue embed`: the vector of a text.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::{choice::check_provider, complete::check_unit_primitive, model_faults, output};
use crate::{
    config::{Config, ProviderKind},
    logging::{self, Audience},
    providers::{self, EmbedError, Embedding, EmbeddingCall, Registry},
};

/// Values shown of a vector.
const SHOWN_VALUES: usize = 6;

const EXAMPLES: &str = r#"Examples:
  duologue embed --unit-primitive documentation_search --provider vertex_ai "How can I create an issue?"
  duologue embed --unit-primitive documentation_search --provider vertex_ai --json "issues" | jq .values"#;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Embed {
    /// The text
    #[arg(value_name = "TEXT")]
    pub text: String,

    /// The provider to ask
    #[arg(long, value_name = "NAME")]
    pub provider: String,

    /// The unit primitive the call is for, e.g. documentation_search
    #[arg(long, value_name = "NAME")]
    pub unit_primitive: String,

    /// The provider's own name for the embedding model [default: providers.NAME.embedding_model, else the one the
    /// provider is known for]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// Print JSON with the whole vector
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When the provider has no embeddings, is not set up, or the call fails.
pub fn run(asked: &Embed, config: &Config) -> anyhow::Result<ExitCode> {
    let _logs = logging::start(&config.logging, Audience::Asker)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let embedding = runtime.block_on(embed(asked, config))?;
    let full_name = format!("{}/{}", asked.provider, embedding.model);
    if asked.json {
        output::line(as_json(&full_name, &embedding)?)?;
    } else {
        output::piece(&as_text(full_name, &embedding))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn embed(asked: &Embed, config: &Config) -> anyhow::Result<Embedding> {
    check_unit_primitive(config, &asked.unit_primitive)?;
    let kind = config.providers.get(&asked.provider).map(|provider| provider.kind);
    if let Some(kind) = kind.filter(|kind| !providers::has_embeddings(*kind)) {
        let others = ProviderKind::ALL.into_iter().filter(|kind| providers::has_embeddings(*kind));
        let others = others.map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
        bail!(
            "the provider `{}` is of the kind `{kind}`, which has no embeddings; those of the kind {others} have",
            asked.provider
        );
    }
    check_provider(config, &asked.provider)?;
    let mut narrow = config.clone();
    narrow.models.clear();
    narrow.feature_settings.clear();
    narrow.providers.retain(|name, _| *name == asked.provider);
    let registry = Registry::new(&narrow)?;
    let provider = registry.provider(&asked.provider).context("the provider is not in the registry")?;
    let call = EmbeddingCall {
        unit_primitive: asked.unit_primitive.clone(),
        model: asked.model.clone(),
        text: asked.text.clone(),
    };
    provider.embed(call).await.map_err(|error| match error {
        EmbedError::Failed(error) => {
            let usual =
                config.providers.get(&asked.provider).and_then(|known| known.embedding_model.as_deref());
            let model = asked.model.as_deref().or(usual).unwrap_or("embeddings");
            let full_name = format!("{}/{model}", asked.provider);
            anyhow::Error::msg(model_faults::explain(&error, &full_name, config))
        }
        EmbedError::NotOffered => error.into(),
    })
}

fn as_text(full_name: String, embedding: &Embedding) -> String {
    let shown = embedding.values.iter().take(SHOWN_VALUES).map(ToString::to_string);
    let more = if embedding.values.len() > SHOWN_VALUES { ", ..." } else { "" };
    let row = |name: &str, value: String| [name.to_owned(), value];
    let tokens = embedding.input_tokens.map_or_else(|| "not told".to_owned(), |tokens| tokens.to_string());
    output::table(&[
        row("model", full_name),
        row("dimensions", embedding.values.len().to_string()),
        row("values", format!("{}{more}", shown.collect::<Vec<_>>().join(", "))),
        row("tokens", tokens),
    ])
}

/// Of a struct and not of JSON values, which would make the numbers longer than they are.
fn as_json(full_name: &str, embedding: &Embedding) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Shown<'e> {
        model: &'e str,
        dimensions: usize,
        values: &'e [f32],
        input_tokens: Option<u64>,
    }
    let Embedding { values, input_tokens, .. } = embedding;
    let dimensions = values.len();
    serde_json::to_string(&Shown { model: full_name, dimensions, values, input_tokens: *input_tokens })
}

#[cfg(test)]
mod tests {
    use duologue_harness::{
        fake_provider::{FakeProvider, Script, shapes::vertex_ai},
        google::ServiceAccount,
    };

    use super::*;
    use crate::env_file::Environment;

    fn asked(provider: &str, unit_primitive: &str) -> Embed {
        Embed {
            text: "How can I create an issue?".to_owned(),
            provider: provider.to_owned(),
            unit_primitive: unit_primitive.to_owned(),
            model: None,
            json: false,
        }
    }

    async fn refused(provider: &str, unit_primitive: &str) -> String {
        let config = Config::from_layers(None, &Environment::default()).unwrap();
        embed(&asked(provider, unit_primitive), &config).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_provider_without_embeddings_is_refused_with_those_that_have_them() {
        assert_eq!(
            refused("anthropic", "documentation_search").await,
            "the provider `anthropic` is of the kind `anthropic`, which has no embeddings; those of the kind \
             `vertex_ai` have"
        );
    }

    #[tokio::test]
    async fn what_is_missing_or_misspelt_is_said() {
        let missing = refused("vertex_ai", "documentation_search").await;
        assert!(missing.contains("providers.vertex_ai.project is not set"), "{missing}");
        let misspelt = refused("vertex", "documentation_search").await;
        assert_eq!(misspelt, "unknown provider `vertex`; did you mean `vertex_ai`?");
        let unregistered = refused("vertex_ai", "documentation_serch").await;
        assert!(unregistered.contains("did you mean `documentation_search`?"), "{unregistered}");
    }

    /// A service account's file, whose tokens are signed here: nobody is asked for them.
    fn credentials() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ServiceAccount::new().unwrap().file.to_string()).unwrap();
        file
    }

    #[tokio::test]
    async fn a_text_becomes_a_vector_and_a_refusal_is_explained() {
        let fake = FakeProvider::start(vertex_ai::embeddings(&[(&[0.25, -0.5], 7)])).await.unwrap();
        let (url, credentials) = (fake.url(), credentials());
        let variables = [
            ("DUOLOGUE__PROVIDERS__VERTEX_AI__BASE_URL", url.as_str()),
            ("AIGW_GOOGLE_CLOUD_PLATFORM__PROJECT", "p1"),
            ("GOOGLE_APPLICATION_CREDENTIALS", credentials.path().to_str().unwrap()),
        ];
        let config = Config::from_layers(None, &variables.into_iter().collect::<Environment>()).unwrap();
        let asked = asked("vertex_ai", "documentation_search");
        let embedding = embed(&asked, &config).await.unwrap();
        assert_eq!((embedding.values, embedding.input_tokens), (vec![0.25, -0.5], Some(7)));

        fake.always(Script::status(404));
        let error = embed(&asked, &config).await.unwrap_err().to_string();
        let expected = "vertex_ai/text-embedding-005: status 404 (upstream_rejected); check the model's name, \
                        text-embedding-005, and providers.vertex_ai.base_url, ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[tokio::test]
    async fn who_is_said_to_have_none_has_none() {
        let config = Config::from_layers(None, &Environment::default()).unwrap();
        let registry = Registry::new(&config).unwrap();
        for (name, provider) in &config.providers {
            if providers::has_embeddings(provider.kind) {
                continue;
            }
            let call =
                EmbeddingCall { unit_primitive: "duo_chat".to_owned(), model: None, text: String::new() };
            assert_eq!(registry.provider(name).unwrap().embed(call).await, Err(EmbedError::NotOffered));
        }
    }

    #[test]
    fn a_vector_is_shown_in_short_and_printed_whole() {
        let values: Vec<f32> = (0..8).map(|n| n as f32 / 10.0).collect();
        let embedding = Embedding { model: "m".to_owned(), values, input_tokens: Some(7) };
        let text = as_text("vertex_ai/m".to_owned(), &embedding);
        assert_eq!(
            text,
            "model       vertex_ai/m\ndimensions  8\nvalues      0, 0.1, 0.2, 0.3, 0.4, 0.5, ...\ntokens      7\n"
        );
        let json = as_json("vertex_ai/m", &embedding).unwrap();
        assert_eq!(
            json,
            r#"{"model":"vertex_ai/m","dimensions":8,"values":[0.0,0.1,0.2,0.3,0.4,0.5,0.6,0.7],"input_tokens":7}"#
        );
    }
}
