//! The whole tree, with fakes for what lies outside and time under control.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use duologue_actors::{
    auth::allowance::TOO_OFTEN,
    broadcaster::{Event, EventKind, Filter, Resume, Subscription},
    entrance::Entrance,
    feature_flag::{CHAT_SWITCH, FLAG_DISABLED, GLOBAL_SWITCH},
    policy::checks::{NO_ACCESS, NOT_ALLOWED, NOT_FOUND},
    ports::{Credentials, ModelError},
    protocol::{Code, GlobalId, Hop, Outcome, RequestId, Role, UserId},
    supervisor::{Inspector, Tree},
    testing::{Script, World, panic_once},
};
use tokio::time::{Instant, timeout};

const ALICE: UserId = UserId(2);

/// A world whose time passes only while everybody waits. The first thing in every test.
fn world() -> World {
    tokio::time::pause();
    World::default()
}

fn start(world: &World) -> Tree {
    Tree::start_here(world.parts()).unwrap()
}

fn everything_of(owner: UserId, request_id: RequestId) -> Filter {
    Filter::new(owner, None, None, None, Some(request_id)).unwrap()
}

/// Reads a subscription to the final of some request.
async fn to_the_final(subscription: &mut Subscription) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while !events.last().is_some_and(|event: &Arc<Event>| event.kind == EventKind::Final) {
        events.extend(subscription.read(1 << 20));
        if !events.last().is_some_and(|event| event.kind == EventKind::Final) {
            timeout(Duration::from_secs(600), subscription.changed()).await.expect("an event in time");
        }
    }
    events
}

fn text(events: &[Arc<Event>]) -> String {
    let chunks = events.iter().filter(|event| event.kind == EventKind::Chunk);
    chunks.map(|event| event.message.content.as_str()).collect()
}

/// Asks as `token` and reads everything of the request.
async fn answer(world: &World, entrance: &Entrance, token: &str, owner: UserId) -> Vec<Arc<Event>> {
    let gate = entrance.ask(world.ask(token, "chat")).await.unwrap();
    let filter = everything_of(owner, gate.request_id());
    drop(gate);
    to_the_final(&mut entrance.subscribe(filter).await.unwrap()).await
}

#[actix::test]
async fn one_question_passes_all_six_actors_and_comes_back_as_chunks_and_one_final() {
    let world = world();
    let tree = start(&world);
    let before = tree.entrance().tree().await.unwrap();
    let events = answer(&world, tree.entrance(), "alice", ALICE).await;

    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    use EventKind::{Chunk, Echo, Final};
    assert_eq!(kinds, [Echo, Chunk, Chunk, Final]);
    assert_eq!(text(&events), "Hello world.");
    assert_eq!(events[3].message.content, "Hello world.");
    assert_eq!(events[3].model.as_deref(), Some("fake/scripted"));

    let after = tree.entrance().tree().await.unwrap();
    let names: Vec<&str> = after.actors.iter().map(|actor| actor.name).collect();
    assert_eq!(names, ["auth", "feature_flag", "policy", "cache", "completion", "broadcaster"]);
    for (before, after) in before.actors.iter().zip(&after.actors) {
        assert!(after.handled > before.handled, "{} handled nothing", after.name);
        assert_eq!(after.restarts, 0);
    }
}

#[actix::test]
async fn accepted_means_that_the_journal_and_the_conversation_have_it() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(Script::default().hang());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let accepted = world.store.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!((accepted[0].request_id, accepted[0].owner), (gate.request_id(), ALICE));
    let messages = tree.entrance().messages(ALICE).await.unwrap();
    assert_eq!((messages.len(), messages[0].role), (1, Role::User));
}

#[actix::test]
async fn a_store_that_does_not_take_the_request_refuses_it_and_serves_again_when_it_can() {
    let world = world();
    let tree = start(&world);
    tree.recovered().await;
    world.store.is_full.store(true, SeqCst);
    let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err();
    assert_eq!((refusal.failure.code, refusal.failure.hop), (Code::StorageUnavailable, Hop::Cache));
    world.store.is_full.store(false, SeqCst);
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
}

#[actix::test]
async fn an_end_that_cannot_be_written_at_once_is_written_later_and_then_delivered() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(Script::default().then(Duration::from_secs(1), "late").finish());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    world.store.is_full.store(true, SeqCst);
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(subscription.read(1 << 20).iter().all(|event| event.kind != EventKind::Final));
    world.store.is_full.store(false, SeqCst);
    let events = to_the_final(&mut subscription).await;
    assert_eq!(events.last().unwrap().message.content, "late");
    assert!(matches!(world.store.ended(request_id).unwrap().outcome, Outcome::Completed { .. }));
}

