//! The streams in a real Redis or Valkey: every operation within its time, behind the breaker.
//!
//! Two connections: one is shared by all who read, the other belongs to the relay, because WATCH is a state of the
//! connection. After any error a connection is dropped, with whatever is still on its way, and the next operation
//! makes a new one.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use duologue_actors::{
    ports::ConversationLimits,
    protocol::{ChatMessage, MessageId},
};
use redis::{Client, FromRedisValue, Pipeline, RedisResult, Value};
use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    ConversationError,
    breaker::{Bounds, Breaker, Change, Open},
    entry,
    outbox::StreamName,
    streams::{Fault, Streams},
};
use crate::config::RedisConfig;

mod commands;
mod line;
mod reply;

use line::{Connection, Line, Made};

/// How often an addition is tried again because somebody else has written to the same stream meanwhile.
const TRIES: usize = 5;

/// Of a stream, so many entries more are looked at than are to be added: what an addition whose end nobody heard has
/// left is among the newest, unless others have written more than these since. What is looked at is bounded by what
/// comes, not by how long a stream has become.
const OTHERS: usize = 50;

pub(super) struct Redis {
    client: Client,
    timeout: Duration,
    limits: ConversationLimits,
    breaker: Mutex<Breaker>,
    reading: Line,
    writing: Line,
}

impl Redis {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL is none of a Redis.
    pub(super) fn new(
        config: &RedisConfig,
        password: Option<&SecretString>,
        limits: ConversationLimits,
    ) -> Result<Self, ConversationError> {
        let client = line::client(config, password)
            .map_err(|error| ConversationError::Url(error.category().to_owned()))?;
        let bounds = Bounds { failures: config.breaker_failures, open: config.breaker_open() };
        Ok(Self {
            client,
            timeout: config.timeout(),
            limits,
            breaker: Mutex::new(Breaker::new(bounds)),
            reading: Line::default(),
            writing: Line::default(),
        })
    }

    /// Runs `commands` on the connection of `line`, all in one round trip.
    async fn ask<T: FromRedisValue>(&self, line: &Line, commands: &Pipeline) -> Result<T, Fault> {
        self.breaker().admit(Instant::now()).map_err(left_alone)?;
        let answer = self.run(line, commands).await;
        self.note(answer.as_ref().err());
        answer
    }

    async fn run<T: FromRedisValue>(&self, line: &Line, commands: &Pipeline) -> Result<T, Fault> {
        let deadline = Instant::now() + self.timeout;
        let (connection, made) = self.by(deadline, line.connection(&self.client)).await?;
        let answer = self.run_on(line, &connection, commands, deadline).await;
        // A connection that was closed while nobody used it shows that only now. A transaction is not repeated: its
        // watch went with the connection.
        if matches!(answer, Err(Fault::Down(_))) && made == Made::Earlier && !commands.is_transaction() {
            let (connection, _) = self.by(deadline, line.connection(&self.client)).await?;
            return self.run_on(line, &connection, commands, deadline).await;
        }
        answer
    }

    async fn run_on<T: FromRedisValue>(
        &self,
        line: &Line,
        connection: &Connection,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<T, Fault> {
        let mut link = connection.link();
        let answer = self.by(deadline, commands.query_async(&mut link)).await;
        if answer.is_err() {
            line.drop(connection);
        }
        answer
    }

    async fn by<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = RedisResult<T>> + Send,
    ) -> Result<T, Fault> {
        match tokio::time::timeout_at(deadline, work).await {
            Ok(answer) => answer.map_err(|error| reply::fault(&error)),
            Err(_) => Err(Fault::Down(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }

    /// Tells the breaker how an operation went. Only silence counts as a failure: a server that says no is there, and
    /// costs nobody any time.
    fn note(&self, fault: Option<&Fault>) {
        let change = match fault {
            Some(Fault::Down(because)) => self.breaker().failed(Instant::now(), because),
            _ => self.breaker().answered(),
        };
        match change {
            Some(Change::Opened) => {
                let error = fault.map(ToString::to_string);
                tracing::warn!(error, "conversation.redis.left_alone");
            }
            Some(Change::Closed) => tracing::info!("conversation.redis.answers"),
            None => {}
        }
    }

    /// Nothing is left half-done under this lock.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the stream and returns which messages are the newest in it.
    async fn watch(&self, stream: StreamName, newest: usize) -> Result<HashSet<MessageId>, Fault> {
        let commands = commands::watch(stream, newest);
        let entries = reply::entries(self.ask(&self.writing, &commands).await?);
        Ok(entries.iter().flatten().filter_map(entry::id).collect())
    }
}

#[async_trait]
impl Streams for Redis {
    async fn read(&self, stream: StreamName) -> Result<Vec<ChatMessage>, Fault> {
        let commands = commands::read(stream, self.limits.messages);
        let entries = reply::entries(self.ask(&self.reading, &commands).await?);
        let found = entries.len();
        let readable = entries.iter().rev().flatten();
        let messages: Vec<ChatMessage> = readable.filter_map(entry::message).collect();
        let skipped = found - messages.len();
        if skipped > 0 {
            tracing::warn!(user = %stream.owner, skipped, "conversation.entries.unreadable");
        }
        Ok(messages)
    }

    async fn add(&self, stream: StreamName, messages: &[ChatMessage]) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let there = self.watch(stream, messages.len() + OTHERS).await?;
            let missing: Vec<&ChatMessage> =
                messages.iter().filter(|message| !there.contains(&message.id)).collect();
            // The watch that is left is cleared by the next EXEC, and at worst makes that one be tried again.
            if missing.is_empty() {
                return Ok(());
            }
            let commands = commands::add(stream, &missing, &self.limits);
            match self.ask(&self.writing, &commands).await? {
                // Somebody else has written since the watch.
                Value::Nil => {}
                _ => return Ok(()),
            }
        }
        Err(Fault::OfOne(format!("somebody else keeps writing to {}", entry::key(stream))))
    }

    async fn ping(&self) -> Result<(), Fault> {
        self.ask::<Value>(&self.reading, &commands::ping()).await.map(drop)
    }
}

fn left_alone(open: Open) -> Fault {
    Fault::LeftAlone { because: open.because, retry_after: open.retry_after }
}
