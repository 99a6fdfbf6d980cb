//! Cache: what is remembered.
//!
//! Stands on both sides of Completion. Before it, Cache writes each [`Authorized`] request and the
//! user's message to the journal and the conversation, synced, and only then emits [`Admitted`] to the
//! Broadcaster (the client gets its `requestId`) and [`Accepted`] to Completion. After it, every
//! [`Ended`], from whichever actor, comes here: the first one is written as the request's terminal and
//! goes on to the Broadcaster as [`Recorded`].
//!
//! At start it loads what an earlier process left: finished requests go to the Broadcaster as
//! [`Restored`], unfinished ones walk the whole pipeline again as [`Recovered`].
//!
//! A request whose answer is streamed to a caller who waits for it, and that is cancelled when that caller
//! leaves, goes the same way without the journal: after a crash there is nobody to answer.
//!
//! A request here is being accepted, accepted, or being ended; see `ledger`.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, Supervised};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    action::Catalogue,
    clock::{Clock, Deadline},
    desk::Desk,
    limits::{Limits, TICK},
    permits::Permits,
    policy::Authorized,
    ports::{Caller, ConversationStore, Flags, Journal, Resource, StoreError, TerminalRecord},
    protocol::{
        Address, ChatMessage, Ended, Failure, GlobalId, Hop, Outcome, Request, RequestId, Stop, ThreadId,
        UserId, deliver, forward,
    },
};

mod ledger;
mod reading;
pub(crate) mod records;
mod recovery;
mod store;

use ledger::{Acceptance, Ledger, Verdict};
pub use reading::{ReadConversation, ReadThreads};
use recovery::Left;
use store::Stores;

/// A request that is in the journal. Built only in this file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Accepted {
    authorized: Authorized,
    history: Vec<ChatMessage>,
}

impl Accepted {
    #[must_use]
    pub fn request(&self) -> &Request {
        self.authorized.request()
    }

    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.authorized.caller()
    }

    #[must_use]
    pub fn resource(&self) -> Option<&Arc<Resource>> {
        self.authorized.resource()
    }

    #[must_use]
    pub fn flags(&self) -> &Arc<dyn Flags> {
        self.authorized.flags()
    }

    #[must_use]
    pub fn containers(&self) -> &[GlobalId] {
        self.authorized.containers()
    }

    /// The conversation before this request, oldest first; empty for actions that keep none.
    #[must_use]
    pub fn history(&self) -> &[ChatMessage] {
        &self.history
    }
}

/// Tells the Broadcaster that a request is accepted. Built only here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Admitted {
    pub(crate) address: Address,
    pub(crate) deadline: Deadline,
    pub(crate) cancel: CancellationToken,
    /// The user's own message, for actions that keep a conversation.
    pub(crate) echo: Option<ChatMessage>,
    /// No client waits for this one's `requestId`.
    pub(crate) recovered: bool,
}

/// The last word on a request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Recorded {
    /// It was refused before it was accepted; nothing is written anywhere.
    Refused { request_id: RequestId, failure: Failure },
    /// Its client has asked the same before, under the same key: that request stands for this one.
    Repeats { request_id: RequestId, owner: UserId, earlier: RequestId, thread_id: Option<ThreadId> },
    /// It has ended and the journal has it.
    Terminal(Arc<TerminalRecord>),
}

impl Recorded {
    pub(crate) fn request_id(&self) -> RequestId {
        match self {
            Self::Refused { request_id, .. } | Self::Repeats { request_id, .. } => *request_id,
            Self::Terminal(terminal) => terminal.request_id,
        }
    }
}

/// The finished requests of an earlier process that can still be replayed, oldest first.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Restored {
    pub(crate) terminals: Vec<Arc<TerminalRecord>>,
}

/// An unfinished request of an earlier process, accepted already. Built only here.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Recovered {
    request: Request,
    owner: UserId,
}

impl Recovered {
    pub(crate) fn into_parts(self) -> (Request, UserId) {
        (self.request, self.owner)
    }
}

/// What Cache needs from outside.
pub(crate) struct Shelves {
    pub(crate) clock: Clock,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) conversation: Arc<dyn ConversationStore>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) permits: Permits,
    pub(crate) limits: Limits,
}

/// Whom Cache speaks to.
pub(crate) struct Neighbours {
    pub(crate) auth: Recipient<Recovered>,
    pub(crate) completion: Recipient<Accepted>,
    pub(crate) admitted: Recipient<Admitted>,
    pub(crate) recorded: Recipient<Recorded>,
    pub(crate) restored: Recipient<Restored>,
}

