//! An outbox and streams in memory, with switches for their faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use duologue_actors::{
    ports::StoreError,
    protocol::{ChatMessage, MessageId, RequestId, Role, Thread, ThreadChoice, ThreadId, UserId},
};
use tokio::sync::Notify;

use super::{
    outbox::{OnTheirWay, Outbox, Page, StreamName, Waiting},
    streams::{Fault, Streams},
};

pub(super) const ALICE: UserId = UserId(2);
pub(super) const MALLORY: UserId = UserId(3);

/// A message of that second.
pub(super) fn a_message(second: u64, content: &str) -> ChatMessage {
    ChatMessage {
        id: MessageId::new(),
        request_id: RequestId::new(),
        thread_id: None,
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

/// The stream of `owner` that GitLab's own layer knows.
pub(super) fn main_of(owner: UserId) -> StreamName {
    StreamName { owner, thread_id: None }
}

/// Threads are told apart by their numbers, and none expires: the rules of threads are the database's.
#[derive(Default)]
pub(super) struct MemoryOutbox {
    rows: Mutex<(i64, BTreeMap<i64, Waiting>)>,
    arrivals: Notify,
}

impl MemoryOutbox {
    fn rows(&self) -> MutexGuard<'_, (i64, BTreeMap<i64, Waiting>)> {
        self.rows.lock().unwrap()
    }

    pub(super) fn len(&self) -> usize {
        self.rows().1.len()
    }
}

/// The main thread of `owner` has their own number.
fn main_thread(owner: UserId) -> ThreadId {
    ThreadId(owner.0)
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn put(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        let rows = &mut *self.rows();
        rows.0 += 1;
        rows.1.insert(rows.0, Waiting { stream: StreamName { owner, thread_id }, message });
        self.arrivals.notify_one();
        Ok(Some(thread_id.unwrap_or_else(|| main_thread(owner))))
    }

    async fn arrived(&self) {
        self.arrivals.notified().await;
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

    async fn waiting(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        _: SystemTime,
    ) -> Result<Option<OnTheirWay>, StoreError> {
        let stream = StreamName { owner, thread_id: thread.id() };
        let rows = self.rows();
        let messages = rows.1.values().filter(|waiting| waiting.stream == stream);
        let messages = messages.map(|waiting| waiting.message.clone()).collect();
        let thread_id = thread.id().unwrap_or_else(|| main_thread(owner));
        Ok(Some(OnTheirWay { thread_id, stream, messages }))
    }

    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError> {
        self.rows().1.retain(|_, waiting| !written.contains(&(waiting.stream.owner, waiting.message.id)));
        Ok(())
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.len() as u64)
    }

    async fn threads(&self, _: UserId, _: SystemTime) -> Result<Vec<Thread>, StoreError> {
        Ok(Vec::new())
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
    /// Those whose key is of another type.
    pub(super) bad: Mutex<BTreeSet<StreamName>>,
    streams: Mutex<BTreeMap<StreamName, Vec<ChatMessage>>>,
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

    pub(super) fn of(&self, stream: StreamName) -> Vec<ChatMessage> {
        self.streams.lock().unwrap().get(&stream).cloned().unwrap_or_default()
    }

    /// How often something was to be added.
    pub(super) fn additions(&self) -> usize {
        *self.additions.lock().unwrap()
    }

    async fn answer(&self, stream: Option<StreamName>) -> Result<(), Fault> {
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
        match stream.filter(|stream| self.bad.lock().unwrap().contains(stream)) {
            Some(_) => Err(Fault::OfOne("WRONGTYPE".to_owned())),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Streams for FakeStreams {
    async fn read(&self, stream: StreamName) -> Result<Vec<ChatMessage>, Fault> {
        self.answer(Some(stream)).await?;
        Ok(self.of(stream))
    }

    async fn add(&self, stream: StreamName, messages: &[ChatMessage]) -> Result<(), Fault> {
        *self.additions.lock().unwrap() += 1;
        self.answer(Some(stream)).await?;
        let mut streams = self.streams.lock().unwrap();
        let stream = streams.entry(stream).or_default();
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
