//! A subscriber's events, each weighed before it is shown: what its reader may not have any more is withheld, and
//! said to be. There is no other way to read a log.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use actix::Recipient;
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, time::Instant};

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
    /// Read from the log, and not passed on yet.
    read: VecDeque<Arc<Event>>,
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
        Ok(Reader { subscription, checkpoint: self.checkpoint(caller), read: VecDeque::new() })
    }

    fn checkpoint(&self, caller: watch::Receiver<Caller>) -> Checkpoint {
        Checkpoint {
            caller,
            policy: self.look_again.clone(),
            licences: self.licences.clone(),
            lifetime: self.clearance_lifetime,
            clock: self.clock.clone(),
            found: HashMap::new(),
            look: None,
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

    /// Whether the request it names has ended, and its reader has had the end: nothing will ever come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.subscription.is_over()
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
                self.read = self.subscription.read(max_bytes).into();
            }
            let Some(next) = self.read.front() else { return Vec::new() };
            if !self.checkpoint.knows(next) {
                self.checkpoint.look_again(next).await;
            }
            let shown = self.pass();
            // All of it may have been withheld, and there may be more.
            if !shown.is_empty() {
                return shown;
            }
        }
    }

    /// What can be passed on without another look. What comes behind that waits for its own.
    fn pass(&mut self) -> Vec<Arc<Event>> {
        let mut shown = Vec::new();
        while let Some(event) = self.read.pop_front_if(|event| self.checkpoint.knows(event)) {
            let request_id = event.request_id();
            if let Some(event) = self.checkpoint.pass(event) {
                if event.kind == EventKind::Final {
                    self.subscription.note_withheld(request_id, event.is_withheld);
                }
                shown.push(event);
            }
        }
        shown
    }

    /// Waits for the next events; none when it has a hole. May be dropped and called again.
    pub async fn news(&mut self, max_bytes: usize) -> Vec<Arc<Event>> {
        loop {
            let events = self.read(max_bytes).await;
            if !events.is_empty() || self.has_hole() {
                return events;
            }
            self.changed().await;
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
struct Checkpoint {
    caller: watch::Receiver<Caller>,
    policy: Recipient<LookAgain>,
    licences: Arc<dyn LicenceSource>,
    lifetime: Duration,
    clock: Clock,
    /// Of requests at which a second look was needed, until their last event.
    found: HashMap<RequestId, Found>,
    /// The look under way. It goes on when whoever waits for it turns to something else meanwhile.
    look: Option<Look>,
}

struct Look {
    request_id: RequestId,
    /// The version of the licences it goes by.
    version: u64,
    standing: BoxFuture<'static, Standing>,
}

/// What a second look at one request came to.
#[derive(Clone, Debug)]
enum Found {
    Allowed(Clearance),
    Refused(Failure),
    /// Its reader has been told, and hears nothing more of it.
    Withheld,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkpoint").field("found", &self.found).finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Whether what is known of the event's request still counts.
    fn knows(&self, event: &Event) -> bool {
        let clearance = match self.found.get(&event.request_id()) {
            Some(Found::Refused(_) | Found::Withheld) => return true,
            Some(Found::Allowed(clearance)) => Some(clearance),
            None => event.address.clearance.as_ref(),
        };
        let now = Clearance::now(&*self.licences);
        clearance.is_some_and(|clearance| clearance.holds(&now, self.lifetime))
    }

    /// Asks how things stand with the event's request. May be dropped and called again: nothing is asked twice.
    async fn look_again(&mut self, event: &Event) {
        let request_id = event.request_id();
        let look = match self.look.take().filter(|look| look.request_id == request_id) {
            Some(look) => look,
            None => self.ask(event),
        };
        let look = self.look.insert(look);
        let found = match (&mut look.standing).await {
            Standing::Allowed | Standing::Unknown => {
                Found::Allowed(Clearance { version: look.version, at: Instant::now() })
            }
            Standing::Refused(failure) => Found::Refused(failure),
        };
        self.look = None;
        self.found.insert(request_id, found);
    }

    fn ask(&self, event: &Event) -> Look {
        let address = &event.address;
        let caller = self.caller.borrow().clone();
        let question = LookAgain { caller, action: address.action.clone(), resource: address.resource() };
        let answer = self.policy.send(question);
        // A question that was lost is none that was answered with no.
        let standing = async { answer.await.ok().and_then(Result::ok).unwrap_or(Standing::Unknown) };
        let version = self.licences.version();
        Look { request_id: event.request_id(), version, standing: standing.boxed() }
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
