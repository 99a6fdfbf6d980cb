//! A subscriber's events, each weighed before it is shown: what its reader may not have any more is withheld, and
//! said to be. There is no other way to read a log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::Recipient;
use tokio::sync::watch;

use super::Entrance;
use crate::{
    broadcaster::{Cursor, Event, EventKind, Filter, Resume, Subscribe, Subscription},
    clock::Clock,
    policy::{Clearance, LookAgain, Standing},
    ports::{Caller, LicenceSource},
    protocol::{Code, Failure, Hop, RequestId},
};

/// One subscription, as far as its reader is allowed to read it.
#[derive(Debug)]
pub struct Reader {
    subscription: Subscription,
    checkpoint: Checkpoint,
    /// Read from the log, and not looked at yet.
    read: Vec<Arc<Event>>,
}

impl Entrance {
    /// Subscribes `caller` to what `filter` selects.
    ///
    /// # Errors
    /// As [`Entrance::subscribe_after`].
    pub async fn subscribe(&self, caller: Caller, filter: Filter) -> Result<Reader, Failure> {
        self.subscribe_after(watch::channel(caller).1, filter, None).await
    }

    /// Subscribes a caller, who may be known anew meanwhile, to what `filter` selects, after as much as they have
    /// read before.
    ///
    /// # Errors
    /// `forbidden` unless the filter is the caller's own, `internal` when the Broadcaster lost the message.
    pub async fn subscribe_after(
        &self,
        caller: watch::Receiver<Caller>,
        filter: Filter,
        after: Option<Cursor>,
    ) -> Result<Reader, Failure> {
        if caller.borrow().user.id != filter.owner() {
            return Err(Failure::new(Code::Forbidden, Hop::Broadcaster, "Unauthorized subscription"));
        }
        let subscribed = self.subscribe.send(Subscribe { filter, after }).await;
        let subscription = subscribed.map_err(super::lost(Hop::Broadcaster))?;
        Ok(Reader { subscription, checkpoint: self.checkpoint(caller), read: Vec::new() })
    }

    fn checkpoint(&self, caller: watch::Receiver<Caller>) -> Checkpoint {
        Checkpoint {
            caller,
            policy: self.look_again.clone(),
            licences: self.licences.clone(),
            lifetime: self.clearance_lifetime,
            clock: self.clock.clone(),
            found: HashMap::new(),
        }
    }
}

impl Reader {
    #[must_use]
    pub fn resume(&self) -> Resume {
        self.subscription.resume()
    }

    /// Whether the request it names, if it names one, is in flight or still kept. Otherwise nothing will ever come.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.subscription.is_known()
    }

    /// Behind everything that has been read: a subscription made after it misses nothing.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.subscription.cursor()
    }

    /// The next events, in order: at least one if there is one, otherwise as many as fit into `max_bytes`. Empty
    /// when there is nothing new. May be dropped and called again.
    pub async fn read(&mut self, max_bytes: usize) -> Vec<Arc<Event>> {
        loop {
            if self.read.is_empty() {
                self.read = self.subscription.read(max_bytes);
            }
            if self.read.is_empty() {
                return Vec::new();
            }
            for event in &self.read {
                self.checkpoint.look_at(event).await;
            }
            let read = std::mem::take(&mut self.read);
            let shown: Vec<_> = read.into_iter().filter_map(|event| self.checkpoint.pass(event)).collect();
            // All of it may have been withheld, and there may be more.
            if !shown.is_empty() {
                return shown;
            }
        }
    }

    /// Whether events it had not read yet have been removed: it was too slow, and has a hole. To be asked after a
    /// read.
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.subscription.has_hole()
    }

    /// Returns when there may be something to read. May be dropped and called again.
    pub async fn changed(&mut self) {
        if self.read.is_empty() {
            self.subscription.changed().await;
        }
    }
}

/// Knows what its reader may have.
#[derive(Debug)]
struct Checkpoint {
    caller: watch::Receiver<Caller>,
    policy: Recipient<LookAgain>,
    licences: Arc<dyn LicenceSource>,
    lifetime: Duration,
    clock: Clock,
    /// Of requests at which a second look was needed, until their last event.
    found: HashMap<RequestId, Found>,
}

/// What a second look at one request came to.
#[derive(Clone, Debug)]
enum Found {
    Allowed(Clearance),
    Refused(Failure),
    /// Its reader has been told, and hears nothing more of it.
    Withheld,
}

impl Checkpoint {
    /// Makes sure that what is known of the event's request still counts.
    async fn look_at(&mut self, event: &Event) {
        let now = Clearance::now(&*self.licences);
        let clearance = match self.found.get(&event.request_id()) {
            Some(Found::Refused(_) | Found::Withheld) => return,
            Some(Found::Allowed(clearance)) => Some(clearance),
            None => event.address.clearance.as_ref(),
        };
        if clearance.is_some_and(|clearance| clearance.holds(&now, self.lifetime)) {
            return;
        }
        let found = match self.ask(event).await {
            Standing::Allowed | Standing::Unknown => Found::Allowed(now),
            Standing::Refused(failure) => Found::Refused(failure),
        };
        self.found.insert(event.request_id(), found);
    }

    async fn ask(&self, event: &Event) -> Standing {
        let address = &event.address;
        let caller = self.caller.borrow().clone();
        let question = LookAgain { caller, action: address.action.clone(), resource: address.resource() };
        // A question that was lost is none that was answered with no.
        self.policy.send(question).await.ok().and_then(Result::ok).unwrap_or(Standing::Unknown)
    }

    /// The event as its reader may have it: itself, a word that it is withheld, or nothing after that word.
    fn pass(&mut self, event: Arc<Event>) -> Option<Arc<Event>> {
        let request_id = event.request_id();
        let found = self.found.get(&request_id).cloned();
        if event.kind == EventKind::Final {
            self.found.remove(&request_id);
        } else if matches!(found, Some(Found::Refused(_))) {
            self.found.insert(request_id, Found::Withheld);
        }
        match found {
            None | Some(Found::Allowed(_)) => Some(event),
            Some(Found::Withheld) => None,
            Some(Found::Refused(failure)) => {
                let (user, code) = (event.owner(), failure.code.as_str());
                tracing::info!(%request_id, %user, code, "answer withheld");
                metrics::counter!("duologue_answers_withheld_total", "code" => code).increment(1);
                Some(Arc::new(event.withheld(failure, self.clock.now())))
            }
        }
    }
}
