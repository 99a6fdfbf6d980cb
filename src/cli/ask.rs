//! `duologue ask`: one question to a running server, or to one inside this process, and its answer as it
//! streams.

use std::{
    io::{self, Write},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use duologue_actors::protocol::GlobalId;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::signals;
use crate::{
    config::Config,
    env_file::Environment,
    logging::{self, Audience},
};

mod answer;
mod assembly;
mod client;
mod error;
mod follow;
mod form;
mod place;
mod socket;
mod summary;

use answer::Answer;
use assembly::End;
use client::{Asked, Client};
use error::AskError;
use follow::Following;
use form::Answers;
use place::Place;
pub(super) use place::{is_duologue, reachable};
use summary::Summary;
pub(super) use summary::readable;

/// Who asks unless told otherwise: a developer of the demo.
const DEMO_TOKEN: &str = "demo-alice";
pub(super) const TOKEN_VARIABLE: &str = "DUOLOGUE_TOKEN";
/// What a shell reports for a program ended by Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;
/// How long the last message of a cancelled request is waited for.
const PARTING: Duration = Duration::from_secs(2);
/// How long after its deadline a request's last message may still be on its way, a restart included.
const LATENESS: Duration = Duration::from_secs(10);

/// What the command line of `ask` takes.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// What to ask; goes to the action's text input
    #[arg(value_name = "QUESTION")]
    pub text: Option<String>,

    /// The action of the catalogue to run; `duologue actions` lists them
    #[arg(long, value_name = "NAME", default_value = "chat")]
    pub action: String,

    /// What the action is about, e.g. gid://gitlab/Issue/52
    #[arg(long, value_name = "GID")]
    pub resource: Option<GlobalId>,

    /// An input of the action by name; may be repeated
    #[arg(long = "input", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub inputs: Vec<(String, String)>,

    /// Print every event as one line of JSON
    #[arg(long)]
    pub json: bool,

    /// Who asks [default: the variable DUOLOGUE_TOKEN, else demo-alice]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if key.is_empty() {
        return Err("write KEY=VALUE, with a key".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Asks, prints, and ends with 0 when the answer is complete, 130 when it was interrupted.
///
/// # Errors
/// Whatever kept the answer from being complete.
pub fn run(question: &Question, config: &Config, environment: &Environment) -> anyhow::Result<ExitCode> {
    let _logs = logging::start(&config.logging, Audience::Asker)?;
    let token = question.token.as_deref().or_else(|| environment.get(TOKEN_VARIABLE)).unwrap_or(DEMO_TOKEN);
    actix_rt::System::new().block_on(async {
        let interrupted = signals::stop(INTERRUPTED.into())?;
        let place = Place::find(config).await?;
        let patience = config.pipeline.deadline() + LATENESS;
        let asking = Asking { client: Client::new(place.address(), token)?, question, patience, interrupted };
        let outcome = asking.run(&mut io::stdout()).await;
        place.leave().await;
        match outcome {
            Err(error) if error.is_unread() => Ok(ExitCode::SUCCESS),
            outcome => Ok(outcome?),
        }
    })
}

/// One question, being asked.
struct Asking<'q> {
    client: Client,
    question: &'q Question,
    patience: Duration,
    interrupted: CancellationToken,
}

impl Asking<'_> {
    async fn run(&self, out: &mut dyn Write) -> Result<ExitCode, AskError> {
        let page = Uuid::new_v4().to_string();
        let mut following = Following::new(&self.client, &page);
        let input = tokio::select! {
            input = self.prepare(&mut following) => input?,
            () = self.interrupted.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let Some(asked) = self.submit(input, &page).await? else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let mut answer = Answer::new(out, self.question.json, Summary::of(&asked));
        tokio::select! {
            end = answer.read(&mut following, &asked.request_id, self.patience) => {
                self.finish(&mut answer, end, &asked.request_id).await
            }
            () = self.interrupted.cancelled() => {
                self.part(&mut answer, &mut following, &asked.request_id).await?;
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    }

    /// The input to send, with the subscription in place before it is: of an answer that has ended
    /// only the final is replayed, so a late subscriber would see no stream.
    async fn prepare(&self, following: &mut Following<'_>) -> Result<Map<String, Value>, AskError> {
        let forms = self.client.actions().await?;
        let input = form::fill(&Answers::of(self.question), &forms)?;
        following.begin().await?;
        Ok(input)
    }

    /// Sends the request; `None` when it was interrupted and, if it was accepted all the same, cancelled.
    async fn submit(&self, input: Map<String, Value>, page: &str) -> Result<Option<Asked>, AskError> {
        let mut response = pin!(self.client.ask(input, page));
        tokio::select! {
            asked = &mut response => return asked.map(Some),
            () = self.interrupted.cancelled() => {}
        }
        if let Ok(Ok(asked)) = tokio::time::timeout(PARTING, response).await {
            self.client.cancel(&asked.request_id).await?;
        }
        Ok(None)
    }

    /// A request whose answer nobody reads on is cancelled.
    async fn finish(
        &self,
        answer: &mut Answer<'_>,
        end: Result<End, AskError>,
        request_id: &str,
    ) -> Result<ExitCode, AskError> {
        if end.as_ref().is_err_and(AskError::is_unread) {
            // Quietly: who closed the pipe wants to hear no more of it.
            let _ = self.client.cancel(request_id).await;
        }
        answer.conclude(end?)
    }

    /// Cancels the request and waits briefly for its last message.
    async fn part(
        &self,
        answer: &mut Answer<'_>,
        following: &mut Following<'_>,
        request_id: &str,
    ) -> Result<(), AskError> {
        self.client.cancel(request_id).await?;
        // However it ended, and even if that was not heard: the user has left.
        let _ = answer.read(following, request_id, PARTING).await;
        answer.leave()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
