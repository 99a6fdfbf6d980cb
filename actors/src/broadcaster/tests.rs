use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use actix::Addr;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    ports::TerminalRecord,
    protocol::{Address, Code, Ended, GlobalId, MessageId, Outcome, Role},
    testing::{Probe, a_desk, a_message, alone},
};

mod cursors;

const ALICE: UserId = UserId(2);
const BOB: UserId = UserId(4);
const NOBODYS_PAGE: Option<&str> = None;

struct Alone {
    broadcaster: Addr<Broadcaster>,
    has_room: Arc<AtomicBool>,
    clock: Clock,
    /// Ends the Broadcaster asked Cache for.
    _ended: Probe<Ended>,
}

fn broadcaster() -> Alone {
    with(Limits::default())
}

fn with(limits: Limits) -> Alone {
    tokio::time::pause();
    let (clock, has_room) = (Clock::following_tokio(), Arc::new(AtomicBool::new(true)));
    let (desk, ended) = a_desk(Hop::Broadcaster);
    let broadcaster = alone(Broadcaster::new(desk, clock.clone(), limits, has_room.clone()));
    Alone { broadcaster, has_room, clock, _ended: ended }
}

/// A request that is admitted, and what its client holds.
struct Asked {
    address: Address,
    cancel: CancellationToken,
    reply: oneshot::Receiver<Result<Granted, Failure>>,
}

impl Asked {
    fn id(&self) -> RequestId {
        self.address.request_id
    }
}

fn address(owner: UserId, action: &str, page: Option<&str>) -> Address {
    Address {
        request_id: RequestId::new(),
        owner,
        action: action.to_owned(),
        resource_id: Some(GlobalId::of("Issue", 52)),
        project_id: None,
        client_subscription_id: page.map(ToOwned::to_owned),
        clearance: None,
        thread_id: None,
    }
}

impl Alone {
    fn deadline(&self) -> Deadline {
        Deadline::after(&self.clock, Duration::from_secs(120))
    }

    async fn await_acceptance(&self, request_id: RequestId) -> oneshot::Receiver<Result<Granted, Failure>> {
        let (reply, accepted) = oneshot::channel();
        let deadline = self.deadline();
        self.broadcaster.send(Await { request_id, deadline, reply }).await.unwrap();
        accepted
    }

    async fn admit(&self, address: Address, recovered: bool) -> CancellationToken {
        let (cancel, echo) = (CancellationToken::new(), a_message(address.request_id, Role::User, "hello"));
        let deadline = self.deadline();
        let cancelled = cancel.clone();
        let admitted = Admitted { address, deadline, cancel, echo: Some(echo), recovered };
        self.broadcaster.send(admitted).await.unwrap();
        cancelled
    }

    /// An admitted request whose gate is closed.
    async fn gated(&self, address: Address) -> Asked {
        let reply = self.await_acceptance(address.request_id).await;
        let cancel = self.admit(address.clone(), false).await;
        Asked { address, cancel, reply }
    }

    /// An admitted request whose client has its `requestId`.
    async fn asked(&self, address: Address) -> Asked {
        let asked = self.gated(address).await;
        self.open(&asked).await;
        asked
    }

    async fn open(&self, asked: &Asked) {
        self.broadcaster.send(Opened { request_id: asked.id() }).await.unwrap();
    }

    async fn chunk(&self, asked: &Asked, chunk_id: u32) {
        let (request_id, content) = (asked.id(), format!("piece {chunk_id}"));
        self.broadcaster.send(ChunkProduced { request_id, chunk_id, content }).await.unwrap();
    }

    fn terminal(&self, address: &Address, content: &str) -> Arc<TerminalRecord> {
        Arc::new(TerminalRecord {
            request_id: address.request_id,
            owner: address.owner,
            action: address.action.clone(),
            resource_id: address.resource_id.clone(),
            project_id: None,
            client_subscription_id: address.client_subscription_id.clone(),
            thread_id: None,
            outcome: Outcome::Completed { content: content.to_owned() },
            model: None,
            message_id: MessageId::new(),
            ended_at: self.clock.now(),
        })
    }

