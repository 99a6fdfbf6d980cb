use std::{sync::Mutex, time::Duration};

use actix::Addr;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    permits::Permits,
    policy::Authorized,
    ports::{Caller, ModelError, Turn},
    protocol::{Code, Outcome, Request, Role},
    testing::{Probe, Script, World, a_desk, a_message, a_request, a_user, alone, an_issue},
};

/// A Broadcaster that takes a chunk only when it is allowed to.
struct SlowBroadcaster {
    allowed: Arc<Semaphore>,
    offered: Arc<Mutex<Vec<(u32, String)>>>,
}

impl Actor for SlowBroadcaster {
    type Context = Context<Self>;
}

impl Handler<ChunkProduced> for SlowBroadcaster {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, chunk: ChunkProduced, _: &mut Self::Context) -> Self::Result {
        self.offered.lock().unwrap().push((chunk.chunk_id, chunk.content));
        let allowed = self.allowed.clone();
        Box::pin(async move { allowed.acquire().await.unwrap().forget() })
    }
}

struct Alone {
    completion: Addr<Completion>,
    ended: Probe<Ended>,
    allowed: Arc<Semaphore>,
    offered: Arc<Mutex<Vec<(u32, String)>>>,
    world: World,
}

/// Completion with a Broadcaster that takes every chunk at once.
fn completion() -> Alone {
    tokio::time::pause();
    let world = World::default();
    let (desk, _) = a_desk(Hop::Completion);
    let (ended, ends) = Probe::new();
    let (allowed, offered) = (Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), Arc::default());
    let chunks =
        alone(SlowBroadcaster { allowed: allowed.clone(), offered: Arc::clone(&offered) }).recipient();
    let (models, limits) = (world.models.clone(), world.limits.clone());
    let completion = alone(Completion::new(desk, models, chunks, ends, limits));
    Alone { completion, ended, allowed, offered, world }
}

impl Alone {
    fn request(&self) -> Request {
        a_request(&self.world.actions[0], &self.world.clock)
    }

    async fn run(&self, request: Request) -> RequestId {
        let request_id = request.id;
        let caller = Caller { user: a_user(2, "alice"), credentials: None };
        let authorized = Authorized::for_test(request, caller, None);
        self.completion.send(Accepted::for_test(authorized, Vec::new())).await.unwrap();
        request_id
    }

    fn offered(&self) -> Vec<(u32, String)> {
        self.offered.lock().unwrap().clone()
    }

    async fn outcome(&mut self, request_id: RequestId) -> Outcome {
        let ended = self.ended.next().await;
        assert_eq!(ended.request_id, request_id);
        ended.outcome
    }
}

fn numbered(chunks: &[&str]) -> Vec<(u32, String)> {
    (1..).zip(chunks.iter().map(|&content| content.to_owned())).collect()
}

#[actix::test]
async fn an_answer_goes_out_chunk_by_chunk_and_ends_once() {
    let mut alone = completion();
    alone.world.models.next_call(Script::saying(&["one ", "two ", "three"]));
    let request_id = alone.run(alone.request()).await;
    let ended = alone.ended.next().await;
    assert_eq!((ended.request_id, ended.model.as_deref()), (request_id, Some("fake/scripted")));
    assert_eq!(ended.outcome, Outcome::Completed { content: "one two three".to_owned() });
    assert_eq!(alone.offered(), numbered(&["one ", "two ", "three"]));
    assert!(alone.ended.is_silent().await);
}

#[actix::test]
async fn the_next_chunk_waits_until_the_last_one_is_taken() {
    let mut alone = completion();
    alone.allowed.forget_permits(Semaphore::MAX_PERMITS);
    alone.world.models.next_call(Script::saying(&["one", "two", "three"]));
    let request_id = alone.run(alone.request()).await;
    for offered in 1..=3 {
        assert!(alone.ended.is_silent().await, "ended before chunk {offered} was taken");
        assert_eq!(alone.offered().len(), offered, "more than one chunk was outstanding");
        alone.allowed.add_permits(1);
    }
    assert!(matches!(alone.outcome(request_id).await, Outcome::Completed { .. }));
    assert_eq!(alone.offered(), numbered(&["one", "two", "three"]));
}

#[actix::test]
async fn a_request_that_waits_for_its_broadcaster_holds_up_no_other() {
    let mut alone = completion();
    alone.allowed.forget_permits(Semaphore::MAX_PERMITS);
    alone.run(alone.request()).await;
    assert!(alone.ended.is_silent().await);
    alone
        .world
        .models
        .next_call(Script::default().fail(ModelError { code: Code::UpstreamAuth, retry_after: None }));
    let other = alone.run(alone.request()).await;
    assert!(matches!(alone.outcome(other).await, Outcome::Failed { .. }));
}

