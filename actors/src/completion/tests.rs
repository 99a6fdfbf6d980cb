use std::{sync::Mutex, time::Duration};

use actix::Addr;
use rstest::rstest;
use semver::Version;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    action::Modifier,
    permits::Permits,
    policy::Authorized,
    ports::{Caller, FlagSource, ModelError, Retry, Turn},
    prompt::{PromptTemplate, Selection},
    protocol::{Code, Outcome, Request, Role},
    testing::{Log, Probe, Script, World, a_desk, a_message, a_prompt, a_request, a_user, alone, an_issue},
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
    completion_with(|_| ())
}

fn completion_with(change: impl Fn(&mut Limits)) -> Alone {
    tokio::time::pause();
    let mut world = World::default();
    change(&mut world.limits);
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
    alone.world.models.next_call(Script::default().fail(ModelError::new(
        Code::UpstreamAuth,
        Retry::Never,
        "as scripted",
    )));
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
    let mut prompt = PromptVersion::clone(&action.prompt.default);
    let its_own = a_prompt(prompt.version.clone(), "Fakes only.", "hi");
    prompt.for_provider.insert("fake".to_owned(), its_own.text);
    action.prompt = PromptTemplate::only(prompt);
    request.action = Arc::new(action);
    let request_id = alone.run(request).await;
    alone.outcome(request_id).await;
    assert_eq!(alone.world.models.calls()[0].system, "Fakes only.");
}

#[rstest]
#[case::nobody(GlobalId::of("User", 3), "Answer.")]
#[case::the_user(GlobalId::of("User", 2), "Two.")]
#[case::the_group_the_request_is_in(GlobalId::of("Group", 7), "Two.")]
#[actix::test]
async fn a_flag_selects_another_version_of_the_prompt_for(#[case] actor: GlobalId, #[case] system: &str) {
    let mut alone = completion();
    let mut request = alone.request();
    let mut action = (*request.action).clone();
    let second = Arc::new(a_prompt(Version::new(2, 0, 0), "Two.", "hi"));
    action.prompt.versions.push(second.clone());
    action.prompt.selections.push(Selection { flag: "second_prompt".to_owned(), prompt: second });
    request.action = Arc::new(action);
    let request_id = request.id;
    alone.world.flags.set_for("second_prompt", actor);
    let caller = Caller { user: a_user(2, "alice"), credentials: None };
    let containers = vec![GlobalId::of("Project", 5), GlobalId::of("Group", 7)];
    let authorized = Authorized::for_test_in(containers, alone.world.flags.snapshot(), request, caller);
    alone.completion.send(Accepted::for_test(authorized, Vec::new())).await.unwrap();
    alone.outcome(request_id).await;
    assert_eq!(alone.world.models.calls()[0].system, system);
}

