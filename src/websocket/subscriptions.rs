//! The subscriptions of one socket: each waits for its own news, and those that have some take turns.

use std::{collections::HashMap, sync::Arc};

use duologue_actors::{broadcaster::Event, entrance::Reader};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, LocalBoxFuture},
    stream::FuturesUnordered,
};
use metrics::gauge;

use super::dialect::{Envelope, OperationId};
use crate::graphql::Prepared;

const OPEN_SUBSCRIPTIONS: &str = "duologue_websocket_subscriptions";

/// One subscription between the client's `subscribe` and its `complete`.
pub struct Entry {
    pub id: OperationId,
    pub envelope: Envelope,
    pub prepared: Prepared,
    reader: Reader,
    /// Read, and to be written.
    news: Vec<Arc<Event>>,
    _counted: Counted,
}

pub struct Subscriptions {
    /// How much one of them reads at a time.
    batch_bytes: usize,
    waiting: FuturesUnordered<Abortable<LocalBoxFuture<'static, Entry>>>,
    handles: HashMap<OperationId, AbortHandle>,
}

/// Counts in the gauge until dropped.
struct Counted;

impl Entry {
    #[must_use]
    pub fn new(id: OperationId, envelope: Envelope, prepared: Prepared, reader: Reader) -> Self {
        Self { id, envelope, prepared, reader, news: Vec::new(), _counted: Counted::new() }
    }

    /// The next events, in order.
    pub fn news(&mut self) -> Vec<Arc<Event>> {
        std::mem::take(&mut self.news)
    }

    /// Whether something it had not read yet is gone. Said plainly to the client, never passed over.
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.reader.has_hole()
    }

    /// Resolves when there is something to write. Whatever is asked meanwhile, such as whether its reader may still
    /// have it, holds up this subscription alone.
    async fn with_news(mut self, batch_bytes: usize) -> Self {
        self.news = self.reader.news(batch_bytes).await;
        self
    }
}

impl Subscriptions {
    #[must_use]
    pub fn new(batch_bytes: usize) -> Self {
        Self { batch_bytes, waiting: FuturesUnordered::new(), handles: HashMap::new() }
    }

    /// Adds a subscription, or puts one back at the end of the line.
    pub fn put(&mut self, entry: Entry) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(entry.id.clone(), handle);
        let news = entry.with_news(self.batch_bytes).boxed_local();
        self.waiting.push(Abortable::new(news, registration));
    }

    /// Forgets a subscription; `false` when there is none with this id.
    pub fn stop(&mut self, id: &OperationId) -> bool {
        self.handles.remove(id).map(|handle| handle.abort()).is_some()
    }

    /// The next subscription that has something to write; waits for ever while there is none.
    /// May be dropped and called again.
    pub async fn ready(&mut self) -> Entry {
        loop {
            match self.waiting.next().await {
                Some(Ok(entry)) => {
                    self.handles.remove(&entry.id);
                    return entry;
                }
                Some(Err(_aborted)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

impl Counted {
    fn new() -> Self {
        gauge!(OPEN_SUBSCRIPTIONS).increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(OPEN_SUBSCRIPTIONS).decrement(1.0);
    }
}
