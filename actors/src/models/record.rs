//! What a call cost and how it went: settled with the model's capacity, logged once, counted. Never its text.
//!
//! Metrics have the names, labels and meanings of OpenTelemetry's semantic conventions for generative AI
//! ("Generative AI client metrics"), in the spelling of Prometheus; what those have no name for begins with
//! `duologue_model_`.

use std::{borrow::Cow, sync::Arc, time::Duration};

use metrics::Label;
use tokio::time::Instant;

use super::{
    Model,
    answer::Purpose,
    attempt::Charge,
    tokens::{self, Spent},
};
use crate::ports::{ModelError, ModelProvider, StopReason, Usage};

/// What a call has cost and how long it took, of all its attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// `provider/model` of the model asked last.
    pub model: Option<String>,
    pub attempts: u32,
    /// Of the attempts that have ended.
    pub usage: Usage,
    /// Whether some of `usage` is an estimate, because a provider did not say.
    pub is_estimated: bool,
    pub first_content: Option<Duration>,
    pub total: Duration,
}

pub(super) struct Record {
    purpose: Purpose,
    started: Instant,
    attempts: u32,
    first_content: Option<Duration>,
    finish_reason: Option<StopReason>,
    /// Why there is no answer, or not all of it.
    what: Option<Cow<'static, str>>,
    /// The model asked last.
    model: Option<Arc<Model>>,
    /// The attempt under way.
    current: Option<Current>,
    /// By all attempts.
    spent: Spent,
    is_logged: bool,
}

struct Current {
    charge: Charge,
    output_bytes: u64,
    reported: Option<Usage>,
}

/// How far an attempt came, for what it costs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To its end: what the provider counted last is all of it.
    Whole,
    /// The provider took the call, and what it has counted may be from its beginning.
    Part,
    /// The provider turned it away: nobody bills that.
    Nothing,
}

impl Record {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            started: Instant::now(),
            attempts: 0,
            first_content: None,
            finish_reason: None,
            what: None,
            model: None,
            current: None,
            spent: Spent::default(),
            is_logged: false,
        }
    }

    pub(super) fn began(&mut self, charge: Charge) {
        self.attempts += 1;
        self.model = Some(charge.model.clone());
        self.current = Some(Current { charge, output_bytes: 0, reported: None });
    }

    pub(super) fn not_asked(&self, model: &Model, error: &ModelError) {
        let provider = model.provider();
        tracing::debug!(
            request_id = %self.purpose.request_id,
            provider = provider.provider(),
            model = provider.model(),
            code = %error.code,
            what = %error.what,
            "model passed over"
        );
        let labels = attempt_labels(provider, "code", error.code.as_str());
        metrics::counter!("duologue_model_passed_over_total", labels).increment(1);
    }

    pub(super) fn content(&mut self, content: &str) {
        self.first_content.get_or_insert_with(|| self.started.elapsed());
        if let Some(current) = &mut self.current {
            current.output_bytes += content.len() as u64;
        }
    }

    pub(super) fn usage(&mut self, usage: Usage) {
        if let Some(current) = &mut self.current {
            current.reported = Some(usage);
        }
    }

    pub(super) fn finished(&mut self, reason: StopReason) {
        self.finish_reason = Some(reason);
        self.settle("ok", Extent::Whole);
    }

    pub(super) fn failed(&mut self, error: &ModelError) {
        let Some(current) = &self.current else { return };
        let provider = current.charge.model.provider();
        tracing::warn!(
            request_id = %self.purpose.request_id,
            provider = provider.provider(),
            model = provider.model(),
            attempt = self.attempts,
            code = %error.code,
            what = %error.what,
            retry_after_seconds = error.retry_after.map(|wait| wait.as_secs()),
            "model attempt failed"
        );
        self.settle(error.code.as_str(), if error.was_taken { Extent::Part } else { Extent::Nothing });
    }

    pub(super) fn gave_up(&mut self, error: &ModelError) {
        self.failed(error);
        self.what = Some(error.what.clone());
    }

    /// Whoever reads the answer takes no more of it.
    pub(super) fn blame(&mut self, what: &'static str) {
        self.what = Some(what.into());
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            model: self.model().map(str::to_owned),
            attempts: self.attempts,
            usage: self.spent.usage,
            is_estimated: self.spent.is_estimated,
            first_content: self.first_content,
            total: self.started.elapsed(),
        }
    }

    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.provider().model())
    }

    pub(super) fn conclude(mut self, outcome: &'static str) -> Tally {
        self.log(outcome);
        self.tally()
    }

    /// Gives back what the attempt held of its model's capacity beyond what it cost.
    fn settle(&mut self, outcome: &'static str, extent: Extent) {
        let Some(current) = self.current.take() else { return };
        let (usage, is_estimated) = current.usage(extent);
        let Charge { model, reservation, .. } = current.charge;
        reservation.settle(tokens::total(&usage));
        let dollars = model.price().of(&usage);
        self.spent.add(&usage, dollars, is_estimated);
        let labels = attempt_labels(model.provider(), "outcome", outcome);
        metrics::counter!("duologue_model_attempts_total", labels).increment(1);
        count_tokens(model.provider(), &usage, is_estimated);
        count_cost(model.provider(), dollars);
    }

    fn log(&mut self, outcome: &'static str) {
        if std::mem::replace(&mut self.is_logged, true) {
            return;
        }
        self.settle(outcome, Extent::Part);
        let (provider, usage) = (self.model.as_ref().map(|model| model.provider()), self.spent.usage);
        tracing::info!(
            request_id = %self.purpose.request_id,
            action = self.purpose.action,
            unit_primitive = self.purpose.unit_primitive,
            prompt_version = self.purpose.prompt_version.as_ref().map(tracing::field::display),
            provider = provider.map(ModelProvider::provider),
            model = provider.map(ModelProvider::model),
            outcome,
            what = self.what.as_deref(),
            finish_reason = self.finish_reason.map(StopReason::as_str),
            attempts = self.attempts,
            input_tokens = usage.input_tokens,
            cached_input_tokens = usage.cached_input_tokens,
            output_tokens = usage.output_tokens,
            tokens_estimated = self.spent.is_estimated,
            dollars = self.spent.dollars,
            first_content_millis = self.first_content.map(millis),
            total_millis = millis(self.started.elapsed()),
            "model call ended"
        );
        if let Some(provider) = provider {
            self.count_time(provider, outcome);
        }
    }

    fn count_time(&self, provider: &dyn ModelProvider, outcome: &'static str) {
        let mut labels = conventional_labels(provider);
        if let Some(first) = self.first_content {
            metrics::histogram!("gen_ai_client_operation_time_to_first_chunk_seconds", labels.clone())
                .record(first.as_secs_f64());
        }
        if outcome != COMPLETED {
            labels.push(Label::new("error_type", outcome));
        }
        metrics::histogram!("gen_ai_client_operation_duration_seconds", labels)
            .record(self.started.elapsed().as_secs_f64());
    }
}

