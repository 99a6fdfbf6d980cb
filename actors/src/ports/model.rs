//! Models: one attempt of one call. Retries, fallbacks and bounds are not a provider's business; they are
//! [`crate::models`]'s.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use futures::stream::BoxStream;

use crate::{
    models::Route,
    protocol::{Code, RequestId, Role, UserId},
};

mod without_texts;

/// One call of a model. `Debug` shows no text of it.
#[derive(Clone)]
pub struct ModelCall {
    /// The same for every attempt, so that a provider can tell a repeated call from a new one.
    pub request_id: RequestId,
    pub user: UserId,
    pub unit_primitive: String,
    /// The flags that are on for this request, for a provider that is to be told.
    pub enabled_flags: Vec<String>,
    pub system: String,
    /// The conversation, oldest first; the last turn is the user's.
    pub turns: Vec<Turn>,
    /// The prompt, if the provider keeps it: then `system` is empty and `turns` only what was said before.
    pub kept: Option<KeptPrompt>,
    /// The most tokens the answer may have.
    pub max_output_tokens: u32,
}

/// `Debug` does not show its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub content: String,
}

/// A prompt whose text the provider has, by the name it has there. `Debug` shows no inputs.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptPrompt {
    pub id: String,
    /// Which versions will do, e.g. `^1.0.0`; as the provider reads it.
    pub version: String,
    /// What belongs into the text, by name.
    pub inputs: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// A piece of the answer: a delta, never the text so far.
    Content(String),
    /// What the call has cost so far, as the provider counts. Each report replaces the one before.
    Usage(Usage),
    /// The model said it is done. A stream that ends without this was cut.
    Finished(StopReason),
}

/// Tokens of one call, as its provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of the prompt, what was read from a cache included.
    pub input_tokens: u64,
    /// What of it was read from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// `None` until the provider has said so.
    pub output_tokens: Option<u64>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It had said what it had to say.
    Complete,
    /// It had used up `max_output_tokens`, or its context.
    Length,
    /// It, or its provider, would not answer.
    Refused,
}

impl StopReason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "stop",
            Self::Length => "length",
            Self::Refused => "content_filter",
        }
    }
}

/// Why an attempt failed. `Debug` does not show what was said.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {what}")]
pub struct ModelError {
    /// One of the `upstream_*` codes.
    pub code: Code,
    pub retry: Retry,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the provider had taken the call, and may bill it though it never said what it cost. One that
    /// turned the call away bills nothing.
    pub was_taken: bool,
    /// What happened, in our own words, fit for a log: `status 529`, `connection refused`.
    pub what: Cow<'static, str>,
    /// What the provider said of it. It may quote the prompt: for the person at the command line, never
    /// for a log.
    pub said: Option<String>,
    pub cause: Option<Cause>,
}

impl ModelError {
    #[must_use]
    pub fn new(code: Code, retry: Retry, what: impl Into<Cow<'static, str>>) -> Self {
        let (what, was_taken) = (what.into(), false);
        Self { code, retry, retry_after: None, was_taken, what, said: None, cause: None }
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The provider had taken the call.
    #[must_use]
    pub fn taken(mut self) -> Self {
        self.was_taken = true;
        self
    }

    #[must_use]
    pub fn said(mut self, text: Option<String>) -> Self {
        self.said = text;
        self
    }

    #[must_use]
    pub fn because(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }
}

/// Where an attempt failed, as far as it tells a person what to look at. Decides nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody could be reached.
    Unreachable,
    /// There was no connection in time.
    NoConnection,
    /// The connection was there, and no answer began in time.
    NoAnswer,
    /// The provider answered with this status.
    Status(u16),
    /// The provider itself was answered with this status by the model it asked.
    StatusBehind(u16),
    /// What answered does not speak as this provider does.
    Foreign,
}

/// What can be done about a failed attempt, as long as nothing of its answer was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt may do better, and after that another model.
    Again,
    /// One more attempt at most, and after that another model.
    Once,
    /// This model will do no better now; another one may.
    Elsewhere,
    /// Nobody will: the call itself, or the configuration, is at fault.
    Never,
}

/// A model as its provider offers it.
pub trait ModelProvider: Send + Sync {
    /// The provider's name in the configuration.
    fn provider(&self) -> &str;

    /// What is spoken there, which is the same for all compatible endpoints, whatever their names.
    fn kind(&self) -> &str {
        self.provider()
    }

    /// Its name in OpenTelemetry's semantic conventions for generative AI (`gen_ai.provider.name`), where
    /// those have one for it.
    fn conventional_name(&self) -> &str {
        self.kind()
    }

    /// `provider/model`, as shown to people.
    fn model(&self) -> &str;

    /// Makes one attempt and streams the answer. Dropping the stream ends the call.
    fn stream(&self, call: Arc<ModelCall>) -> BoxStream<'static, Result<ModelEvent, ModelError>>;
}

/// Finds what an action names.
pub trait Models: Send + Sync {
    /// The model called `name`, or the one a feature setting of that name stands for, and its fallbacks.
    fn route(&self, name: &str) -> Option<Route>;
}
