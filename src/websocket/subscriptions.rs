//! The subscriptions of one socket: each waits for its own news, and those that have some take turns.

use std::{collections::HashMap, sync::Arc};

use duologue_actors::broadcaster::{Event, Subscription};
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
    subscription: Subscription,
    /// Whether everything there was has been read.
    caught_up: bool,
    _counted: Counted,
}

#[derive(Default)]
pub struct Subscriptions {
    waiting: FuturesUnordered<Abortable<LocalBoxFuture<'static, Entry>>>,
    handles: HashMap<OperationId, AbortHandle>,
}

/// Counts in the gauge until dropped.
struct Counted;

impl Entry {
    #[must_use]
    pub fn new(id: OperationId, envelope: Envelope, prepared: Prepared, subscription: Subscription) -> Self {
        Self { id, envelope, prepared, subscription, caught_up: false, _counted: Counted::new() }
    }

    /// The next events, in order; none when there are no more for now.
    pub fn read(&mut self, max_bytes: usize) -> Vec<Arc<Event>> {
        let events = self.subscription.read(max_bytes);
        self.caught_up = events.is_empty();
        events
    }

    /// Whether something it had not read yet is gone. Said plainly to the client, never passed over.
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.subscription.has_hole()
    }

    /// Resolves when there may be something to read.
    async fn with_news(mut self) -> Self {
        if self.caught_up {
            self.subscription.changed().await;
        }
        self
    }
}

impl Subscriptions {
    /// Adds a subscription, or puts one back at the end of the line.
    pub fn put(&mut self, entry: Entry) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(entry.id.clone(), handle);
        self.waiting.push(Abortable::new(entry.with_news().boxed_local(), registration));
    }

    /// Forgets a subscription; `false` when there is none with this id.
    pub fn stop(&mut self, id: &OperationId) -> bool {
        self.handles.remove(id).map(|handle| handle.abort()).is_some()
    }

    /// The next subscription that may have something to read; waits for ever while there is none.
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
