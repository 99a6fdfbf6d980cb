//! A subscriber's place in its owner's log. Lives in the socket's task, which reads when it can write.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    cursor::Cursor,
    event::{Event, EventKind},
    filter::Filter,
    user_log::{Extent, Replay, Shown, UserLog},
};
use crate::protocol::RequestId;

/// How a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// With what is published from now on.
    Live,
    /// With something that was published before.
    Replayed,
    /// With what is still there of the past: what it names is not kept any more or never was, or it cannot be
    /// told what lies behind its cursor.
    Reset,
}

/// What is known of the request a filter names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It names none.
    Nothing,
    InFlight,
    Finished,
    /// Nothing is kept of it, or it is somebody else's.
    Nowhere,
}

#[derive(Debug)]
pub struct Subscription {
    log: Arc<UserLog>,
    filter: Filter,
    replay: Replay,
    /// The offset to read from next.
    next: u64,
    head: watch::Receiver<u64>,
    resume: Resume,
    is_known: bool,
    is_over: bool,
    has_hole: bool,
}

impl Subscription {
    /// `named` is what is known of the request its filter names; `is_resumed` whether its reader goes on where they
    /// wanted to.
    pub(super) fn new(
        log: Arc<UserLog>,
        filter: Filter,
        replay: Replay,
        named: Named,
        is_resumed: bool,
    ) -> Self {
        let is_known = named != Named::Nowhere;
        let is_over = named == Named::Finished && is_resumed && replay.is_empty();
        let resume = match (is_known && is_resumed, replay.is_empty()) {
            (false, _) => Resume::Reset,
            (true, true) => Resume::Live,
            (true, false) => Resume::Replayed,
        };
        let head = log.head();
        Self { next: replay.start, head, log, filter, replay, resume, is_known, is_over, has_hole: false }
    }

    #[must_use]
    pub fn resume(&self) -> Resume {
        self.resume
    }

    /// Whether the request it names is in flight or kept; so is what names none.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Behind everything that has been read: a subscription made after it misses nothing.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.log.at(self.next - 1)
    }

    /// Whether the request it names has ended, and its reader has had the end: nothing will ever come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Notes that the reader has been told of a request that it is withheld, or has been shown its end.
    pub(crate) fn note_withheld(&self, request_id: RequestId, is_withheld: bool) {
        self.log.note_withheld(request_id, is_withheld);
    }

    /// The next events, in order: at least one if there is one, otherwise as many as fit into
    /// `max_bytes`. Empty when there is nothing new.
    pub fn read(&mut self, max_bytes: usize) -> Vec<Arc<Event>> {
        self.head.borrow_and_update();
        let (filter, replay) = (&self.filter, &self.replay);
        let wanted = |event: &Event| {
            filter.wants(&event.address, event.kind) && (event.offset() > replay.head || replay.shows(event))
        };
        let scan = self.log.scan(self.next, max_bytes, wanted);
        self.has_hole |= self.has_missed(scan.removed_through);
        self.next = scan.next;
        scan.events
    }

    /// Whether events it had not read yet have been removed: it was too slow, and has a hole. To be
    /// asked after a read, which notices what was removed until it read.
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.has_hole || self.has_missed(self.log.removed_through())
    }

    fn has_missed(&self, removed_through: u64) -> bool {
        removed_through >= self.next && removed_through > self.replay.removed_through
    }

    /// Returns when there may be something to read. May be dropped and called again.
    pub async fn changed(&mut self) {
        if self.head.changed().await.is_err() {
            // The log lives as long as this subscription does.
            std::future::pending::<()>().await;
        }
    }
}

impl Replay {
    fn is_empty(&self) -> bool {
        match &self.shown {
            Shown::Since { any } => !any,
            Shown::Requests(requests) => requests.is_empty(),
        }
    }

    fn shows(&self, event: &Event) -> bool {
        let Shown::Requests(requests) = &self.shown else { return true };
        match requests.get(&event.request_id()) {
            Some(Extent::Everything) => true,
            Some(Extent::FinalOnly) => event.kind == EventKind::Final,
            None => false,
        }
    }
}
