//! Completion: run it.
//!
//! Accepts [`Accepted`], renders the action's prompt, asks the models of its route as a task under the
//! request's deadline, sends each piece of the answer to the Broadcaster as [`ChunkProduced`], one outstanding
//! a request, and ends the request once: `completed`, `failed` or `cancelled`. Told to stop, it drops the
//! calls under way without ending their requests: the next start runs them.
//!
//! A [slash command](crate::slash_command) is answered here without a model, and ends like any other request.
//!
//! How a model is called, and what is done when it fails, is the business of [`crate::models`].

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, Recipient, ResponseFuture, Supervised};

use crate::{
    cache::Accepted,
    desk::Desk,
    limits::Limits,
    models::{self, Model, Purpose},
    ports::{ModelCall, ModelError, Models, Retry},
    prompt::{PromptError, PromptVersion},
    protocol::{Code, Ended, Failure, GlobalId, Hop, Outcome, RequestId, Stop, deliver},
};

mod chunker;
mod expanded_log;
mod faults;
mod modifiers;
mod prompt;
mod run;

use expanded_log::ExpandedLog;
use run::Run;

pub use expanded_log::EXPANDED_LOGGING;

/// One piece of an answer. Built only by Completion.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChunkProduced {
    pub(crate) request_id: RequestId,
    /// From 1, without gaps.
    pub(crate) chunk_id: u32,
    pub(crate) content: String,
}

pub struct Completion {
    desk: Desk,
    models: Arc<dyn Models>,
    chunks: Recipient<ChunkProduced>,
    ends: Recipient<Ended>,
    limits: Limits,
}

impl Completion {
    pub(crate) fn new(
        desk: Desk,
        models: Arc<dyn Models>,
        chunks: Recipient<ChunkProduced>,
        ends: Recipient<Ended>,
        limits: Limits,
    ) -> Self {
        Self { desk, models, chunks, ends, limits }
    }

    fn begin(&self, accepted: Accepted) -> Result<(), Failure> {
        let request = accepted.request();
        let (request_id, action) = (request.id, request.action.clone());
        if let Some(command) = request.slash_command() {
            let outcome = Outcome::Completed { content: command.answer() };
            deliver(&self.ends, Ended { request_id, outcome, model: None });
            return Ok(());
        }
        let route = self.models.route(&action.model).ok_or_else(|| {
            tracing::error!(%request_id, model = action.model, "no such model");
            Failure::internal(Hop::Completion)
        })?;
        let run = Run {
            request_id,
            deadline: request.deadline,
            cancel: request.cancel.clone(),
            limits: self.limits.clone(),
            chunks: self.chunks.clone(),
            steps: action.response.clone(),
        };
        let (ends, log) = (self.ends.clone(), ExpandedLog::of(&accepted));
        let chosen = Chosen::of(&accepted, log);
        let purpose = Purpose {
            request_id,
            action: Some(action.name.clone()),
            unit_primitive: action.unit_primitive.clone(),
            prompt_version: Some(chosen.prompt.version.clone()),
        };
        // The permit inside comes back when the task has ended.
        let accepted = Arc::new(accepted);
        let render = {
            let accepted = accepted.clone();
            move |model: &Model| call(&accepted, &chosen, model)
        };
        let answer = models::answer(purpose, route, self.limits.calls, run.deadline.timer, render)
            .on_call(move |call| log.input(call));
        self.desk.work(Some(request_id), async move {
            let (outcome, model) = run.drive(answer).await;
            log.suggestion(request_id, &outcome);
            deliver(&ends, Ended { request_id, outcome, model });
            drop(accepted);
        });
        Ok(())
    }
}

impl Actor for Completion {
    type Context = Context<Self>;
}

impl Supervised for Completion {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.desk.end_abandoned();
    }
}

impl Handler<Accepted> for Completion {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _: &mut Self::Context) {
        let request_id = accepted.request().id;
        self.desk.take("Accepted", Some(request_id));
        if let Err(failure) = self.begin(accepted) {
            self.desk.end(request_id, failure);
        }
        self.desk.clear();
    }
}

impl Handler<Stop> for Completion {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

/// What flags decide about a request: for this user, here.
struct Chosen {
    prompt: Arc<PromptVersion>,
    /// Those that were asked and are on: the action's own, as it would not be here otherwise, the one that
    /// selected the prompt, and the one for the log.
    enabled_flags: Vec<String>,
}

impl Chosen {
    fn of(accepted: &Accepted, log: ExpandedLog) -> Self {
        let user = accepted.caller().user.id.global_id();
        let actors: Vec<GlobalId> =
            std::iter::once(user).chain(accepted.containers().iter().cloned()).collect();
        let action = &accepted.request().action;
        let selection = action.prompt.selected(|flag| accepted.flags().enabled(flag, false, &actors));
        let mut enabled_flags = vec![action.feature_flag.clone()];
        enabled_flags.extend(selection.map(|selection| selection.flag.clone()));
        enabled_flags.extend(log.is_on().then(|| EXPANDED_LOGGING.to_owned()));
        enabled_flags.dedup();
        let prompt = selection.map_or(&action.prompt.default, |selection| &selection.prompt).clone();
        Self { prompt, enabled_flags }
    }
}

/// The call as `model` is to get it.
fn call(accepted: &Accepted, chosen: &Chosen, model: &Model) -> Result<ModelCall, ModelError> {
    let request = accepted.request();
    let material = prompt::Material {
        user: &accepted.caller().user,
        input: &request.input,
        resource: accepted.resource().map(|resource| &**resource),
        history: accepted.history(),
    };
    let text = chosen.prompt.text_for(model.provider().provider(), model.provider().kind());
    let rendered = prompt::render(text, &material).map_err(|error| match error {
        PromptError::Turns(_) => {
            ModelError::new(Code::InvalidInput, Retry::Never, "the input leaves nothing to ask")
        }
        PromptError::Template { .. } => {
            tracing::error!(request_id = %request.id, action = request.action.name, %error, "prompt failed");
            ModelError::new(Code::Internal, Retry::Never, "the prompt cannot be rendered")
        }
    })?;
    Ok(ModelCall {
        request_id: request.id,
        user: accepted.caller().user.id,
        unit_primitive: request.action.unit_primitive.clone(),
        enabled_flags: chosen.enabled_flags.clone(),
        system: rendered.system,
        turns: rendered.turns,
        kept: rendered.kept,
        max_output_tokens: model.bounds().output_tokens,
    })
}

#[cfg(test)]
mod tests;
