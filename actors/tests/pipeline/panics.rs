//! Panics in any actor at any message.

use std::sync::atomic::AtomicUsize;

use super::*;

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
                let mut subscription = tree.entrance().subscribe(a_caller(ALICE), filter).await.unwrap();
                let events = to_the_final(&mut subscription).await;
                let last = events.last().unwrap();
                assert_eq!(text(&events), last.message.content, "{actor} at {message}: shown, and kept");
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

#[actix::test]
async fn an_end_that_a_panic_of_cache_met_is_written_all_the_same() {
    tokio::time::pause();
    let world = World { inspector: Some(panic_once("cache", "Ended")), ..World::default() };
    let tree = start(&world);
    let events = answer(&world, tree.entrance(), "alice", ALICE).await;
    assert_eq!(text(&events), "Hello world.");
    let last = events.last().unwrap();
    assert!(last.failure.is_none(), "{last:?}");
}

#[actix::test]
async fn a_chunk_that_a_panic_of_the_broadcaster_took_is_not_said_to_have_been_shown() {
    tokio::time::pause();
    let taken = AtomicUsize::new(0);
    let inspector: Inspector = Arc::new(move |at, message| {
        let is_chunk = at == "broadcaster" && message == "ChunkProduced";
        assert!(!(is_chunk && taken.fetch_add(1, SeqCst) == 1), "injected at the second chunk");
    });
    let world = World { inspector: Some(inspector), ..World::default() };
    let tree = start(&world);
    let events = answer(&world, tree.entrance(), "alice", ALICE).await;
    let last = events.last().unwrap();
    assert_eq!(last.failure.as_ref().map(|failure| failure.code), Some(Code::Internal));
    assert!(!text(&events).is_empty());
    assert_eq!(text(&events), last.message.content);
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
        let mut bystander = tree.entrance().subscribe(a_caller(UserId(1)), filter).await.unwrap();
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
        "ReadConversation" => entrance.messages(ALICE, ThreadChoice::Legacy).await.map(drop),
        "ReadThreads" => entrance.threads(ALICE).await.map(drop),
        "Subscribe" => {
            entrance.subscribe(a_caller(ALICE), everything_of(ALICE, RequestId::new())).await.map(drop)
        }
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
        ("cache", "ReadThreads"),
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
