//! One socket: the thin shell that carries out what the state machines decide. One task owns it all, so
//! frames are handled strictly in the order of arrival, a subscribe is registered before the next frame
//! is read, and nothing is written by two at once.
//!
//! Bytes wait nowhere: a subscription is read from its owner's log when the socket can take more, and a
//! socket that takes nothing for too long is dropped.

use std::{future::pending, sync::Arc};

use actix_web::rt::task::JoinHandle;
use actix_ws::AggregatedMessage;
use async_graphql::parser::types::OperationType;
use duologue_actors::{
    broadcaster::EventKind,
    ports::Credentials,
    protocol::{Code, Failure, Hop},
};
use tokio::time::{Instant, sleep_until};

use super::{
    Protocol, Shared,
    close::Close,
    connections::OpenSocket,
    departure::Departure,
    dialect::{OperationId, Refused},
    inbound::{Inbound, Received},
    keepalive::{Beat, Keepalive, Timing},
    machine::{Effect, Machine, Rules},
    operations::{Answer, Operation, Operations},
    origin::Origin,
    pulse::Pulse,
    recheck::Rechecks,
    subscriptions::{Entry, Subscriptions},
    writer::{Lost, Writer},
};
use crate::graphql::{GraphqlRequest, error};

mod ending;
mod verification;

use ending::End;
use verification::{Answered, Caller};

/// Waiting queries and mutations take no more than so many of the largest messages.
const MAX_WAITING_MESSAGES: usize = 4;

type Step = Result<(), End>;

