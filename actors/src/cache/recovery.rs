//! Taking over what an earlier process left in the journal.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message};
use tokio_util::sync::CancellationToken;

use super::{Cache, Recovered, Restored, records};
use crate::{
    action::Action,
    clock::Deadline,
    permits::Permit,
    ports::{AcceptedRecord, TerminalRecord},
    protocol::{Ended, Failure, Hop, Origin, Request, UserId, deliver, forward},
};

/// What the journal held when the process started.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Loaded {
    pub(super) terminals: Vec<TerminalRecord>,
    pub(super) unfinished: Vec<AcceptedRecord>,
}

impl Handler<Loaded> for Cache {
    type Result = ();

    fn handle(&mut self, Loaded { terminals, unfinished }: Loaded, ctx: &mut Self::Context) {
        self.desk.take("Loaded", None);
        tracing::info!(finished = terminals.len(), unfinished = unfinished.len(), "journal loaded");
        self.restore(terminals);
        for record in unfinished {
            self.take_over(record, ctx);
        }
        self.ready.cancel();
        self.desk.clear();
    }
}

impl Cache {
    fn restore(&mut self, terminals: Vec<TerminalRecord>) {
        let keeps_conversation = |terminal: &TerminalRecord| {
            self.shelves.catalogue.get(&terminal.action).is_some_and(|action| action.cache_response)
        };
        let to_keep: Vec<TerminalRecord> =
            terminals.iter().filter(|terminal| keeps_conversation(terminal)).cloned().collect();
        let stores = self.stores.clone();
        self.desk.work(None, async move {
            // The process may have died between the terminal and the conversation.
            for terminal in to_keep {
                stores.keep(&terminal).await;
            }
        });
        let terminals = terminals.into_iter().map(Arc::new).collect();
        deliver(&self.neighbours.restored, Restored { terminals });
    }

    /// Ends an unfinished request that may not run again; lets any other walk the pipeline once more, as
    /// soon as there is a place for it.
    fn take_over(&mut self, record: AcceptedRecord, ctx: &mut Context<Self>) {
        let (request_id, limits) = (record.request_id, &self.shelves.limits);
        let action = self.shelves.catalogue.get(&record.action);
        let deadline = Deadline::at(&self.shelves.clock, record.deadline);
        let keeps_conversation = action.as_ref().is_some_and(|action| action.cache_response);
        let entry = self.ledger.recovered(record.address(), keeps_conversation, deadline);
        let cancel = entry.cancel.clone();
        deliver(&self.neighbours.admitted, records::admitted(entry, None, true));
        match may_run_again(action, deadline, record.interruptions, limits.max_interruptions) {
            Err(failure) => self.on_ended(Ended::failed(request_id, failure), ctx),
            Ok(action) => {
                let (permits, back) = (self.shelves.permits.clone(), ctx.address().recipient());
                self.desk.work(Some(request_id), async move {
                    let Some(permit) = permits.wait().await else {
                        return;
                    };
                    let owner = record.owner;
                    let request = request(record, action, deadline, cancel, permit);
                    deliver(&back, TakenOver { request, owner });
                });
            }
        }
    }
}

/// An unfinished request that has a place among those in flight.
#[derive(Message)]
#[rtype(result = "()")]
struct TakenOver {
    request: Request,
    owner: UserId,
}

impl Handler<TakenOver> for Cache {
    type Result = ();

    fn handle(&mut self, TakenOver { request, owner }: TakenOver, _: &mut Self::Context) {
        self.desk.take("TakenOver", Some(request.id));
        // It may have met its deadline while it waited.
        if self.ledger.is_open(request.id) {
            tracing::info!(request_id = %request.id, "unfinished request runs again");
            forward(&self.neighbours.auth, Recovered { request, owner });
        }
        self.desk.clear();
    }
}

fn may_run_again(
    action: Option<Arc<Action>>,
    deadline: Deadline,
    interruptions: u32,
    allowed: u32,
) -> Result<Arc<Action>, Failure> {
    if deadline.is_past() {
        return Err(Failure::deadline_exceeded(Hop::Cache));
    }
    match action {
        Some(action) if interruptions <= allowed => Ok(action),
        // Interrupted too often, or the action has left the catalogue.
        Some(_) | None => Err(Failure::interrupted(Hop::Cache)),
    }
}

fn request(
    record: AcceptedRecord,
    action: Arc<Action>,
    deadline: Deadline,
    cancel: CancellationToken,
    permit: Permit,
) -> Request {
    Request {
        id: record.request_id,
        action,
        input: record.input,
        resource_id: record.resource_id,
        client_subscription_id: record.client_subscription_id,
        platform_origin: record.platform_origin,
        deadline,
        cancel,
        permit,
        origin: Origin::Recovered { resource: record.resource },
    }
}
