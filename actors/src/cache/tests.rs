use std::{
    sync::{Mutex, atomic::Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use actix::Addr;
use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    ports::{Acceptance, AcceptedRecord, IdempotencyKey, Taken},
    protocol::{Code, Origin, Role, ThreadChoice},
    testing::{MemoryStore, Probe, World, a_desk, a_message, a_request, a_user, alone},
};

impl Recovered {
    /// The fact without its actor, for the tests of the next one.
    pub(crate) fn for_test(request: Request, owner: UserId) -> Self {
        Self { request, owner }
    }
}

impl Accepted {
    /// The fact without its actor, for the tests of the next one.
    pub(crate) fn for_test(authorized: Authorized, history: Vec<ChatMessage>) -> Self {
        Self { authorized, history }
    }
}

const ALICE: UserId = UserId(2);

/// A journal that can be told to panic, or not to answer before it is allowed to.
#[derive(Default)]
struct Slow {
    store: Arc<MemoryStore>,
    accepts: Option<Semaphore>,
    ends: Option<Semaphore>,
    panics: Mutex<Vec<&'static str>>,
}

impl Slow {
    fn reach(&self, place: &'static str) {
        let mut panics = self.panics.lock().unwrap();
        if let Some(at) = panics.iter().position(|planned| *planned == place) {
            panics.remove(at);
            drop(panics);
            panic!("injected into the journal");
        }
    }
}

#[async_trait]
impl Journal for Slow {
    async fn accept(&self, acceptance: Acceptance) -> Result<Taken, StoreError> {
        if let Some(accepts) = &self.accepts {
            accepts.acquire().await.unwrap().forget();
        }
        self.reach("accept");
        self.store.accept(acceptance).await
    }
    async fn end(&self, terminal: TerminalRecord) -> Result<TerminalRecord, StoreError> {
        if let Some(ends) = &self.ends {
            ends.acquire().await.unwrap().forget();
        }
        self.reach("end");
        self.store.end(terminal).await
    }
    async fn terminal(&self, request_id: RequestId) -> Result<Option<TerminalRecord>, StoreError> {
        self.store.terminal(request_id).await
    }
    async fn take_unfinished(&self) -> Result<Vec<AcceptedRecord>, StoreError> {
        self.store.take_unfinished().await
    }
    async fn terminals_since(&self, since: SystemTime) -> Result<Vec<TerminalRecord>, StoreError> {
        self.store.terminals_since(since).await
    }
    async fn forget_ended_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        self.store.forget_ended_before(before).await
    }
    async fn forget_keys_before(&self, before: SystemTime) -> Result<u64, StoreError> {
        self.store.forget_keys_before(before).await
    }
}

struct Alone {
    cache: Addr<Cache>,
    journal: Arc<Slow>,
    recovered: Probe<Recovered>,
    accepted: Probe<Accepted>,
    admitted: Probe<Admitted>,
    recorded: Probe<Recorded>,
    restored: Probe<Restored>,
    ready: CancellationToken,
    world: World,
}

/// Cache with nothing to take over and time paused.
fn cache() -> Alone {
    tokio::time::pause();
    with(Slow::default(), World::default())
}

/// The journal is the store of the conversations too.
fn with(journal: Slow, world: World) -> Alone {
    let world = World { store: journal.store.clone(), ..world };
    let journal = Arc::new(journal);
    let (recovered, auth) = Probe::new();
    let (accepted, completion) = Probe::new();
    let (admitted, admits) = Probe::new();
    let (recorded, records) = Probe::new();
    let (restored, restores) = Probe::new();
    let shelves = Shelves {
        clock: world.clock.clone(),
        journal: journal.clone(),
        conversation: world.store.clone(),
        catalogue: world.parts().catalogue,
        permits: world.permits.clone(),
        limits: world.limits.clone(),
    };
    let neighbours = Neighbours { auth, completion, admitted: admits, recorded: records, restored: restores };
    let ready = CancellationToken::new();
    // Cache ends its own requests itself.
    let (desk, _) = a_desk(Hop::Cache);
    let cache = alone(Cache::new(desk, shelves, neighbours, ready.clone()));
    Alone { cache, journal, recovered, accepted, admitted, recorded, restored, ready, world }
}

