//! One way through the outbox.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use duologue_actors::{
    ports::StoreError,
    protocol::{ChatMessage, MessageId, UserId},
};
use tokio::time::Instant;

use super::SET_ASIDE;
use crate::conversation::{
    outbox::{Outbox, StreamName, Waiting},
    streams::{Fault, Streams},
};

/// Messages read at a time, fewer when they are long. What was written of them is taken out in one commit, and those of
/// one stream are one transaction in Redis: the more at a time, the sooner all are there.
const PAGE: usize = 1_024;

pub(super) struct Pass {
    outbox: Arc<dyn Outbox>,
    streams: Arc<dyn Streams>,
    set_aside: HashMap<StreamName, SetAside>,
}

struct SetAside {
    until: Instant,
    why: String,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    AllWritten,
    /// All but so many conversations, or messages that cannot be read.
    SomeSetAside {
        conversations: usize,
        why: Option<String>,
        unreadable: usize,
    },
    /// Nothing can be written now.
    HeldUp {
        why: String,
        retry_after: Option<Duration>,
    },
}

impl Pass {
    pub(super) fn new(outbox: Arc<dyn Outbox>, streams: Arc<dyn Streams>) -> Self {
        Self { outbox, streams, set_aside: HashMap::new() }
    }

    /// Writes everything that waits and can be written.
    pub(super) async fn make(&mut self) -> Passed {
        let now = Instant::now();
        self.set_aside.retain(|_, set_aside| set_aside.until > now);
        match self.pages().await {
            Ok(unreadable) if self.set_aside.is_empty() && unreadable == 0 => Passed::AllWritten,
            Ok(unreadable) => Passed::SomeSetAside {
                conversations: self.set_aside.len(),
                why: self.set_aside.values().map(|set_aside| set_aside.why.clone()).next(),
                unreadable,
            },
            Err(HeldUp { why, retry_after }) => Passed::HeldUp { why, retry_after },
        }
    }

    /// How many messages could not be read.
    async fn pages(&mut self) -> Result<usize, HeldUp> {
        let (mut after, mut unreadable) = (0, 0);
        loop {
            let page = self.outbox.page(after, PAGE).await?;
            unreadable += page.unreadable;
            let Some(last) = page.last else { return Ok(unreadable) };
            after = last;
            let mut written = Vec::new();
            let moved = self.write(page.waiting, &mut written).await;
            if !written.is_empty() {
                self.outbox.take(written).await?;
            }
            moved?;
        }
    }

    /// Writes what may be written; what has been, is in `written`, also after a fault.
    async fn write(
        &mut self,
        waiting: Vec<Waiting>,
        written: &mut Vec<(UserId, MessageId)>,
    ) -> Result<(), Fault> {
        for (stream, messages) in by_stream(waiting) {
            if self.set_aside.contains_key(&stream) {
                continue;
            }
            match self.streams.add(stream, &messages).await {
                Ok(()) => written.extend(messages.iter().map(|message| (stream.owner, message.id))),
                Err(Fault::OfOne(why)) => {
                    self.set_aside.insert(stream, SetAside { until: Instant::now() + SET_ASIDE, why });
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

/// Those of one stream stay in their order.
fn by_stream(waiting: Vec<Waiting>) -> BTreeMap<StreamName, Vec<ChatMessage>> {
    let mut streams: BTreeMap<StreamName, Vec<ChatMessage>> = BTreeMap::new();
    for Waiting { stream, message } in waiting {
        streams.entry(stream).or_default().push(message);
    }
    streams
}

struct HeldUp {
    why: String,
    retry_after: Option<Duration>,
}

impl From<Fault> for HeldUp {
    fn from(fault: Fault) -> Self {
        let retry_after = match fault {
            Fault::LeftAlone { retry_after, .. } => Some(retry_after),
            Fault::Down(_) | Fault::Refused(_) | Fault::OfOne(_) => None,
        };
        Self { why: fault.to_string(), retry_after }
    }
}

/// The outbox is the journal's database: the part `storage` tells more.
impl From<StoreError> for HeldUp {
    fn from(error: StoreError) -> Self {
        Self { why: error.to_string(), retry_after: None }
    }
}
