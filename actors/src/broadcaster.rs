//! Broadcaster: deliver it to exactly who asked.
//!
//! Owns the correlation of requests and answers by `requestId` (`correlation`) and one log of events
//! for each user (`user_log`), and is the only sender of final messages. Accepts [`Await`] from the
//! edge, [`Admitted`], [`Recorded`] and [`Restored`] from Cache, [`ChunkProduced`] from Completion, and
//! from clients [`Opened`], [`Subscribe`], [`Acknowledge`] and [`Cancel`]. Emits nothing: subscribers
//! read the log they were given, each at its own speed.
//!
//! Its state survives its panics: the struct stays, only the message in hand is lost.

use std::sync::{Arc, atomic::AtomicBool};

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, Supervised};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cache::{Admitted, Recorded, Restored},
    clock::{Clock, Deadline},
    completion::ChunkProduced,
    desk::Desk,
    limits::{Limits, SWEEP, TICK},
    ports::TerminalRecord,
    protocol::{Failure, Hop, RequestId, Stop, ThreadId, UserId},
};

mod correlation;
mod cursor;
mod event;
mod filter;
mod metering;
mod subscription;
mod user_log;

use correlation::Correlation;
pub use cursor::{Cursor, NotACursor};
pub use event::{Event, EventKind};
pub use filter::Filter;
pub use subscription::{Resume, Subscription};

/// A client waits to hear whether its request is accepted. Sent before the request itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Await {
    pub request_id: RequestId,
    pub deadline: Deadline,
    pub reply: oneshot::Sender<Result<Granted, Failure>>,
}

/// What a client that waited has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// An earlier one than was awaited, when its client has asked the same before.
    pub request_id: RequestId,
    /// The thread it is in, if it keeps a conversation.
    pub thread_id: Option<ThreadId>,
    /// Before everything there is and will be of it; `None` when nothing is kept of it any more.
    pub cursor: Option<Cursor>,
}

/// The response that carries the `requestId` has been written, or nobody waits for it any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Opened {
    pub request_id: RequestId,
}

/// Asks for the events a filter selects, from now on and as far back as the filter's replay goes.
#[derive(Debug, Message)]
#[rtype(result = "Subscription")]
pub struct Subscribe {
    pub filter: Filter,
    /// How far its reader has come before. What is behind that is replayed instead.
    pub after: Option<Cursor>,
}

/// The owner has received the finals of these requests: they need not be replayed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Acknowledge {
    pub owner: UserId,
    pub finals: Vec<RequestId>,
}

/// The owner no longer wants an answer.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct Cancel {
    pub owner: UserId,
    pub request_id: RequestId,
}

pub struct Broadcaster {
    desk: Desk,
    clock: Clock,
    correlation: Correlation,
    /// The request whose gate is being opened.
    opening: Option<RequestId>,
    /// The finals of an earlier process, while they are being taken over.
    restoring: Vec<Arc<TerminalRecord>>,
}

impl Broadcaster {
    /// `has_room` is kept false while the requests in flight fill the memory meant for events.
    pub(crate) fn new(desk: Desk, clock: Clock, limits: Limits, has_room: Arc<AtomicBool>) -> Self {
        let correlation = Correlation::new(limits, has_room);
        Self { desk, clock, correlation, opening: None, restoring: Vec::new() }
    }

    fn open(&mut self) {
        if let Some(request_id) = self.opening.take() {
            self.correlation.open(request_id, Instant::now());
        }
    }

    fn restore(&mut self) {
        self.correlation.restore(&self.restoring, self.clock.now(), Instant::now());
        self.restoring = Vec::new();
    }

    fn tick(&mut self) {
        self.desk.take("Tick", None);
        self.correlation.tick(self.clock.now(), Instant::now());
        self.desk.clear();
    }

    fn sweep(&mut self) {
        self.desk.take("Sweep", None);
        self.correlation.forget_idle_logs();
        self.desk.clear();
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |broadcaster, _| broadcaster.tick());
        ctx.run_interval(SWEEP, |broadcaster, _| broadcaster.sweep());
    }
}

impl Supervised for Broadcaster {
    fn restarting(&mut self, _: &mut Self::Context) {
        if let Some(request_id) = self.desk.abandoned() {
            self.desk.end(request_id, Failure::internal(Hop::Broadcaster));
            // Nobody may be left who would say that its gate may open.
            self.correlation.open(request_id, Instant::now());
        }
        self.open();
        self.restore();
    }
}

impl Handler<Await> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Await { request_id, deadline, reply }: Await, _: &mut Self::Context) {
        self.desk.take("Await", Some(request_id));
        self.correlation.await_acceptance(request_id, deadline, reply);
        self.desk.clear();
    }
}

impl Handler<Admitted> for Broadcaster {
    type Result = ();

    fn handle(&mut self, admitted: Admitted, _: &mut Self::Context) {
        self.desk.take("Admitted", Some(admitted.address.request_id));
        self.correlation.admit(admitted, Instant::now());
        self.desk.clear();
    }
}

impl Handler<Opened> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Opened { request_id }: Opened, _: &mut Self::Context) {
        // Said once only: not lost, whatever happens here.
        self.opening = Some(request_id);
        self.desk.take("Opened", None);
        self.open();
        self.desk.clear();
    }
}

impl Handler<ChunkProduced> for Broadcaster {
    type Result = ();

    fn handle(&mut self, chunk: ChunkProduced, _: &mut Self::Context) {
        // Whoever produced it waits until it is taken: lost in a panic here, it ends the request there, with the
        // text that was shown, which is not known here.
        self.desk.take("ChunkProduced", None);
        self.correlation.chunk(chunk, self.clock.now(), Instant::now());
        self.desk.clear();
    }
}

impl Handler<Recorded> for Broadcaster {
    type Result = ();

    fn handle(&mut self, recorded: Recorded, _: &mut Self::Context) {
        self.desk.take("Recorded", Some(recorded.request_id()));
        self.correlation.recorded(recorded, Instant::now());
        self.desk.clear();
    }
}

impl Handler<Restored> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Restored { terminals }: Restored, _: &mut Self::Context) {
        // Said once only: not lost, whatever happens here.
        self.restoring = terminals;
        self.desk.take("Restored", None);
        self.restore();
        self.desk.clear();
    }
}

impl Handler<Subscribe> for Broadcaster {
    type Result = MessageResult<Subscribe>;

    fn handle(&mut self, Subscribe { filter, after }: Subscribe, _: &mut Self::Context) -> Self::Result {
        self.desk.take("Subscribe", None);
        let subscription = self.correlation.subscribe(filter, after, Instant::now());
        self.desk.clear();
        MessageResult(subscription)
    }
}

impl Handler<Acknowledge> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Acknowledge { owner, finals }: Acknowledge, _: &mut Self::Context) {
        self.desk.take("Acknowledge", None);
        self.correlation.acknowledge(owner, &finals);
        self.desk.clear();
    }
}

impl Handler<Cancel> for Broadcaster {
    type Result = Result<(), Failure>;

    fn handle(&mut self, Cancel { owner, request_id }: Cancel, _: &mut Self::Context) -> Self::Result {
        self.desk.take("Cancel", None);
        let cancelled = self.correlation.cancel(owner, request_id);
        self.desk.clear();
        cancelled
    }
}

impl Handler<Stop> for Broadcaster {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

#[cfg(test)]
mod tests;