    async fn end(&self, asked: &Asked) {
        let recorded = Recorded::Terminal(self.terminal(&asked.address, "answer"));
        self.broadcaster.send(recorded).await.unwrap();
    }

    async fn subscribe(&self, filter: Filter) -> Subscription {
        self.broadcaster.send(Subscribe { filter, after: None }).await.unwrap()
    }

    async fn resume(&self, filter: Filter, after: Cursor) -> Subscription {
        self.broadcaster.send(Subscribe { filter, after: Some(after) }).await.unwrap()
    }

    /// The cursor a client gets that asks for the second time what it has asked as `earlier`.
    async fn ask_again(&self, earlier: RequestId) -> Option<Cursor> {
        let (request_id, owner) = (RequestId::new(), ALICE);
        let mut reply = self.await_acceptance(request_id).await;
        self.broadcaster
            .send(Recorded::Repeats { request_id, owner, earlier, thread_id: None })
            .await
            .unwrap();
        reply.try_recv().unwrap().unwrap().cursor
    }

    async fn everything_of(&self, asked: &Asked) -> Subscription {
        let owner = asked.address.owner;
        self.subscribe(Filter::new(owner, None, None, None, Some(asked.id())).unwrap()).await
    }

    async fn acknowledge(&self, owner: UserId, asked: &Asked) {
        self.broadcaster.send(Acknowledge { owner, finals: vec![asked.id()] }).await.unwrap();
    }
}

/// GitLab's subscription: the user, issue 52, and a page or none.
fn on_issue(owner: UserId, page: Option<&str>) -> Filter {
    let issue = Some(GlobalId::of("Issue", 52));
    Filter::new(owner, None, issue, page.map(ToOwned::to_owned), None).unwrap()
}

/// What has come, in words.
fn said(subscription: &mut Subscription) -> Vec<String> {
    let events = subscription.read(1 << 20);
    events
        .iter()
        .map(|event| match event.kind {
            EventKind::Echo => "echo".to_owned(),
            EventKind::Restart => "restart".to_owned(),
            EventKind::Chunk => event.message.chunk_id.unwrap().to_string(),
            EventKind::Final => match &event.failure {
                None => "final".to_owned(),
                Some(failure) => failure.code.to_string(),
            },
        })
        .collect()
}

// === The gate ===

#[actix::test]
async fn nothing_is_published_before_the_client_has_its_request_id() {
    let alone = broadcaster();
    let mut asked = alone.gated(address(ALICE, "chat", Some("C"))).await;
    let granted = asked.reply.try_recv().unwrap().expect("the client hears that it is accepted");
    assert_eq!(granted.request_id, asked.id());
    let mut subscription = alone.everything_of(&asked).await;
    alone.chunk(&asked, 1).await;
    alone.chunk(&asked, 2).await;
    alone.end(&asked).await;
    assert_eq!(said(&mut subscription), [""; 0]);
    alone.open(&asked).await;
    assert_eq!(said(&mut subscription), ["echo", "1", "2", "final"]);
}

#[actix::test]
async fn a_client_that_vanished_or_never_was_holds_nothing_back() {
    let alone = broadcaster();
    let vanished = address(ALICE, "chat", Some("C"));
    drop(alone.await_acceptance(vanished.request_id).await);
    alone.admit(vanished, false).await;
    alone.admit(address(ALICE, "chat", Some("C")), true).await;
    let mut subscription =
        alone.subscribe(Filter::new(ALICE, None, None, Some("C".to_owned()), None).unwrap()).await;
    assert_eq!(said(&mut subscription), ["echo", "echo"]);
}

