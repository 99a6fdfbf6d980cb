//! What Cache knows of each request between acceptance and its end: plain state, decided without I/O.

use std::collections::{HashMap, VecDeque, hash_map::Entry as MapEntry};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Deadline,
    limits::CACHE_GRACE,
    policy::Clearance,
    protocol::{Address, Ended, Failure, Hop, Request, RequestId, ThreadId, UserId},
};

/// An accepted request, or one that is being accepted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) address: Address,
    /// Whether the journal has it, and is to have its end.
    pub(super) is_journalled: bool,
    /// Whether question and answer are kept in the owner's conversation.
    pub(super) keeps_conversation: bool,
    pub(super) cancel: CancellationToken,
    pub(super) deadline: Deadline,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The journal is being written. What ends the request meanwhile waits for that.
    Accepting { ended: Option<Ended> },
    /// The journal has it; it is on its way through Completion.
    Accepted,
    /// The journal is writing its end.
    Ending,
}

/// What becomes of a request that the journal has now.
#[derive(Debug)]
pub(super) enum Acceptance {
    GoesOn,
    /// It was ended while it was being journalled.
    EndedMeanwhile(Ended),
    /// It has been ended without waiting for this.
    TooLate,
}

/// What is to be done about an `Ended`.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was never accepted: its waiter gets the refusal, nothing is written.
    Refuse(Ended),
    /// Write this terminal.
    Write(Ended),
    /// It has ended already: say so again to a Broadcaster that may have lost the word.
    Repeat(RequestId),
    /// It has ended already, and there is no record of how: its client, if it has not heard it, hears this.
    Tell(Address, Ended),
    /// Another end is being written, or this one waits until acceptance is.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<RequestId, Entry>,
    /// With the addresses of those that the journal does not have.
    finished: HashMap<RequestId, Option<Address>>,
    finished_at: VecDeque<(Instant, RequestId)>,
}

impl Ledger {
    /// A request passed its checks and is about to be journalled.
    pub(super) fn accepting(&mut self, owner: UserId, request: &Request, clearance: Clearance) {
        let entry = Entry {
            address: Address { clearance: Some(clearance), ..Address::of(owner, request) },
            is_journalled: request.origin.is_journalled(),
            keeps_conversation: request.keeps_conversation(),
            cancel: request.cancel.clone(),
            deadline: request.deadline,
            state: State::Accepting { ended: None },
        };
        self.entries.insert(request.id, entry);
    }

    /// A request was found unfinished in the journal.
    pub(super) fn recovered(
        &mut self,
        address: Address,
        keeps_conversation: bool,
        deadline: Deadline,
    ) -> &Entry {
        let request_id = address.request_id;
        let entry = Entry {
            address,
            is_journalled: true,
            keeps_conversation,
            cancel: CancellationToken::new(),
            deadline,
            state: State::Accepted,
        };
        self.entries.entry(request_id).insert_entry(entry).into_mut()
    }

    /// The request is in the ledger, or was until it was finished.
    pub(super) fn knows(&self, request_id: RequestId) -> bool {
        self.entries.contains_key(&request_id) || self.finished.contains_key(&request_id)
    }

    /// The request is accepted and nothing has ended it yet.
    pub(super) fn is_open(&self, request_id: RequestId) -> bool {
        self.entries.get(&request_id).is_some_and(|entry| matches!(entry.state, State::Accepted))
    }

    /// The journal has the request, in this thread if it keeps a conversation.
    pub(super) fn accepted(&mut self, request_id: RequestId, thread_id: Option<ThreadId>) -> Acceptance {
        let Some(entry) = self.entries.get_mut(&request_id) else {
            return Acceptance::TooLate;
        };
        entry.address.thread_id = thread_id;
        match &mut entry.state {
            State::Accepting { ended } => {
                let ended = ended.take();
                entry.state = State::Accepted;
                ended.map_or(Acceptance::GoesOn, Acceptance::EndedMeanwhile)
            }
            State::Accepted => Acceptance::GoesOn,
            State::Ending => Acceptance::TooLate,
        }
    }

    /// The journal did not take the request, which therefore was never accepted.
    pub(super) fn forget(&mut self, request_id: RequestId) {
        self.entries.remove(&request_id);
    }

    pub(super) fn ended(&mut self, ended: Ended) -> Verdict {
        let request_id = ended.request_id;
        let Some(entry) = self.entries.get_mut(&request_id) else {
            return match self.finished.get(&request_id) {
                None => Verdict::Refuse(ended),
                Some(None) => Verdict::Repeat(request_id),
                Some(Some(address)) => Verdict::Tell(address.clone(), ended),
            };
        };
        match &mut entry.state {
            State::Accepting { ended: first } => {
                first.get_or_insert(ended);
                Verdict::Nothing
            }
            State::Accepted => {
                entry.state = State::Ending;
                Verdict::Write(ended)
            }
            State::Ending => Verdict::Nothing,
        }
    }

    pub(super) fn entry(&self, request_id: RequestId) -> Option<&Entry> {
        self.entries.get(&request_id)
    }

    /// A message about the request was lost. What waited for it does not wait any longer.
    pub(super) fn lost_message(&mut self, request_id: RequestId) -> Verdict {
        let ended = Ended::failed(request_id, Failure::internal(Hop::Cache));
        match self.entries.get_mut(&request_id) {
            // It may have been the word that the end is written.
            Some(Entry { state: State::Ending, is_journalled: true, .. }) => Verdict::Repeat(request_id),
            Some(Entry { state: State::Ending, is_journalled: false, .. }) => {
                self.finish(request_id, Instant::now());
                self.ended(ended)
            }
            Some(entry) => {
                entry.state = State::Accepted;
                self.ended(ended)
            }
            None => self.ended(ended),
        }
    }

    /// The terminal of the request is written.
    pub(super) fn finish(&mut self, request_id: RequestId, now: Instant) -> Option<Entry> {
        let entry = self.entries.remove(&request_id);
        let address = entry.as_ref().and_then(|entry| (!entry.is_journalled).then(|| entry.address.clone()));
        if let MapEntry::Vacant(place) = self.finished.entry(request_id) {
            place.insert(address);
            self.finished_at.push_back((now, request_id));
        }
        entry
    }

    /// The requests that are past their deadline and that nobody has ended. Their turn to be ended has
    /// come whatever they were waiting for.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<Ended> {
        let mut overdue = Vec::new();
        for (request_id, entry) in &mut self.entries {
            let is_open = !matches!(entry.state, State::Ending);
            if is_open && now >= entry.deadline.timer + CACHE_GRACE {
                entry.state = State::Accepted;
                overdue.push(Ended::failed(*request_id, Failure::deadline_exceeded(Hop::Cache)));
            }
        }
        overdue
    }

    /// Forgets the finished requests the journal forgets too.
    pub(super) fn forget_finished_before(&mut self, before: Instant) {
        while let Some((at, request_id)) = self.finished_at.front().copied() {
            if at >= before {
                return;
            }
            self.finished_at.pop_front();
            self.finished.remove(&request_id);
        }
    }
}

#[cfg(test)]
mod tests;
