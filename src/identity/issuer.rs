//! One issuer and what is known of its keys.
//!
//! | when | what |
//! |---|---|
//! | nothing is known | the caller waits for the answer; after a failure nobody asks again for a while |
//! | the keys are old | one task asks for them while everybody goes on with the known ones |
//! | the keys are too old | they are good for nothing any more, as if nothing were known |
//! | a token names a key that is not known, none where there are several, or its signature is bad | its caller waits while one task asks, at most once in a while |
//! | the issuer does not answer | the known keys stay, until they are too old |
//! | it answers without a key | that key is good for nothing any more |
//!
//! "A while" is `auth.jwks_unknown_key_seconds` from the end of the question before, "old" is
//! `auth.jwks_refresh_seconds`, "too old" `auth.jwks_max_stale_seconds`. At any time at most one question is
//! on its way, in a task of its own: a caller who leaves does not take it along. Whoever comes meanwhile
//! waits for its answer and asks none of their own.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jsonwebtoken::Algorithm;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task::JoinHandle,
    time::Instant,
};

use super::{
    claims::Speaks,
    discovery::Discovery,
    jwks::{Key, KeyId, KeySet},
    refusal::Refusal,
};

/// How often an issuer is asked, and for how long its answer counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    pub(super) refresh: Duration,
    pub(super) unknown_key: Duration,
    pub(super) max_stale: Duration,
}

pub(super) struct Issuer {
    discovery: Discovery,
    speaks: Speaks,
    intervals: Intervals,
    state: Mutex<State>,
    /// Held while a question is on its way.
    flight: Arc<AsyncMutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When the keys came.
    answered: Option<Instant>,
    /// When the last question ended, with whatever result.
    asked: Option<Instant>,
    /// When the last question ended that a token was the reason of.
    asked_for_token: Option<Instant>,
}

/// Why a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The keys are not known, or old.
    Age,
    /// A token does not fit the known ones.
    Token,
}

impl Issuer {
    pub(super) fn new(discovery: Discovery, speaks: Speaks, intervals: Intervals) -> Self {
        let flight = Arc::new(AsyncMutex::new(()));
        Self { discovery, speaks, intervals, state: Mutex::default(), flight }
    }

    /// Its URL, without the slash at the end.
    pub(super) fn name(&self) -> &str {
        self.discovery.issuer()
    }

    pub(super) fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// The key to verify a token with.
    pub(super) async fn key(
        self: &Arc<Self>,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, Refusal> {
        let Some(keys) = self.current() else {
            return self.first_keys().await?.find(name, algorithm);
        };
        match keys.find(name, algorithm) {
            Err(Refusal::UnknownKey | Refusal::NoKeyId) => self.look_again().await?.find(name, algorithm),
            found => found,
        }
    }

    /// The key for a token whose signature is bad by `other`: the issuer may have given its name, or the
    /// place of its only one, to another key.
    pub(super) async fn key_instead_of(
        self: &Arc<Self>,
        other: &KeyId,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, Refusal> {
        let key = self.look_again().await?.find(name, algorithm)?;
        if key.id() == other { Err(Refusal::BadSignature) } else { Ok(key) }
    }

    /// Whether the issuer still has this key, as far as is known.
    pub(super) fn has(self: &Arc<Self>, id: &KeyId) -> bool {
        self.current().is_some_and(|keys| keys.has(id))
    }

    /// Asks for the keys if they are not known or old, and waits for nothing.
    pub(super) fn refresh(self: &Arc<Self>) {
        if self.is_due()
            && let Ok(flight) = Arc::clone(&self.flight).try_lock_owned()
        {
            drop(self.ask(flight, Reason::Age));
        }
    }

    /// What is wrong with it, for whoever runs the server.
    pub(super) fn concern(&self) -> Option<&'static str> {
        let has_keys = self.keys().is_some();
        let state = self.state();
        match (has_keys, state.answered.is_some(), state.answered < state.asked) {
            (true, _, false) => None,
            (true, _, true) => Some("does not answer; its keys of before are used"),
            (false, true, _) => {
                Some("has not answered for auth.jwks_max_stale_seconds; its tokens are not taken")
            }
            (false, false, _) => Some("has not said its keys yet; its tokens are not taken"),
        }
    }

    /// The known keys, which are asked for anew when they are old.
    fn current(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let keys = self.keys()?;
        self.refresh();
        Some(keys)
    }

    /// The known keys, if they are not too old.
    fn keys(&self) -> Option<Arc<KeySet>> {
        let state = self.state();
        let are_too_old = has_passed(state.answered, self.intervals.max_stale);
        state.keys.clone().filter(|_| !are_too_old)
    }

    fn is_due(&self) -> bool {
        let state = self.state();
        has_passed(state.answered, self.intervals.refresh)
            && has_passed(state.asked, self.intervals.unknown_key.min(self.intervals.refresh))
    }

    async fn first_keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Refusal> {
        self.ask_or_join(Reason::Age).await;
        self.keys().ok_or(Refusal::IssuerUnavailable)
    }

    async fn look_again(self: &Arc<Self>) -> Result<Arc<KeySet>, Refusal> {
        self.ask_or_join(Reason::Token).await;
        self.keys().ok_or(Refusal::IssuerUnavailable)
    }

    /// Asks, if it may be asked again; or waits for the answer to the question that is on its way.
    async fn ask_or_join(self: &Arc<Self>, reason: Reason) {
        let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() else {
            drop(self.flight.lock().await);
            return;
        };
        if self.may_ask(reason) {
            // A panic in the task leaves things as they were, which is all that waiting tells.
            drop(self.ask(flight, reason).await);
        }
    }

    fn may_ask(&self, reason: Reason) -> bool {
        let state = self.state();
        let last = match reason {
            Reason::Age => state.asked,
            Reason::Token => state.asked_for_token,
        };
        has_passed(last, self.intervals.unknown_key)
    }

    fn ask(self: &Arc<Self>, flight: OwnedMutexGuard<()>, reason: Reason) -> JoinHandle<()> {
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let _flight = flight;
            let answer = issuer.fetch().await;
            issuer.state().end(answer, reason);
        })
    }

    async fn fetch(&self) -> Option<KeySet> {
        match self.discovery.key_set().await {
            Ok(keys) => {
                tracing::debug!(issuer = self.name(), keys = keys.len(), "keys of an issuer fetched");
                Some(keys)
            }
            Err(error) => {
                let error: &(dyn Error + 'static) = &error;
                let known = self.keys().map_or(0, |keys| keys.len());
                tracing::warn!(
                    issuer = self.name(),
                    known_keys = known,
                    error,
                    "keys of an issuer not fetched"
                );
                None
            }
        }
    }

    /// Waits until no question is on its way.
    #[cfg(test)]
    pub(super) async fn idle(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.flight).lock_owned().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A question has ended. A slow one is followed by as long a pause as a quick one.
    fn end(&mut self, answer: Option<KeySet>, reason: Reason) {
        let now = Some(Instant::now());
        self.asked = now;
        if reason == Reason::Token {
            self.asked_for_token = now;
        }
        if let Some(keys) = answer {
            self.keys = Some(Arc::new(keys));
            self.answered = now;
        }
    }
}

fn has_passed(since: Option<Instant>, interval: Duration) -> bool {
    since.is_none_or(|since| since.elapsed() >= interval)
}
