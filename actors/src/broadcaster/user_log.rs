//! One user's events, in the order in which their requests' gates opened. Only the Broadcaster appends;
//! socket tasks read, each from its own cursor, so that a slow reader costs nothing but its place.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    cursor::{Cursor, Epoch},
    event::{Draft, Event, EventKind},
    filter::{Filter, Replays},
};
use crate::protocol::{Address, RequestId};

#[derive(Debug)]
pub struct UserLog {
    epoch: Epoch,
    state: RwLock<State>,
    /// The offset of the newest event.
    head: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Offsets are given from 1; 0 is before everything.
    last_offset: u64,
    /// The newest event that was removed; a reader that had not come so far has missed it.
    removed_through: u64,
    events: BTreeMap<u64, Arc<Event>>,
    trails: HashMap<RequestId, Trail>,
}

/// One request's events in the log.
#[derive(Debug)]
struct Trail {
    address: Arc<Address>,
    offsets: Vec<u64>,
    ended_at: Option<Instant>,
    acknowledged: bool,
    /// Its owner was last told that it is withheld: no place behind it is a receipt of it.
    is_withheld: bool,
}

/// What a new subscription is shown of what lies before it.
#[derive(Debug)]
pub(super) struct Replay {
    /// Nothing after this offset is replay.
    pub(super) head: u64,
    pub(super) shown: Shown,
    /// The first offset to look at.
    pub(super) start: u64,
    /// What had been removed by then; it was not promised.
    pub(super) removed_through: u64,
}

/// Which of the events before a subscription it is shown.
#[derive(Debug)]
pub(super) enum Shown {
    /// All that it wants, from the start of the replay on; the flag says whether there are any.
    Since { any: bool },
    /// Everything of a request in flight, the final of a finished one.
    Requests(HashMap<RequestId, Extent>),
}

/// What a reader finds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) events: Vec<Arc<Event>>,
    /// The offset to go on from.
    pub(super) next: u64,
    /// The newest event that was removed by then.
    pub(super) removed_through: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Everything,
    FinalOnly,
}

impl Default for UserLog {
    fn default() -> Self {
        Self { epoch: Epoch::new(), state: RwLock::default(), head: watch::Sender::new(0) }
    }
}

impl UserLog {
    /// Appends an event and wakes the readers.
    pub(super) fn append(&self, address: &Arc<Address>, draft: Draft, now: Instant) {
        let mut state = self.write();
        state.last_offset += 1;
        let offset = state.last_offset;
        let event = Arc::new(draft.at(self.at(offset), address.clone()));
        let trail = state.trails.entry(address.request_id).or_insert_with(|| Trail {
            address: address.clone(),
            offsets: Vec::new(),
            ended_at: None,
            acknowledged: false,
            is_withheld: false,
        });
        trail.offsets.push(offset);
        if event.kind == EventKind::Final {
            trail.ended_at = Some(now);
        }
        state.events.insert(offset, event);
        drop(state);
        self.head.send_replace(offset);
    }

    /// Removes everything of a finished request.
    pub(super) fn remove(&self, request_id: RequestId) {
        let mut state = self.write();
        let Some(trail) = state.trails.remove(&request_id) else { return };
        for offset in trail.offsets {
            state.events.remove(&offset);
            state.removed_through = state.removed_through.max(offset);
        }
    }

    pub(super) fn acknowledge(&self, request_id: RequestId) {
        if let Some(trail) = self.write().trails.get_mut(&request_id) {
            // A final that is still to come cannot have been received.
            trail.acknowledged |= trail.ended_at.is_some();
        }
    }

    /// Notes whether the owner was last shown a request, or told that it is withheld.
    pub(super) fn note_withheld(&self, request_id: RequestId, is_withheld: bool) {
        let is_so = |trail: &Trail| trail.is_withheld == is_withheld;
        if self.read().trails.get(&request_id).is_none_or(is_so) {
            return;
        }
        if let Some(trail) = self.write().trails.get_mut(&request_id) {
            trail.is_withheld = is_withheld;
        }
    }