pub struct Cache {
    desk: Desk,
    shelves: Shelves,
    stores: Stores,
    neighbours: Neighbours,
    ledger: Ledger,
    /// The end in hand: nobody else has the text that was shown, so a panic must not take it along.
    ending: Option<Ended>,
    /// What an earlier process left, while it is being taken over.
    left: Option<Arc<Left>>,
    /// Cancelled once what an earlier process left has been taken over.
    ready: CancellationToken,
}

impl Cache {
    pub(crate) fn new(
        desk: Desk,
        shelves: Shelves,
        neighbours: Neighbours,
        ready: CancellationToken,
    ) -> Self {
        let stores = Stores {
            clock: shelves.clock.clone(),
            journal: shelves.journal.clone(),
            conversation: shelves.conversation.clone(),
        };
        let ledger = Ledger::default();
        Self { desk, shelves, stores, neighbours, ledger, ending: None, left: None, ready }
    }

    fn refuse(&self, request_id: RequestId, failure: Failure) {
        deliver(&self.neighbours.recorded, Recorded::Refused { request_id, failure });
    }

    /// Writes an end beside the actor; `Finished` comes back when it stands.
    fn write_end(&self, ended: Ended, ctx: &mut Context<Self>) {
        let Some(entry) = self.ledger.entry(ended.request_id) else {
            return;
        };
        let (is_journalled, keeps_conversation) = (entry.is_journalled, entry.keeps_conversation);
        let deadline = entry.deadline;
        let terminal = records::terminal(entry.address.clone(), ended, self.shelves.clock.now());
        let (stores, back) = (self.stores.clone(), ctx.address().recipient());
        self.desk.work(Some(terminal.request_id), async move {
            let terminal = stores.end(terminal, deadline, is_journalled, keeps_conversation).await;
            deliver(&back, Finished { terminal });
        });
    }

    fn on_ended(&mut self, ended: Ended, ctx: &mut Context<Self>) {
        let verdict = self.ledger.ended(ended);
        self.carry_out(verdict, ctx);
    }

    fn carry_out(&self, verdict: Verdict, ctx: &mut Context<Self>) {
        match verdict {
            Verdict::Nothing => {}
            Verdict::Write(ended) => self.write_end(ended, ctx),
            Verdict::Repeat(request_id) => self.repeat(request_id, ctx),
            Verdict::Tell(address, ended) => {
                let terminal = records::terminal(address, ended, self.shelves.clock.now());
                deliver(&self.neighbours.recorded, Recorded::Terminal(Arc::new(terminal)));
            }
            Verdict::Refuse(Ended { request_id, outcome, .. }) => match outcome {
                Outcome::Failed { failure, .. } => self.refuse(request_id, failure),
                // Only accepted requests are completed or cancelled; whatever this is, it is over.
                Outcome::Completed { .. } | Outcome::Cancelled { .. } => {
                    self.refuse(request_id, Failure::internal(Hop::Cache));
                }
            },
        }
    }

    /// Says once more how a request ended, if its end is written; otherwise that is still to come.
    fn repeat(&self, request_id: RequestId, ctx: &mut Context<Self>) {
        let (journal, back) = (self.shelves.journal.clone(), ctx.address().recipient());
        self.desk.work(None, async move {
            match journal.terminal(request_id).await {
                Ok(Some(terminal)) => deliver(&back, Finished { terminal }),
                Ok(None) => {}
                Err(error) => tracing::warn!(%request_id, %error, "terminal could not be read again"),
            }
        });
    }

    fn sweep(&mut self) {
        self.desk.take("Sweep", None);
        let Limits { terminal_retention, idempotency, .. } = self.shelves.limits;
        if let Some(before) = Instant::now().checked_sub(terminal_retention) {
            self.ledger.forget_finished_before(before);
        }
        let (stores, now) = (self.stores.clone(), self.shelves.clock.now());
        self.desk.work(None, async move { stores.sweep(now, terminal_retention, idempotency).await });
        self.desk.clear();
    }

    fn end_overdue(&mut self, ctx: &mut Context<Self>) {
        self.desk.take("Tick", None);
        for ended in self.ledger.take_overdue(Instant::now()) {
            self.on_ended(ended, ctx);
        }
        self.desk.clear();
    }
}

impl Actor for Cache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, Self::end_overdue);
        ctx.run_interval(self.shelves.limits.sweep, |cache, _| cache.sweep());
        if !self.ready.is_cancelled() {
            self.load(ctx);
        }
    }
}

impl Supervised for Cache {
    fn restarting(&mut self, ctx: &mut Self::Context) {
        let ending = self.ending.take();
        if let Some(request_id) = self.desk.abandoned() {
            let verdict = match ending {
                Some(ended) => self.ledger.ended(ended),
                None => self.ledger.lost_message(request_id),
            };
            self.carry_out(verdict, ctx);
        }
    }
}

impl Handler<Authorized> for Cache {
    type Result = ();

