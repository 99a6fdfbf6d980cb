//! Where conversations are kept: beside the journal, or in Redis.
//!
//! In Redis a thread is a stream, as GitLab's own layer stores it (`entry`); which threads there are, the database says.
//! No request waits for it: a message is put into the outbox, in the commit that accepts its request, and the relay
//! moves it on. So whatever happens to Redis loses no message and holds up no answer. What is read is the stream and what waits for it (`relayed`).
//!
//! Invariants: every operation on Redis is bounded in time; nothing of a message is in an error or a log.

use std::{sync::Arc, time::Duration};

use duologue_actors::ports::ConversationStore;
use secrecy::SecretString;

use crate::{
    config::{Config, ConversationKind, RedisConfig},
    http::health::Condition,
    storage::{Shelf, Storage},
};

mod breaker;
mod entry;
mod look;
pub mod outbox;
mod redis;
mod relay;
mod relayed;
mod streams;
#[cfg(test)]
mod testing;

pub use self::look::{LookError, Seen, look};
use self::{redis::Redis, relay::Relay, relayed::Relayed};

/// Why the conversations cannot be kept where the settings say.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    #[error(
        "conversation.redis.password_variable names {0}, which is not set; set it, or leave password_variable out"
    )]
    NoPassword(String),
    #[error("conversation.redis.url cannot be used: {0}")]
    Url(String),
}

/// The store of conversations that the settings name.
pub enum Conversation {
    /// In the database of the journal.
    Embedded(Arc<Storage>),
    Redis {
        store: Arc<Relayed>,
        relay: Relay,
    },
}

impl Conversation {
    /// The store, at work: what an earlier process could not write to Redis is on its way there. Must be called
    /// inside a tokio runtime. Redis need not be there.
    ///
    /// # Errors
    /// When the settings are not enough to find it.
    pub fn open(config: &Config, storage: &Arc<Storage>) -> Result<Self, ConversationError> {
        if config.conversation.store == ConversationKind::Embedded {
            return Ok(Self::Embedded(storage.clone()));
        }
        let redis = &config.conversation.redis;
        let limits = config.conversation.limits();
        let streams = Arc::new(Redis::new(redis, password(redis)?, limits)?);
        let relay = Relay::start(storage.clone(), streams.clone());
        let store = Relayed::new(storage.clone(), streams, relay.signal(), limits, redis.url.clone());
        Ok(Self::Redis { store: Arc::new(store), relay })
    }

    #[must_use]
    pub fn store(&self) -> Arc<dyn ConversationStore> {
        match self {
            Self::Embedded(storage) => storage.clone(),
            Self::Redis { store, .. } => store.clone(),
        }
    }

    /// For readiness. Never missing: without its conversations the server answers all the same.
    pub async fn condition(&self) -> Condition {
        match self {
            // The part `storage` tells how that is.
            Self::Embedded(_) => Condition::Ready,
            Self::Redis { store, .. } => store.concern().await.map_or(Condition::Ready, Condition::Degraded),
        }
    }

    /// Writes what can be written within `patience`, then stops. The rest waits for the next start.
    pub async fn stop(&self, patience: Duration) {
        if let Self::Redis { relay, .. } = self {
            relay.stop(patience).await;
        }
    }
}

/// Which shelf of the database the messages of new requests go on.
#[must_use]
pub fn shelf(config: &Config) -> Shelf {
    match config.conversation.store {
        ConversationKind::Embedded => Shelf::Messages,
        ConversationKind::Redis => Shelf::Outbox,
    }
}

/// What people are told of the store that the settings name.
///
/// # Errors
/// When the settings are not enough to find it.
pub fn describe(config: &Config) -> Result<String, ConversationError> {
    let redis = &config.conversation.redis;
    Ok(match config.conversation.store {
        ConversationKind::Embedded => format!("embedded, in {}", config.storage.path.display()),
        ConversationKind::Redis => {
            Redis::new(redis, password(redis)?, config.conversation.limits())?;
            redis.url.clone()
        }
    })
}

/// A password that is named and not there would show only when Redis refuses.
fn password(redis: &RedisConfig) -> Result<Option<&SecretString>, ConversationError> {
    match (&redis.password_variable, &redis.password) {
        (Some(variable), None) => Err(ConversationError::NoPassword(variable.clone())),
        (_, password) => Ok(password.as_ref()),
    }
}
