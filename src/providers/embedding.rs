//! Vectors of texts: what is asked, what comes back, and the record of it. The text is in none.
//!
//! Metrics are those of a model's calls, under the name that OpenTelemetry's semantic conventions for generative
//! AI have for this operation.

use duologue_actors::ports::ModelError;
use metrics::Label;
use tokio::time::Instant;

/// One text to be turned into a vector.
#[derive(Clone, Debug)]
pub struct EmbeddingCall {
    /// What it is for, for the record.
    pub unit_primitive: String,
    pub model: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// The provider's name of the model.
    pub model: String,
    pub values: Vec<f32>,
    pub input_tokens: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    #[error("this provider has no embeddings")]
    NotOffered,
    #[error(transparent)]
    Failed(#[from] ModelError),
}

/// Who is asked, and what for.
pub(super) struct Asked<'a> {
    pub(super) provider: &'a str,
    /// The provider's `gen_ai.provider.name`.
    pub(super) conventional_name: &'static str,
    /// The provider's name of the model.
    pub(super) model: &'a str,
    pub(super) unit_primitive: &'a str,
}

/// What `call` brings, once it is logged and counted.
pub(super) async fn recorded(
    asked: Asked<'_>,
    call: impl Future<Output = Result<Embedding, ModelError>>,
) -> Result<Embedding, ModelError> {
    let started = Instant::now();
    let result = call.await;
    let error = result.as_ref().err();
    let input_tokens = result.as_ref().ok().and_then(|embedding| embedding.input_tokens);
    tracing::info!(
        unit_primitive = asked.unit_primitive,
        provider = asked.provider,
        model = format!("{}/{}", asked.provider, asked.model),
        outcome = error.map_or("completed", |error| error.code.as_str()),
        what = error.map(|error| error.what.as_ref()),
        input_tokens,
        total_millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "embedding call ended"
    );
    asked.count(error, input_tokens, started);
    result
}

impl Asked<'_> {
    #[allow(clippy::cast_precision_loss, reason = "tokens of one text are far below 2^52")]
    fn count(&self, error: Option<&ModelError>, input_tokens: Option<u64>, started: Instant) {
        let labels = vec![
            Label::new("gen_ai_operation_name", "embeddings"),
            Label::new("gen_ai_provider_name", self.conventional_name),
            Label::new("gen_ai_request_model", self.model.to_owned()),
        ];
        if let Some(tokens) = input_tokens {
            let more = [Label::new("gen_ai_token_type", "input"), Label::new("estimated", "false")];
            let labels: Vec<Label> = labels.iter().cloned().chain(more).collect();
            metrics::histogram!("gen_ai_client_token_usage", labels).record(tokens as f64);
        }
        let error = error.map(|error| Label::new("error_type", error.code.as_str()));
        let labels: Vec<Label> = labels.into_iter().chain(error).collect();
        metrics::histogram!("gen_ai_client_operation_duration_seconds", labels)
            .record(started.elapsed().as_secs_f64());
    }
}