/// The outcome of a call that went well.
const COMPLETED: &str = "completed";

/// A call that nobody concluded was given up by whoever waited for it.
impl Drop for Record {
    fn drop(&mut self) {
        self.log("dropped");
    }
}

impl Current {
    /// What the provider counted, and in place of what it did not, an estimate; whether there is any of that.
    fn usage(&self, extent: Extent) -> (Usage, bool) {
        let estimate = tokens::of_text(self.output_bytes);
        let Some(reported) = self.reported else {
            if self.output_bytes == 0 && extent == Extent::Nothing {
                return (Usage::default(), false);
            }
            let input_tokens = self.charge.input_tokens;
            return (Usage { input_tokens, cached_input_tokens: 0, output_tokens: Some(estimate) }, true);
        };
        match reported.output_tokens {
            // Some providers count as they go, and some put a number there before they have begun.
            Some(counted) if extent == Extent::Whole || counted >= estimate => (reported, false),
            _ => (Usage { output_tokens: Some(estimate), ..reported }, true),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "tokens of one call are far below 2^52")]
fn count_tokens(provider: &dyn ModelProvider, usage: &Usage, is_estimated: bool) {
    if tokens::total(usage) == 0 {
        return;
    }
    let output = usage.output_tokens.unwrap_or_default();
    for (direction, tokens) in [("input", usage.input_tokens), ("output", output)] {
        let mut labels = conventional_labels(provider);
        labels.push(Label::new("gen_ai_token_type", direction));
        labels.push(Label::new("estimated", if is_estimated { "true" } else { "false" }));
        metrics::histogram!("gen_ai_client_token_usage", labels).record(tokens as f64);
    }
}

/// Of models without a price there is nothing to count.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a price is not negative, and what is beyond a u64 is the most there is"
)]
fn count_cost(provider: &dyn ModelProvider, dollars: f64) {
    let microdollars = (dollars * 1_000_000.0).round() as u64;
    if microdollars == 0 {
        return;
    }
    let labels = vec![
        Label::new("provider", provider.provider().to_owned()),
        Label::new("model", provider.model().to_owned()),
    ];
    metrics::counter!("duologue_model_cost_microdollars_total", labels).increment(microdollars);
}

/// What the conventions require of each of their metrics.
fn conventional_labels(provider: &dyn ModelProvider) -> Vec<Label> {
    let model = provider.model();
    let model = model.split_once('/').map_or(model, |(_, model)| model);
    vec![
        Label::new("gen_ai_operation_name", "chat"),
        Label::new("gen_ai_provider_name", provider.conventional_name().to_owned()),
        Label::new("gen_ai_request_model", model.to_owned()),
    ]
}

fn attempt_labels(provider: &dyn ModelProvider, about: &'static str, what: &'static str) -> Vec<Label> {
    vec![
        Label::new("provider", provider.provider().to_owned()),
        Label::new("model", provider.model().to_owned()),
        Label::new(about, what),
    ]
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
