//! Cache's work on the journal and the conversation, in the order that keeps the promise. Runs in tasks
//! beside the actor.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Journalled, records, recovery::Loaded};
use crate::{
    clock::Clock,
    policy::Authorized,
    ports::{ConversationStore, Journal, StoreError, TerminalRecord},
    protocol::{Address, ChatMessage, Ended},
    supervisor::panics,
};

/// How long to wait before trying a write again that must not be lost.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Stores {
    pub(super) clock: Clock,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) conversation: Arc<dyn ConversationStore>,
}

impl Stores {
    /// Journals a request and the user's message; both are synced when this returns `Ok`. A recovered
    /// request is in the journal already.
    pub(super) async fn accept(&self, authorized: Authorized) -> Journalled {
        let now = self.clock.now();
        let recovered = authorized.request().origin.is_recovered();
        let echo = if recovered { None } else { records::users_message(authorized.request(), now) };
        let written = async {
            if !recovered {
                self.write_accepted(&authorized, echo.clone(), now).await?;
            }
            self.history(&authorized, now).await
        };
        let written = written.await;
        Journalled { authorized, echo, written }
    }

    async fn write_accepted(
        &self,
        authorized: &Authorized,
        echo: Option<ChatMessage>,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let owner = authorized.caller().user.id;
        let journal = caught(self.journal.accept(records::accepted(authorized, now)));
        let conversation = async {
            match echo {
                Some(message) => caught(self.conversation.append(owner, message)).await,
                None => Ok(()),
            }
        };
        // Together, so that an embedded store can sync both at once.
        let (journal, conversation) = futures::join!(journal, conversation);
        journal?;
        if let Err(error) = conversation {
            // Refused, so it must not run after a restart either.
            self.withdraw(authorized, now).await?;
            return Err(error);
        }
        Ok(())
    }

    async fn withdraw(&self, authorized: &Authorized, now: SystemTime) -> Result<(), StoreError> {
        let address = Address::of(authorized.caller().user.id, authorized.request());
        let ended = Ended::failed(address.request_id, records::storage_unavailable());
        let terminal = records::terminal(address, ended, now);
        self.journal.end(terminal).await.map(|_| ())
    }

    async fn history(
        &self,
        authorized: &Authorized,
        now: SystemTime,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let request = authorized.request();
        if !request.action.cache_response {
            return Ok(Vec::new());
        }
        let messages = self.conversation.messages(authorized.caller().user.id, now).await?;
        Ok(records::history_before(request.id, messages))
    }

    /// Writes a terminal and, when the action keeps a conversation, its final message. Does not give
    /// up: an accepted request that cannot be ended durably now may be able to in a moment.
    pub(super) async fn end(&self, terminal: TerminalRecord, keeps_conversation: bool) -> TerminalRecord {
        let request_id = terminal.request_id;
        let standing = loop {
            match caught(self.journal.end(terminal.clone())).await {
                Ok(standing) => break standing,
                Err(error) => tracing::error!(%request_id, %error, "end could not be journalled yet"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        if keeps_conversation {
            self.keep(&standing).await;
        }
        standing
    }

    /// A conversation without an answer is a smaller loss than an answer that never arrives: the
    /// terminal is in the journal, from which the next start brings the conversation up to date.
    pub(super) async fn keep(&self, terminal: &TerminalRecord) {
        let message = records::final_message(terminal);
        if let Err(error) = caught(self.conversation.append(terminal.owner, message)).await {
            let request_id = terminal.request_id;
            tracing::error!(%request_id, %error, "answer could not be added to the conversation");
        }
    }

    /// What an earlier process left. Waits for a store that does not answer yet.
    pub(super) async fn load(&self, retention: Duration) -> Loaded {
        loop {
            match caught(self.try_load(retention)).await {
                Ok(loaded) => return loaded,
                Err(error) => tracing::error!(%error, "journal could not be read yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_load(&self, retention: Duration) -> Result<Loaded, StoreError> {
        let since = self.clock.now().checked_sub(retention).unwrap_or(SystemTime::UNIX_EPOCH);
        let terminals = self.journal.terminals_since(since).await?;
        let unfinished = self.journal.take_unfinished().await?;
        Ok(Loaded { terminals, unfinished })
    }

    pub(super) async fn sweep(&self, now: SystemTime, retention: Duration) {
        let before = now.checked_sub(retention).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Err(error) = self.journal.forget_ended_before(before).await {
            tracing::warn!(%error, "finished requests could not be swept");
        }
        if let Err(error) = self.conversation.forget_expired(now).await {
            tracing::warn!(%error, "expired conversations could not be swept");
        }
    }
}

/// A store that panics is a store that did not take the write.
async fn caught<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let panicked = |place| Err(StoreError::Unavailable(format!("it panicked at {place}")));
    panics::catch(work).await.unwrap_or_else(panicked)
}
