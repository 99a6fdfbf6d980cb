//! Looking at the store from outside, also while a server works with it. Nothing is changed.

use std::{path::Path, time::SystemTime};

use duologue_actors::{
    ports::{AcceptedRecord, ConversationLimits, StoreError, TerminalRecord},
    protocol::{ChatMessage, RequestId, Thread, ThreadChoice, ThreadId, UserId},
};
use rusqlite::Connection;

use super::{OpenError, columns::store_error, conversation, damage, file, journal, outbox, threads};
use crate::conversation::outbox::OnTheirWay;

/// A store that is looked at.
pub struct Look {
    connection: Connection,
}

/// A request as the journal has it, without anything that was asked or answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    pub request_id: RequestId,
    pub owner: UserId,
    pub action: String,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Unfinished {
        accepted_at: SystemTime,
        deadline: SystemTime,
        interruptions: u32,
    },
    Ended {
        ended_at: SystemTime,
        /// `completed`, `cancelled` or the failure's code.
        outcome: &'static str,
        /// `provider/model`, when one was asked.
        model: Option<String>,
    },
}

/// What a store holds and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub unfinished: u64,
    pub ended: u64,
    pub messages: u64,
    /// Nothing for a sound one.
    pub findings: Vec<String>,
}

impl Look {
    /// The store in a data folder.
    ///
    /// # Errors
    /// When there is none, or another version of this program wrote it.
    pub fn at(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self { connection: file::open_to_look(folder)? })
    }

    /// A user's threads, the one with the newest message first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn threads(
        &self,
        limits: &ConversationLimits,
        owner: UserId,
        now: SystemTime,
    ) -> Result<Vec<Thread>, StoreError> {
        threads::list(&self.connection, limits, owner, now).map_err(store_error)
    }

    /// The messages of a user's thread, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn messages(
        &self,
        limits: &ConversationLimits,
        owner: UserId,
        thread_id: ThreadId,
        now: SystemTime,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let choice = ThreadChoice::of(Some(thread_id));
        let messages = conversation::messages(&self.connection, limits, owner, choice, now);
        Ok(messages.map_err(store_error)?.unwrap_or_default())
    }

    /// The messages of a user's thread on their way to a stream, in the order they came.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn waiting(
        &self,
        limits: &ConversationLimits,
        owner: UserId,
        thread_id: ThreadId,
        now: SystemTime,
    ) -> Result<Option<OnTheirWay>, StoreError> {
        let choice = ThreadChoice::of(Some(thread_id));
        outbox::of(&self.connection, limits, owner, choice, now).map_err(store_error)
    }

    /// The requests the journal has: first those that are under way, oldest first, then those that have ended.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn requests(&self) -> Result<Vec<RequestLine>, StoreError> {
        let read = || -> rusqlite::Result<Vec<RequestLine>> {
            let unfinished = journal::unfinished(&self.connection)?;
            let ended = journal::terminals_since(&self.connection, SystemTime::UNIX_EPOCH)?;
            let unfinished = unfinished.into_iter().map(RequestLine::from);
            Ok(unfinished.chain(ended.into_iter().map(RequestLine::from)).collect())
        };
        read().map_err(store_error)
    }

    /// Reads everything, and says what is not as it was written.
    #[must_use]
    pub fn verify(&self) -> Verified {
        let mut findings = damage::of_structure(&self.connection);
        match damage::unreadable(&self.connection) {
            Ok(rows) => findings.extend(rows.iter().map(ToString::to_string)),
            Err(error) => findings.push(error.to_string()),
        }
        // What cannot be counted is among the findings.
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} NOT INDEXED");
            self.connection.query_row(&sql, [], |row| row.get(0)).map_or(0, i64::unsigned_abs)
        };
        let (unfinished, ended, messages) = (count("accepted"), count("terminals"), count("messages"));
        Verified { unfinished, ended, messages, findings }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl From<AcceptedRecord> for RequestLine {
    fn from(record: AcceptedRecord) -> Self {
        let AcceptedRecord { request_id, owner, action, accepted_at, deadline, interruptions, .. } = record;
        Self { request_id, owner, action, state: State::Unfinished { accepted_at, deadline, interruptions } }
    }
}

impl From<TerminalRecord> for RequestLine {
    fn from(record: TerminalRecord) -> Self {
        let TerminalRecord { request_id, owner, action, outcome, model, ended_at, .. } = record;
        let state = State::Ended { ended_at, outcome: outcome.name(), model };
        Self { request_id, owner, action, state }
    }
}
