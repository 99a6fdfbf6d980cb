use duologue_actors::models::{CapacityBounds, ModelBounds, Price};
use garde::Validate;
use serde::{Deserialize, Serialize};

/// One entry of the model registry: what an action's `model:` stands for.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A name of `providers`.
    #[garde(length(min = 1))]
    pub provider: String,
    /// The provider's own name for the model.
    #[garde(length(min = 1))]
    pub model: String,
    #[garde(dive)]
    pub limits: ModelLimits,
    #[garde(dive)]
    pub price: ModelPrice,
    /// Names of this registry.
    #[garde(inner(length(min = 1)))]
    pub fallbacks: Vec<String>,
    #[garde(skip)]
    pub prompt_cache: bool,
}

/// What one model takes.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub struct ModelLimits {
    #[garde(range(min = 1))]
    pub context_tokens: u64,
    #[garde(range(min = 1))]
    pub output_tokens: u32,
    #[garde(range(min = 1, max = 1_000_000))]
    pub concurrency: usize,
    #[garde(inner(range(min = 1)))]
    pub tokens_per_minute: Option<u64>,
}

/// US dollars for a million tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    #[garde(range(min = 0.0))]
    pub input: f64,
    #[garde(range(min = 0.0))]
    pub cached_input: f64,
    #[garde(range(min = 0.0))]
    pub output: f64,
}

impl ModelConfig {
    #[must_use]
    pub fn bounds(&self) -> ModelBounds {
        let ModelLimits { context_tokens, output_tokens, .. } = self.limits;
        ModelBounds { context_tokens, output_tokens }
    }

    #[must_use]
    pub fn capacity(&self) -> CapacityBounds {
        let ModelLimits { concurrency, tokens_per_minute, .. } = self.limits;
        CapacityBounds { concurrency, tokens_per_minute }
    }

    #[must_use]
    pub fn price(&self) -> Price {
        let ModelPrice { input, cached_input, output } = self.price;
        Price { input, cached_input, output }
    }
}
