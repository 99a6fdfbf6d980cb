//! What the facts of a run come to. Pure: it is given facts in the order in which they were established, and
//! remembers of each request only what it needs to judge it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::fact::{Entry, Fact, Intent, Message, Subscriber, User};

mod hearing;

use hearing::Hearing;

/// How often a request may be run again, as shipped (`pipeline.max_interruptions`).
const MAX_INTERRUPTIONS: u64 = 1;

/// The verdict. Every list names what is wrong with one request or subscriber, in words to find it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub intended: u64,
    pub unsent: u64,
    pub accepted: u64,
    pub unanswered: u64,
    /// Refusals by status and code.
    pub refused: BTreeMap<String, u64>,
    /// Refusals for want of places that did not say when to come back.
    pub without_retry_after: u64,
    /// Finals of accepted requests by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Accepted, and nobody ever heard how it ended.
    pub lost: Vec<String>,
    /// Ended more than once, or in more than one way.
    pub second_finals: Vec<String>,
    /// Subscribers that waited to the end of the run.
    pub hung: Vec<String>,
    /// Chunks that were missing, out of order, after the final, or not what the final says.
    pub disordered: Vec<String>,
    /// What reached somebody whose it was not.
    pub foreign: Vec<String>,
    /// Requests for which a model was called more often than the ends of the server explain.
    pub called_too_often: Vec<String>,
    pub upstream_calls: u64,
    pub upstream_repeats: u64,
    /// Requests that were open when the server ended, all ends together.
    pub in_flight_at_ends: u64,
    /// The longest that a request accepted before an end of the server took to its final after the next start.
    pub slowest_recovery_milliseconds: u64,
}

/// Reads the facts of a run.
#[derive(Debug, Default)]
pub struct Judge {
    judgement: Judgement,
    requests: HashMap<Intent, Request>,
    by_id: HashMap<String, Intent>,
    subscribers: BTreeMap<Subscriber, Hearing>,
    /// Requests that have not ended as far as anybody knows.
    open: BTreeSet<Intent>,
    started_at: u64,
}

#[derive(Debug)]
struct Request {
    user: User,
    request_id: Option<String>,
    unanswered: bool,
    /// Ends of the server while it was open.
    interruptions: u64,
    calls: u64,
    end: Option<End>,
}

/// How a request ended; every subscriber must hear the same.
#[derive(Debug, PartialEq, Eq)]
struct End {
    message_id: String,
    content: String,
    outcome: String,
}

impl Judge {
    pub fn hear(&mut self, Entry { at, fact }: Entry) {
        match fact {
            Fact::Intended { intent, user } => self.intended(intent, user),
            Fact::Acknowledged { intent, request_id } => self.acknowledged(intent, request_id),
            Fact::Refused { intent, status, code, retry_after } => {
                self.refused(intent, status, &code, retry_after);
            }
            Fact::Unsent { intent } => self.unsent(intent),
            Fact::Unanswered { intent } => self.unanswered(intent),
            Fact::Asked { intent } => self.asked(intent),
            Fact::Subscribed { subscriber, user, intent } => {
                self.subscribers.insert(subscriber, Hearing::new(user, intent));
            }
            Fact::Unknown { subscriber } => self.hearing(subscriber, Hearing::told_unknown),
            Fact::Heard { subscriber, request_id, message } => {
                self.heard(at, subscriber, &request_id, message);
            }
            Fact::Left { subscriber } => self.hearing(subscriber, Hearing::leave),
            Fact::ServerEnded => self.server_ended(),
            Fact::ServerStarted => self.started_at = at,
        }
    }

    /// What all of it comes to.
    #[must_use]
    pub fn judge(mut self) -> Judgement {
        for (intent, request) in &self.requests {
            let name = name(*intent, request);
            if request.request_id.is_some() && request.end.is_none() {
                self.judgement.lost.push(format!("{name}: no final, {} calls upstream", request.calls));
            }
            if request.calls > 1 + request.interruptions.min(MAX_INTERRUPTIONS) {
                let Request { calls, interruptions, .. } = request;
                let why =
                    format!("{name}: {calls} calls upstream, {interruptions} ends of the server meanwhile");
                self.judgement.called_too_often.push(why);
            }
            self.judgement.upstream_repeats += request.calls.saturating_sub(1);
        }
        for (subscriber, hearing) in &self.subscribers {
            if let Some(why) = hearing.hangs() {
                self.judgement.hung.push(format!("subscriber {subscriber}: {why}"));
            }
        }
        self.judgement
    }