#[actix::test]
async fn an_end_that_is_written_too_late_is_the_one_the_client_was_told() {
    let world = world();
    let tree = start(&world);
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    world.store.is_full.store(true, SeqCst);
    drop(gate);
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    let told = to_the_final(&mut subscription).await.pop().unwrap();
    assert_eq!(told.failure.as_ref().unwrap().code, Code::DeadlineExceeded);
    world.store.is_full.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Outcome::Failed { failure, .. } = world.store.ended(request_id).unwrap().outcome else {
        panic!("the journal says that it was completed")
    };
    assert_eq!(failure.code, Code::DeadlineExceeded);
}

// === Refusals ===

async fn refusal(
    world: &World,
    token: &str,
    action: &str,
    resource: Option<GlobalId>,
) -> (Code, Hop, String) {
    let tree = start(world);
    let mut ask = world.ask(token, action);
    ask.resource_id = resource;
    let failure = tree.entrance().ask(ask).await.unwrap_err().failure;
    assert!(world.store.accepted().is_empty(), "a refused request was journalled");
    assert!(world.models.calls().is_empty(), "a refused request reached the model");
    assert_eq!(world.permits.in_flight(), 0, "a refused request kept its permit");
    (failure.code, failure.hop, failure.text)
}

fn issue() -> Option<GlobalId> {
    Some(GlobalId::of("Issue", 52))
}

#[actix::test]
async fn a_token_nobody_holds_is_refused_by_auth() {
    let refusal = refusal(&world(), "nobody", "chat", None).await;
    assert_eq!(refusal, (Code::Unauthenticated, Hop::Auth, "Invalid token".to_owned()));
}

#[actix::test]
async fn check_1_chat_has_a_switch_of_its_own() {
    let world = world();
    world.flags.set(CHAT_SWITCH, false);
    let refusal = refusal(&world, "alice", "chat", None).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_2_everything_else_has_the_global_switch() {
    let world = world();
    world.flags.set(GLOBAL_SWITCH, false);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_3_the_actions_own_flag_is_off() {
    let world = world();
    world.flags.set("chat_flag", false);
    let refusal = refusal(&world, "alice", "chat", None).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_3_a_flag_for_another_group_is_off() {
    let world = world();
    world.flags.set_for("summarize_comments_flag", GlobalId::of("Group", 99));
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::Policy, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_4_a_member_without_a_licence_hears_that_it_is_not_allowed() {
    let world = world();
    world.licences.withdrawn.store(true, SeqCst);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NOT_ALLOWED.to_owned()));
}

#[actix::test]
async fn check_5_whoever_is_no_member_hears_not_found_and_nothing_else() {
    let world = world();
    // Were the licence decided first, Mallory would learn that the issue exists.
    world.licences.withdrawn.store(true, SeqCst);
    let hidden = refusal(&world, "mallory", "summarize_comments", issue()).await;
    let missing = refusal(&world, "mallory", "summarize_comments", Some(GlobalId::of("Issue", 404))).await;
    assert_eq!(hidden, (Code::NotFound, Hop::Policy, NOT_FOUND.to_owned()));
    assert_eq!(hidden, missing);
}

#[actix::test]
async fn check_6_a_beta_feature_needs_the_groups_consent() {
    let mut world = world();
    let mut action = (*world.actions[1]).clone();
    action.maturity = duologue_actors::action::Maturity::Beta;
    world.actions[1] = Arc::new(action);
    world.directory.experiments.store(false, SeqCst);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NOT_ALLOWED.to_owned()));
}

#[actix::test]
async fn without_a_resource_some_group_of_the_caller_must_allow_it() {
    let refusal = refusal(&world(), "mallory", "chat", None).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NO_ACCESS.to_owned()));
}

#[actix::test]
async fn a_directory_or_an_identity_provider_that_is_down_says_when_to_try_again() {
    let world = world();
    world.directory.is_down.store(true, SeqCst);
    assert_eq!(refusal(&world, "alice", "chat", None).await.0, Code::Overloaded);
    let world = World::default();
    world.verifier.is_down.store(true, SeqCst);
    assert_eq!(refusal(&world, "alice", "chat", None).await.0, Code::Overloaded);
}

#[actix::test]
async fn an_admin_counts_as_a_member() {
    let world = world();
    let tree = start(&world);
    let mut ask = world.ask("root", "summarize_comments");
    ask.resource_id = issue();
    assert!(tree.entrance().ask(ask).await.is_ok());
}

