//! GitLab's AI Gateway: an HTTP service between GitLab and the providers of models, which takes a cloud connector's
//! token, checks what it is for, and asks a model. As seen on the wire of a running one.
//!
//! A prompt of ours goes to `/v1/chat/{invokable}`, one that the gateway keeps to `/v1/prompts/{id}`: see
//! [`request`]. Both answer with the bare text: see [`answer`]. Neither tells what the answer cost, or why the
//! model stopped.
//!
//! Gateways since the end of 2025 still have `/v1/chat/` but answer 500 to every call of it: they serve only
//! prompts they keep. [`rejection`] says so.

use std::sync::Arc;

use duologue_actors::{
    ports::{ModelCall, ModelError, ModelEvent, Retry},
    protocol::Code,
};
use futures::stream::BoxStream;
use reqwest::{RequestBuilder, Url};

use super::{
    Provider, Setup,
    keys::{self, Key, KeySource},
    kinds::Kind,
    settings,
    transport::Transport,
};
use crate::config::{ModelConfig, ProviderConfig};

mod answer;
mod headers;
mod rejection;
mod request;

#[cfg(test)]
mod tests;

use headers::Caller;

/// A gateway may ask for no token.
pub(super) const KIND: Kind = Kind {
    conventional_name: "ai_gateway",
    set_up: |setup| Arc::new(AiGateway::new(setup)),
    missing: settings::missing_url,
    mend,
    keeps_prompts: true,
    has_embeddings: false,
};

/// A good token is refused too, where it is another's than who shows it.
fn mend(name: &str, provider: &ProviderConfig) -> Option<String> {
    let mend = keys::mend(name, provider)?;
    if !keys::is_given(provider) {
        return Some(mend);
    }
    let claims = format!("providers.{name}.instance_id and deployment.mode are what the token claims");
    Some(format!("{mend}, and that {claims}"))
}

#[derive(Clone, Debug)]
struct AiGateway {
    name: String,
    /// `None` until it is configured.
    base: Option<Url>,
    key: KeySource,
    caller: Caller,
    transport: Transport,
}

impl AiGateway {
    fn new(setup: Setup<'_>) -> Self {
        let Setup { name, config, key, transport, realm, advertised_version } = setup;
        Self {
            name: name.to_owned(),
            base: config.base_url.as_deref().and_then(|url| Url::parse(url).ok()),
            caller: Caller {
                realm,
                instance_id: config.instance_id.clone(),
                version: advertised_version.to_owned(),
            },
            key,
            transport,
        }
    }

    /// # Errors
    /// When the gateway is not configured, or the call cannot be said in HTTP.
    fn request(
        &self,
        call: &ModelCall,
        model: &str,
        key: Option<&Key>,
    ) -> Result<RequestBuilder, ModelError> {
        let base = self.base.as_ref().ok_or_else(|| self.not_set_up())?;
        let (url, body) = match &call.kept {
            Some(prompt) => (request::prompt_url(base, prompt)?, request::prompt_body(prompt)),
            None => (request::chat_url(base, &call.unit_primitive)?, request::chat_body(call, model)),
        };
        let headers = self.caller.headers(key, call)?;
        Ok(self.transport.post(url.as_str()).headers(headers).json(&body))
    }

    /// Another provider may be.
    fn not_set_up(&self) -> ModelError {
        let what = format!("providers.{}.base_url is not set", self.name);
        ModelError::new(Code::UpstreamUnavailable, Retry::Elsewhere, what)
    }
}

impl Provider for AiGateway {
    fn stream(
        &self,
        model: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let key = self.key.key();
        let request = self.request(&call, &model.model, key.as_ref());
        let transport = self.transport.clone();
        let is_chat = call.kept.is_none();
        let explain = move |rejection| rejection::explain(rejection, key.as_ref(), is_chat);
        answer::stream(async move { transport.send(request?, &answer::CONTENT_TYPES, explain).await })
    }
}
