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
    protocol::{Ended, Failure, Hop, Origin, Request, ThreadChoice, UserId, deliver, forward},
};

/// What an earlier process left in the journal.
#[derive(Debug)]
pub(super) struct Left {
    /// Oldest first.
    pub(super) terminals: Vec<Arc<TerminalRecord>>,
    pub(super) unfinished: Vec<AcceptedRecord>,
}

/// The journal has been read.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Loaded(pub(super) Arc<Left>);

impl Handler<Loaded> for Cache {
    type Result = ();

    fn handle(&mut self, Loaded(left): Loaded, ctx: &mut Self::Context) {
        // Reading it counts as an interruption, so it is read once, whatever happens here.
        self.left = Some(left.clone());
        self.desk.take("Loaded", None);
        let (finished, unfinished) = (left.terminals.len(), left.unfinished.len());
        tracing::info!(finished, unfinished, "journal loaded");
        self.restore(&left.terminals);
        for record in &left.unfinished {
            if !self.ledger.knows(record.request_id) {
                self.take_over(record.clone(), ctx);
            }
        }
        self.left = None;
        self.ready.cancel();
        self.desk.clear();
    }
}

impl Cache {
    /// Takes what an earlier process left, from the journal unless that has been read already.
    pub(super) fn load(&self, ctx: &mut Context<Self>) {
        let (stores, back) = (self.stores.clone(), ctx.address().recipient());
        let (left, retention) = (self.left.clone(), self.shelves.limits.terminal_retention);
        self.desk.work(None, async move {
            let left = match left {
                Some(left) => left,
                None => Arc::new(stores.load(retention).await),
            };
            deliver(&back, Loaded(left));
        });
    }

    fn restore(&self, terminals: &[Arc<TerminalRecord>]) {
        let keeps_conversation = |terminal: &TerminalRecord| {
            self.shelves.catalogue.get(&terminal.action).is_some_and(|action| action.cache_response)
        };
        let conversations: Vec<Arc<TerminalRecord>> =
            terminals.iter().filter(|terminal| keeps_conversation(terminal)).cloned().collect();
        let stores = self.stores.clone();
        self.desk.work(None, async move {
            for terminal in conversations {
                stores.complete(&terminal).await;
            }
        });
        deliver(&self.neighbours.restored, Restored { terminals: terminals.to_vec() });
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
                let ends = ctx.address().recipient();
                self.desk.work(Some(request_id), async move {
                    let Some(Some(permit)) = cancel.run_until_cancelled(permits.wait()).await else {
                        return deliver(&ends, Ended::cancelled(request_id));
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
        project_id: record.project_id,
        client_subscription_id: record.client_subscription_id,
        platform_origin: record.platform_origin,
        thread: ThreadChoice::of(record.thread_id),
        // It has been journalled with it.
        idempotency_key: None,
        deadline,
        cancel,
        permit,
        origin: Origin::Recovered { resource: record.resource },
    }
}
