use std::time::Duration;

use super::*;
use crate::{
    clock::Clock,
    protocol::{Origin, Outcome, ThreadId},
    testing::{FakeLicences, a_request, an_action},
};

/// A request's states, as the ledger knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    Unknown,
    Accepting,
    /// Being accepted, and ended meanwhile by "first".
    AcceptingEnded,
    Accepted,
    Ending,
    Finished,
}

use Was::{Accepted, Accepting, AcceptingEnded, Ending, Finished, Unknown};

const ALL: [Was; 6] = [Unknown, Accepting, AcceptingEnded, Accepted, Ending, Finished];

fn completed(request_id: RequestId, content: &str) -> Ended {
    Ended { request_id, outcome: Outcome::Completed { content: content.to_owned() }, model: None }
}

fn content(ended: &Ended) -> &str {
    match &ended.outcome {
        Outcome::Completed { content } => content,
        Outcome::Failed { failure, .. } => failure.code.as_str(),
        Outcome::Cancelled { .. } => "cancelled",
    }
}

/// A ledger in which one request `was`.
fn ledger(was: Was) -> (Ledger, RequestId) {
    let (mut ledger, request) = (Ledger::default(), a_request(&an_action("chat"), &Clock::system()));
    let id = request.id;
    if was != Unknown {
        ledger.accepting(UserId(2), &request, Clearance::now(&FakeLicences::default()));
    }
    if was == AcceptingEnded {
        assert!(matches!(ledger.ended(completed(id, "first")), Verdict::Nothing));
    }
    if matches!(was, Accepted | Ending | Finished) {
        assert!(matches!(ledger.accepted(id, None), Acceptance::GoesOn));
    }
    if matches!(was, Ending | Finished) {
        assert!(matches!(ledger.ended(completed(id, "first")), Verdict::Write(_)));
    }
    if was == Finished {
        assert!(ledger.finish(id, Instant::now()).is_some());
    }
    (ledger, id)
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refuse(ended) => format!("refuse {}", content(ended)),
        Verdict::Write(ended) => format!("write {}", content(ended)),
        Verdict::Repeat(_) => "repeat".to_owned(),
        Verdict::Tell(_, ended) => format!("tell {}", content(ended)),
        Verdict::Nothing => "nothing".to_owned(),
    }
}

#[tokio::test]
async fn every_state_takes_an_end_in_one_way() {
    let verdicts = ALL.map(|was| {
        let (mut ledger, id) = ledger(was);
        (was, said(&ledger.ended(completed(id, "this"))))
    });
    let expected = [
        (Unknown, "refuse this"),
        (Accepting, "nothing"),
        (AcceptingEnded, "nothing"),
        (Accepted, "write this"),
        (Ending, "nothing"),
        (Finished, "repeat"),
    ];
    assert_eq!(verdicts, expected.map(|(was, verdict)| (was, verdict.to_owned())));
}

#[tokio::test]
async fn every_state_takes_the_journals_word_in_one_way() {
    let acceptances = ALL.map(|was| {
        let (mut ledger, id) = ledger(was);
        let acceptance = match ledger.accepted(id, None) {
            Acceptance::GoesOn => "goes on".to_owned(),
            Acceptance::EndedMeanwhile(ended) => format!("ended {}", content(&ended)),
            Acceptance::TooLate => "too late".to_owned(),
        };
        (was, acceptance)
    });
    let expected = [
        (Unknown, "too late"),
        (Accepting, "goes on"),
        (AcceptingEnded, "ended first"),
        (Accepted, "goes on"),
        (Ending, "too late"),
        (Finished, "too late"),
    ];
    assert_eq!(acceptances, expected.map(|(was, acceptance)| (was, acceptance.to_owned())));
}

#[tokio::test]
async fn every_state_survives_a_lost_message_in_one_way() {
    let verdicts = ALL.map(|was| {
        let (mut ledger, id) = ledger(was);
        (was, said(&ledger.lost_message(id)))
    });
    let expected = [
        (Unknown, "refuse internal"),
        (Accepting, "write internal"),
        (AcceptingEnded, "write internal"),
        (Accepted, "write internal"),
        (Ending, "repeat"),
        (Finished, "repeat"),
    ];
    assert_eq!(verdicts, expected.map(|(was, verdict)| (was, verdict.to_owned())));
}