#[actix::test]
async fn a_refused_client_hears_why_and_its_request_is_published_nowhere() {
    let alone = broadcaster();
    let address = address(ALICE, "chat", Some("C"));
    let request_id = address.request_id;
    let mut reply = alone.await_acceptance(request_id).await;
    let failure = Failure::new(Code::Forbidden, Hop::Policy, "no");
    alone.broadcaster.send(Recorded::Refused { request_id, failure: failure.clone() }).await.unwrap();
    assert_eq!(reply.try_recv().unwrap(), Err(failure));
    let mut subscription = alone.subscribe(on_issue(ALICE, NOBODYS_PAGE)).await;
    assert_eq!(said(&mut subscription), [""; 0]);
}

#[actix::test]
async fn a_client_whose_request_was_lost_hears_so_one_second_after_the_deadline() {
    let alone = broadcaster();
    let reply = alone.await_acceptance(RequestId::new()).await;
    let started = Instant::now();
    assert_eq!(reply.await.unwrap().unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(started.elapsed().as_secs(), 121);
}

// === Subscribing before, during and after the answer ===

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforeAsking,
    BetweenChunks,
    AfterTheEnd,
    AfterTheEndAcknowledged,
    AMinuteAfterTheEnd,
}

use When::{AMinuteAfterTheEnd, AfterTheEnd, AfterTheEndAcknowledged, BeforeAsking, BetweenChunks};

/// Lets a request of `page` live its life and gives what a subscription of `filter`, made at some time
/// of it, hears until a second after its end.
async fn heard(page: Option<&str>, filter: Filter, when: When) -> (Resume, Vec<String>) {
    let alone = broadcaster();
    let mut subscription = None;
    if when == BeforeAsking {
        subscription = Some(alone.subscribe(filter.clone()).await);
    }
    let asked = alone.asked(address(ALICE, "chat", page)).await;
    alone.chunk(&asked, 1).await;
    if when == BetweenChunks {
        subscription = Some(alone.subscribe(filter.clone()).await);
    }
    alone.chunk(&asked, 2).await;
    alone.end(&asked).await;
    if when == AfterTheEndAcknowledged {
        alone.acknowledge(ALICE, &asked).await;
    }
    let pause = if when == AMinuteAfterTheEnd { 60 } else { 59 };
    tokio::time::sleep(Duration::from_secs(pause)).await;
    let mut subscription = match subscription {
        Some(subscription) => subscription,
        None => alone.subscribe(filter).await,
    };
    (subscription.resume(), said(&mut subscription))
}

#[rstest]
#[case(BeforeAsking, Resume::Live, &["1", "2", "final"])]
#[case(BetweenChunks, Resume::Replayed, &["1", "2", "final"])]
#[case(AfterTheEnd, Resume::Replayed, &["final"])]
#[case(AMinuteAfterTheEnd, Resume::Replayed, &["final"])]
#[case(AfterTheEndAcknowledged, Resume::Live, &[])]
#[actix::test]
async fn a_page_that_names_itself_gets_its_answer(
    #[case] when: When,
    #[case] resume: Resume,
    #[case] expected: &[&str],
) {
    let (began, heard) = heard(Some("C"), on_issue(ALICE, Some("C")), when).await;
    assert_eq!((began, heard), (resume, expected.iter().map(ToString::to_string).collect()));
}

#[rstest]
#[case(BeforeAsking, Resume::Live, &["echo", "final"])]
#[case(BetweenChunks, Resume::Replayed, &["echo", "final"])]
#[case(AfterTheEnd, Resume::Replayed, &["final"])]
#[case(AMinuteAfterTheEnd, Resume::Live, &[])]
#[case(AfterTheEndAcknowledged, Resume::Live, &[])]
#[actix::test]
async fn a_page_without_a_name_gets_the_answers_nobody_named(
    #[case] when: When,
    #[case] resume: Resume,
    #[case] expected: &[&str],
) {
    let (began, heard) = heard(None, on_issue(ALICE, None), when).await;
    assert_eq!((began, heard), (resume, expected.iter().map(ToString::to_string).collect()));
}

