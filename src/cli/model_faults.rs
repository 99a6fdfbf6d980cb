//! What a failed call of a model means to the person who made it: what is wrong, in the provider's words too,
//! and what to do about it.

use duologue_actors::{
    ports::{Cause, ModelError},
    protocol::Code,
};

use crate::{
    config::{Config, ModelConfig, ProviderConfig},
    providers,
};

/// One line about a call of `full_name`, which is `provider/model`.
pub(super) fn explain(error: &ModelError, full_name: &str, config: &Config) -> String {
    let mut text = format!("{full_name}: {} ({})", error.what, error.code);
    if let Some(said) = &error.said {
        // One line, and nothing a terminal would take for an order.
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.push_str(&format!(": {}", said.trim()));
    }
    if let Some(wait) = error.retry_after {
        text.push_str(&format!("; asks to wait {} s", wait.as_secs()));
    }
    let (name, model) = full_name.split_once('/').unwrap_or((full_name, ""));
    if let Some(provider) = config.providers.get(name) {
        let mend = Asked { name, provider, model, config }.mend(error);
        text.extend(mend.map(|mend| format!("; {mend}")));
    }
    text
}

/// Who was asked.
struct Asked<'a> {
    name: &'a str,
    provider: &'a ProviderConfig,
    /// The provider's name for it.
    model: &'a str,
    config: &'a Config,
}

impl Asked<'_> {
    /// What to do about it, unless that is somebody else's affair or has been said with the error.
    fn mend(&self, error: &ModelError) -> Option<String> {
        let Self { name, provider, .. } = self;
        Some(match (error.code, error.cause) {
            (Code::UpstreamAuth, Some(Cause::StatusBehind(_))) => format!(
                "that is the key which {name} itself has for its model, not yours; tell whoever runs {}",
                provider.base_url.as_deref().unwrap_or("it")
            ),
            (Code::UpstreamAuth, Some(Cause::Status(_))) => {
                return providers::mend_of_refusal(name, provider);
            }
            (Code::UpstreamRejected, Some(Cause::Status(404))) => {
                format!("check {}, and {}", self.name_of_model(), self.place())
            }
            (Code::UpstreamRejected, Some(Cause::StatusBehind(404))) => {
                format!("check {}", self.name_of_model())
            }
            (Code::UpstreamRateLimited, None | Some(Cause::Status(_))) => {
                "see with the provider what the account may spend".to_owned()
            }
            (Code::UpstreamTooLarge, _) => format!(
                "shorten the prompt; {}.context_tokens is what the model is taken to hold",
                self.limits()
            ),
            (Code::UpstreamMalformed, Some(Cause::Foreign | Cause::Status(_))) => {
                format!("check {}: no API of the kind `{}` answers there", self.place(), provider.kind)
            }
            (code, cause) => return self.bound(code, cause),
        })
    }

    /// Where time or room ran out: the setting that says how much there is.
    fn bound(&self, code: Code, cause: Option<Cause>) -> Option<String> {
        Some(match (code, cause) {
            (Code::UpstreamUnavailable, Some(Cause::Unreachable)) => {
                format!("check the network and {}", self.place())
            }
            (Code::UpstreamUnavailable, Some(Cause::NoConnection)) => {
                format!("check the network and {}; model_calls.connect_seconds bounds the wait", self.place())
            }
            (Code::UpstreamTimeout, Some(Cause::NoAnswer)) => {
                "model_calls.header_seconds bounds the wait".to_owned()
            }
            (Code::UpstreamTimeout, None) => {
                "model_calls.idle_content_seconds bounds the wait for content".to_owned()
            }
            (Code::UpstreamStalled, _) => {
                "model_calls.idle_content_seconds bounds the silence within an answer".to_owned()
            }
            (Code::Overloaded, _) => format!(
                "{} bounds what is asked at once, model_calls.capacity_wait_seconds the wait for room",
                self.limits()
            ),
            (Code::DeadlineExceeded, _) => "pipeline.deadline_seconds bounds a whole answer".to_owned(),
            _ => return None,
        })
    }

    /// A name of the registry is taken for the provider's easily.
    fn name_of_model(&self) -> String {
        let model = self.model;
        let meant = self.config.models.get(model).filter(|entry| entry.provider == self.name);
        match meant.filter(|entry| entry.model != model) {
            Some(entry) => {
                format!("the model's name, {model} (the registry's `{model}` is {} there)", entry.model)
            }
            None => format!("the model's name, {model}"),
        }
    }

    fn limits(&self) -> String {
        let is_asked = |entry: &ModelConfig| entry.provider == self.name && entry.model == self.model;
        let entry = self.config.models.iter().find(|(_, entry)| is_asked(entry));
        entry.map_or_else(|| "models.*.limits".to_owned(), |(name, _)| format!("models.{name}.limits"))
    }

    /// Where the provider is; one without an address of its own is found by its project and location.
    fn place(&self) -> String {
        let Self { name, provider, .. } = self;
        match &provider.base_url {
            Some(url) => format!("providers.{name}.base_url, {url}"),
            None => format!("providers.{name}.project and .location"),
        }
    }
}

#[cfg(test)]
mod tests;