    /// What a subscription made now is shown of the past.
    pub(super) fn replay(&self, filter: &Filter, recent: Duration, now: Instant) -> Replay {
        let state = self.read();
        let (mut requests, mut start) = (HashMap::new(), state.last_offset + 1);
        for (request_id, trail) in &state.trails {
            let extent = trail.extent(filter.replays(&trail.address), recent, now);
            let first_wanted = extent.and_then(|extent| trail.first_wanted(&state, filter, extent));
            if let (Some(extent), Some(first)) = (extent, first_wanted) {
                requests.insert(*request_id, extent);
                start = start.min(first);
            }
        }
        state.replay(start, Shown::Requests(requests))
    }

    /// What a subscription is shown whose reader has come as far as `after`, and so has received the finals
    /// before it. `None` when it cannot be told what that reader has missed.
    pub(super) fn resume(&self, filter: &Filter, after: Cursor) -> Option<Replay> {
        let mut state = self.write();
        if after.epoch != self.epoch || after.offset > state.last_offset {
            return None;
        }
        for trail in state.trails.values_mut() {
            let has_received =
                trail.ended_at.is_some() && trail.offsets.last() <= Some(&after.offset) && !trail.is_withheld;
            trail.acknowledged |= has_received && filter.wants(&trail.address, EventKind::Final);
        }
        if state.removed_through > after.offset {
            return None;
        }
        let start = after.offset + 1;
        let mut since = state.events.range(start..).map(|(_, event)| event);
        let any = since.any(|event| filter.wants(&event.address, event.kind));
        Some(state.replay(start, Shown::Since { any }))
    }

    /// The place behind everything there is.
    pub(super) fn end(&self) -> Cursor {
        self.at(self.read().last_offset)
    }

    /// The place before everything there is of a request.
    pub(super) fn before(&self, request_id: RequestId) -> Option<Cursor> {
        let state = self.read();
        let first = state.trails.get(&request_id)?.offsets.first()?;
        Some(self.at(first - 1))
    }

    pub(super) fn at(&self, offset: u64) -> Cursor {
        Cursor { epoch: self.epoch, offset }
    }

    /// The events from `from` on that `wanted` accepts, at least one if there is one and otherwise as
    /// many as fit into `max_bytes`.
    pub(super) fn scan(&self, from: u64, max_bytes: usize, wanted: impl Fn(&Event) -> bool) -> Scan {
        let state = self.read();
        let (mut bytes, removed_through) = (0, state.removed_through);
        let mut scan = Scan { events: Vec::new(), next: from, removed_through };
        for (offset, event) in state.events.range(from..) {
            if wanted(event) {
                bytes += event.size();
                if bytes > max_bytes && !scan.events.is_empty() {
                    return scan;
                }
                scan.events.push(event.clone());
            }
            scan.next = offset + 1;
        }
        scan.next = scan.next.max(state.last_offset + 1);
        scan
    }

    pub(super) fn removed_through(&self) -> u64 {
        self.read().removed_through
    }

    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().events.is_empty()
    }

    // A panic elsewhere while the lock was held leaves whole values behind: every change is one insert
    // or one removal.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn replay(&self, start: u64, shown: Shown) -> Replay {
        Replay { head: self.last_offset, shown, start, removed_through: self.removed_through }
    }
}

impl Trail {
    fn extent(&self, replays: Replays, recent: Duration, now: Instant) -> Option<Extent> {
        let shown = match (replays, self.ended_at) {
            (Replays::Never, _) => return None,
            (_, None) => return Some(Extent::Everything),
            (Replays::Always, Some(_)) => true,
            (Replays::UntilAcknowledged, Some(_)) => !self.acknowledged,
            (Replays::WhileRecent, Some(ended_at)) => !self.acknowledged && now < ended_at + recent,
        };
        shown.then_some(Extent::FinalOnly)
    }

    fn first_wanted(&self, state: &State, filter: &Filter, extent: Extent) -> Option<u64> {
        self.offsets.iter().copied().find(|offset| {
            state.events.get(offset).is_some_and(|event| {
                let shown = extent == Extent::Everything || event.kind == EventKind::Final;
                shown && filter.wants(&event.address, event.kind)
            })
        })
    }
}
