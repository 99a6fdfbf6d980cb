//! The pairing of requests with their answers: plain state, changed by plain functions, without an
//! actor and without I/O.
//!
//! A request is awaited (a client waits for its `requestId`), live (its messages are published, or held
//! while its gate is closed) and finished (kept for replay). It is in exactly one of the three.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Granted,
    cursor::Cursor,
    event::Draft,
    filter::Filter,
    metering,
    subscription::{Named, Subscription},
    user_log::UserLog,
};
use crate::{
    cache::{Admitted, Recorded, records},
    clock::Deadline,
    completion::ChunkProduced,
    limits::{BROADCASTER_GRACE, Limits},
    policy::checks::NOT_FOUND,
    ports::TerminalRecord,
    protocol::{Address, ChatMessage, Code, Ended, Failure, Hop, MessageId, RequestId, Role, UserId},
};

/// Where the answer to "is it accepted?" goes.
pub(super) type Reply = oneshot::Sender<Result<Granted, Failure>>;

#[derive(Debug)]
pub(super) struct Correlation {
    limits: Limits,
    awaited: HashMap<RequestId, Waiter>,
    live: HashMap<RequestId, Live>,
    finished: HashMap<RequestId, Finished>,
    finished_order: VecDeque<(Instant, RequestId)>,
    logs: HashMap<UserId, Arc<UserLog>>,
    live_bytes: usize,
    finished_bytes: usize,
    has_room: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Waiter {
    reply: Reply,
    deadline: Deadline,
}

#[derive(Debug)]
struct Live {
    address: Arc<Address>,
    deadline: Deadline,
    cancel: CancellationToken,
    gate: Gate,
    beginning: Beginning,
    bytes: usize,
    /// Held, so that the cursor its client was given means something for as long as it is live.
    log: Arc<UserLog>,
}

/// Nothing of a request is published before its client has the `requestId`.
#[derive(Debug)]
enum Gate {
    Closed { held: Vec<Draft>, has_ended: bool },
    Open,
}

/// Whether somebody may have seen the beginning of another answer to the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// An earlier process worked on it, and nobody knows what it has shown. Said before the first chunk.
    Again,
    /// Nothing of it has been shown that does not count.
    Plain,
}

#[derive(Debug)]
struct Finished {
    owner: UserId,
    bytes: usize,
}

impl Correlation {
    pub(super) fn new(limits: Limits, has_room: Arc<AtomicBool>) -> Self {
        Self {
            limits,
            awaited: HashMap::new(),
            live: HashMap::new(),
            finished: HashMap::new(),
            finished_order: VecDeque::new(),
            logs: HashMap::new(),
            live_bytes: 0,
            finished_bytes: 0,
            has_room,
        }
    }

    pub(super) fn await_acceptance(&mut self, request_id: RequestId, deadline: Deadline, reply: Reply) {
        self.awaited.insert(request_id, Waiter { reply, deadline });
    }

    pub(super) fn admit(&mut self, admitted: Admitted, now: Instant) {
        let request_id = admitted.address.request_id;
        let waiter = self.awaited.remove(&request_id);
        let owner = admitted.address.owner;
        let log = self.log(owner);
        let thread_id = admitted.address.thread_id;
        let granted = Granted { request_id, thread_id, cursor: Some(log.end()) };
        let client_waits = waiter.is_some_and(|waiter| waiter.reply.send(Ok(granted)).is_ok());
        let gate = Gate::Closed { held: Vec::new(), has_ended: false };
        let live = Live {
            address: Arc::new(admitted.address),
            deadline: admitted.deadline,
            cancel: admitted.cancel,
            gate,
            beginning: if admitted.recovered { Beginning::Again } else { Beginning::Plain },
            bytes: 0,
            log,
        };
        self.live.insert(request_id, live);
        if let Some(echo) = admitted.echo {
            self.publish(request_id, Draft::echo(echo), now);
        }
        if admitted.recovered || !client_waits {
            self.open(request_id, now);
        }
    }

    /// The client has its `requestId`, or is gone: what was held is published.
    pub(super) fn open(&mut self, request_id: RequestId, now: Instant) {
        let Some(live) = self.live.get_mut(&request_id) else {
            return;
        };
        let Gate::Closed { held, .. } = std::mem::replace(&mut live.gate, Gate::Open) else { return };
        for draft in held {
            self.append(request_id, draft, now);
        }
        // It may have ended meanwhile, and makes room now.
        self.keep_within_memory();
    }

