//! Models of Vertex AI: Gemini, Claude as Anthropic publishes it there, and text embeddings. Where they are
//! asked is described in Google Cloud's REST reference, "Vertex AI API, publishers.models".
//!
//! Google documents no header that makes two calls one, so none is sent: a repeated call is a new one.

use std::sync::Arc;

use async_trait::async_trait;
use duologue_actors::{
    ports::{Cause, ModelCall, ModelError, ModelEvent, Retry},
    protocol::Code,
};
use futures::stream::BoxStream;
use reqwest::header::ACCEPT;
use serde_json::Value;

use super::{
    EmbedError, Embedding, EmbeddingCall, Provider, Setup,
    anthropic::{self, MessageStream},
    embedding::{Asked, recorded},
    events,
    faults::{self, Rejection},
    kinds::Kind,
    settings,
    transport::{EVENT_STREAM, Incoming, JSON, Transport},
};
use crate::config::{ModelConfig, ProviderConfig};

mod credentials;
mod embeddings;
mod gemini;

use credentials::Credentials;

/// The location that stands for all of them. Its host has no prefix (Google Cloud's documentation, "Deployments
/// and endpoints").
const GLOBAL: &str = "global";

/// How the names of Anthropic's models begin there (Google Cloud's documentation, "Request predictions with
/// Claude models").
const CLAUDE: &str = "claude-";

/// The version of Anthropic's API that is spoken there; it goes into the body (Anthropic's API reference, "Claude
/// on Vertex AI").
const ANTHROPIC_VERSION: &str = "vertex-2023-10-16";

/// Its name in OpenTelemetry's semantic conventions for generative AI.
const CONVENTIONAL_NAME: &str = "gcp.vertex_ai";

/// Who asks is Google's affair: what is refused is mostly not the token but what it is for.
pub(super) const KIND: Kind = Kind {
    conventional_name: CONVENTIONAL_NAME,
    set_up: |setup| Arc::new(VertexAi::new(setup)),
    missing: |name, provider| provider.project.is_none().then(|| settings::not_set(name, "project")),
    mend: |name, _| Some(format!("check providers.{name}.project, and what whoever asks may do there")),
    keeps_prompts: false,
    has_embeddings: true,
};

#[derive(Clone, Debug)]
struct VertexAi {
    name: String,
    /// Everything of an address before the publisher; `None` without a project.
    resources: Option<String>,
    embedding_model: String,
    credentials: Arc<Credentials>,
    transport: Transport,
}

impl VertexAi {
    fn new(setup: Setup<'_>) -> Self {
        let Setup { name, config, transport, .. } = setup;
        let embedding_model = config.embedding_model.as_deref().unwrap_or(embeddings::DEFAULT_MODEL);
        Self {
            name: name.to_owned(),
            resources: resources(config),
            embedding_model: embedding_model.to_owned(),
            credentials: Arc::new(Credentials::new(config.credentials_file.clone(), transport.patience())),
            transport,
        }
    }

    /// Calls a method of a publisher's model; the answer is to be of the `wanted` content type.
    async fn call(self, method: Method, body: Value, wanted: &'static str) -> Result<Incoming, ModelError> {
        let url = self.address(&method)?;
        let headers = self.credentials.headers().await?;
        let request = self.transport.post(&url).headers(headers).header(ACCEPT, wanted).json(&body);
        self.transport.send(request, &[wanted], |rejection| self.refused(rejection)).await
    }

    fn address(&self, method: &Method) -> Result<String, ModelError> {
        let Method { publisher, model, name } = method;
        let Some(resources) = &self.resources else {
            let mend = format!(
                "set providers.{}.project, for providers.vertex_ai also AIGW_GOOGLE_CLOUD_PLATFORM__PROJECT",
                self.name
            );
            let error = ModelError::new(Code::UpstreamRejected, Retry::Never, "no Google Cloud project");
            return Err(error.said(Some(mend)));
        };
        Ok(format!("{resources}/publishers/{publisher}/models/{model}:{name}"))
    }

    async fn vector(&self, model: &str, text: &str) -> Result<Embedding, ModelError> {
        let method = Method { publisher: "google", model: model.to_owned(), name: "predict" };
        let mut incoming = self.clone().call(method, embeddings::body(text), JSON).await?;
        let bound = incoming.bounds.max_event;
        let body = tokio::time::timeout(self.transport.patience(), incoming.whole(bound)).await;
        let body = body.map_err(|_| {
            ModelError::new(Code::UpstreamTimeout, Retry::Elsewhere, "no whole answer in time")
                .because(Cause::NoAnswer)
        })??;
        embeddings::read(model.to_owned(), &body)
    }

    /// A token that is refused is not sent again, and it is said whose it was.
    fn refused(&self, rejection: Rejection) -> ModelError {
        if rejection.status == 401 {
            self.credentials.forget();
        }
        let mut error = faults::of_status(rejection);
        if error.code == Code::UpstreamAuth {
            error.what = format!("{} with {}", error.what, self.credentials).into();
        }
        error
    }
}

/// A method of a publisher's model.
#[derive(Clone, Debug)]
struct Method {
    publisher: &'static str,
    model: String,
    /// With its query, where it has one.
    name: &'static str,
}

fn resources(config: &ProviderConfig) -> Option<String> {
    let location = &config.location;
    let base = match &config.base_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None if location == GLOBAL => "https://aiplatform.googleapis.com".to_owned(),
        None => format!("https://{location}-aiplatform.googleapis.com"),
    };
    let project = config.project.as_deref()?;
    Some(format!("{base}/v1/projects/{project}/locations/{location}"))
}

#[async_trait]
impl Provider for VertexAi {
    fn stream(
        &self,
        model: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let method = |publisher, name| Method { publisher, model: model.model.clone(), name };
        if model.model.starts_with(CLAUDE) {
            let mut body = anthropic::body(&call, model.prompt_cache);
            body.insert("anthropic_version".to_owned(), ANTHROPIC_VERSION.into());
            let answer =
                self.clone().call(method("anthropic", "streamRawPredict"), body.into(), EVENT_STREAM);
            return events::of_sse(answer, MessageStream::default());
        }
        let method = method("google", "streamGenerateContent?alt=sse");
        let answer = self.clone().call(method, gemini::body(&call), EVENT_STREAM);
        events::of_sse(answer, gemini::GeneratedContent)
    }

    async fn embed(&self, call: EmbeddingCall) -> Result<Embedding, EmbedError> {
        let model = call.model.as_deref().unwrap_or(&self.embedding_model);
        let asked = Asked {
            provider: &self.name,
            conventional_name: CONVENTIONAL_NAME,
            model,
            unit_primitive: &call.unit_primitive,
        };
        Ok(recorded(asked, self.vector(model, &call.text)).await?)
    }
}

#[cfg(test)]
mod tests;
