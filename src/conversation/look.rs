//! A user's threads, looked at from outside, also while a server works with them.

use std::time::SystemTime;

use duologue_actors::{
    ports::{ConversationLimits, StoreError},
    protocol::{ChatMessage, Thread, ThreadId, UserId},
};

use super::{
    ConversationError,
    outbox::StreamName,
    password,
    redis::Redis,
    relayed,
    streams::{Fault, Streams},
};
use crate::{
    config::{Config, ConversationKind},
    storage::Look,
};

/// A thread and its messages, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `None` for what others wrote to the stream of a user who has no thread here.
    pub thread: Option<Thread>,
    pub messages: Vec<ChatMessage>,
}

/// Why a conversation cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Settings(#[from] ConversationError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The threads of `owner`, the one with the newest message last; only `wanted`, if one is.
///
/// # Errors
/// When the store that the settings name cannot be read.
pub async fn look(
    config: &Config,
    storage: &Look,
    owner: UserId,
    wanted: Option<ThreadId>,
    now: SystemTime,
) -> Result<Vec<Seen>, LookError> {
    let limits = config.conversation.limits();
    let mut threads = storage.threads(&limits, owner, now)?;
    threads.retain(|thread| wanted.is_none_or(|wanted| wanted == thread.id));
    threads.reverse();
    if config.conversation.store == ConversationKind::Redis {
        let streams = InRedis::new(config, storage, owner, limits, now)?;
        return streams.seen(threads, wanted.is_none()).await;
    }
    let mut seen = Vec::new();
    for thread in threads {
        let messages = storage.messages(&limits, owner, thread.id, now)?;
        seen.push(Seen { thread: Some(thread), messages });
    }
    Ok(seen)
}

struct InRedis<'s> {
    storage: &'s Look,
    redis: Redis,
    url: &'s str,
    owner: UserId,
    limits: ConversationLimits,
    now: SystemTime,
}

impl<'s> InRedis<'s> {
    fn new(
        config: &'s Config,
        storage: &'s Look,
        owner: UserId,
        limits: ConversationLimits,
        now: SystemTime,
    ) -> Result<Self, ConversationError> {
        let settings = &config.conversation.redis;
        let redis = Redis::new(settings, password(settings)?, limits)?;
        Ok(Self { storage, redis, url: &settings.url, owner, limits, now })
    }

    /// The threads, and before them what is in the stream that is none of theirs.
    async fn seen(&self, threads: Vec<Thread>, with_others: bool) -> Result<Vec<Seen>, LookError> {
        let main = StreamName { owner: self.owner, thread_id: None };
        let (mut seen, mut has_main) = (Vec::new(), false);
        for thread in threads {
            // In this order, as the server itself reads.
            let Some(waiting) = self.storage.waiting(&self.limits, self.owner, thread.id, self.now)? else {
                continue;
            };
            has_main |= waiting.stream == main;
            let messages = self.read(waiting.stream, waiting.messages, Some(thread.id)).await?;
            seen.push(Seen { thread: Some(thread), messages });
        }
        if with_others && !has_main {
            let messages = self.read(main, Vec::new(), None).await?;
            if !messages.is_empty() {
                seen.insert(0, Seen { thread: None, messages });
            }
        }
        Ok(seen)
    }

    async fn read(
        &self,
        stream: StreamName,
        waiting: Vec<ChatMessage>,
        thread_id: Option<ThreadId>,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let unavailable = |fault: Fault| StoreError::Unavailable(format!("redis at {}: {fault}", self.url));
        let written = self.redis.read(stream).await.map_err(unavailable)?;
        Ok(relayed::conversation(written, waiting, thread_id, &self.limits, self.now))
    }
}