fn completed(request_id: RequestId, content: &str) -> Ended {
    Ended { request_id, outcome: Outcome::Completed { content: content.to_owned() }, model: None }
}

fn failed(request_id: RequestId) -> Ended {
    Ended::failed(request_id, Failure::new(Code::Forbidden, Hop::Policy, "no"))
}

impl Alone {
    fn request(&self) -> Request {
        a_request(&self.world.actions[0], &self.world.clock)
    }

    async fn authorize(&self, request: Request) -> RequestId {
        let request_id = request.id;
        let caller = Caller { user: a_user(ALICE.0, "alice"), credentials: None };
        self.cache.send(Authorized::for_test(request, caller, None)).await.unwrap();
        request_id
    }

    /// A request that is with Completion now.
    async fn accept(&mut self) -> (RequestId, Accepted) {
        let request_id = self.authorize(self.request()).await;
        assert_eq!(self.admitted.next().await.address.request_id, request_id);
        (request_id, self.accepted.next().await)
    }

    async fn terminal(&mut self) -> Arc<TerminalRecord> {
        match self.recorded.next().await {
            Recorded::Terminal(terminal) => terminal,
            other => panic!("{other:?}"),
        }
    }

    async fn refusal(&mut self) -> (RequestId, Failure) {
        match self.recorded.next().await {
            Recorded::Refused { request_id, failure } => (request_id, failure),
            other => panic!("{other:?}"),
        }
    }

    async fn messages(&self) -> Vec<ChatMessage> {
        let asked = ReadConversation { owner: ALICE, thread: ThreadChoice::Legacy };
        self.cache.send(asked).await.unwrap().unwrap()
    }
}

// === Before Completion ===

#[actix::test]
async fn what_was_asked_before_under_the_same_key_is_neither_admitted_nor_run_again() {
    let mut alone = cache();
    let keyed = |alone: &Alone, body| Request {
        idempotency_key: Some(IdempotencyKey { key: "k".to_owned(), fingerprint: [body; 32] }),
        ..alone.request()
    };
    let first = alone.authorize(keyed(&alone, 1)).await;
    assert_eq!(alone.accepted.next().await.request().id, first);
    assert_eq!(alone.admitted.next().await.address.request_id, first);

    let second = alone.authorize(keyed(&alone, 1)).await;
    let Recorded::Repeats { request_id, owner, earlier, .. } = alone.recorded.next().await else { panic!() };
    assert_eq!((request_id, owner, earlier), (second, ALICE, first));
    let third = alone.authorize(keyed(&alone, 2)).await;
    let (refused, failure) = alone.refusal().await;
    assert_eq!((refused, failure.code), (third, Code::Conflict));
    assert!(alone.admitted.is_silent().await && alone.accepted.is_silent().await);
    assert_eq!(alone.messages().await.len(), 1, "the question is there once");
}

#[actix::test]
async fn nobody_hears_of_a_request_before_the_journal_has_it() {
    tokio::time::pause();
    let journal = Slow { accepts: Some(Semaphore::new(0)), ..Slow::default() };
    let mut alone = with(journal, World::default());
    let request_id = alone.authorize(alone.request()).await;
    assert!(alone.admitted.is_silent().await && alone.accepted.is_silent().await);
    assert!(alone.journal.store.accepted().is_empty());
    alone.journal.accepts.as_ref().unwrap().add_permits(1);
    let admitted = alone.admitted.next().await;
    assert_eq!((admitted.address.request_id, admitted.address.owner), (request_id, ALICE));
    assert_eq!(admitted.echo.unwrap().content, "hello");
    assert_eq!(alone.accepted.next().await.request().id, request_id);
    assert_eq!(alone.journal.store.accepted()[0].request_id, request_id);
    assert_eq!(alone.messages().await[0].role, Role::User);
}

