//! `duologue providers`: where models are asked, and whether one of them answers.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;
use duologue_actors::{
    ports::{ModelCall, ModelError, ModelEvent, Retry, Turn},
    protocol::{Code, RequestId, Role},
};
use futures::StreamExt;
use tokio::time::{Instant, timeout};

use super::{ask::readable, choice::Choice, complete::NOBODY, model_faults, output};
use crate::{
    config::{Config, ProviderConfig},
    logging::{self, Audience},
    providers,
};

/// What a test asks, as cheaply as a model can be asked.
const QUESTION: &str = "Say hello.";
const MAX_ANSWER_TOKENS: u32 = 16;
const UNIT_PRIMITIVE: &str = "duo_chat";

const EXAMPLES: &str = "Examples:
  duologue providers test anthropic
  duologue providers test openai --model gpt-4.1";

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Show every provider, and what those are missing that are not set up (the default)
    List,
    /// Ask a provider for a few words, once, and say exactly what is wrong if none come
    ///
    /// One cheap call of at most 16 tokens, without retries or fallbacks: the first thing that is wrong is what is
    /// shown, with how to mend it.
    #[command(after_help = EXAMPLES)]
    Test {
        /// The provider; `duologue providers` lists them
        name: String,

        /// The provider's own name for the model to ask [default: the first model that the configuration has of it]
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
    },
}

/// Does one task; a test that fails ends with 1.
///
/// # Errors
/// What is wrong with the provider.
pub fn run(task: Option<&Task>, config: &Config) -> anyhow::Result<ExitCode> {
    let Some(Task::Test { name, model }) = task else {
        output::piece(&table(config))?;
        return Ok(ExitCode::SUCCESS);
    };
    let _logs = logging::start(&config.logging, Audience::Asker)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    output::line(runtime.block_on(test(config, name, model.as_deref()))?)?;
    Ok(ExitCode::SUCCESS)
}

fn table(config: &Config) -> String {
    let headings = ["PROVIDER", "KIND", "BASE URL", "KEY", "MODELS", "STATE"].map(str::to_owned);
    let rows = config.providers.iter().map(|(name, provider)| row(config, name, provider));
    output::table(&std::iter::once(headings).chain(rows).collect::<Vec<_>>())
}

fn row(config: &Config, name: &str, provider: &ProviderConfig) -> [String; 6] {
    let (key, fault) = match providers::key_id(name, provider) {
        Ok(key) => (key, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let models: Vec<&str> = config
        .models
        .iter()
        .filter_map(|(model, entry)| (entry.provider == name).then_some(model.as_str()))
        .collect();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = fault.or_else(|| providers::missing(name, provider));
    [
        name.to_owned(),
        provider.kind.to_string(),
        or_dash(provider.base_url.clone()),
        or_dash(key),
        or_dash((!models.is_empty()).then(|| models.join(", "))),
        state.unwrap_or_else(|| "set up".to_owned()),
    ]
}

/// One call without retries: the first thing that is wrong is what is to be seen.
async fn test(config: &Config, name: &str, model: Option<&str>) -> anyhow::Result<String> {
    let choice = Choice::of_provider(config, name, model)?;
    let full_name = choice.full_name();
    let began = Instant::now();
    let calls = &config.model_calls;
    let longest = Duration::from_secs(calls.header_seconds + calls.idle_content_seconds);
    let outcome = timeout(longest, ask(&choice)).await.unwrap_or_else(|_| {
        let what = format!("no answer within {} s", longest.as_secs());
        Err(ModelError::new(Code::UpstreamTimeout, Retry::Never, what))
    });
    outcome.map_err(|error| anyhow::Error::msg(model_faults::explain(&error, &full_name, config)))?;
    let took = readable(began.elapsed());
    let key =
        config.providers.get(name).and_then(|provider| providers::key_id(name, provider).ok().flatten());
    let key = key.map(|key| format!(", with the key {key}")).unwrap_or_default();
    Ok(format!("ok  {full_name} answered in {took}{key}"))
}

/// An answer without text is one too: some models think before they speak, and a few tokens are not enough
/// for both.
async fn ask(choice: &Choice) -> Result<(), ModelError> {
    let call = Arc::new(ModelCall {
        request_id: RequestId::new(),
        user: NOBODY,
        unit_primitive: UNIT_PRIMITIVE.to_owned(),
        enabled_flags: Vec::new(),
        system: String::new(),
        turns: vec![Turn { role: Role::User, content: QUESTION.to_owned() }],
        kept: None,
        max_output_tokens: MAX_ANSWER_TOKENS,
    });
    for model in choice.route.models() {
        let mut events = model.provider().stream(call.clone());
        while let Some(event) = events.next().await {
            if matches!(event?, ModelEvent::Finished(_)) {
                return Ok(());
            }
        }
    }
    Err(ModelError::new(Code::UpstreamTruncated, Retry::Never, "the stream ended without an end"))
}

#[cfg(test)]
mod tests;