#[actix::test]
async fn an_action_whose_model_or_prompt_is_broken_ends_internal_without_a_call() {
    tokio::time::pause();
    let world = World::default();
    let (mut no_model, mut no_name) = ((*world.actions[0]).clone(), (*world.actions[0]).clone());
    no_model.model = "gone".to_owned();
    no_name.prompt = PromptTemplate::only(a_prompt(Version::new(1, 0, 0), "", "{{ input.nothing }}"));
    // Whoever finds out says so: the actor of the model, the task of the prompt.
    let (desk, mut ended_by_actor) = a_desk(Hop::Completion);
    let (mut ended_by_task, ends) = Probe::new();
    let (_chunks, chunks) = Probe::new();
    let completion = alone(Completion::new(desk, world.models.clone(), chunks, ends, world.limits.clone()));
    for (action, ended) in [(no_model, &mut ended_by_actor), (no_name, &mut ended_by_task)] {
        let request = a_request(&Arc::new(action), &world.clock);
        let request_id = request.id;
        let caller = Caller { user: a_user(2, "alice"), credentials: None };
        let authorized = Authorized::for_test(request, caller, None);
        completion.send(Accepted::for_test(authorized, Vec::new())).await.unwrap();
        let end = ended.next().await;
        assert_eq!((end.request_id, end.model), (request_id, None));
        let failure = Failure::internal(Hop::Completion);
        assert_eq!(end.outcome, Outcome::Failed { failure, partial: String::new() });
    }
    assert!(ended_by_actor.is_silent().await && ended_by_task.is_silent().await);
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

/// What becomes of `deltas` in an action with `steps`.
async fn modified(deltas: &[&str], steps: &[Modifier]) -> (Outcome, Vec<(u32, String)>) {
    modified_by(completion(), deltas, steps).await
}

async fn modified_by(mut alone: Alone, deltas: &[&str], steps: &[Modifier]) -> (Outcome, Vec<(u32, String)>) {
    alone.world.models.next_call(Script::saying(deltas));
    let mut request = alone.request();
    let mut action = (*request.action).clone();
    action.response = steps.to_vec();
    request.action = Arc::new(action);
    let request_id = alone.run(request).await;
    (alone.outcome(request_id).await, alone.offered())
}

#[actix::test]
async fn an_answer_with_steps_is_shown_whole_at_its_end_as_the_steps_leave_it() {
    let deltas = ["\n```json\n", "{\"a\": ", "1}\n```\n"];
    let (outcome, offered) = modified(&deltas, &[Modifier::Trim, Modifier::StripCodeFence]).await;
    assert_eq!(outcome, Outcome::Completed { content: "{\"a\": 1}".to_owned() });
    assert_eq!(offered, []);
}

#[rstest::rstest]
#[case::no_json(&["no ", "json"], Modifier::ExtractJson)]
#[case::an_empty_block(&["```\n", "```"], Modifier::StripCodeFence)]
#[actix::test]
async fn an_answer_of_which_the_steps_leave_nothing_is_malformed_and_nothing_of_it_is_kept(
    #[case] deltas: &[&str],
    #[case] step: Modifier,
) {
    let (outcome, offered) = modified(deltas, &[step]).await;
    let failure = faults::failed(Code::UpstreamMalformed);
    assert_eq!(outcome, Outcome::Failed { failure, partial: String::new() });
    assert_eq!(offered, []);
}

#[rstest::rstest]
#[case::bytes(|limits: &mut Limits| limits.max_answer_bytes = 3, &[], "pipeline.max_answer_bytes")]
#[case::chunks(|limits: &mut Limits| limits.max_chunks = 1, &[], "pipeline.max_chunks")]
#[case::no_json(|_: &mut Limits| (), &[Modifier::ExtractJson], "extract_json")]
#[case::an_empty_block(|_: &mut Limits| (), &[Modifier::StripCodeFence], "strip_code_fence")]
#[actix::test]
async fn an_answer_that_completion_itself_refuses_is_logged_with_what_it_offends(
    #[case] change: fn(&mut Limits),
    #[case] steps: &[Modifier],
    #[case] named: &str,
) {
    let log = Log::begin();
    let (outcome, _) = modified_by(completion_with(change), &["```\n", "```"], steps).await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    let ended = log.saying("model call ended");
    assert_eq!((ended.len(), ended[0].get("outcome")), (1, "upstream_malformed"));
    assert!(ended[0].get("what").contains(named), "{}", ended[0].get("what"));
}

#[rstest]
#[case::nothing_else(&[], &["chat_flag"])]
#[case::the_log(&[EXPANDED_LOGGING], &["chat_flag", EXPANDED_LOGGING])]
#[case::the_prompt_and_the_log(
    &["second_prompt", EXPANDED_LOGGING, "never_asked"],
    &["chat_flag", "second_prompt", EXPANDED_LOGGING]
)]
#[actix::test]
async fn a_model_is_told_of_the_flags_that_were_asked_and_are_on(#[case] on: &[&str], #[case] told: &[&str]) {
    let mut alone = completion();
    let mut request = alone.request();
    let mut action = (*request.action).clone();
    let second = Arc::new(a_prompt(Version::new(2, 0, 0), "Two.", "hi"));
    for flag in ["first_prompt", "second_prompt"] {
        action.prompt.selections.push(Selection { flag: flag.to_owned(), prompt: second.clone() });
    }
    request.action = Arc::new(action);
    let request_id = request.id;
    on.iter().for_each(|flag| alone.world.flags.set(flag, true));
    let caller = Caller { user: a_user(2, "alice"), credentials: None };
    let authorized = Authorized::for_test_in(Vec::new(), alone.world.flags.snapshot(), request, caller);
    alone.completion.send(Accepted::for_test(authorized, Vec::new())).await.unwrap();
    alone.outcome(request_id).await;
    assert_eq!(alone.world.models.calls()[0].enabled_flags, told);
}

#[actix::test]
async fn a_blank_question_in_a_prompt_of_turns_is_the_asker_s_mistake() {
    let mut alone = completion();
    let mut request = alone.request();
    let mut action = (*request.action).clone();
    action.prompt = PromptTemplate::only(a_prompt(
        Version::new(1, 0, 0),
        "",
        "\n\nHuman: {{ input.content }}\n\nAssistant:",
    ));
    request.action = Arc::new(action);
    request.input.insert("content".to_owned(), " ".into());
    let request_id = alone.run(request).await;
    let Outcome::Failed { failure, .. } = alone.outcome(request_id).await else { panic!("answered") };
    assert_eq!((failure.code, failure.hop), (Code::InvalidInput, Hop::Completion));
    assert_eq!(alone.world.models.calls().len(), 0);
}
