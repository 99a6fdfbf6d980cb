//! The journal and the conversation in memory, with the same rules as a durable store and switches for
//! its faults.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::SystemTime,
};

use async_trait::async_trait;

use super::threads::Threads;
use crate::{
    ports::{
        Acceptance, AcceptedRecord, ConversationLimits, ConversationStore, IdempotencyKey, Journal, Question,
        StoreError, Taken, TerminalRecord,
    },
    protocol::{ChatMessage, RequestId, Thread, ThreadChoice, ThreadId, UserId},
};

#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Refuses every write while it is set.
    pub is_full: AtomicBool,
    /// Takes no write and gives no answer while it is set.
    pub is_silent: AtomicBool,
    /// Takes writes and shows no conversation while it is set.
    pub hides_conversations: AtomicBool,
    limits: ConversationLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: Vec<AcceptedRecord>,
    terminals: HashMap<RequestId, TerminalRecord>,
    keys: HashMap<(UserId, String), UsedKey>,
    threads: Threads,
}

#[derive(Debug)]
struct UsedKey {
    fingerprint: [u8; 32],
    request_id: RequestId,
    thread_id: Option<ThreadId>,
    used_at: SystemTime,
}

impl MemoryStore {
    /// The requests that were accepted, oldest first.
    #[must_use]
    pub fn accepted(&self) -> Vec<AcceptedRecord> {
        self.state().accepted.clone()
    }

    /// How a request ended, if it has.
    #[must_use]
    pub fn ended(&self, request_id: RequestId) -> Option<TerminalRecord> {
        self.state().terminals.get(&request_id).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn takes_writes(&self) -> Result<(), StoreError> {
        if self.is_silent.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_full.load(SeqCst) {
            return Err(StoreError::Unavailable("full".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn accept(&self, acceptance: Acceptance) -> Result<Taken, StoreError> {
        self.takes_writes().await?;
        let Acceptance { mut record, key, question } = acceptance;
        let state = &mut *self.state();
        if let Some(IdempotencyKey { key, fingerprint }) = &key
            && let Some(used) = state.keys.get(&(record.owner, key.clone()))
        {
            let UsedKey { request_id, thread_id, .. } = *used;
            let same = used.fingerprint == *fingerprint;
            return Ok(if same { Taken::Repeats { request_id, thread_id } } else { Taken::Conflicts });
        }
        if let Some(question) = question {
            let Some(thread_id) = state.threads.ask(record.owner, question, &self.limits) else {
                return Ok(Taken::NoSuchThread);
            };
            record.thread_id = Some(thread_id);
        }
        let thread_id = record.thread_id;
        if let Some(IdempotencyKey { key, fingerprint }) = key {
            let (request_id, used_at) = (record.request_id, record.accepted_at);
            let used = UsedKey { fingerprint, request_id, thread_id, used_at };
            state.keys.insert((record.owner, key), used);
        }
        state.accepted.push(record);
        Ok(Taken::New { thread_id })
    }

    async fn end(&self, terminal: TerminalRecord) -> Result<TerminalRecord, StoreError> {
        self.takes_writes().await?;
        let state = &mut *self.state();
        let accepted = state.accepted.iter().find(|record| record.request_id == terminal.request_id);
        let thread_id = terminal.thread_id.or_else(|| accepted?.thread_id);
        let terminal = TerminalRecord { thread_id, ..terminal };
        Ok(state.terminals.entry(terminal.request_id).or_insert(terminal).clone())
    }

    async fn terminal(&self, request_id: RequestId) -> Result<Option<TerminalRecord>, StoreError> {
        Ok(self.ended(request_id))
    }

    async fn take_unfinished(&self) -> Result<Vec<AcceptedRecord>, StoreError> {
        self.takes_writes().await?;
        let state = &mut *self.state();
        let terminals = &state.terminals;
        let unfinished =
            state.accepted.iter_mut().filter(|record| !terminals.contains_key(&record.request_id));
        Ok(unfinished
            .map(|record| {
                record.interruptions += 1;
                record.clone()
            })
            .collect())
    }

    async fn terminals_since(&self, since: SystemTime) -> Result<Vec<TerminalRecord>, StoreError> {
        let mut terminals: Vec<TerminalRecord> =
            self.state().terminals.values().filter(|terminal| terminal.ended_at >= since).cloned().collect();
        terminals.sort_by_key(|terminal| terminal.ended_at);
        Ok(terminals)
    }

    async fn forget_ended_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        let state = &mut *self.state();
        let old: Vec<RequestId> =
            state.terminals.values().filter(|t| t.ended_at < before).map(|t| t.request_id).collect();
        state.accepted.retain(|record| !old.contains(&record.request_id));
        for request_id in &old {
            state.terminals.remove(request_id);
        }
        Ok(old.len() as u64)
    }

    async fn forget_keys_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        let keys = &mut self.state().keys;
        let all = keys.len();
        keys.retain(|_, used| used.used_at >= before);
        Ok((all - keys.len()) as u64)
    }
}

#[async_trait]
impl ConversationStore for MemoryStore {
    async fn append(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        self.takes_writes().await?;
        let question = Question { thread: ThreadChoice::of(thread_id), message };
        Ok(self.state().threads.ask(owner, question, &self.limits))
    }

    async fn messages(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<Vec<ChatMessage>>, StoreError> {
        if self.hides_conversations.load(SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        Ok(self.state().threads.messages(owner, thread, now, &self.limits))
    }

    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError> {
        if self.hides_conversations.load(SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        Ok(self.state().threads.list(owner, now, &self.limits))
    }

    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError> {
        Ok(self.state().threads.forget_expired(now, &self.limits) as u64)
    }
}