#[actix::test]
async fn a_journal_that_does_not_take_a_request_refuses_it() {
    let mut alone = cache();
    alone.journal.store.is_full.store(true, SeqCst);
    let request_id = alone.authorize(alone.request()).await;
    let (refused, failure) = alone.refusal().await;
    assert_eq!((refused, failure.code), (request_id, Code::StorageUnavailable));
    assert!(alone.admitted.is_silent().await && alone.accepted.is_silent().await);
}

#[actix::test]
async fn a_conversation_that_does_not_take_the_question_does_not_lose_a_request_that_is_not_journalled() {
    let mut alone = cache();
    alone.world.store.is_full.store(true, SeqCst);
    let request_id = alone.authorize(Request { origin: Origin::Streamed, ..alone.request() }).await;
    assert_eq!(alone.admitted.next().await.address.thread_id, None);
    let accepted = alone.accepted.next().await;
    assert_eq!(accepted.request().id, request_id);
    assert!(accepted.history().is_empty());
    assert!(alone.messages().await.is_empty());
}

#[actix::test]
async fn a_request_whose_client_was_told_no_is_not_accepted() {
    let mut alone = cache();
    let request = alone.request();
    request.cancel.cancel();
    alone.authorize(request).await;
    assert_eq!(alone.refusal().await.1.code, Code::Internal);
    assert!(alone.journal.store.accepted().is_empty());
}

#[actix::test]
async fn an_action_without_a_conversation_leaves_no_message_and_sees_none() {
    let mut alone = cache();
    let (before, _) = alone.accept().await;
    let mut request = alone.request();
    request.action = alone.world.actions[1].clone();
    assert!(!request.action.cache_response);
    alone.authorize(request).await;
    assert!(alone.admitted.next().await.echo.is_none());
    assert!(alone.accepted.next().await.history().is_empty());
    assert!(alone.messages().await.iter().all(|message| message.request_id == before));
}

#[actix::test]
async fn the_history_is_what_was_said_before() {
    let mut alone = cache();
    let (first, _) = alone.accept().await;
    alone.cache.send(completed(first, "one.")).await.unwrap();
    alone.terminal().await;
    let (_, accepted) = alone.accept().await;
    let history: Vec<_> = accepted.history().iter().map(|said| (said.request_id, said.role)).collect();
    assert_eq!(history, [(first, Role::User), (first, Role::Assistant)]);
}

// === Ends ===

#[actix::test]
async fn a_request_refused_before_acceptance_is_written_nowhere() {
    let mut alone = cache();
    let request_id = RequestId::new();
    alone.cache.send(failed(request_id)).await.unwrap();
    let (refused, failure) = alone.refusal().await;
    assert_eq!((refused, failure.code), (request_id, Code::Forbidden));
    assert!(alone.journal.store.ended(request_id).is_none());
    assert!(alone.messages().await.is_empty());
}

