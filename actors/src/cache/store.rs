//! Cache's work on the journal and the conversation, in the order that keeps the promise. Runs in tasks
//! beside the actor.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Journalled, Written, records, recovery::Left};
use crate::{
    clock::{Clock, Deadline},
    limits::BROADCASTER_GRACE,
    policy::Authorized,
    ports::{Acceptance, ConversationStore, Journal, Question, StoreError, Taken, TerminalRecord},
    protocol::{ChatMessage, Failure, Hop, Origin, Outcome, RequestId, Role, ThreadChoice, ThreadId},
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
    /// Journals a request and the user's message, in its thread; all of it is synced when this says `Accepted`. A
    /// recovered request is in the journal already, and a streamed one never is.
    pub(super) async fn accept(&self, authorized: Authorized) -> Journalled {
        let written = self.write(&authorized).await;
        Journalled { authorized, written }
    }

    async fn write(&self, authorized: &Authorized) -> Result<Written, StoreError> {
        let (request, now) = (authorized.request(), self.clock.now());
        let question = records::question(request, now);
        let taken = match request.origin {
            Origin::Recovered { .. } => {
                // It was written with its thread and its question. Nobody waits for an echo.
                let thread_id = request.thread.id();
                let history = self.history(authorized, thread_id, now).await;
                return Ok(Written::Accepted { echo: None, history, thread_id });
            }
            Origin::Asked => self.journal(authorized, question.clone(), now).await?,
            Origin::Streamed | Origin::Brought(_) => {
                Taken::New { thread_id: self.add_question(authorized, question.clone()).await }
            }
        };
        Ok(match taken {
            Taken::New { thread_id } => {
                let echo = question.map(|question| ChatMessage { thread_id, ..question.message });
                Written::Accepted { echo, history: self.history(authorized, thread_id, now).await, thread_id }
            }
            Taken::Repeats { request_id, thread_id } => Written::Repeats { earlier: request_id, thread_id },
            Taken::Conflicts => Written::Conflicts,
            Taken::NoSuchThread => Written::NoSuchThread,
        })
    }

    async fn journal(
        &self,
        authorized: &Authorized,
        question: Option<Question>,
        now: SystemTime,
    ) -> Result<Taken, StoreError> {
        let record = records::accepted(authorized, now);
        let key = authorized.request().idempotency_key.clone();
        caught(self.journal.accept(Acceptance { record, key, question })).await
    }

    /// Adds the question of a request that is not journalled; returns its thread. Where that cannot be done the
    /// request is answered all the same, and only the conversation misses it.
    async fn add_question(&self, authorized: &Authorized, question: Option<Question>) -> Option<ThreadId> {
        let (message, owner) = (question?.message, authorized.caller().user.id);
        match caught(self.conversation.append(owner, None, message)).await {
            Ok(thread_id) => thread_id,
            Err(error) => {
                let request_id = authorized.request().id;
                tracing::error!(%request_id, %error, "question could not be added to the conversation");
                None
            }
        }
    }

    /// What the prompt may know of earlier questions. A conversation that cannot be read costs the prompt
    /// its memory, not the request its answer.
    async fn history(
        &self,
        authorized: &Authorized,
        thread_id: Option<ThreadId>,
        now: SystemTime,
    ) -> Vec<ChatMessage> {
        let (request, owner) = (authorized.request(), authorized.caller().user.id);
        if let Origin::Brought(exchanges) = &request.origin {
            return records::brought_history(exchanges, now);
        }
        if !request.keeps_conversation() {
            return Vec::new();
        }
        match caught(self.conversation.messages(owner, ThreadChoice::of(thread_id), now)).await {
            Ok(messages) => records::history_before(request.id, messages.unwrap_or_default()),
            Err(error) => {
                tracing::error!(request_id = %request.id, %error, "conversation could not be read");
                Vec::new()
            }
        }
    }

    /// Writes a terminal and, when the action keeps a conversation, its final message.
    pub(super) async fn end(
        &self,
        terminal: TerminalRecord,
        deadline: Deadline,
        is_journalled: bool,
        keeps_conversation: bool,
    ) -> TerminalRecord {
        let standing = if is_journalled { self.write_end(terminal, deadline).await } else { terminal };
        if keeps_conversation {
            self.keep(&standing).await;
        }
        standing
    }

    /// Does not give up: an accepted request that cannot be ended durably now may be able to in a moment.
    async fn write_end(&self, mut terminal: TerminalRecord, deadline: Deadline) -> TerminalRecord {
        let request_id = terminal.request_id;
        loop {
            if Instant::now() >= deadline.timer + BROADCASTER_GRACE {
                // The Broadcaster may have said this already; the journal must not say another thing.
                let (failure, partial) = (Failure::deadline_exceeded(Hop::Cache), String::new());
                terminal.outcome = Outcome::Failed { failure, partial };
            }
            match caught(self.journal.end(terminal.clone())).await {
                Ok(standing) => return standing,
                Err(error) => tracing::error!(%request_id, %error, "end could not be journalled yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A conversation without an answer is a smaller loss than an answer that never arrives: the
    /// terminal is in the journal, from which the next start brings the conversation up to date.
    pub(super) async fn keep(&self, terminal: &TerminalRecord) {
        let message = records::final_message(terminal);
        if let Err(error) =
            caught(self.conversation.append(terminal.owner, terminal.thread_id, message)).await
        {
            let request_id = terminal.request_id;
            tracing::error!(%request_id, %error, "answer could not be added to the conversation");
        }
    }

    /// Adds the answer to a question that is in the conversation without one: the process died between
    /// the terminal and the conversation. Where that cannot be seen it is added too, because adding what
    /// is there already changes nothing.
    pub(super) async fn complete(&self, terminal: &TerminalRecord) {
        let (thread, now) = (ThreadChoice::of(terminal.thread_id), self.clock.now());
        let lacks_it = match caught(self.conversation.messages(terminal.owner, thread, now)).await {
            Ok(messages) => lacks_answer(terminal.request_id, &messages.unwrap_or_default()),
            Err(_) => true,
        };
        if lacks_it {
            self.keep(terminal).await;
        }
    }

    /// What an earlier process left. Waits for a store that does not answer yet.
    pub(super) async fn load(&self, retention: Duration) -> Left {
        loop {
            match caught(self.try_load(retention)).await {
                Ok(left) => return left,
                Err(error) => tracing::error!(%error, "journal could not be read yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_load(&self, retention: Duration) -> Result<Left, StoreError> {
        let since = self.clock.now().checked_sub(retention).unwrap_or(SystemTime::UNIX_EPOCH);
        let terminals = self.journal.terminals_since(since).await?;
        let unfinished = self.journal.take_unfinished().await?;
        Ok(Left { terminals: terminals.into_iter().map(Arc::new).collect(), unfinished })
    }

    pub(super) async fn sweep(&self, now: SystemTime, retention: Duration, idempotency: Duration) {
        let before = |age| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Err(error) = self.journal.forget_ended_before(before(retention)).await {
            tracing::warn!(%error, "finished requests could not be swept");
        }
        if let Err(error) = self.journal.forget_keys_before(before(idempotency)).await {
            tracing::warn!(%error, "idempotency keys could not be swept");
        }
        if let Err(error) = self.conversation.forget_expired(now).await {
            tracing::warn!(%error, "expired conversations could not be swept");
        }
    }
}

fn lacks_answer(request_id: RequestId, conversation: &[ChatMessage]) -> bool {
    let has =
        |role| conversation.iter().any(|message| message.request_id == request_id && message.role == role);
    has(Role::User) && !has(Role::Assistant)
}

/// A store that panics is a store that did not take the write.
async fn caught<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let panicked = |place| Err(StoreError::Unavailable(format!("it panicked at {place}")));
    panics::catch(work).await.unwrap_or_else(panicked)
}
