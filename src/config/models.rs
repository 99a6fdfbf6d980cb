use garde::Validate;
use serde::Deserialize;

/// One entry of the model registry: what an action's `model:` stands for.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    #[garde(skip)]
    pub provider: ProviderKind,
    /// The provider's own name for the model.
    #[garde(length(min = 1))]
    pub model: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// No model and no network: it quotes what fits the question.
    Embedded,
}