#[actix::test]
async fn an_end_is_written_before_the_broadcaster_hears_of_it_and_stops_the_work() {
    let mut alone = cache();
    let (request_id, accepted) = alone.accept().await;
    alone.journal.store.is_full.store(true, SeqCst);
    alone.cache.send(completed(request_id, "answer")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(alone.recorded.is_silent().await, "told before it was written");
    alone.journal.store.is_full.store(false, SeqCst);
    let terminal = alone.terminal().await;
    assert_eq!(alone.journal.store.ended(request_id).as_ref(), Some(&*terminal));
    assert!(accepted.request().cancel.is_cancelled());
    let answer = alone.messages().await.pop().unwrap();
    assert_eq!((answer.id, answer.content.as_str()), (terminal.message_id, "answer"));
}

#[actix::test]
async fn the_first_end_stands_and_later_ones_change_nothing() {
    tokio::time::pause();
    let journal = Slow { ends: Some(Semaphore::new(0)), ..Slow::default() };
    let mut alone = with(journal, World::default());
    let (request_id, _) = alone.accept().await;
    alone.cache.send(completed(request_id, "first")).await.unwrap();
    alone.cache.send(failed(request_id)).await.unwrap();
    alone.journal.ends.as_ref().unwrap().add_permits(2);
    let terminal = alone.terminal().await;
    assert_eq!(terminal.outcome, Outcome::Completed { content: "first".to_owned() });
    assert!(alone.recorded.is_silent().await);
    // Whoever says so later may not have heard: the same word once more.
    alone.cache.send(failed(request_id)).await.unwrap();
    assert_eq!(alone.terminal().await, terminal);
    assert_eq!(alone.messages().await.len(), 2);
}

#[actix::test]
async fn an_end_that_comes_while_the_journal_is_written_waits_for_it() {
    tokio::time::pause();
    let journal = Slow { accepts: Some(Semaphore::new(0)), ..Slow::default() };
    let mut alone = with(journal, World::default());
    let request_id = alone.authorize(alone.request()).await;
    alone.cache.send(failed(request_id)).await.unwrap();
    assert!(alone.recorded.is_silent().await);
    alone.journal.accepts.as_ref().unwrap().add_permits(1);
    assert_eq!(alone.admitted.next().await.address.request_id, request_id);
    assert!(matches!(alone.terminal().await.outcome, Outcome::Failed { .. }));
    assert!(alone.accepted.is_silent().await, "an ended request was run");
}

#[actix::test]
async fn a_request_nobody_ends_is_ended_at_its_deadline() {
    let mut alone = cache();
    let started = Instant::now();
    let (request_id, accepted) = alone.accept().await;
    let terminal = alone.terminal().await;
    let failure = Failure::deadline_exceeded(Hop::Cache);
    assert_eq!(terminal.outcome, Outcome::Failed { failure, partial: String::new() });
    assert_eq!((terminal.request_id, started.elapsed().as_secs()), (request_id, 120));
    assert!(accepted.request().cancel.is_cancelled());
}

// === At start ===

async fn left_behind(world: &World, change: impl FnOnce(&mut AcceptedRecord)) -> (Slow, RequestId) {
    let request = a_request(&world.actions[0], &world.clock);
    let request_id = request.id;
    let caller = Caller { user: a_user(ALICE.0, "alice"), credentials: None };
    let authorized = Authorized::for_test(request, caller, None);
    let now = world.clock.now();
    let (mut record, question) =
        (records::accepted(&authorized, now), records::question(authorized.request(), now));
    change(&mut record);
    let journal = Slow::default();
    journal.store.accept(Acceptance { record, key: None, question }).await.unwrap();
    (journal, request_id)
}

#[actix::test]
async fn an_unfinished_request_of_an_earlier_process_is_admitted_and_walks_the_pipeline_again() {
    tokio::time::pause();
    let world = World::default();
    let (journal, request_id) = left_behind(&world, |_| {}).await;
    let mut alone = with(journal, world);
    let admitted = alone.admitted.next().await;
    assert!(admitted.recovered && admitted.echo.is_none());
    let (request, owner) = alone.recovered.next().await.into_parts();
    assert_eq!((request.id, owner), (request_id, ALICE));
    assert!(request.origin.is_recovered());
    assert!(alone.ready.is_cancelled());
    // The second time through, nothing is journalled or said twice, and it is in the thread it was given.
    assert!(request.thread.id().is_some());
    assert_eq!(admitted.address.thread_id, request.thread.id());
    alone.authorize(request).await;
    assert_eq!(alone.accepted.next().await.request().id, request_id);
    assert!(alone.admitted.is_silent().await);
    assert_eq!(alone.journal.store.accepted().len(), 1);
    let messages = alone.messages().await;
    assert_eq!(
        messages.iter().map(|message| (message.role, message.request_id)).collect::<Vec<_>>(),
        [(Role::User, request_id)]
    );
}

#[rstest::rstest]
#[case::past_its_deadline(Code::DeadlineExceeded, |record: &mut AcceptedRecord| {
    record.deadline = record.accepted_at - Duration::from_secs(1);
})]
#[case::interrupted_before(Code::Interrupted, |record: &mut AcceptedRecord| record.interruptions = 1)]
#[case::of_an_action_that_is_gone(Code::Interrupted, |record: &mut AcceptedRecord| {
    record.action = "gone".to_owned();
})]
#[actix::test]
async fn what_may_not_run_again_ends(#[case] code: Code, #[case] change: fn(&mut AcceptedRecord)) {
    tokio::time::pause();
    let world = World::default();
    let (journal, request_id) = left_behind(&world, change).await;
    let mut alone = with(journal, world);
    assert!(alone.admitted.next().await.recovered, "its subscribers have to hear the end");
    let terminal = alone.terminal().await;
    let Outcome::Failed { failure, .. } = &terminal.outcome else {
        panic!("{terminal:?}");
    };
    assert_eq!((terminal.request_id, failure.code), (request_id, code));
    assert!(alone.recovered.is_silent().await);
}

