//! The conversations as the pipeline sees them: what is in Redis, and what waits to be written there.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use duologue_actors::{
    ports::{ConversationLimits, ConversationStore, StoreError},
    protocol::{ChatMessage, ConversationType, Thread, ThreadChoice, ThreadId, UserId},
};

use super::{
    outbox::{OnTheirWay, Outbox, StreamName},
    relay::Signal,
    streams::{Fault, Streams},
};

pub struct Relayed {
    outbox: Arc<dyn Outbox>,
    streams: Arc<dyn Streams>,
    relay: Signal,
    limits: ConversationLimits,
    /// Where Redis is, for people.
    url: String,
}

impl Relayed {
    pub(super) fn new(
        outbox: Arc<dyn Outbox>,
        streams: Arc<dyn Streams>,
        relay: Signal,
        limits: ConversationLimits,
        url: String,
    ) -> Self {
        Self { outbox, streams, relay, limits, url }
    }

    /// What is not as it should be, if anything.
    pub(super) async fn concern(&self) -> Option<String> {
        let (ping, waiting) = tokio::join!(self.streams.ping(), self.outbox.count());
        let (url, report) = (&self.url, self.relay.report());
        let trouble = match (ping, report.held_up) {
            (Err(fault), _) => format!("redis at {url} does not answer as it should: {fault}"),
            (Ok(()), Some(why)) => format!("redis at {url} takes no messages: {why}"),
            (Ok(()), None) if report.set_aside > 0 => format!(
                "redis at {url} does not take everybody's messages, set aside {}: {}",
                report.set_aside,
                report.why.unwrap_or_default()
            ),
            (Ok(()), None) if report.unreadable > 0 => {
                format!("messages that wait and cannot be read: {}", report.unreadable)
            }
            (Ok(()), None) => return None,
        };
        Some(match waiting {
            Ok(waiting) => format!("{trouble}; messages that wait: {waiting}"),
            Err(_) => trouble,
        })
    }

    fn unavailable(&self, fault: &Fault) -> StoreError {
        StoreError::Unavailable(format!("redis at {}: {fault}", self.url))
    }
}

#[async_trait]
impl ConversationStore for Relayed {
    async fn append(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        self.outbox.put(owner, thread_id, message).await
    }