    pub(super) fn chunk(&mut self, chunk: ChunkProduced, timestamp: SystemTime, now: Instant) {
        let ChunkProduced { request_id, chunk_id, content } = chunk;
        let thread_id = self.live.get(&request_id).and_then(|live| live.address.thread_id);
        let message = |content, chunk_id| ChatMessage {
            id: MessageId::new(),
            request_id,
            thread_id,
            role: Role::Assistant,
            content,
            timestamp,
            chunk_id,
            errors: Vec::new(),
        };
        if self.begins_again(request_id) {
            self.publish(request_id, Draft::restart(message(String::new(), None)), now);
        }
        self.publish(request_id, Draft::chunk(message(content, Some(chunk_id))), now);
    }

    /// Whether the next chunk begins another answer than was perhaps seen; asked once a request.
    fn begins_again(&mut self, request_id: RequestId) -> bool {
        let live = self.live.get_mut(&request_id);
        live.is_some_and(|live| std::mem::replace(&mut live.beginning, Beginning::Plain) == Beginning::Again)
    }

    pub(super) fn recorded(&mut self, recorded: Recorded, now: Instant) {
        match recorded {
            Recorded::Refused { request_id, failure } => self.answer(request_id, Err(failure)),
            Recorded::Repeats { request_id, owner, earlier, thread_id } => {
                let cursor = self.before(owner, earlier);
                self.answer(request_id, Ok(Granted { request_id: earlier, thread_id, cursor }));
            }
            Recorded::Terminal(terminal) => {
                // Ended before anybody could say that it is accepted: for its client it never was.
                self.answer(terminal.request_id, Err(Failure::internal(Hop::Cache)));
                self.publish(terminal.request_id, Draft::last(&terminal), now);
            }
        }
    }

    fn answer(&mut self, request_id: RequestId, answer: Result<Granted, Failure>) {
        if let Some(waiter) = self.awaited.remove(&request_id) {
            // A client that is gone needs no answer.
            let _ = waiter.reply.send(answer);
        }
    }

    /// Takes over the finals of an earlier process, each as old as it is.
    pub(super) fn restore(&mut self, terminals: &[Arc<TerminalRecord>], timestamp: SystemTime, now: Instant) {
        for terminal in terminals {
            if self.finished.contains_key(&terminal.request_id) {
                continue;
            }
            let age = timestamp.duration_since(terminal.ended_at).unwrap_or_default();
            let ended_at = now.checked_sub(age).unwrap_or(now);
            let address = Arc::new(terminal.address());
            let draft = Draft::last(terminal);
            let bytes = draft.size();
            self.log(address.owner).append(&address, draft, ended_at);
            self.finish(&address, bytes, ended_at);
        }
        self.keep_within_memory();
    }

    pub(super) fn subscribe(&mut self, filter: Filter, after: Option<Cursor>, now: Instant) -> Subscription {
        let log = self.log(filter.owner());
        let named = self.named(&filter);
        let resumed = after.and_then(|after| log.resume(&filter, after));
        let is_resumed = after.is_some() == resumed.is_some();
        let replay = resumed.unwrap_or_else(|| log.replay(&filter, self.limits.unaddressed_replay, now));
        Subscription::new(log, filter, replay, named, is_resumed)
    }

    fn named(&self, filter: &Filter) -> Named {
        match filter.request_id() {
            None => Named::Nothing,
            Some(id) if self.owner(id) != Some(filter.owner()) => Named::Nowhere,
            Some(id) if self.live.contains_key(&id) => Named::InFlight,
            Some(_) => Named::Finished,
        }
    }

    /// Where an earlier request of `owner` begins, or will begin when its gate opens; `None` when nothing is
    /// kept of it.
    fn before(&self, owner: UserId, request_id: RequestId) -> Option<Cursor> {
        let log = self.logs.get(&owner)?;
        let is_live = self.live.contains_key(&request_id);
        log.before(request_id).or_else(|| is_live.then(|| log.end()))
    }

    /// Whose request it is, if it is live or still kept.
    fn owner(&self, request_id: RequestId) -> Option<UserId> {
        let live = self.live.get(&request_id).map(|live| live.address.owner);
        live.or_else(|| self.finished.get(&request_id).map(|finished| finished.owner))
    }

    pub(super) fn acknowledge(&mut self, owner: UserId, finals: &[RequestId]) {
        let Some(log) = self.logs.get(&owner) else { return };
        for request_id in finals {
            log.acknowledge(*request_id);
        }
    }

    /// Stops the work on a request. What another user asked does not exist.
    pub(super) fn cancel(&self, owner: UserId, request_id: RequestId) -> Result<(), Failure> {
        if self.owner(request_id) != Some(owner) {
            return Err(Failure::new(Code::NotFound, Hop::Broadcaster, NOT_FOUND));
        }
        if let Some(live) = self.live.get(&request_id) {
            live.cancel.cancel();
        }
        Ok(())
    }

