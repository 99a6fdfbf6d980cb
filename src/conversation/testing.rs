//! An outbox and streams in memory, with switches for their faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use duologue_actors::{
    ports::StoreError,
    protocol::{ChatMessage, MessageId, RequestId, Role, UserId},
};

use super::{
    outbox::{Outbox, Page, Waiting},
    streams::{Fault, Streams},
};

pub(super) const ALICE: UserId = UserId(2);
pub(super) const MALLORY: UserId = UserId(3);

/// A message of that second.
pub(super) fn a_message(second: u64, content: &str) -> ChatMessage {
    ChatMessage {
        id: MessageId::new(),
        request_id: RequestId::new(),
        role: Role::User,
        content: content.to_owned(),
        timestamp: at(second),
        chunk_id: None,
        errors: Vec::new(),
    }
}

pub(super) fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_787_000_000 + second)
}

pub(super) fn contents(messages: &[ChatMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

#[derive(Default)]
pub(super) struct MemoryOutbox {
    rows: Mutex<(i64, BTreeMap<i64, Waiting>)>,
}

impl MemoryOutbox {
    fn rows(&self) -> MutexGuard<'_, (i64, BTreeMap<i64, Waiting>)> {
        self.rows.lock().unwrap()
    }

    pub(super) fn len(&self) -> usize {
        self.rows().1.len()
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn put(&self, owner: UserId, message: ChatMessage) -> Result<(), StoreError> {
        let rows = &mut *self.rows();
        rows.0 += 1;
        rows.1.insert(rows.0, Waiting { owner, message });
        Ok(())
    }

    async fn page(&self, after: i64, most: usize) -> Result<Page, StoreError> {
        let rows = self.rows();
        let next: Vec<_> = rows.1.range(after + 1..).take(most).collect();
        Ok(Page {
            waiting: next.iter().map(|(_, waiting)| (*waiting).clone()).collect(),
            last: next.last().map(|(position, _)| **position),
            unreadable: 0,
        })
    }

    async fn of(&self, owner: UserId) -> Result<Vec<ChatMessage>, StoreError> {
        let rows = self.rows();
        let owners = rows.1.values().filter(|waiting| waiting.owner == owner);
        Ok(owners.map(|waiting| waiting.message.clone()).collect())
    }

    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError> {
        self.rows().1.retain(|_, waiting| !written.contains(&(waiting.owner, waiting.message.id)));
        Ok(())
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.len() as u64)
    }

    async fn forget_expired(&self, _: SystemTime) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// How the streams behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Nothing is done.
    Failing(Fault),
    /// What is added is written, and the answer is lost.
    Deaf,
    /// The next addition panics; those after it are well.
    PanickingOnce,
    /// Never answers.
    Frozen,
}

pub(super) struct FakeStreams {
    pub(super) mood: Mutex<Mood>,
    /// The owners whose key is of another type.
    pub(super) bad: Mutex<BTreeSet<UserId>>,
    streams: Mutex<BTreeMap<UserId, Vec<ChatMessage>>>,
    additions: Mutex<usize>,
}

impl FakeStreams {
    pub(super) fn new(mood: Mood) -> Self {
        Self {
            mood: Mutex::new(mood),
            bad: Mutex::default(),
            streams: Mutex::default(),
            additions: Mutex::default(),
        }
    }

    pub(super) fn turn(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(super) fn of(&self, owner: UserId) -> Vec<ChatMessage> {
        self.streams.lock().unwrap().get(&owner).cloned().unwrap_or_default()
    }

    /// How often something was to be added.
    pub(super) fn additions(&self) -> usize {
        *self.additions.lock().unwrap()
    }

    async fn answer(&self, owner: Option<UserId>) -> Result<(), Fault> {
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Well | Mood::Deaf => {}
            Mood::Failing(fault) => return Err(fault),
            Mood::PanickingOnce => {
                self.turn(Mood::Well);
                panic!("on purpose");
            }
            Mood::Frozen => std::future::pending().await,
        }
        match owner.filter(|owner| self.bad.lock().unwrap().contains(owner)) {
            Some(_) => Err(Fault::OfOne("WRONGTYPE".to_owned())),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Streams for FakeStreams {
    async fn read(&self, owner: UserId) -> Result<Vec<ChatMessage>, Fault> {
        self.answer(Some(owner)).await?;
        Ok(self.of(owner))
    }

    async fn add(&self, owner: UserId, messages: &[ChatMessage]) -> Result<(), Fault> {
        *self.additions.lock().unwrap() += 1;
        self.answer(Some(owner)).await?;
        let mut streams = self.streams.lock().unwrap();
        let stream = streams.entry(owner).or_default();
        for message in messages {
            if stream.iter().all(|known| known.id != message.id) {
                stream.push(message.clone());
            }
        }
        match *self.mood.lock().unwrap() {
            Mood::Deaf => Err(Fault::Down("no answer within 250 ms".to_owned())),
            _ => Ok(()),
        }
    }

    async fn ping(&self) -> Result<(), Fault> {
        self.answer(None).await
    }
}