#[actix::test]
async fn the_model_is_given_the_rendered_prompt_after_the_conversation() {
    let mut alone = completion();
    let (request, earlier) = (alone.request(), RequestId::new());
    let request_id = request.id;
    let history =
        vec![a_message(earlier, Role::User, "before?"), a_message(earlier, Role::Assistant, "before.")];
    let caller = Caller { user: a_user(2, "alice"), credentials: None };
    let authorized = Authorized::for_test(request, caller, Some(Arc::new(an_issue())));
    alone.completion.send(Accepted::for_test(authorized, history)).await.unwrap();
    alone.outcome(request_id).await;
    let calls = alone.world.models.calls();
    assert_eq!((calls.len(), calls[0].request_id, calls[0].system.as_str()), (1, request_id, "Answer."));
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let expected = [turn(Role::User, "before?"), turn(Role::Assistant, "before."), turn(Role::User, "hello")];
    assert_eq!(calls[0].turns, expected);
}

#[actix::test]
async fn a_provider_with_a_prompt_of_its_own_is_given_that_one() {
    let mut alone = completion();
    let mut request = alone.request();
    let mut action = (*request.action).clone();
    let text = crate::action::PromptText { system: "Fakes only.".to_owned(), user: "hi".to_owned() };
    action.prompt.for_provider.insert("fake".to_owned(), text);
    request.action = Arc::new(action);
    let request_id = alone.run(request).await;
    alone.outcome(request_id).await;
    assert_eq!(alone.world.models.calls()[0].system, "Fakes only.");
}

#[actix::test]
async fn an_action_whose_model_or_prompt_is_broken_ends_internal_without_a_call() {
    tokio::time::pause();
    let world = World::default();
    let (mut no_model, mut no_name) = ((*world.actions[0]).clone(), (*world.actions[0]).clone());
    no_model.model = "gone".to_owned();
    no_name.prompt.text.user = "{{ input.nothing }}".to_owned();
    let (desk, mut ended) = a_desk(Hop::Completion);
    let (_chunks, chunks) = Probe::new();
    let (_ends, ends) = Probe::new();
    let completion = alone(Completion::new(desk, world.models.clone(), chunks, ends, world.limits.clone()));
    for action in [no_model, no_name] {
        let request = a_request(&Arc::new(action), &world.clock);
        let request_id = request.id;
        let caller = Caller { user: a_user(2, "alice"), credentials: None };
        let authorized = Authorized::for_test(request, caller, None);
        completion.send(Accepted::for_test(authorized, Vec::new())).await.unwrap();
        let refusal = ended.next().await;
        assert_eq!(refusal.request_id, request_id);
        let failure = Failure::internal(Hop::Completion);
        assert_eq!(refusal.outcome, Outcome::Failed { failure, partial: String::new() });
    }
    assert!(world.models.calls().is_empty());
}

#[actix::test]
async fn a_stop_drops_the_calls_under_way_and_ends_none_of_their_requests() {
    let mut alone = completion();
    let permits = Permits::new(1);
    for _ in 0..2 {
        alone.world.models.next_call(Script::default().then(Duration::ZERO, "part").hang());
    }
    let mut request = alone.request();
    request.permit = permits.take().unwrap();
    alone.run(request).await;
    alone.run(alone.request()).await;
    assert!(alone.ended.is_silent().await);
    assert_eq!((alone.world.models.open_calls(), permits.in_flight()), (2, 1));
    alone.completion.send(Stop { grace: Duration::from_secs(1) }).await.unwrap();
    assert_eq!((alone.world.models.open_calls(), permits.in_flight()), (0, 0));
    assert!(alone.ended.is_silent().await, "the next start is to run them");
}

#[actix::test]
async fn a_cancelled_request_keeps_what_was_shown_and_gives_its_place_back() {
    let mut alone = completion();
    let permits = Permits::new(1);
    alone.world.models.next_call(Script::default().then(Duration::ZERO, "part").hang());
    let mut request = alone.request();
    request.permit = permits.take().unwrap();
    let cancel = request.cancel.clone();
    let request_id = alone.run(request).await;
    assert!(alone.ended.is_silent().await);
    cancel.cancel();
    assert_eq!(alone.outcome(request_id).await, Outcome::Cancelled { partial: "part".to_owned() });
    assert!(alone.ended.is_silent().await);
    assert_eq!((alone.world.models.open_calls(), permits.in_flight()), (0, 0));
}

#[actix::test]
async fn what_a_model_says_after_it_said_that_it_is_done_is_not_heard() {
    let mut alone = completion();
    let script = Script::saying(&["answer"]).then(Duration::ZERO, " and more").finish();
    alone.world.models.next_call(script);
    let request_id = alone.run(alone.request()).await;
    let outcome = alone.outcome(request_id).await;
    assert_eq!(outcome, Outcome::Completed { content: "answer".to_owned() });
    assert!(alone.ended.is_silent().await);
    assert_eq!(alone.offered(), numbered(&["answer"]));
}
