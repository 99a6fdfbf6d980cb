//! `duologue ask`: one question to a running server, or to one inside this process, and its answer as it
//! streams.

use std::{io, process::ExitCode, time::Duration};

use duologue_actors::protocol::GlobalId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{output, signals};
use crate::{
    config::Config,
    env_file::Environment,
    logging::{self, Audience},
};

mod assembly;
mod client;
mod error;
mod follow;
mod form;
mod place;
mod socket;
mod summary;

use assembly::{Assembly, End, Event};
use client::{Asked, Client};
use error::AskError;
use follow::Following;
use form::Answers;
use place::Place;
use summary::Summary;

/// Who asks unless told otherwise: a developer of the demo.
const DEMO_TOKEN: &str = "demo-alice";
const TOKEN_VARIABLE: &str = "DUOLOGUE_TOKEN";
/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;
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
        let outcome = asking.run().await;
        place.leave().await;
        Ok(outcome?)
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
    async fn run(&self) -> Result<ExitCode, AskError> {
        let asked = tokio::select! {
            asked = self.submit() => asked?,
            () = self.interrupted.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let mut following = Following::new(&self.client, &asked.client_subscription_id);
        let mut answer = Answer::new(self.question.json, Summary::of(&asked));
        tokio::select! {
            end = answer.read(&mut following, &asked.request_id, self.patience) => answer.conclude(end?),
            () = self.interrupted.cancelled() => {
                self.part(&mut answer, &mut following, &asked.request_id).await?;
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    }

    async fn submit(&self) -> Result<Asked, AskError> {
        let forms = self.client.actions().await?;
        let input = form::fill(&Answers::of(self.question), &forms)?;
        self.client.ask(input).await
    }

    /// Cancels the request and waits briefly for its last message.
    async fn part(
        &self,
        answer: &mut Answer,
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

/// The answer as it is printed.
struct Answer {
    json: bool,
    assembly: Assembly,
    summary: Summary,
}

impl Answer {
    fn new(json: bool, summary: Summary) -> Self {
        Self { json, assembly: Assembly::default(), summary }
    }

    /// Prints what arrives until the request has ended. May be dropped between two events.
    async fn read(
        &mut self,
        following: &mut Following<'_>,
        request_id: &str,
        patience: Duration,
    ) -> Result<End, AskError> {
        let limit = Instant::now() + patience;
        loop {
            let payload = tokio::time::timeout_at(limit, following.next())
                .await
                .map_err(|_| AskError::NoEnd { request_id: request_id.to_owned(), patience })??;
            let Some(event) = Event::of(&payload, request_id)? else {
                continue;
            };
            if self.json {
                output::line(&event.message)?;
            }
            let taken = self.assembly.take(&event);
            if !taken.text.is_empty() {
                self.summary.first_content();
                self.show(&taken.text)?;
            }
            if let Some(end) = taken.end {
                self.summary.model(event.model);
                return Ok(end);
            }
        }
    }

    fn show(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { output::piece(text) }
    }

    fn conclude(&self, end: End) -> Result<ExitCode, AskError> {
        self.leave()?;
        match end {
            End::Complete => {
                if !self.json {
                    output::remark(self.summary.line());
                }
                Ok(ExitCode::SUCCESS)
            }
            End::Failed(reason) => Err(AskError::Failed(reason)),
        }
    }

    /// Ends the line the answer stopped in.
    fn leave(&self) -> io::Result<()> {
        if self.json || self.assembly.ends_with_a_line() { Ok(()) } else { output::piece("\n") }
    }
}