pub struct Session {
    shared: Arc<Shared>,
    protocol: Protocol,
    machine: Machine,
    keepalive: Keepalive,
    pulse: Option<Pulse>,
    writer: Writer,
    subscriptions: Subscriptions,
    operations: Operations,
    verifying: Option<JoinHandle<Answered>>,
    caller: Option<Caller>,
    departure: Departure,
    _open: OpenSocket,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        protocol: Protocol,
        session: actix_ws::Session,
        origin: Origin,
        credentials: Credentials,
        number: u64,
    ) -> Self {
        let (config, now) = (&shared.config, Instant::now());
        let max_waiting_bytes = config.max_frame_bytes.saturating_mul(MAX_WAITING_MESSAGES);
        let rechecks = Rechecks::of_socket(number, shared.recheck);
        let rules = Rules::new(config, shared.graphql.needs_token(), rechecks);
        Self {
            protocol,
            machine: Machine::new(protocol.dialect(config), rules, origin, credentials, now),
            keepalive: Keepalive::new(Timing::from(config), now),
            pulse: None,
            writer: Writer::new(session, config.stalled_send()),
            subscriptions: Subscriptions::new(config.read_batch_bytes),
            operations: Operations::new(shared.graphql.clone(), max_waiting_bytes),
            verifying: None,
            caller: None,
            departure: shared.departures.of_socket(number),
            _open: shared.connections.opened(protocol.name()),
            shared,
        }
    }

    pub async fn run(mut self, mut inbound: Inbound) {
        let end = self.serve(&mut inbound).await;
        self.finish(end).await;
    }

    async fn serve(&mut self, inbound: &mut Inbound) -> End {
        let opening = self.machine.opened();
        let mut done = self.perform(opening).await;
        loop {
            match done {
                Ok(()) => done = self.step(inbound).await,
                Err(end) => return end,
            }
        }
    }

    /// Waits for the next thing to happen and does what it asks for. What is listed first goes first:
    /// streams of answers, the only source that may always have more, come last.
    async fn step(&mut self, inbound: &mut Inbound) -> Step {
        let ping = self.keepalive.deadline();
        let alarm = self.machine.deadline().map_or(ping, |deadline| deadline.min(ping));
        tokio::select! {
            biased;
            () = self.departure.due() => Err(End::Close(Close::ServerRestart)),
            received = inbound.next(), if self.machine.listens() => self.receive(received).await,
            lost = stopped(&mut self.pulse) => Err(End::Lost(lost)),
            () = sleep_until(alarm) => self.alarm().await,
            verified = finished(&mut self.verifying) => self.verified(verified).await,
            answer = self.operations.answered() => self.answer(answer).await,
            entry = self.subscriptions.ready() => self.stream(entry).await,
        }
    }

    async fn receive(&mut self, received: Option<Received>) -> Step {
        let Some(received) = received else { return Err(End::Lost(Lost::Gone)) };
        if let Received::Message(AggregatedMessage::Close(reason)) = received {
            return Err(End::Left(reason));
        }
        let effect = self.machine.received(received.frame(), Instant::now());
        self.perform(effect).await?;
        match received {
            Received::Message(AggregatedMessage::Ping(payload)) => self.writer.pong(&payload).await?,
            Received::Message(AggregatedMessage::Pong(payload)) => self.acknowledge(&payload),
            _ => {}
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Step {
        match effect {
            Effect::Nothing => Ok(()),
            Effect::Send(messages) => self.send(messages).await,
            Effect::Admit => self.admit().await,
            Effect::Close(close) => Err(End::Close(close)),
            Effect::Verify(credentials) => {
                self.verify(credentials);
                Ok(())
            }
            Effect::VerifyAgain => {
                if let Some(credentials) = self.caller.as_ref().map(|caller| caller.credentials.clone()) {
                    self.verify(credentials);
                }
                Ok(())
            }
            Effect::Start { id, request, bytes } => self.start(id, *request, bytes).await,
            Effect::Stop(id) => {
                if !self.subscriptions.stop(&id) {
                    self.operations.stop(&id);
                }
                Ok(())
            }
        }
    }

    async fn admit(&mut self) -> Step {
        let greeting = self.machine.dialect().greeting();
        self.send(vec![greeting]).await?;
        let rhythm = self.machine.dialect().rhythm();
        let pulse = |rhythm| Pulse::start(rhythm, self.writer.clone(), self.shared.clock.clone());
        self.pulse = rhythm.map(pulse);
        Ok(())
    }

    async fn start(&mut self, id: OperationId, request: GraphqlRequest, bytes: usize) -> Step {
        let Some(caller) = &self.caller else { return Ok(()) };
        match self.shared.graphql.operation(&request) {
            Err(response) => self.refuse(&id, Refused::Document(response)).await,
            Ok(OperationType::Subscription) => self.subscribe(id, request).await,
            Ok(OperationType::Query | OperationType::Mutation) => {
                let credentials = caller.credentials.clone();
                if self.operations.put(Operation { id: id.clone(), request, credentials, bytes }) {
                    return Ok(());
                }
                let failure = Failure::new(Code::RateLimited, Hop::Edge, "Too many operations are waiting.");
                self.refuse(&id, Refused::NotTaken(failure)).await
            }
        }
    }

    /// Registers a subscription and says so. Everything the client sends next comes after it.
    async fn subscribe(&mut self, id: OperationId, request: GraphqlRequest) -> Step {
        let Some(caller) = &self.caller else { return Ok(()) };
        let prepared = match self.shared.graphql.subscribe(request, &caller.identity).await {
            Ok(prepared) => prepared,
            Err(response) => return self.refuse(&id, Refused::Document(response)).await,
        };
        let after = prepared.after.or_else(|| self.machine.resumes(&prepared.filter));
        let (known, filter) = (caller.known(), prepared.filter.clone());
        let reader = match self.shared.entrance.subscribe_after(known, filter, after).await {
            Ok(reader) => reader,
            Err(failure) => return self.refuse(&id, Refused::NotTaken(failure)).await,
        };
        let first = prepared.first(&reader);
        let dialect = self.machine.dialect();
        let (said, envelope) = (dialect.subscribed(&id, &first), dialect.envelope(&id));
        self.send(said).await?;
        self.subscriptions.put(Entry::new(id, envelope, prepared, reader));
        Ok(())
    }

    /// Writes what a subscription has, up to one batch, and lets the next one have its turn.
    async fn stream(&mut self, mut entry: Entry) -> Step {
        let events = entry.news();
        if entry.has_hole() {
            let failure =
                Failure::new(Code::Overloaded, Hop::Broadcaster, "Messages were lost: subscribe again.");
            self.machine.finished(&entry.id);
            let messages = self.machine.dialect().broken_off(&entry.id, &error::reset_by(&failure));
            return self.send(messages).await;
        }
        for event in events {
            let payload = entry.prepared.render(&event).await;
            self.writer.text(entry.envelope.text(&payload)).await?;
            match event.kind {
                // Whoever was told that it is withheld has not received it.
                EventKind::Final if !event.is_withheld => {
                    tracing::debug!(request_id = %event.request_id(), "final written");
                    self.keepalive.wrote_final(event.request_id(), Instant::now());
                }
                EventKind::Echo | EventKind::Restart | EventKind::Chunk | EventKind::Final => {
                    self.keepalive.wrote(Instant::now())
                }
            }
        }
        self.subscriptions.put(entry);
        Ok(())
    }

    async fn answer(&mut self, answer: Answer) -> Step {
        self.machine.finished(&answer.id);
        let messages = self.machine.dialect().answered(&answer.id, &answer.response);
        self.send(messages).await?;
        // The client has its requestId now.
        drop(answer.opens);
        Ok(())
    }

    async fn alarm(&mut self) -> Step {
        let now = Instant::now();
        let effect = self.machine.tick(now);
        self.perform(effect).await?;
        match self.keepalive.beat(now) {
            None => Ok(()),
            Some(Beat::Ping(payload)) => Ok(self.writer.ping(&payload).await?),
            Some(Beat::Dead) => Err(End::NoPong),
        }
    }

    fn acknowledge(&mut self, payload: &[u8]) {
        let finals = self.keepalive.pong(payload);
        if let Some(caller) = &self.caller
            && !finals.is_empty()
        {
            self.shared.entrance.acknowledge(caller.identity.user.id, finals);
        }
    }

    async fn refuse(&mut self, id: &OperationId, refused: Refused) -> Step {
        self.machine.finished(id);
        let messages = self.machine.dialect().refused(id, &refused);
        self.send(messages).await
    }

    async fn send(&mut self, messages: Vec<String>) -> Step {
        for message in messages {
            self.writer.text(message).await?;
        }
        Ok(())
    }
}

/// Why the pulse stopped; waits for ever where there is none.
async fn stopped(pulse: &mut Option<Pulse>) -> Lost {
    match pulse {
        Some(pulse) => pulse.stopped().await,
        None => pending().await,
    }
}

/// What a task returned, or `None` when it panicked; waits for ever while there is no task.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = task else {
        return pending().await;
    };
    let ended = running.await;
    *task = None;
    ended.ok()
}