    fn intended(&mut self, intent: Intent, user: User) {
        self.judgement.intended += 1;
        self.open.insert(intent);
        let request =
            Request { user, request_id: None, unanswered: false, interruptions: 0, calls: 0, end: None };
        self.requests.insert(intent, request);
    }

    fn acknowledged(&mut self, intent: Intent, request_id: String) {
        self.judgement.accepted += 1;
        self.by_id.insert(request_id.clone(), intent);
        if let Some(request) = self.requests.get_mut(&intent) {
            request.request_id = Some(request_id);
        }
    }

    fn refused(&mut self, intent: Intent, status: u16, code: &str, retry_after: bool) {
        self.open.remove(&intent);
        *self.judgement.refused.entry(format!("{status} {code}")).or_default() += 1;
        if code == "overloaded" && !retry_after {
            self.judgement.without_retry_after += 1;
        }
    }

    fn unsent(&mut self, intent: Intent) {
        self.judgement.unsent += 1;
        self.open.remove(&intent);
    }

    fn unanswered(&mut self, intent: Intent) {
        self.judgement.unanswered += 1;
        if let Some(request) = self.requests.get_mut(&intent) {
            request.unanswered = true;
        }
    }

    fn asked(&mut self, intent: Intent) {
        self.judgement.upstream_calls += 1;
        if let Some(request) = self.requests.get_mut(&intent) {
            request.calls += 1;
        }
    }

    fn hearing(&mut self, subscriber: Subscriber, change: impl FnOnce(&mut Hearing)) {
        if let Some(hearing) = self.subscribers.get_mut(&subscriber) {
            change(hearing);
        }
    }

    fn heard(&mut self, at: u64, subscriber: Subscriber, request_id: &str, message: Message) {
        let Some(hearing) = self.subscribers.get_mut(&subscriber) else {
            self.judgement
                .foreign
                .push(format!("{request_id}: heard on subscription {subscriber}, which is none"));
            return;
        };
        let by_id = self.by_id.get(request_id).copied();
        for intent in by_id.into_iter().chain(message.canaries()) {
            if self.requests.get(&intent).is_none_or(|request| request.user != hearing.user) {
                let user = hearing.user;
                let why = format!("{request_id} of intent {intent}: heard by user {user} on {subscriber}");
                self.judgement.foreign.push(why);
            }
        }
        if let Err(why) = hearing.hear(request_id, &message) {
            self.judgement.disordered.push(format!("{request_id} on subscription {subscriber}: {why}"));
        }
        if let (Some(intent), Message::Final { id, content, outcome }) = (by_id, message) {
            self.ended(at, intent, End { message_id: id, content, outcome });
        }
    }

    fn ended(&mut self, at: u64, intent: Intent, end: End) {
        self.open.remove(&intent);
        let Some(request) = self.requests.get_mut(&intent) else {
            return;
        };
        match &request.end {
            None => {
                *self.judgement.outcomes.entry(end.outcome.clone()).or_default() += 1;
                if request.interruptions > 0 {
                    let took = at.saturating_sub(self.started_at);
                    let slowest = &mut self.judgement.slowest_recovery_milliseconds;
                    *slowest = took.max(*slowest);
                }
                request.end = Some(end);
            }
            Some(first) if *first != end => {
                let why = format!("{}: ended as {first:?}, then as {end:?}", name(intent, request));
                self.judgement.second_finals.push(why);
            }
            Some(_) => {}
        }
    }

    fn server_ended(&mut self) {
        self.judgement.in_flight_at_ends += self.open.len() as u64;
        let requests = &mut self.requests;
        self.open.retain(|intent| {
            requests.get_mut(intent).is_some_and(|request| {
                request.interruptions += 1;
                // Nobody will hear how one ended whose id nobody knows; it counts this once.
                !request.unanswered
            })
        });
    }
}

fn name(intent: Intent, request: &Request) -> String {
    let request_id = request.request_id.as_deref().unwrap_or("no requestId");
    format!("{request_id} (intent {intent}, user {})", request.user)
}

#[cfg(test)]
mod tests;