#[actix::test]
async fn the_callers_own_page_is_no_resource_and_another_users_is_not_found() {
    let world = world();
    let tree = start(&world);
    let about = |user: UserId| {
        let mut ask = world.ask("alice", "chat");
        ask.resource_id = Some(user.global_id());
        tree.entrance().ask(ask)
    };
    assert!(about(ALICE).await.is_ok());
    assert_eq!(about(UserId(3)).await.unwrap_err().failure.code, Code::NotFound);
}

#[actix::test]
async fn a_flag_for_the_resources_group_is_on() {
    let world = world();
    world.flags.set_for("summarize_comments_flag", GlobalId::of("Group", 10));
    let tree = start(&world);
    let mut ask = world.ask("alice", "summarize_comments");
    ask.resource_id = issue();
    assert!(tree.entrance().ask(ask).await.is_ok());
}

#[actix::test]
async fn a_caller_learns_beforehand_what_is_available() {
    let world = world();
    let tree = start(&world);
    world.flags.set(CHAT_SWITCH, false);
    for (token, expected) in [("alice", vec!["summarize_comments"]), ("mallory", vec![])] {
        let user = tree.entrance().identify(Credentials::token(token)).await.unwrap().user;
        let caller = duologue_actors::ports::Caller { user, credentials: None };
        let available = tree.entrance().available_actions(caller, world.actions.clone()).await.unwrap();
        let names: Vec<&str> = available.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(names, expected);
    }
}

// === Ends ===

async fn failed_answer(script: Script) -> (Code, String, Duration) {
    let world = world();
    let tree = start(&world);
    world.models.next_call(script);
    let started = Instant::now();
    let events = answer(&world, tree.entrance(), "alice", ALICE).await;
    let last = events.last().unwrap();
    assert_eq!(world.models.open_calls(), 0, "the call is still open");
    (last.failure.as_ref().unwrap().code, last.message.content.clone(), started.elapsed())
}

#[actix::test]
async fn a_stream_that_is_cut_is_truncated_and_its_text_is_kept() {
    let (code, kept, _) = failed_answer(Script::default().then(Duration::ZERO, "part")).await;
    assert_eq!((code, kept.as_str()), (Code::UpstreamTruncated, "part"));
}

#[actix::test]
async fn an_empty_success_is_no_success() {
    assert_eq!(failed_answer(Script::default().finish()).await.0, Code::UpstreamMalformed);
}

#[actix::test]
async fn an_error_of_the_provider_ends_the_request_with_its_code() {
    let error = ModelError { code: Code::UpstreamRateLimited, retry_after: None };
    assert_eq!(failed_answer(Script::default().fail(error)).await.0, Code::UpstreamRateLimited);
}

#[actix::test]
async fn a_model_that_never_says_anything_times_out() {
    let (code, _, took) = failed_answer(Script::default().hang()).await;
    assert_eq!((code, took.as_secs()), (Code::UpstreamTimeout, 30));
}

#[actix::test]
async fn a_model_that_falls_silent_is_stalled_even_if_it_keeps_the_line_open() {
    let script = (0..100).fold(Script::default().then(Duration::ZERO, "part"), |script, _| {
        script.then(Duration::from_secs(10), "")
    });
    let (code, kept, took) = failed_answer(script).await;
    assert_eq!((code, kept.as_str(), took.as_secs()), (Code::UpstreamStalled, "part", 30));
}

#[actix::test]
async fn a_model_that_never_ends_is_ended_at_the_deadline() {
    let script = (0..1_000).fold(Script::default(), |script, _| script.then(Duration::from_secs(1), "x"));
    let (code, _, took) = failed_answer(script).await;
    assert_eq!((code, took.as_secs()), (Code::DeadlineExceeded, 120));
}

#[actix::test]
async fn a_model_that_panics_costs_its_request_only() {
    let (code, _, _) = failed_answer(Script::default().then(Duration::ZERO, "part").panic()).await;
    assert_eq!(code, Code::Internal);
}

#[actix::test]
async fn an_answer_of_too_many_chunks_ends_and_keeps_its_text() {
    let script = (0..10_000).fold(Script::default(), |script, n| {
        script.then(Duration::from_millis(if n > 2_000 { 30 } else { 0 }), "x")
    });
    let (code, kept, _) = failed_answer(script).await;
    assert_eq!((code, kept.len() >= 4_096), (Code::UpstreamMalformed, true));
}