    async fn messages(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<Vec<ChatMessage>>, StoreError> {
        // In this order: a message on its way from one to the other is seen in both, never in neither.
        let Some((stream, thread_id, waiting)) =
            meant(owner, thread, self.outbox.waiting(owner, thread, now).await?)
        else {
            return Ok(None);
        };
        let written = self.streams.read(stream).await.map_err(|fault| self.unavailable(&fault))?;
        Ok(Some(conversation(written, waiting, thread_id, &self.limits, now)))
    }

    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError> {
        self.outbox.threads(owner, now).await
    }

    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError> {
        // Redis forgets by itself.
        self.outbox.forget_expired(now).await
    }
}

/// The stream to be read, with the thread it is and what waits for it. Whoever has no legacy thread here may have
/// messages in the stream all the same, which others wrote.
fn meant(
    owner: UserId,
    thread: ThreadChoice,
    found: Option<OnTheirWay>,
) -> Option<(StreamName, Option<ThreadId>, Vec<ChatMessage>)> {
    match (found, thread) {
        (Some(OnTheirWay { thread_id, stream, messages }), _) => Some((stream, Some(thread_id), messages)),
        (None, ThreadChoice::Legacy | ThreadChoice::OfType(ConversationType::DuoChatLegacy)) => {
            Some((StreamName { owner, thread_id: None }, None, Vec::new()))
        }
        (None, ThreadChoice::OfType(_) | ThreadChoice::Named { .. }) => None,
    }
}

/// What is written and what waits, as one conversation.
pub(super) fn conversation(
    written: Vec<ChatMessage>,
    waiting: Vec<ChatMessage>,
    thread_id: Option<ThreadId>,
    limits: &ConversationLimits,
    now: SystemTime,
) -> Vec<ChatMessage> {
    let messages = newest(joined(written, waiting), limits.messages);
    if is_expired(&messages, limits, now) {
        return Vec::new();
    }
    messages.into_iter().map(|message| ChatMessage { thread_id, ..message }).collect()
}

fn joined(mut written: Vec<ChatMessage>, waiting: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let known: HashSet<_> = written.iter().map(|message| message.id).collect();
    written.extend(waiting.into_iter().filter(|message| !known.contains(&message.id)));
    written
}

fn newest(mut messages: Vec<ChatMessage>, most: usize) -> Vec<ChatMessage> {
    let surplus = messages.len().saturating_sub(most);
    messages.drain(..surplus);
    messages
}

/// A clock that was set back makes no message older than it is.
fn is_expired(messages: &[ChatMessage], limits: &ConversationLimits, now: SystemTime) -> bool {
    let last = messages.iter().map(|message| message.timestamp).max();
    last.is_some_and(|last| now.duration_since(last).is_ok_and(|age| age > limits.expiry))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conversation::{
        relay::Relay,
        testing::{ALICE, FakeStreams, MALLORY, MemoryOutbox, Mood, a_message, at, contents, main_of},
    };

    const LIMITS: ConversationLimits = ConversationLimits {
        threads: 100,
        messages: 3,
        content_characters: 100,
        title_characters: 100,
        expiry: Duration::from_secs(60),
    };

    struct Scene {
        store: Relayed,
        streams: Arc<FakeStreams>,
        _relay: Relay,
    }

    fn scene() -> Scene {
        let (outbox, streams) = (Arc::new(MemoryOutbox::default()), Arc::new(FakeStreams::new(Mood::Well)));
        let relay = Relay::start(outbox.clone(), streams.clone());
        let url = "redis://127.0.0.1:1/0".to_owned();
        let store = Relayed::new(outbox, streams.clone(), relay.signal(), LIMITS, url);
        Scene { store, streams, _relay: relay }
    }

    async fn read(scene: &Scene, owner: UserId, second: u64) -> Vec<String> {
        let messages = scene.store.messages(owner, ThreadChoice::Legacy, at(second)).await.unwrap();
        contents(&messages.unwrap_or_default()).into_iter().map(str::to_owned).collect()
    }

    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_read_at_once_once_and_by_its_owner_only() {
        let scene = scene();
        for (second, content) in ["1", "2", "3", "4"].into_iter().enumerate() {
            scene.store.append(ALICE, None, a_message(second as u64, content)).await.unwrap();
        }
        // Nothing has been written yet.
        assert_eq!(scene.streams.additions(), 0);
        assert_eq!(read(&scene, ALICE, 4).await, ["2", "3", "4"]);
        settle().await;
        assert_eq!(scene.streams.of(main_of(ALICE)).len(), 4);
        assert_eq!(read(&scene, ALICE, 4).await, ["2", "3", "4"]);
        assert_eq!(read(&scene, MALLORY, 4).await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_written_and_still_waits_is_shown_once() {
        let scene = scene();
        scene.streams.turn(Mood::Deaf);
        scene.store.append(ALICE, None, a_message(1, "once")).await.unwrap();
        settle().await;
        assert_eq!(scene.streams.of(main_of(ALICE)).len(), 1);
        assert_eq!(scene.store.outbox.count().await, Ok(1));
        assert_eq!(read(&scene, ALICE, 1).await, ["once"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversation_is_forgotten_after_its_last_message() {
        let scene = scene();
        scene.store.append(ALICE, None, a_message(0, "old")).await.unwrap();
        assert_eq!(read(&scene, ALICE, 60).await, ["old"]);
        assert_eq!(read(&scene, ALICE, 61).await, [""; 0]);
        scene.store.append(ALICE, None, a_message(50, "newer")).await.unwrap();
        assert_eq!(read(&scene, ALICE, 61).await, ["old", "newer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn while_redis_is_silent_writing_goes_on_and_reading_says_why_not() {
        let scene = scene();
        assert_eq!(scene.store.concern().await, None);
        scene.streams.turn(Mood::Failing(Fault::Down("no answer within 250 ms".to_owned())));
        scene.store.append(ALICE, None, a_message(1, "waits")).await.unwrap();
        settle().await;
        let refused = scene.store.messages(ALICE, ThreadChoice::Legacy, at(1)).await;
        let why = "redis at redis://127.0.0.1:1/0: no answer within 250 ms".to_owned();
        assert_eq!(refused, Err(StoreError::Unavailable(why)));
        let concern = scene.store.concern().await.unwrap();
        assert!(
            concern.contains("127.0.0.1:1/0 does not answer") && concern.ends_with("messages that wait: 1"),
            "{concern}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_and_takes_nothing_is_a_concern() {
        let scene = scene();
        scene.streams.bad.lock().unwrap().insert(main_of(ALICE));
        scene.store.append(ALICE, None, a_message(1, "waits")).await.unwrap();
        settle().await;
        let concern = scene.store.concern().await.unwrap();
        assert!(concern.contains("set aside 1: WRONGTYPE; messages that wait: 1"), "{concern}");
    }
}