#[actix::test]
async fn a_recovered_request_waits_for_its_place_among_those_in_flight() {
    tokio::time::pause();
    let world = World { permits: Permits::new(1), ..World::default() };
    let (journal, request_id) = left_behind(&world, |_| {}).await;
    let place = world.permits.take().unwrap();
    let mut alone = with(journal, world);
    assert!(alone.recovered.is_silent().await);
    drop(place);
    assert_eq!(alone.recovered.next().await.into_parts().0.id, request_id);
}

#[actix::test]
async fn finished_requests_of_the_last_five_minutes_are_restored_oldest_first() {
    tokio::time::pause();
    let world = World::default();
    let journal = Slow::default();
    let now = world.clock.now();
    let mut expected = Vec::new();
    for age in [299, 10, 301] {
        let (_, request_id) = left_behind(&world, |_| {}).await;
        let request = Request { id: request_id, ..a_request(&world.actions[0], &world.clock) };
        let at = now - Duration::from_secs(age);
        let terminal = records::terminal(Address::of(ALICE, &request), completed(request_id, "done"), at);
        journal.store.end(terminal).await.unwrap();
        expected.push(request_id);
    }
    let mut alone = with(journal, world);
    let restored = alone.restored.next().await.terminals;
    let ids: Vec<RequestId> = restored.iter().map(|terminal| terminal.request_id).collect();
    assert_eq!(ids, expected[..2]);
}

#[actix::test]
async fn an_answer_that_may_be_missing_is_added_also_while_the_conversation_cannot_be_seen() {
    tokio::time::pause();
    let world = World::default();
    let journal = Slow::default();
    let request = a_request(&world.actions[0], &world.clock);
    let address = Address::of(ALICE, &request);
    let terminal = records::terminal(address, completed(request.id, "done"), world.clock.now());
    journal.store.end(terminal).await.unwrap();
    journal.store.hides_conversations.store(true, SeqCst);
    let mut alone = with(journal, world);
    alone.restored.next().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    alone.world.store.hides_conversations.store(false, SeqCst);
    let messages = alone.messages().await;
    assert_eq!(messages.iter().map(|message| &*message.content).collect::<Vec<_>>(), ["done"]);
}