#[actix::test]
async fn a_cancelled_request_ends_cancelled_and_its_call_is_closed() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(Script::default().then(Duration::ZERO, "part").hang());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let foreign = tree.entrance().cancel(UserId(3), request_id).await.unwrap_err();
    assert_eq!(foreign.code, Code::NotFound);
    tree.entrance().cancel(ALICE, request_id).await.unwrap();
    let last = to_the_final(&mut subscription).await.pop().unwrap();
    assert_eq!((last.message.content.as_str(), last.message.errors.len()), ("part", 1));
    let ended = world.store.ended(request_id).unwrap().outcome;
    assert_eq!(ended, Outcome::Cancelled { partial: "part".to_owned() });
    assert_eq!(world.models.open_calls(), 0);
    assert_eq!(world.permits.in_flight(), 0);
    tree.entrance().cancel(ALICE, request_id).await.expect("cancelling again changes nothing");
}

#[actix::test]
async fn when_cache_is_silent_the_broadcaster_ends_the_request_one_second_after_its_deadline() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(Script::default().hang());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    world.store.is_silent.store(true, SeqCst);
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    let started = Instant::now();
    let last = to_the_final(&mut subscription).await.pop().unwrap();
    assert_eq!(last.failure.as_ref().unwrap().hop, Hop::Broadcaster);
    assert_eq!(started.elapsed().as_secs(), 121);
    // What Cache says later is ignored.
    world.store.is_silent.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(subscription.read(1 << 20).is_empty());
}

#[actix::test]
async fn a_request_that_is_lost_on_its_way_to_acceptance_is_answered_after_its_deadline() {
    let world = world();
    let tree = start(&world);
    world.store.is_silent.store(true, SeqCst);
    let started = Instant::now();
    let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err();
    assert_eq!(refusal.failure.code, Code::DeadlineExceeded);
    assert_eq!(started.elapsed().as_secs(), 121);
}

// === What one user may ask for ===

#[actix::test]
async fn of_a_thousand_asked_at_once_exactly_160_are_accepted_and_the_others_hear_when_to_come_back() {
    let mut world = world();
    world.limits.user.in_flight = 1_000;
    let tree = start(&world);
    let asks = (0..1_000).map(|_| tree.entrance().ask(world.ask("alice", "chat")));
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for outcome in futures::future::join_all(asks).await {
        match outcome {
            Ok(gate) => accepted.push(gate),
            Err(refusal) => {
                let failure = refusal.failure;
                assert_eq!(
                    (failure.code, failure.hop, failure.text.as_str()),
                    (Code::RateLimited, Hop::Auth, TOO_OFTEN)
                );
                assert!(failure.retry_after.is_some_and(|wait| wait <= world.limits.user.period));
                refused += 1;
            }
        }
    }
    assert_eq!((accepted.len(), refused), (160, 840));
    assert_eq!(world.store.accepted().len(), 160);
    assert!(
        tree.entrance().ask(world.ask("root", "chat")).await.is_ok(),
        "another user has 160 of their own"
    );

    drop(accepted);
    while world.permits.in_flight() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.models.calls().len(), 161);
    assert!(tree.entrance().ask(world.ask("alice", "chat")).await.is_err(), "what has ended counts too");
    tokio::time::advance(world.limits.user.period).await;
    assert!(tree.entrance().ask(world.ask("alice", "chat")).await.is_ok(), "a new period has begun");
}

/// A world in which a user has one request in flight.
fn world_of_one_seat() -> World {
    let mut world = World::default();
    world.limits.user.in_flight = 1;
    world
}

/// Asks what a model never ends, and shows that there is no second seat.
async fn take_the_seat(world: &World, tree: &Tree, script: Script) -> (RequestId, Subscription) {
    world.models.next_call(script);
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.expect("the seat is free");
    let request_id = gate.request_id();
    drop(gate);
    let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err().failure;
    assert_eq!((refusal.code, refusal.hop), (Code::RateLimited, Hop::Auth));
    assert!(refusal.text.contains("in flight"), "{}", refusal.text);
    assert!(tree.entrance().ask(world.ask("root", "chat")).await.is_ok(), "root has a seat of their own");
    (request_id, tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap())
}

#[actix::test]
async fn a_seat_comes_back_when_its_request_ends_however_it_ends() {
    tokio::time::pause();
    let second = Duration::from_secs(1);
    let error = ModelError { code: Code::UpstreamRejected, retry_after: None };
    let endless = (0..1_000).fold(Script::default(), |script, _| script.then(second, "x"));
    let ends = [
        ("completion", Script::default().then(second, "x").finish()),
        ("failure", Script::default().then(second, "x").fail(error)),
        ("silence", Script::default().hang()),
        ("panic", Script::default().then(second, "x").panic()),
        ("deadline", endless),
    ];
    let world = world_of_one_seat();
    let tree = start(&world);
    for (end, script) in ends {
        let (_, mut subscription) = take_the_seat(&world, &tree, script).await;
        to_the_final(&mut subscription).await;
        let events = answer(&world, tree.entrance(), "alice", ALICE).await;
        assert_eq!(text(&events), "Hello world.", "after a {end}");
    }
    let (request_id, mut cancelled) = take_the_seat(&world, &tree, Script::default().hang()).await;
    tree.entrance().cancel(ALICE, request_id).await.unwrap();
    to_the_final(&mut cancelled).await;
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
}

