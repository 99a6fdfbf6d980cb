//! A model as a provider offers it: who it is, said once for all kinds.

use std::sync::Arc;

use duologue_actors::ports::{ModelCall, ModelError, ModelEvent, ModelProvider};
use futures::stream::BoxStream;

use super::{Provider, kinds::kind};
use crate::config::{ModelConfig, ProviderKind};

pub(super) struct Offered {
    provider: Arc<dyn Provider>,
    kind: ProviderKind,
    model: ModelConfig,
    /// `provider/model`.
    full_name: String,
}

impl Offered {
    pub(super) fn new(provider: Arc<dyn Provider>, kind: ProviderKind, model: &ModelConfig) -> Self {
        let full_name = format!("{}/{}", model.provider, model.model);
        Self { provider, kind, model: model.clone(), full_name }
    }
}

impl ModelProvider for Offered {
    fn provider(&self) -> &str {
        &self.model.provider
    }

    fn kind(&self) -> &str {
        self.kind.as_str()
    }

    fn conventional_name(&self) -> &str {
        kind(self.kind).conventional_name
    }

    fn model(&self) -> &str {
        &self.full_name
    }

    fn stream(&self, call: Arc<ModelCall>) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        self.provider.stream(&self.model, call)
    }
}