#[rstest]
#[case(BeforeAsking, &["echo", "final"])]
#[case(BetweenChunks, &["final"])]
#[case(AfterTheEnd, &[])]
#[actix::test]
async fn a_page_without_a_name_sees_a_named_answer_live_only(#[case] when: When, #[case] expected: &[&str]) {
    let (began, heard) = heard(Some("C"), on_issue(ALICE, None), when).await;
    assert_eq!((began, heard), (Resume::Live, expected.iter().map(ToString::to_string).collect()));
}

#[actix::test]
async fn a_subscription_with_a_user_alone_is_live_only() {
    let alone = broadcaster();
    let nowhere = Address { resource_id: None, ..address(ALICE, "chat", None) };
    let earlier = alone.asked(nowhere.clone()).await;
    let mut subscription = alone.subscribe(Filter::new(ALICE, None, None, None, None).unwrap()).await;
    assert_eq!(subscription.resume(), Resume::Live);
    assert_eq!(said(&mut subscription), [""; 0]);
    alone.chunk(&earlier, 1).await;
    alone.end(&earlier).await;
    assert_eq!(said(&mut subscription), ["final"]);
}

#[actix::test]
async fn a_request_that_is_named_is_replayed_even_when_it_is_acknowledged() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&asked).await;
    alone.acknowledge(ALICE, &asked).await;
    assert_eq!(said(&mut alone.everything_of(&asked).await), ["final"]);
}

// === Who gets what ===

#[actix::test]
async fn two_features_on_one_resource_are_kept_apart_by_their_client_subscription_ids() {
    let alone = broadcaster();
    let mut summary = alone.subscribe(on_issue(ALICE, Some("summary"))).await;
    let mut chat = alone.subscribe(on_issue(ALICE, Some("chat"))).await;
    let first = alone.asked(address(ALICE, "summarize_comments", Some("summary"))).await;
    let second = alone.asked(address(ALICE, "chat", Some("chat"))).await;
    alone.chunk(&second, 1).await;
    alone.chunk(&first, 1).await;
    alone.chunk(&first, 2).await;
    alone.end(&second).await;
    alone.end(&first).await;
    assert_eq!(said(&mut summary), ["1", "2", "final"]);
    assert_eq!(said(&mut chat), ["1", "final"]);
}

#[actix::test]
async fn two_users_with_the_same_client_subscription_id_hear_nothing_of_each_other() {
    let alone = broadcaster();
    let mut alices = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    let mut bobs = alone.subscribe(on_issue(BOB, Some("C"))).await;
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.chunk(&asked, 1).await;
    alone.end(&asked).await;
    assert_eq!(said(&mut bobs), [""; 0]);
    assert_eq!(said(&mut alone.subscribe(on_issue(BOB, Some("C"))).await), [""; 0]);
    assert_eq!(said(&mut alices), ["1", "final"]);
    // Naming Alice's request does not help Bob, and his acknowledgement is not hers.
    let stolen = Filter::new(BOB, None, None, None, Some(asked.id())).unwrap();
    assert_eq!(said(&mut alone.subscribe(stolen).await), [""; 0]);
    alone.acknowledge(BOB, &asked).await;
    assert_eq!(said(&mut alone.subscribe(on_issue(ALICE, Some("C"))).await), ["final"]);
}

#[actix::test]
async fn only_the_owner_cancels() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", None)).await;
    let cancel = |owner| alone.broadcaster.send(Cancel { owner, request_id: asked.id() });
    assert_eq!(cancel(BOB).await.unwrap().unwrap_err().code, Code::NotFound);
    assert!(!asked.cancel.is_cancelled());
    assert_eq!(cancel(ALICE).await.unwrap(), Ok(()));
    assert!(asked.cancel.is_cancelled());
    alone.end(&asked).await;
    assert_eq!(cancel(ALICE).await.unwrap(), Ok(()), "an ended request is left as it is");
    assert_eq!(cancel(BOB).await.unwrap().unwrap_err().code, Code::NotFound);
}

// === Ends ===