#[actix::test]
async fn a_seat_comes_back_when_its_request_is_refused_whoever_refuses_it() {
    tokio::time::pause();
    let world = world_of_one_seat();
    let tree = start(&world);
    let refused = async |by: Hop| {
        let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err().failure;
        assert_eq!(refusal.hop, by, "{refusal:?}");
    };
    world.flags.set("chat_flag", false);
    refused(Hop::FeatureFlag).await;
    world.flags.set("chat_flag", true);
    world.licences.withdrawn.store(true, SeqCst);
    refused(Hop::Policy).await;
    world.licences.withdrawn.store(false, SeqCst);
    world.store.is_full.store(true, SeqCst);
    refused(Hop::Cache).await;
    world.store.is_full.store(false, SeqCst);
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
}

#[actix::test]
async fn requests_of_an_earlier_process_take_seats_and_are_never_refused() {
    let mut world = world();
    let left = {
        let tree = start(&world);
        for _ in 0..3 {
            world.models.next_call(Script::default().hang());
            drop(tree.entrance().ask(world.ask("alice", "chat")).await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        tree.stop(Duration::from_millis(100)).await;
        world.store.accepted()
    };
    assert_eq!(left.len(), 3);
    world.limits.user.in_flight = 1;
    for _ in &left {
        world.models.next_call(Script::default().then(Duration::from_secs(5), "again").finish());
    }
    let tree = start(&world);
    tree.recovered().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err().failure;
    assert_eq!(refusal.code, Code::RateLimited, "the recovered requests hold the seat");
    for record in left {
        let filter = everything_of(ALICE, record.request_id);
        let mut subscription = tree.entrance().subscribe(filter).await.unwrap();
        let last = to_the_final(&mut subscription).await.pop().unwrap();
        assert_eq!(last.message.content, "again");
    }
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
}

// === Panics ===

/// Every message a request meets on its way, with the actor that takes it.
const WAY: &[(&str, &str)] = &[
    ("broadcaster", "Await"),
    ("auth", "Submitted"),
    ("auth", "Verified"),
    ("feature_flag", "Authenticated"),
    ("policy", "Enabled"),
    ("policy", "LookedUp"),
    ("cache", "Authorized"),
    ("cache", "Journalled"),
    ("broadcaster", "Admitted"),
    ("broadcaster", "Opened"),
    ("completion", "Accepted"),
    ("broadcaster", "ChunkProduced"),
    ("cache", "Ended"),
    ("cache", "Finished"),
    ("broadcaster", "Recorded"),
];

#[actix::test]
async fn a_panic_in_any_actor_at_any_message_ends_that_request_typed_and_harms_no_other() {
    tokio::time::pause();
    for (actor, message) in WAY {
        // With one seat, so that the next request shows that it came back.
        let world = World { inspector: Some(panic_once(actor, message)), ..world_of_one_seat() };
        let tree = start(&world);
        let unlucky = tree.entrance().ask(world.ask("alice", "chat"));
        let panicked = timeout(Duration::from_secs(2), unlucky).await.expect("an answer");
        match panicked {
            Err(refusal) => {
                assert_eq!(refusal.failure.code, Code::Internal, "{actor} at {message}");
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(world.permits.in_flight(), 0, "{actor} at {message} kept a permit");
            }
            Ok(gate) => {
                let request_id = gate.request_id();
                drop(gate);
                let filter = everything_of(ALICE, request_id);
                let mut subscription = tree.entrance().subscribe(filter).await.unwrap();
                let last = to_the_final(&mut subscription).await.pop().unwrap();
                let stored = world.store.ended(request_id).expect("a terminal");
                let failed = matches!(stored.outcome, Outcome::Failed { .. });
                assert_eq!(failed, last.failure.is_some(), "{actor} at {message}: said what is not stored");
                let code = last.failure.as_ref().map(|failure| failure.code);
                assert_ne!(code, Some(Code::DeadlineExceeded), "{actor} at {message}: noticed too late");
            }
        }
        let state = tree.entrance().tree().await.unwrap();
        let hit = state.actors.iter().find(|state| state.name == *actor).unwrap();
        assert_eq!(hit.restarts, 1, "{actor} at {message}");
        assert!(hit.last_panic.as_deref().unwrap().contains("testing.rs"));

        // The same address serves the next one.
        let events = answer(&world, tree.entrance(), "alice", ALICE).await;
        assert_eq!(text(&events), "Hello world.", "{actor} at {message}");
    }
}

/// Panics once at one message of one actor, when told to, and notes the time.
#[derive(Default)]
struct Trap {
    armed: AtomicBool,
    sprung: Mutex<Option<Instant>>,
}

impl Trap {
    fn at(actor: &'static str, message: &'static str) -> (Arc<Self>, Inspector) {
        let trap = Arc::new(Self::default());
        let set = trap.clone();
        let inspector: Inspector = Arc::new(move |at, taking| {
            if at == actor && taking == message && set.armed.swap(false, SeqCst) {
                *set.sprung.lock().unwrap() = Some(Instant::now());
                panic!("injected into {actor} at {message}");
            }
        });
        (trap, inspector)
    }

    /// Waits for the panic and then for the actor; says how long the actor was away.
    async fn outage(&self, tree: &Tree, actor: &str) -> Duration {
        loop {
            let state = tree.entrance().tree().await.unwrap();
            let is_back = state.actors.iter().any(|state| state.name == actor && state.restarts == 1);
            let sprung = *self.sprung.lock().unwrap();
            if let (true, Some(sprung)) = (is_back, sprung) {
                return sprung.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[actix::test]
async fn an_actor_is_back_within_100_ms_of_a_panic_at_any_message_and_others_never_notice() {
    tokio::time::pause();
    for (actor, message) in WAY {
        let (trap, inspector) = Trap::at(actor, message);
        let world = World { inspector: Some(inspector), ..World::default() };
        let tree = start(&world);
        world.models.next_call(Script::default().then(Duration::from_secs(5), "safe").finish());
        let gate = tree.entrance().ask(world.ask("root", "chat")).await.unwrap();
        let filter = everything_of(UserId(1), gate.request_id());
        drop(gate);
        let mut bystander = tree.entrance().subscribe(filter).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;

        trap.armed.store(true, SeqCst);
        let unlucky = tree.entrance().ask(world.ask("alice", "chat"));
        drop(timeout(Duration::from_secs(1), unlucky).await.expect("an answer"));
        let outage = timeout(Duration::from_secs(1), trap.outage(&tree, actor)).await;
        let outage = outage.unwrap_or_else(|_| panic!("{actor} is not back after {message}"));
        assert!(outage < Duration::from_millis(100), "{actor} at {message}: away for {outage:?}");
        let events = to_the_final(&mut bystander).await;
        assert_eq!(text(&events), "safe", "{actor} at {message}: {events:?}");
    }
}

/// What is asked of an actor beside the way of a request.
async fn put_a_question(entrance: &Entrance, message: &str) -> Result<(), Code> {
    let user = duologue_actors::testing::a_user(ALICE.0, "alice");
    let caller = duologue_actors::ports::Caller { user, credentials: None };
    let answer = match message {
        "Identify" => entrance.identify(Credentials::token("alice")).await.map(drop),
        "WhichEnabled" | "WhichAllowed" => {
            let actions = vec![duologue_actors::testing::an_action("chat")];
            entrance.available_actions(caller, actions).await.map(drop)
        }
        "ReadConversation" => entrance.messages(ALICE).await.map(drop),
        "Subscribe" => entrance.subscribe(everything_of(ALICE, RequestId::new())).await.map(drop),
        other => panic!("no question is called {other}"),
    };
    answer.map_err(|failure| failure.code)
}

#[actix::test]
async fn a_question_that_meets_a_panic_is_answered_with_it_and_the_next_one_is_served() {
    tokio::time::pause();
    let questions = [
        ("auth", "Identify"),
        ("feature_flag", "WhichEnabled"),
        ("policy", "WhichAllowed"),
        ("cache", "ReadConversation"),
        ("broadcaster", "Subscribe"),
    ];
    for (actor, message) in questions {
        let world = World { inspector: Some(panic_once(actor, message)), ..World::default() };
        let tree = start(&world);
        let first = put_a_question(tree.entrance(), message).await;
        assert_eq!(first, Err(Code::Internal), "{actor} at {message}");
        assert_eq!(put_a_question(tree.entrance(), message).await, Ok(()), "{actor} at {message}");
    }
}

#[actix::test]
async fn a_panic_in_what_nobody_waits_for_is_survived() {
    tokio::time::pause();
    let unasked = [
        ("broadcaster", "Tick"),
        ("broadcaster", "Sweep"),
        ("broadcaster", "Acknowledge"),
        ("broadcaster", "Cancel"),
        ("cache", "Tick"),
        ("cache", "Sweep"),
    ];
    for (actor, message) in unasked {
        let (trap, inspector) = Trap::at(actor, message);
        let world = World { inspector: Some(inspector), ..World::default() };
        let tree = start(&world);
        trap.armed.store(true, SeqCst);
        tree.entrance().acknowledge(ALICE, vec![RequestId::new()]);
        drop(tree.entrance().cancel(ALICE, RequestId::new()).await);
        let outage = timeout(Duration::from_secs(61), trap.outage(&tree, actor)).await;
        assert!(outage.unwrap() < Duration::from_millis(100), "{actor} at {message}");
        let events = answer(&world, tree.entrance(), "alice", ALICE).await;
        assert_eq!(text(&events), "Hello world.", "{actor} at {message}");
    }
}

#[actix::test]
async fn an_actor_that_panics_at_everything_is_given_up_by_name() {
    let inspector: Inspector = Arc::new(|at, message| {
        assert!(!(at == "policy" && message == "Enabled"), "injected");
    });
    let world = World { inspector: Some(inspector), ..world() };
    let tree = start(&world);
    for _ in 0..5 {
        let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err();
        assert_eq!(refusal.failure.code, Code::Internal);
    }
    let last = tokio::spawn({
        let (entrance, ask) = (tree.entrance().clone(), world.ask("alice", "chat"));
        async move { entrance.ask(ask).await.map(|_| ()) }
    });
    assert_eq!(tree.gave_up().await, "policy");
    drop(last);
}

// === Restart ===

/// Leaves a request unfinished, as a killed process would, and returns its id.
async fn killed_in_flight(world: &World) -> RequestId {
    let tree = start(world);
    world.models.next_call(Script::default().then(Duration::ZERO, "lost ").hang());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    tokio::time::sleep(Duration::from_secs(1)).await;
    tree.stop(Duration::from_millis(100)).await;
    assert!(world.store.ended(request_id).is_none(), "stopping ended a request");
    request_id
}

async fn final_after_restart(world: &World, request_id: RequestId) -> (Tree, Arc<Event>) {
    let tree = start(world);
    tree.recovered().await;
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    let last = to_the_final(&mut subscription).await.pop().unwrap();
    (tree, last)
}

#[actix::test]
async fn an_unfinished_request_runs_again_after_a_restart_and_ends_once() {
    let world = world();
    let request_id = killed_in_flight(&world).await;
    let (tree, last) = final_after_restart(&world, request_id).await;
    assert_eq!(last.message.content, "Hello world.");
    assert_eq!(world.models.calls().len(), 2);
    let messages = tree.entrance().messages(ALICE).await.unwrap();
    let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant]);
}

#[actix::test]
async fn a_finished_request_can_still_be_replayed_after_a_restart() {
    let world = world();
    let tree = start(&world);
    let request_id = answer(&world, tree.entrance(), "alice", ALICE).await[0].request_id();
    tree.stop(Duration::from_millis(100)).await;
    let (_tree, last) = final_after_restart(&world, request_id).await;
    assert_eq!(last.message.content, "Hello world.");
    assert_eq!(world.models.calls().len(), 1, "a finished request ran again");
}

#[actix::test]
async fn a_panic_while_the_journal_is_taken_over_loses_nothing_and_counts_no_interruption() {
    tokio::time::pause();
    // A message about all that was left is not lost; one about a request ends that request.
    let all = [("cache", "Loaded"), ("broadcaster", "Restored")];
    let one = [("cache", "TakenOver"), ("auth", "Recovered"), ("auth", "OwnerLookedUp")];
    for (actor, message) in all.into_iter().chain(one) {
        let mut world = World::default();
        let finished = {
            let tree = start(&world);
            let finished = answer(&world, tree.entrance(), "alice", ALICE).await[0].request_id();
            tree.stop(Duration::from_millis(100)).await;
            finished
        };
        let unfinished = killed_in_flight(&world).await;
        world.inspector = Some(panic_once(actor, message));
        let (tree, last) = final_after_restart(&world, unfinished).await;
        let code = last.failure.as_ref().map(|failure| failure.code);
        let expected = one.contains(&(actor, message)).then_some(Code::Internal);
        assert_eq!(code, expected, "{actor} at {message}");
        let mut replay = tree.entrance().subscribe(everything_of(ALICE, finished)).await.unwrap();
        assert_eq!(to_the_final(&mut replay).await.len(), 1, "{actor} at {message}");
    }
}

#[actix::test]
async fn a_second_interruption_ends_the_request() {
    let world = world();
    let request_id = killed_in_flight(&world).await;
    world.models.next_call(Script::default().hang());
    let tree = start(&world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    tree.stop(Duration::from_millis(100)).await;
    let (_tree, last) = final_after_restart(&world, request_id).await;
    assert_eq!(last.failure.as_ref().unwrap().code, Code::Interrupted);
    assert_eq!(world.models.calls().len(), 2);
}

#[actix::test]
async fn a_request_past_its_deadline_ends_without_a_model_call() {
    let world = world();
    let request_id = killed_in_flight(&world).await;
    tokio::time::sleep(Duration::from_secs(130)).await;
    let (_tree, last) = final_after_restart(&world, request_id).await;
    assert_eq!(last.failure.as_ref().unwrap().code, Code::DeadlineExceeded);
    assert_eq!(world.models.calls().len(), 1);
}

async fn code_after_restart(change: impl FnOnce(&World)) -> Code {
    let world = World::default();
    let request_id = killed_in_flight(&world).await;
    change(&world);
    let (_tree, last) = final_after_restart(&world, request_id).await;
    assert_eq!(world.models.calls().len(), 1, "the model was asked again");
    last.failure.as_ref().unwrap().code
}

#[actix::test]
async fn all_six_checks_are_made_again_after_a_restart() {
    tokio::time::pause();
    let flag_off = |world: &World| world.flags.set("chat_flag", false);
    assert_eq!(code_after_restart(flag_off).await, Code::FeatureDisabled);
    let no_member = |world: &World| world.directory.members.lock().unwrap().clear();
    assert_eq!(code_after_restart(no_member).await, Code::Forbidden);
    let no_user = |world: &World| assert!(world.directory.gone.lock().unwrap().insert(ALICE));
    assert_eq!(code_after_restart(no_user).await, Code::Unauthenticated);
    let needs_token = |world: &World| world.directory.needs_credentials.store(true, SeqCst);
    assert_eq!(code_after_restart(needs_token).await, Code::Interrupted);
}

#[actix::test]
async fn a_directory_that_is_down_at_the_restart_only_delays_the_answer() {
    let world = world();
    let request_id = killed_in_flight(&world).await;
    world.directory.is_down.store(true, SeqCst);
    let tree = start(&world);
    tree.recovered().await;
    let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(subscription.read(1 << 20).is_empty());
    world.directory.is_down.store(false, SeqCst);
    assert_eq!(text(&to_the_final(&mut subscription).await), "Hello world.");
}

#[actix::test]
async fn a_request_that_waits_to_run_again_can_be_cancelled() {
    tokio::time::pause();
    for directory_is_down in [true, false] {
        let mut world = World::default();
        let request_id = killed_in_flight(&world).await;
        world.directory.is_down.store(directory_is_down, SeqCst);
        // Without a place it waits for one; with one, for the directory.
        world.permits = duologue_actors::permits::Permits::new(usize::from(directory_is_down));
        let tree = start(&world);
        tree.recovered().await;
        let mut subscription = tree.entrance().subscribe(everything_of(ALICE, request_id)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        tree.entrance().cancel(ALICE, request_id).await.unwrap();
        let started = Instant::now();
        let last = to_the_final(&mut subscription).await.pop().unwrap();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!((last.failure.as_ref(), last.message.errors.len()), (None, 1));
    }
}

#[actix::test]
async fn what_is_not_kept_any_more_is_answered_with_a_reset_and_not_with_silence() {
    let world = world();
    let tree = start(&world);
    let request_id = answer(&world, tree.entrance(), "alice", ALICE).await[0].request_id();
    let resume = async |owner: UserId| {
        tree.entrance().subscribe(everything_of(owner, request_id)).await.unwrap().resume()
    };
    assert_eq!(resume(ALICE).await, Resume::Replayed);
    assert_eq!(resume(UserId(3)).await, Resume::Reset, "another user's request does not exist");
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(resume(ALICE).await, Resume::Reset);
}

#[actix::test]
async fn three_days_pass_and_the_conversation_is_forgotten() {
    let world = world();
    let tree = start(&world);
    answer(&world, tree.entrance(), "alice", ALICE).await;
    tokio::time::advance(Duration::from_secs(3 * 24 * 60 * 60 - 60)).await;
    assert_eq!(tree.entrance().messages(ALICE).await.unwrap().len(), 2);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(tree.entrance().messages(ALICE).await.unwrap().len(), 0);
}
