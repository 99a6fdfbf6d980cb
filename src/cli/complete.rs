//! `duologue complete`: one call of a model by hand, without a server, a login or an action.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::bail;
use clap::Args;
use duologue_actors::{
    models::{self, Answer, Model, Progress, Purpose},
    ports::{ModelCall, ModelError, StopReason},
    prompt::Turns,
    protocol::{RequestId, UserId},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    ask::INTERRUPTED,
    choice::{self, Choice},
    model_faults, signals,
};
use crate::{
    config::Config,
    logging::{self, Audience},
    unit_primitives::UnitPrimitives,
};

mod report;
mod turns;

use report::{CANCELLED, Report};

const EXAMPLES: &str = r#"Examples:
  duologue complete --unit-primitive duo_chat "How do I write a haiku?"
  duologue complete --unit-primitive duo_chat --model claude - < prompt.txt
  duologue complete --unit-primitive duo_chat --provider openai --model gpt-4.1 --json "Hi"
  duologue complete --unit-primitive duo_chat --provider anthropic "\n\nHuman: Hi!\n\nAssistant:"

`duologue models` lists the models, `duologue providers` the providers."#;

/// Who asks, where a provider is told: nobody has logged in.
pub(super) const NOBODY: UserId = UserId(0);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Complete {
    /// What to ask, also in the form "\n\nHuman: ...\n\nAssistant:"; - reads it from standard input
    #[arg(value_name = "PROMPT", required_unless_present = "messages", conflicts_with = "messages")]
    pub prompt: Option<String>,

    /// The conversation instead, as JSON: [{"role": "user", "content": "..."}]
    #[arg(long, value_name = "JSON")]
    pub messages: Option<String>,

    /// The model to ask, by its name in the configuration; with --provider by the provider's own name for it
    ///
    /// Without --provider a feature setting will do too, `default` unless another is named, and fallbacks are asked
    /// as the server would.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// The provider to ask; no other stands in for it
    ///
    /// Without --model it is asked for the first model that the configuration has of it.
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// The unit primitive the call is for, e.g. duo_chat
    #[arg(long, value_name = "NAME")]
    pub unit_primitive: String,

    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,

    /// Tokens of the answer; never more than the model's limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,

    /// Print every event as one line of JSON; the last one says how the call ended
    #[arg(long)]
    pub json: bool,
}

/// Asks, prints, and ends with 0 when the answer is whole, 130 when it was interrupted.
///
/// # Errors
/// Whatever kept the answer from being whole.
pub fn run(asked: &Complete, config: &Config) -> anyhow::Result<ExitCode> {
    let _logs = logging::start(&config.logging, Audience::Asker)?;
    let turns = turns::read(asked, &mut io::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let interrupted = signals::stop(INTERRUPTED.into())?;
        complete(asked, turns, config, &mut io::stdout(), &interrupted).await
    })
}

async fn complete(
    asked: &Complete,
    turns: Turns,
    config: &Config,
    out: &mut dyn Write,
    interrupted: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    check_unit_primitive(config, &asked.unit_primitive)?;
    let choice = match &asked.provider {
        Some(provider) => Choice::of_provider(config, provider, asked.model.as_deref())?,
        None => Choice::of_name(config, asked.model.as_deref().unwrap_or(choice::DEFAULT))?,
    };
    let asked_first = choice.full_name();
    let mut answer = begin(asked, turns, choice, config);
    let mut report = Report::new(out, asked.json);
    let end = tokio::select! {
        end = read(&mut answer, &mut report) => end,
        () = interrupted.cancelled() => {
            report.cancelled(&answer.conclude(CANCELLED))?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    match end {
        Ok(reason) => {
            report.finish(&answer.conclude("completed"), reason)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ReadError::Model(error)) => {
            let tally = answer.conclude(error.code.as_str());
            let full_name = tally.model.as_deref().unwrap_or(&asked_first);
            let why = model_faults::explain(&error, full_name, config);
            report.failed(&tally, error.code, &why)?;
            bail!(why)
        }
        Err(ReadError::Output(error)) => {
            answer.conclude(CANCELLED);
            Err(error.into())
        }
    }
}

/// # Errors
/// When it is not registered.
pub(super) fn check_unit_primitive(config: &Config, name: &str) -> anyhow::Result<()> {
    match UnitPrimitives::load(&config.unit_primitives.path)?.fault(name) {
        Some(fault) => bail!(fault),
        None => Ok(()),
    }
}

fn begin(asked: &Complete, turns: Turns, choice: Choice, config: &Config) -> Answer {
    let purpose = Purpose {
        request_id: RequestId::new(),
        action: None,
        unit_primitive: asked.unit_primitive.clone(),
        prompt_version: None,
    };
    let call = ModelCall {
        request_id: purpose.request_id,
        user: NOBODY,
        unit_primitive: asked.unit_primitive.clone(),
        enabled_flags: Vec::new(),
        system: turns.system,
        turns: turns.turns,
        kept: None,
        max_output_tokens: asked.max_tokens.unwrap_or(u32::MAX),
    };
    let render = move |model: &Model| {
        let max_output_tokens = call.max_output_tokens.min(model.bounds().output_tokens);
        Ok(ModelCall { max_output_tokens, ..call.clone() })
    };
    let deadline = Instant::now() + config.pipeline.deadline();
    models::answer(purpose, choice.route, config.model_calls.bounds(), deadline, render)
}

/// Why an answer was not read to its end.
enum ReadError {
    Model(ModelError),
    Output(io::Error),
}

async fn read(answer: &mut Answer, report: &mut Report<'_>) -> Result<StopReason, ReadError> {
    while let Some(progress) = answer.next().await {
        match progress.map_err(ReadError::Model)? {
            Progress::Content(content) => report.content(&content).map_err(ReadError::Output)?,
            Progress::Finished(reason) => return Ok(reason),
        }
    }
    // Every answer has an end, which has been returned.
    Ok(StopReason::Complete)
}

#[cfg(test)]
mod tests;