#[actix::test]
async fn a_request_has_one_final_and_nothing_after_it() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    let mut subscription = alone.everything_of(&asked).await;
    alone.chunk(&asked, 1).await;
    alone.end(&asked).await;
    alone.chunk(&asked, 2).await;
    alone.end(&asked).await;
    alone.open(&asked).await;
    assert_eq!(said(&mut subscription), ["echo", "1", "final"]);
    assert!(asked.cancel.is_cancelled(), "whoever still works on it can stop");
}

#[rstest]
#[case::open(true)]
#[case::gated(false)]
#[actix::test]
async fn when_no_end_is_recorded_one_is_published_a_second_after_the_deadline(#[case] is_open: bool) {
    let alone = broadcaster();
    let asked = alone.gated(address(ALICE, "chat", Some("C"))).await;
    if is_open {
        alone.open(&asked).await;
    }
    let mut subscription = alone.everything_of(&asked).await;
    alone.chunk(&asked, 1).await;
    tokio::time::sleep(Duration::from_millis(120_900)).await;
    assert_eq!(said(&mut subscription), if is_open { vec!["echo", "1"] } else { vec![] });
    tokio::time::sleep(Duration::from_millis(400)).await;
    let rest = said(&mut subscription);
    assert_eq!(rest.last().map(String::as_str), Some("deadline_exceeded"));
    assert!(asked.cancel.is_cancelled());
    alone.end(&asked).await;
    assert_eq!(said(&mut subscription), [""; 0], "what is recorded too late is ignored");
}

// === Bounds ===

#[actix::test]
async fn a_finished_request_is_kept_five_minutes() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&asked).await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(said(&mut alone.everything_of(&asked).await), ["final"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(said(&mut alone.everything_of(&asked).await), [""; 0]);
    let gone = Cancel { owner: ALICE, request_id: asked.id() };
    assert_eq!(alone.broadcaster.send(gone).await.unwrap().unwrap_err().code, Code::NotFound);
}

#[actix::test]
async fn the_oldest_finished_requests_make_room_and_those_in_flight_never_do() {
    let alone = with(Limits { retained_bytes: 4_000, ..Limits::default() });
    let in_flight = alone.asked(address(BOB, "chat", None)).await;
    let mut finished = Vec::new();
    for _ in 0..4 {
        let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
        alone.end(&asked).await;
        finished.push(asked);
    }
    let mut kept = Vec::new();
    for asked in &finished {
        kept.push(!said(&mut alone.everything_of(asked).await).is_empty());
    }
    // Each takes 2 * 512 bytes and its texts; 522 belong to Bob's.
    assert_eq!(kept, [false, true, true, true]);
    assert_eq!(said(&mut alone.everything_of(&in_flight).await), ["echo"]);
    assert!(alone.has_room.load(SeqCst));
}

#[actix::test]
async fn there_is_no_room_while_requests_in_flight_fill_the_memory() {
    let alone = with(Limits { retained_bytes: 2_000, ..Limits::default() });
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    let mut subscription = alone.everything_of(&asked).await;
    for chunk_id in 1..=3 {
        alone.chunk(&asked, chunk_id).await;
    }
    assert!(!alone.has_room.load(SeqCst));
    assert_eq!(said(&mut subscription), ["echo", "1", "2", "3"], "in flight nothing is trimmed");
    alone.end(&asked).await;
    assert!(alone.has_room.load(SeqCst));
}

#[actix::test]
async fn what_a_gate_holds_back_counts_until_it_opens() {
    let alone = with(Limits { retained_bytes: 2_000, ..Limits::default() });
    let asked = alone.gated(address(ALICE, "chat", Some("C"))).await;
    for chunk_id in 1..=3 {
        alone.chunk(&asked, chunk_id).await;
    }
    alone.end(&asked).await;
    assert!(!alone.has_room.load(SeqCst));
    alone.open(&asked).await;
    assert!(alone.has_room.load(SeqCst), "no request is in flight any more");
}

#[actix::test]
async fn a_reader_that_was_too_slow_is_told_that_it_has_a_hole() {
    let alone = broadcaster();
    let mut live = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    let mut prompt = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&asked).await;
    let replayed = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    assert_eq!(said(&mut prompt), ["final"]);
    assert!(!live.has_hole() && !replayed.has_hole());
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert!(live.has_hole(), "it had not read what is gone");
    assert!(replayed.has_hole(), "it was promised a replay of what is gone");
    assert!(!prompt.has_hole(), "it had read what is gone");
    assert!(!alone.subscribe(on_issue(ALICE, Some("C"))).await.has_hole(), "nothing was promised to it");
    assert_eq!(said(&mut live), [""; 0]);
    assert!(live.has_hole(), "reading on does not mend it");
}