    fn handle(&mut self, authorized: Authorized, ctx: &mut Self::Context) {
        let request = authorized.request();
        self.desk.take("Authorized", Some(request.id));
        if request.cancel.is_cancelled() && !request.origin.is_recovered() {
            // Its client has been told already that it was not accepted.
            self.refuse(request.id, Failure::internal(Hop::Cache));
            return self.desk.clear();
        }
        let (stores, back) = (self.stores.clone(), ctx.address().recipient());
        if !request.origin.is_recovered() {
            self.ledger.accepting(authorized.caller().user.id, request, authorized.clearance());
        }
        self.desk.work(Some(request.id), async move {
            let journalled = stores.accept(authorized).await;
            deliver(&back, journalled);
        });
        self.desk.clear();
    }
}

/// The journal's answer to an authorized request.
#[derive(Message)]
#[rtype(result = "()")]
struct Journalled {
    authorized: Authorized,
    written: Result<Written, StoreError>,
}

/// What the journal made of it.
#[derive(Debug)]
enum Written {
    Accepted {
        /// The user's own message, for actions that keep a conversation and for clients that wait.
        echo: Option<ChatMessage>,
        history: Vec<ChatMessage>,
        /// The thread of both.
        thread_id: Option<ThreadId>,
    },
    Repeats {
        earlier: RequestId,
        thread_id: Option<ThreadId>,
    },
    Conflicts,
    NoSuchThread,
}

impl Handler<Journalled> for Cache {
    type Result = ();

    fn handle(&mut self, journalled: Journalled, ctx: &mut Self::Context) {
        let Journalled { authorized, written } = journalled;
        let request_id = authorized.request().id;
        self.desk.take("Journalled", Some(request_id));
        match written {
            Ok(Written::Accepted { echo, history, thread_id }) => {
                let acceptance = self.ledger.accepted(request_id, thread_id);
                self.on_journalled(authorized, echo, history, acceptance, ctx);
            }
            Ok(Written::Repeats { earlier, thread_id }) => {
                self.ledger.forget(request_id);
                let owner = authorized.caller().user.id;
                deliver(
                    &self.neighbours.recorded,
                    Recorded::Repeats { request_id, owner, earlier, thread_id },
                );
            }
            Ok(Written::Conflicts) => self.not_accepted(request_id, records::key_conflict()),
            Ok(Written::NoSuchThread) => self.not_accepted(request_id, records::no_such_thread()),
            Err(error) => {
                records::log_refusal(request_id, &error);
                self.not_accepted(request_id, records::storage_unavailable());
            }
        }
        self.desk.clear();
    }
}

impl Cache {
    /// The journal did not take it: its client hears why.
    fn not_accepted(&mut self, request_id: RequestId, failure: Failure) {
        self.ledger.forget(request_id);
        self.refuse(request_id, failure);
    }

    fn on_journalled(
        &mut self,
        authorized: Authorized,
        echo: Option<ChatMessage>,
        history: Vec<ChatMessage>,
        acceptance: Acceptance,
        ctx: &mut Context<Self>,
    ) {
        let request = authorized.request();
        if let (Some(entry), false) = (self.ledger.entry(request.id), request.origin.is_recovered())
            && !matches!(acceptance, Acceptance::TooLate)
        {
            deliver(&self.neighbours.admitted, records::admitted(entry, echo, false));
        }
        match acceptance {
            Acceptance::GoesOn => {
                forward(&self.neighbours.completion, Accepted { authorized, history });
            }
            Acceptance::EndedMeanwhile(ended) => self.on_ended(ended, ctx),
            Acceptance::TooLate => {}
        }
    }
}

impl Handler<Ended> for Cache {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        let request_id = ended.request_id;
        self.ending = Some(ended);
        self.desk.take("Ended", Some(request_id));
        if let Some(ended) = self.ending.take() {
            self.on_ended(ended, ctx);
        }
        self.desk.clear();
    }
}

/// The terminal that stands.
#[derive(Message)]
#[rtype(result = "()")]
struct Finished {
    terminal: TerminalRecord,
}

impl Handler<Finished> for Cache {
    type Result = ();

    fn handle(&mut self, Finished { terminal }: Finished, _: &mut Self::Context) {
        self.desk.take("Finished", Some(terminal.request_id));
        if let Some(entry) = self.ledger.finish(terminal.request_id, Instant::now()) {
            records::log_end(&terminal);
            // Whoever still works on it can stop.
            entry.cancel.cancel();
        }
        deliver(&self.neighbours.recorded, Recorded::Terminal(Arc::new(terminal)));
        self.desk.clear();
    }
}

impl Handler<Stop> for Cache {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, stop: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.finish_work(&stop))
    }
}

#[cfg(test)]
mod tests;
