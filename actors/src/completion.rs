//! Completion: run it.
//!
//! Accepts [`Accepted`], renders the action's prompt, runs the model as a task under the request's
//! deadline, sends each piece of the answer to the Broadcaster as [`ChunkProduced`], one outstanding a
//! request, and ends the request once: `completed`, `failed` or `cancelled`. Told to stop, it drops the
//! calls under way without ending their requests: the next start runs them.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, Recipient, ResponseFuture, Supervised};

use crate::{
    cache::Accepted,
    desk::Desk,
    limits::Limits,
    ports::{ModelCall, ModelProvider, Models},
    protocol::{Ended, Failure, Hop, RequestId, Stop, deliver},
};

mod chunker;
mod expanded_log;
mod faults;
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
        let (request_id, started) = (request.id, tokio::time::Instant::now());
        let model = self.models.model(&request.action.model).ok_or_else(|| {
            tracing::error!(%request_id, model = request.action.model, "no such model");
            Failure::internal(Hop::Completion)
        })?;
        let call = call(&accepted, &*model)?;
        let log = ExpandedLog::of(&accepted);
        log.input(&call);
        let run = Run {
            request_id,
            deadline: request.deadline,
            cancel: request.cancel.clone(),
            limits: self.limits.clone(),
            chunks: self.chunks.clone(),
        };
        let ends = self.ends.clone();
        self.desk.work(Some(request_id), async move {
            let outcome = run.drive(model.stream(call)).await;
            log.suggestion(request_id, &outcome);
            let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(%request_id, model = model.model(), millis, "model call ended");
            deliver(&ends, Ended { request_id, outcome, model: Some(model.model().to_owned()) });
            // The permit comes back only now.
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

fn call(accepted: &Accepted, model: &dyn ModelProvider) -> Result<ModelCall, Failure> {
    let request = accepted.request();
    let material = prompt::Material {
        user: &accepted.caller().user,
        input: &request.input,
        resource: accepted.resource().map(|resource| &**resource),
        history: accepted.history(),
    };
    let text = request.action.prompt.text_for(model.provider());
    let rendered = prompt::render(text, &material).map_err(|error| {
        tracing::error!(request_id = %request.id, action = request.action.name, %error, "prompt failed");
        Failure::internal(Hop::Completion)
    })?;
    Ok(ModelCall {
        request_id: request.id,
        unit_primitive: request.action.unit_primitive.clone(),
        system: rendered.system,
        turns: rendered.turns,
    })
}

#[cfg(test)]
mod tests;
