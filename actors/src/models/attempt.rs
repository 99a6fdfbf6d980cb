//! One attempt: the leave to make it, its events, and the timer that only content winds up.

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, timeout_at};

use super::{
    CallBounds, Model,
    breaker::{Admission, Change, Open},
    capacity::{Full, Reservation},
    tokens,
};
use crate::{
    ports::{ModelCall, ModelError, ModelEvent, Retry, StopReason},
    protocol::Code,
};

/// What an attempt is charged to, until it has been accounted for.
pub(super) struct Charge {
    pub(super) model: Arc<Model>,
    pub(super) reservation: Reservation,
    /// Tokens of the prompt, estimated.
    pub(super) input_tokens: u64,
}

/// An attempt under way. Dropping it closes its stream.
pub(super) struct Attempt {
    model: Arc<Model>,
    events: BoxStream<'static, Result<ModelEvent, ModelError>>,
    /// The most tokens its answer may have.
    max_output_tokens: u32,
    /// `None` once the breaker knows how it went.
    admission: Option<Admission>,
    idle_content: Duration,
    /// Since when content is waited for. The time its reader takes is not the model's silence.
    silent_since: Option<Instant>,
    is_shown: bool,
    has_text: bool,
}

impl Attempt {
    /// Waits for the model's leave to ask it, and asks. What is refused here cost no call.
    pub(super) async fn begin(
        model: &Arc<Model>,
        call: &Arc<ModelCall>,
        bounds: &CallBounds,
    ) -> Result<(Self, Charge), ModelError> {
        let guard = model.guard();
        let input_tokens = tokens::of_prompt(call);
        let needed = input_tokens.saturating_add(u64::from(call.max_output_tokens));
        if needed > model.bounds().context_tokens {
            return Err(too_long(model, needed));
        }
        // It may have opened while a retry waited.
        guard.breaker.check().map_err(left_alone)?;
        let wait = bounds.capacity_wait;
        let reserved = guard.capacity.reserve(needed, wait).await;
        let reservation = reserved.map_err(|full| no_capacity(model, full, wait))?;
        // And again, because it may have opened while this did.
        let admission = guard.breaker.admit().map_err(left_alone)?;
        let attempt = Self {
            model: model.clone(),
            events: model.provider().stream(call.clone()),
            max_output_tokens: call.max_output_tokens,
            admission: Some(admission),
            idle_content: bounds.idle_content,
            silent_since: None,
            is_shown: false,
            has_text: false,
        };
        Ok((attempt, Charge { model: model.clone(), reservation, input_tokens }))
    }

    /// What comes next, never empty content. The first error is the end, and so is the first
    /// [`ModelEvent::Finished`].
    pub(super) async fn next(&mut self) -> Result<ModelEvent, ModelError> {
        let event = self.event().await;
        match &event {
            Ok(ModelEvent::Content(content)) => self.heard(content),
            Ok(ModelEvent::Usage(_)) => {}
            Ok(ModelEvent::Finished(reason)) => {
                // Without text too, for the breaker: an empty answer can be the doing of whoever asks.
                let change = self.admission.take().and_then(Admission::succeeded);
                log_breaker(&self.model, change);
                if !self.has_text {
                    return Err(self.nothing_said(*reason));
                }
            }
            Err(error) => {
                let change = self.admission.take().and_then(|admission| admission.failed(error.code));
                log_breaker(&self.model, change);
            }
        }
        event
    }

    /// Whether something of it has been shown, so that no other attempt can take its place.
    pub(super) fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Keep-alives and empty deltas are not content: a model that sends only those is silent.
    async fn event(&mut self) -> Result<ModelEvent, ModelError> {
        let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
        loop {
            let event = timeout_at(silent_since + self.idle_content, self.events.next()).await;
            return match event {
                Ok(Some(Ok(ModelEvent::Content(content)))) if content.is_empty() => continue,
                Ok(Some(event)) => event,
                Ok(None) => Err(cut_short()),
                Err(_) => Err(silent(self.is_shown)),
            };
        }
    }

    fn heard(&mut self, content: &str) {
        self.silent_since = None;
        self.is_shown = true;
        self.has_text |= !content.trim().is_empty();
        log_breaker(&self.model, self.admission.as_mut().and_then(Admission::answered));
    }

    /// An empty success is no success.
    fn nothing_said(&self, reason: StopReason) -> ModelError {
        let (code, what): (_, Cow<'static, str>) = match reason {
            StopReason::Refused => (Code::UpstreamRejected, "the provider would not answer".into()),
            StopReason::Complete => (Code::UpstreamMalformed, "an empty answer".into()),
            StopReason::Length => {
                let (tokens, name) = (self.max_output_tokens, self.model.name());
                let what = format!(
                    "used all its {tokens} output tokens before any text; raise models.{name}.limits.output_tokens"
                );
                (Code::UpstreamMalformed, what.into())
            }
        };
        ModelError::new(code, Retry::Never, what).taken()
    }
}

/// One line for each time a breaker opens or closes, where that is known together with whose it is.
fn log_breaker(model: &Model, change: Option<Change>) {
    let Some(change) = change else { return };
    let (name, provider) = (model.name(), model.provider());
    let (provider, model) = (provider.provider(), provider.model());
    match change {
        Change::Opened { because, open, again } => {
            let (code, open_seconds) = (because.as_str(), open.as_secs());
            tracing::warn!(name, provider, model, code, open_seconds, again, "breaker opened");
        }
        Change::Closed => tracing::info!(name, provider, model, "breaker closed"),
    }
}

fn too_long(model: &Model, needed: u64) -> ModelError {
    let (name, allowed) = (model.name(), model.bounds().context_tokens);
    let what = format!(
        "prompt and answer need about {needed} tokens and models.{name}.limits.context_tokens is {allowed}"
    );
    ModelError::new(Code::UpstreamTooLarge, Retry::Elsewhere, what)
}

pub(super) fn left_alone(open: Open) -> ModelError {
    ModelError::new(open.because, Retry::Elsewhere, "the breaker is open").retry_after(open.retry_after)
}

fn no_capacity(model: &Model, full: Full, waited: Duration) -> ModelError {
    let (name, bounds) = (model.name(), model.guard().capacity.bounds());
    let (what, retry_after) = match full {
        Full::Places => {
            let most = bounds.concurrency;
            (format!("no place in time: models.{name}.limits.concurrency is {most}"), waited)
        }
        Full::Tokens { missing_for } => {
            let most = bounds.tokens_per_minute.unwrap_or_default();
            (
                format!("not enough tokens in time: models.{name}.limits.tokens_per_minute is {most}"),
                missing_for,
            )
        }
    };
    ModelError::new(Code::Overloaded, Retry::Elsewhere, what).retry_after(Some(retry_after))
}

fn cut_short() -> ModelError {
    ModelError::new(Code::UpstreamTruncated, Retry::Again, "the stream ended without an end").taken()
}

fn silent(is_shown: bool) -> ModelError {
    if is_shown {
        ModelError::new(Code::UpstreamStalled, Retry::Never, "no content for too long").taken()
    } else {
        ModelError::new(Code::UpstreamTimeout, Retry::Elsewhere, "no content in time").taken()
    }
}