#[actix::test]
async fn a_store_that_does_not_answer_at_the_start_is_asked_until_it_does() {
    tokio::time::pause();
    let world = World::default();
    let (journal, request_id) = left_behind(&world, |_| {}).await;
    journal.store.is_full.store(true, SeqCst);
    let mut alone = with(journal, world);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!alone.ready.is_cancelled() && alone.recovered.is_silent().await);
    alone.journal.store.is_full.store(false, SeqCst);
    assert_eq!(alone.recovered.next().await.into_parts().0.id, request_id);
    assert!(alone.ready.is_cancelled());
}

// === The conversation's bounds ===

#[actix::test]
async fn the_last_fifty_messages_of_a_user_are_kept() {
    let mut alone = cache();
    for n in 0..26 {
        let (request_id, _) = alone.accept().await;
        alone.cache.send(completed(request_id, &format!("answer {n}"))).await.unwrap();
        alone.terminal().await;
    }
    let messages = alone.messages().await;
    assert_eq!(messages.len(), 50);
    assert_eq!(messages[1].content, "answer 1");
    assert_eq!(messages[49].content, "answer 25");
    let others = alone.world.store.threads(UserId(3), alone.world.clock.now()).await.unwrap();
    assert!(others.is_empty(), "somebody else's threads");
}

#[actix::test]
async fn a_conversation_expires_three_days_after_its_last_message() {
    let day = Duration::from_secs(24 * 60 * 60);
    let mut alone = cache();
    for pause in [Duration::ZERO, 2 * day] {
        tokio::time::advance(pause).await;
        let (request_id, _) = alone.accept().await;
        alone.cache.send(completed(request_id, "answer")).await.unwrap();
        alone.terminal().await;
    }
    tokio::time::advance(2 * day).await;
    assert_eq!(alone.messages().await.len(), 4, "the last message restarts the three days");
    tokio::time::advance(day - Duration::from_secs(1)).await;
    assert_eq!(alone.messages().await.len(), 4);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(alone.messages().await.is_empty());
}

#[actix::test]
async fn a_message_is_cut_at_twenty_thousand_characters_not_bytes() {
    let mut alone = cache();
    let (request_id, _) = alone.accept().await;
    alone.cache.send(completed(request_id, &"é".repeat(20_001))).await.unwrap();
    let terminal = alone.terminal().await;
    assert_eq!(alone.messages().await[1].content, "é".repeat(20_000));
    // What is delivered is the whole answer.
    assert_eq!(terminal.outcome, Outcome::Completed { content: "é".repeat(20_001) });
}

#[actix::test]
async fn the_same_message_is_kept_once() {
    let store = MemoryStore::default();
    let message = a_message(RequestId::new(), Role::User, "hello");
    let mut threads = Vec::new();
    for _ in 0..2 {
        threads.push(store.append(ALICE, None, message.clone()).await.unwrap());
    }
    let kept = store.messages(ALICE, ThreadChoice::Legacy, SystemTime::UNIX_EPOCH).await.unwrap().unwrap();
    assert_eq!(threads, [kept[0].thread_id, kept[0].thread_id]);
    assert_eq!(kept, [ChatMessage { thread_id: threads[0], ..message }]);
}

// === Faults ===

#[actix::test]
async fn a_journal_that_panics_at_a_request_refuses_it_at_once() {
    let mut alone = cache();
    alone.journal.panics.lock().unwrap().push("accept");
    let started = Instant::now();
    let request_id = alone.authorize(alone.request()).await;
    let (refused, failure) = alone.refusal().await;
    assert_eq!((refused, failure.code), (request_id, Code::StorageUnavailable));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[actix::test]
async fn a_journal_that_panics_at_an_end_is_asked_again() {
    let mut alone = cache();
    let (request_id, _) = alone.accept().await;
    alone.journal.panics.lock().unwrap().push("end");
    alone.cache.send(completed(request_id, "answer")).await.unwrap();
    let terminal = alone.terminal().await;
    assert_eq!(terminal.outcome, Outcome::Completed { content: "answer".to_owned() });
    assert!(alone.journal.store.ended(request_id).is_some());
}