#[tokio::test]
async fn every_state_meets_its_deadline_in_one_way() {
    let overdue = ALL.map(|was| {
        let (mut ledger, id) = ledger(was);
        let deadline = Instant::now() + Duration::from_secs(120);
        assert!(ledger.take_overdue(deadline).is_empty(), "Completion still has its moment");
        let ended = ledger.take_overdue(deadline + CACHE_GRACE);
        let verdicts: Vec<String> = ended.into_iter().map(|ended| said(&ledger.ended(ended))).collect();
        assert!(ledger.take_overdue(deadline + CACHE_GRACE).is_empty(), "{was:?} is overdue twice");
        assert!(!ledger.is_open(id));
        (was, verdicts.concat())
    });
    let expected = [
        (Unknown, ""),
        (Accepting, "write deadline_exceeded"),
        (AcceptingEnded, "write deadline_exceeded"),
        (Accepted, "write deadline_exceeded"),
        (Ending, ""),
        (Finished, ""),
    ];
    assert_eq!(overdue, expected.map(|(was, verdict)| (was, verdict.to_owned())));
}

#[tokio::test]
async fn whatever_happens_in_whatever_order_one_end_is_written() {
    for first in ALL {
        let (mut ledger, id) = ledger(first);
        let late = Instant::now() + Duration::from_secs(600);
        let mut written = u32::from(matches!(first, Ending | Finished));
        let mut count = |verdict: Verdict| written += u32::from(matches!(verdict, Verdict::Write(_)));
        count(ledger.ended(completed(id, "a")));
        if let Acceptance::EndedMeanwhile(ended) = ledger.accepted(id, None) {
            count(ledger.ended(ended));
        }
        count(ledger.ended(completed(id, "b")));
        for ended in ledger.take_overdue(late) {
            count(ledger.ended(ended));
        }
        count(ledger.lost_message(id));
        ledger.finish(id, late);
        count(ledger.ended(completed(id, "c")));
        assert_eq!(written, u32::from(first != Unknown), "{first:?}");
    }
}

#[tokio::test]
async fn a_recovered_request_is_accepted_already() {
    let (mut ledger, request) = (Ledger::default(), a_request(&an_action("chat"), &Clock::system()));
    let address = Address::of(UserId(2), &request);
    let entry = ledger.recovered(address.clone(), true, request.deadline);
    assert_eq!((&entry.address, entry.keeps_conversation), (&address, true));
    assert!(ledger.is_open(request.id));
    assert!(matches!(ledger.accepted(request.id, None), Acceptance::GoesOn));
}

#[tokio::test]
async fn the_journal_says_the_thread_also_of_what_was_ended_meanwhile() {
    let (mut ledger, id) = ledger(Accepting);
    assert_eq!(said(&ledger.ended(completed(id, "early"))), "nothing");
    assert!(matches!(ledger.accepted(id, Some(ThreadId(7))), Acceptance::EndedMeanwhile(_)));
    assert_eq!(ledger.entry(id).unwrap().address.thread_id, Some(ThreadId(7)));
}

#[tokio::test]
async fn what_the_journal_did_not_take_was_never_there() {
    let (mut ledger, id) = ledger(Accepting);
    ledger.forget(id);
    assert!(ledger.entry(id).is_none());
    assert_eq!(said(&ledger.ended(completed(id, "late"))), "refuse late");
}

#[tokio::test]
async fn a_finished_request_is_forgotten_with_the_journal_and_no_sooner() {
    let (mut ledger, id) = ledger(Finished);
    ledger.forget_finished_before(Instant::now() - Duration::from_secs(1));
    assert_eq!(said(&ledger.ended(completed(id, "late"))), "repeat");
    ledger.forget_finished_before(Instant::now() + Duration::from_secs(1));
    assert_eq!(said(&ledger.ended(completed(id, "late"))), "refuse late");
}

/// A ledger in which a streamed request, which the journal does not have, is being ended.
fn streamed_and_ending() -> (Ledger, RequestId) {
    let mut request = a_request(&an_action("chat"), &Clock::system());
    request.origin = Origin::Streamed;
    let mut ledger = Ledger::default();
    ledger.accepting(UserId(2), &request, Clearance::now(&FakeLicences::default()));
    assert!(matches!(ledger.accepted(request.id, None), Acceptance::GoesOn));
    assert!(matches!(ledger.ended(completed(request.id, "first")), Verdict::Write(_)));
    (ledger, request.id)
}

#[tokio::test]
async fn what_the_journal_cannot_repeat_of_a_streamed_request_is_told_anew() {
    let (mut ledger, id) = streamed_and_ending();
    assert_eq!(said(&ledger.ended(completed(id, "second"))), "nothing");
    ledger.finish(id, Instant::now());
    assert_eq!(said(&ledger.ended(completed(id, "late"))), "tell late");
    ledger.forget_finished_before(Instant::now() + Duration::from_secs(1));
    assert_eq!(said(&ledger.ended(completed(id, "late"))), "refuse late");
}

#[tokio::test]
async fn a_streamed_request_whose_last_word_was_lost_is_over_all_the_same() {
    let (mut ledger, id) = streamed_and_ending();
    assert_eq!(said(&ledger.lost_message(id)), "tell internal");
    assert!(ledger.entry(id).is_none() && ledger.knows(id));
}