#[actix::test]
async fn a_reader_takes_as_much_at_a_time_as_it_can_write() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    for chunk_id in 1..=5 {
        alone.chunk(&asked, chunk_id).await;
    }
    alone.end(&asked).await;
    let mut subscription = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    assert_eq!(subscription.read(1).len(), 1, "one at least");
    assert_eq!(subscription.read(1).len(), 0, "only the final of a finished request is replayed");

    let asked = alone.asked(address(ALICE, "chat", Some("D"))).await;
    let mut subscription = alone.subscribe(on_issue(ALICE, Some("D"))).await;
    for chunk_id in 1..=5 {
        alone.chunk(&asked, chunk_id).await;
    }
    let sizes = [1, 1_200, 1_200, 1_200].map(|bytes| subscription.read(bytes).len());
    assert_eq!(sizes, [1, 2, 2, 0]);
}

#[actix::test]
async fn a_reader_is_woken_by_what_it_may_want() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    let mut subscription = alone.everything_of(&asked).await;
    subscription.read(1 << 20);
    let quiet = tokio::time::timeout(Duration::from_secs(1), subscription.changed()).await;
    assert!(quiet.is_err());
    alone.chunk(&asked, 1).await;
    subscription.changed().await;
    assert_eq!(said(&mut subscription), ["1"]);
}

// === What an earlier process left ===

#[actix::test]
async fn restored_finals_are_replayed_as_old_as_they_are_and_once() {
    let alone = broadcaster();
    let (old, young) = (address(ALICE, "chat", None), address(ALICE, "chat", None));
    let aged = |address: &Address, seconds: u64| {
        let ended_at = alone.clock.now() - Duration::from_secs(seconds);
        Arc::new(TerminalRecord { ended_at, ..(*alone.terminal(address, "answer")).clone() })
    };
    let terminals = vec![aged(&old, 200), aged(&young, 10)];
    alone.broadcaster.send(Restored { terminals: terminals.clone() }).await.unwrap();
    // Cache says it again when it was interrupted while it loaded.
    alone.broadcaster.send(Restored { terminals }).await.unwrap();
    let replayed = alone.subscribe(on_issue(ALICE, None)).await.read(1 << 20);
    let ids: Vec<RequestId> = replayed.iter().map(|event| event.request_id()).collect();
    assert_eq!(ids, [young.request_id], "one ended more than 60 seconds ago");
    let by_id = |id| Filter::new(ALICE, None, None, None, Some(id)).unwrap();
    assert_eq!(said(&mut alone.subscribe(by_id(old.request_id)).await), ["final"]);
    tokio::time::sleep(Duration::from_secs(101)).await;
    assert_eq!(said(&mut alone.subscribe(by_id(old.request_id)).await), [""; 0]);
    assert_eq!(said(&mut alone.subscribe(by_id(young.request_id)).await), ["final"]);
}

#[actix::test]
async fn an_acknowledgement_that_comes_before_the_final_does_not_count() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.acknowledge(ALICE, &asked).await;
    alone.end(&asked).await;
    assert_eq!(said(&mut alone.subscribe(on_issue(ALICE, Some("C"))).await), ["final"]);
}
