//! Calling models: the registry's entries as the pipeline uses them, and one logical call over all the
//! attempts it takes.
//!
//! [`answer`] turns a [`Route`] (a model and its fallbacks) into one stream of content. Behind it: a bounded
//! wait for the model's capacity, a breaker, retries from a budget, then the next model, all of that only
//! until the first content was shown; from then on what goes wrong is the answer's end. Every attempt has
//! its own stall timer, which content winds up and bytes do not.
//!
//! Knows no vendor and no protocol: one attempt is a [`ModelProvider`].

use std::{fmt, sync::Arc, time::Duration};

use crate::ports::{ModelProvider, Usage};

mod answer;
mod attempt;
mod breaker;
mod budget;
mod capacity;
mod gauges;
mod record;
mod retry;
mod tokens;
mod verdict;

pub use answer::{Answer, Progress, Purpose, answer};
pub use breaker::{Breaker, BreakerBounds, BreakerState};
pub use budget::{BudgetBounds, RetryBudget};
pub use capacity::{Capacity, CapacityBounds};
pub use gauges::observe;
pub use record::Tally;
pub use retry::RetryBounds;

/// What holds for every call, whichever model it goes to.
#[derive(Clone, Copy, Debug)]
pub struct CallBounds {
    /// The longest silence of a model, counted in content, not in bytes.
    pub idle_content: Duration,
    /// The longest wait for a model that is full.
    pub capacity_wait: Duration,
    pub retry: RetryBounds,
}

impl Default for CallBounds {
    fn default() -> Self {
        Self {
            idle_content: Duration::from_secs(30),
            capacity_wait: Duration::from_secs(10),
            retry: RetryBounds::default(),
        }
    }
}

/// How much one call of a model may be.
#[derive(Clone, Copy, Debug)]
pub struct ModelBounds {
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
    /// Tokens of an answer.
    pub output_tokens: u32,
}

impl Default for ModelBounds {
    fn default() -> Self {
        Self { context_tokens: 200_000, output_tokens: 4_096 }
    }
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    pub input: f64,
    pub cached_input: f64,
    pub output: f64,
}

impl Price {
    /// US dollars for `usage`.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "tokens of one call are far below 2^52")]
    pub fn of(&self, usage: &Usage) -> f64 {
        let fresh = usage.input_tokens.saturating_sub(usage.cached_input_tokens);
        let million = self.input * fresh as f64
            + self.cached_input * usage.cached_input_tokens as f64
            + self.output * usage.output_tokens.unwrap_or_default() as f64;
        million / 1_000_000.0
    }
}

/// What keeps a model within its bounds.
#[derive(Debug, Default)]
pub struct Guard {
    pub breaker: Breaker,
    pub capacity: Capacity,
    pub budget: RetryBudget,
}

/// One entry of the registry.
pub struct Model {
    name: String,
    provider: Arc<dyn ModelProvider>,
    bounds: ModelBounds,
    price: Price,
    guard: Guard,
}

impl Model {
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        provider: Arc<dyn ModelProvider>,
        bounds: ModelBounds,
        guard: Guard,
    ) -> Self {
        Self { name: name.into(), provider, bounds, price: Price::default(), guard }
    }

    #[must_use]
    pub fn priced(mut self, price: Price) -> Self {
        self.price = price;
        self
    }

    /// Its name in the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn provider(&self) -> &dyn ModelProvider {
        &*self.provider
    }

    #[must_use]
    pub fn bounds(&self) -> &ModelBounds {
        &self.bounds
    }

    #[must_use]
    pub fn price(&self) -> &Price {
        &self.price
    }

    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("model", &self.provider.model()).finish()
    }
}

/// The models a call may go to, in this order.
#[derive(Clone, Debug)]
pub struct Route(Arc<[Arc<Model>]>);

impl Route {
    #[must_use]
    pub fn new(models: Vec<Arc<Model>>) -> Self {
        Self(models.into())
    }

    pub fn models(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