    /// Ends what nobody else has ended in time, and forgets what has been kept long enough.
    pub(super) fn tick(&mut self, timestamp: SystemTime, now: Instant) {
        self.refuse_overdue_waiters(now);
        for (request_id, terminal) in self.overdue(timestamp, now) {
            if let Some(terminal) = terminal {
                tracing::warn!(%request_id, "no end was recorded in time, publishing one");
                self.publish(request_id, Draft::last(&terminal), now);
            }
            self.open(request_id, now);
        }
        self.forget_old(now);
    }

    /// Lets a message out, or keeps it until the gate opens.
    fn publish(&mut self, request_id: RequestId, draft: Draft, now: Instant) {
        // Whatever comes after the end of a request is not published.
        let Some(live) = self.live.get_mut(&request_id) else { return };
        if matches!(live.gate, Gate::Closed { has_ended: true, .. }) {
            return;
        }
        metering::published(&live.address, &draft);
        live.bytes += draft.size();
        self.live_bytes += draft.size();
        match &mut live.gate {
            Gate::Closed { held, has_ended } => {
                *has_ended = draft.is_final();
                held.push(draft);
            }
            Gate::Open => self.append(request_id, draft, now),
        }
        self.keep_within_memory();
    }

    fn append(&mut self, request_id: RequestId, draft: Draft, now: Instant) {
        let Some(live) = self.live.get(&request_id) else { return };
        let (address, is_final) = (live.address.clone(), draft.is_final());
        live.log.append(&address, draft, now);
        if is_final && let Some(live) = self.live.remove(&request_id) {
            self.live_bytes -= live.bytes;
            live.cancel.cancel();
            self.finish(&address, live.bytes, now);
        }
    }

    fn finish(&mut self, address: &Address, bytes: usize, now: Instant) {
        self.finished_bytes += bytes;
        self.finished.insert(address.request_id, Finished { owner: address.owner, bytes });
        self.finished_order.push_back((now, address.request_id));
    }

    fn refuse_overdue_waiters(&mut self, now: Instant) {
        let overdue = self
            .awaited
            .extract_if(|_, waiter| now >= waiter.deadline.timer + BROADCASTER_GRACE)
            .collect::<Vec<_>>();
        for (_, waiter) in overdue {
            // A client that is gone needs no answer.
            let _ = waiter.reply.send(Err(Failure::deadline_exceeded(Hop::Broadcaster)));
        }
    }

    /// The live requests past their deadline, each with the end it is to get if it has none.
    fn overdue(&self, timestamp: SystemTime, now: Instant) -> Vec<(RequestId, Option<TerminalRecord>)> {
        let overdue = |live: &&Live| now >= live.deadline.timer + BROADCASTER_GRACE;
        self.live
            .values()
            .filter(overdue)
            .map(|live| {
                let has_ended = matches!(live.gate, Gate::Closed { has_ended: true, .. });
                let terminal = (!has_ended).then(|| deadline_exceeded(&live.address, timestamp));
                (live.address.request_id, terminal)
            })
            .collect()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((ended_at, request_id)) = self.finished_order.front().copied() {
            if now < ended_at + self.limits.terminal_retention {
                return;
            }
            self.forget_oldest(request_id);
        }
    }

    /// Evicts finished requests, oldest first; what is in flight stays, and admission has to wait.
    fn keep_within_memory(&mut self) {
        while self.live_bytes + self.finished_bytes > self.limits.retained_bytes
            && let Some((_, request_id)) = self.finished_order.front().copied()
        {
            self.forget_oldest(request_id);
        }
        self.has_room.store(self.live_bytes <= self.limits.retained_bytes, Relaxed);
    }

    fn forget_oldest(&mut self, request_id: RequestId) {
        self.finished_order.pop_front();
        let Some(finished) = self.finished.remove(&request_id) else {
            return;
        };
        self.finished_bytes -= finished.bytes;
        if let Some(log) = self.logs.get(&finished.owner) {
            log.remove(request_id);
        }
    }

    /// Forgets the logs that are empty and that nobody reads.
    pub(super) fn forget_idle_logs(&mut self) {
        self.logs.retain(|_, log| !log.is_empty() || Arc::strong_count(log) > 1);
    }

    fn log(&mut self, owner: UserId) -> Arc<UserLog> {
        self.logs.entry(owner).or_default().clone()
    }
}

fn deadline_exceeded(address: &Address, ended_at: SystemTime) -> TerminalRecord {
    let failure = Failure::deadline_exceeded(Hop::Broadcaster);
    records::terminal(address.clone(), Ended::failed(address.request_id, failure), ended_at)
}

#[cfg(test)]
mod property;
