//! How the models are right now, as the ones who run the server see it. No secrets.

use std::{collections::BTreeMap, time::Duration};

use duologue_actors::{
    models::{BreakerState, Model},
    ports::Models,
};
use serde::{Deserialize, Serialize};

use super::{Registry, missing_for};
use crate::config::{Config, ModelConfig, ModelLimits, ModelPrice};

/// All models, and what the feature settings stand for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub models: Vec<ModelStatus>,
    /// The names of models, by the names of feature settings.
    pub feature_settings: BTreeMap<String, String>,
}

/// In JSON one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    #[serde(flatten)]
    pub entry: Entry,
    #[serde(flatten)]
    pub live: Live,
}

/// A model as it is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the registry.
    pub name: String,
    /// `provider/model`.
    pub model: String,
    pub context_tokens: u64,
    pub output_tokens: u32,
    pub concurrency: usize,
    pub tokens_per_minute: Option<u64>,
    pub price: ModelPrice,
    pub fallbacks: Vec<String>,
    /// Why it cannot be asked, if it cannot.
    pub missing: Option<String>,
}

/// A model as it is right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub breaker: BreakerStatus,
    pub in_flight: usize,
    /// Tokens that can be had at once; `None` without a bound.
    pub tokens_left: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BreakerStatus {
    Closed,
    /// No call goes through for so long.
    Open {
        seconds: u64,
    },
    /// One call may try.
    HalfOpen,
}

impl Entry {
    /// The models of a configuration, by name.
    pub fn all(config: &Config) -> impl Iterator<Item = Self> {
        config.models.iter().map(|(name, entry)| Self::of(config, name, entry))
    }

    fn of(config: &Config, name: &str, entry: &ModelConfig) -> Self {
        let ModelConfig { provider, model, limits, price, fallbacks, .. } = entry;
        let ModelLimits { context_tokens, output_tokens, concurrency, tokens_per_minute } = *limits;
        Self {
            name: name.to_owned(),
            model: format!("{provider}/{model}"),
            context_tokens,
            output_tokens,
            concurrency,
            tokens_per_minute,
            price: price.clone(),
            fallbacks: fallbacks.clone(),
            missing: missing_for(config, name),
        }
    }
}

impl Registry {
    /// How everything is right now.
    #[must_use]
    pub fn status(&self) -> Status {
        let live = |entry: &Entry| Some(live(self.models.get(&entry.name)?));
        let models = self.entries.iter();
        let models =
            models.filter_map(|entry| Some(ModelStatus { entry: entry.clone(), live: live(entry)? }));
        let models = models.collect();
        Status { models, feature_settings: self.feature_settings.clone() }
    }

    /// The models behind `names` that are left alone because they failed, with for how long; `None` when there
    /// are none.
    #[must_use]
    pub fn concern<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<String> {
        let routes: Vec<_> = names.filter_map(|name| self.route(name)).collect();
        let mut open: Vec<String> =
            routes.iter().flat_map(|route| route.models()).filter_map(|model| left_alone(model)).collect();
        open.sort();
        open.dedup();
        (!open.is_empty()).then(|| open.join("; "))
    }

    /// What each feature setting stands for.
    #[must_use]
    pub fn feature_settings(&self) -> &BTreeMap<String, String> {
        &self.feature_settings
    }
}

fn live(model: &Model) -> Live {
    let capacity = &model.guard().capacity;
    Live {
        breaker: model.guard().breaker.state().into(),
        in_flight: capacity.in_flight(),
        tokens_left: capacity.tokens_left(),
    }
}

impl From<BreakerState> for BreakerStatus {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open(left) => Self::Open { seconds: whole_seconds(left) },
            BreakerState::HalfOpen => Self::HalfOpen,
        }
    }
}

fn left_alone(model: &Model) -> Option<String> {
    let BreakerState::Open(left) = model.guard().breaker.state() else { return None };
    let (name, full_name) = (model.name(), model.provider().model());
    Some(format!(
        "{name} ({full_name}) failed again and again and is not asked for {} s",
        whole_seconds(left)
    ))
}

/// Never 0 while there is something left.
fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::env_file::Environment;

    #[test]
    fn the_status_is_the_same_after_a_trip_through_json() {
        let config = Config::from_layers(None, &Environment::default()).unwrap();
        let status = Registry::new(&config).unwrap().status();
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
        let claude = status.models.iter().find(|model| model.entry.name == "claude").unwrap();
        assert_eq!(claude.entry.missing.as_deref(), Some("ANTHROPIC_API_KEY is not set"));
        let live = Live { breaker: BreakerStatus::Closed, in_flight: 0, tokens_left: None };
        assert_eq!(claude.live, live);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let shown =
            shown["models"].as_array().unwrap().iter().find(|model| model["name"] == "claude").unwrap();
        let settings = ["context_tokens", "output_tokens", "concurrency", "tokens_per_minute"];
        assert_eq!(
            settings.map(|setting| &shown[setting]),
            [&json!(200_000), &json!(4_096), &json!(256), &json!(null)]
        );
        let price = json!({"input": 3.0, "cached_input": 0.3, "output": 15.0});
        assert_eq!((&shown["price"], &shown["fallbacks"]), (&price, &json!([])));
        assert_eq!(status.feature_settings["default"], "embedded");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(
            serde_json::to_string(&BreakerStatus::Open { seconds: 2 }).unwrap(),
            r#"{"state":"open","seconds":2}"#
        );
    }
}
