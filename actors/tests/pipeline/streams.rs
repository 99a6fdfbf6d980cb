//! Answers that are streamed straight to whoever asked.

use super::*;

fn part_and_silence() -> Script {
    Script::default().then(Duration::ZERO, "part").hang()
}

fn on_disconnect(world: &mut World, what: OnDisconnect) {
    let mut chat = (*world.actions[0]).clone();
    chat.on_disconnect = what;
    world.actions[0] = Arc::new(chat);
}

async fn conversation(tree: &Tree) -> Vec<String> {
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
    messages.into_iter().map(|message| message.content).collect()
}

/// Waits until nothing is under way any more.
async fn settled(world: &World) {
    while world.permits.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.models.open_calls(), 0);
}

#[actix::test]
async fn a_direct_stream_yields_everything_of_its_request_and_ends_with_the_final() {
    let world = world();
    let tree = start(&world);
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    use EventKind::{Chunk, Echo, Final};
    assert_eq!(kinds, [Echo, Chunk, Chunk, Final]);
    assert!(events.iter().all(|event| event.request_id() == stream.request_id()));
    assert!(stream.next().await.is_none());
    drop(stream);
    settled(&world).await;
    assert_eq!(conversation(&tree).await, ["hello", "Hello world."]);
}

#[actix::test]
async fn a_direct_stream_yields_nothing_of_another_request() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(part_and_silence());
    let mut first = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    answer(&world, tree.entrance(), "alice", ALICE).await;
    for kind in [EventKind::Echo, EventKind::Chunk] {
        let event = first.next().await.unwrap().unwrap();
        assert_eq!((event.request_id(), event.kind), (first.request_id(), kind));
    }
    assert!(timeout(Duration::from_secs(1), first.next()).await.is_err());
}

#[actix::test]
async fn a_refused_request_has_no_stream() {
    let world = world();
    let tree = start(&world);
    let refusal =
        tree.entrance().stream(a_caller(UserId(3)).user, world.ask("mallory", "chat")).await.unwrap_err();
    assert_eq!(refusal.failure.code, Code::Forbidden);
    assert!(world.models.calls().is_empty());
}

#[actix::test]
async fn a_dropped_direct_stream_closes_the_models_stream_and_ends_cancelled() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(part_and_silence());
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    while stream.next().await.unwrap().unwrap().kind != EventKind::Chunk {}
    let left = Instant::now();
    drop(stream);
    settled(&world).await;
    assert!(left.elapsed() < Duration::from_secs(1));
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
    assert_eq!((messages[1].content.as_str(), messages[1].errors.len()), ("part", 1));
}

#[actix::test]
async fn the_journal_has_a_direct_stream_only_if_its_answer_goes_on_without_its_caller() {
    tokio::time::pause();
    for (what, journalled) in [(OnDisconnect::Cancel, 0), (OnDisconnect::Drain, 1)] {
        let mut world = World::default();
        on_disconnect(&mut world, what);
        let tree = start(&world);
        let mut stream =
            tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
        let request_id = stream.request_id();
        while stream.next().await.is_some() {}
        drop(stream);
        settled(&world).await;
        assert_eq!(world.store.accepted().len(), journalled, "{what:?}");
        assert_eq!(world.store.ended(request_id).is_some(), journalled == 1, "{what:?}");
    }
}

#[actix::test]
async fn a_conversation_that_is_brought_is_what_the_model_hears_and_nothing_of_it_is_kept() {
    let mut world = world();
    on_disconnect(&mut world, OnDisconnect::Drain);
    let tree = start(&world);
    let mut kept = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    while kept.next().await.is_some() {}
    let before = Exchange { question: "one?".to_owned(), answer: "one.".to_owned() };
    let mut stream = tree
        .entrance()
        .stream_of(a_caller(ALICE).user, world.ask("alice", "chat"), vec![before])
        .await
        .unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = stream.next().await {
        kinds.push(event.unwrap().kind);
    }
    assert_eq!(kinds, [EventKind::Chunk, EventKind::Chunk, EventKind::Final], "no echo");
    let said: Vec<String> = world.models.calls()[1].turns.iter().map(|turn| turn.content.clone()).collect();
    assert_eq!(said, ["one?", "one.", "hello"]);
    assert_eq!(conversation(&tree).await, ["hello", "Hello world."], "of the one before");
    assert_eq!(world.store.accepted().len(), 1, "it ends with its caller, so it is not in the journal");
}

#[actix::test]
async fn a_journal_that_takes_nothing_is_no_matter_to_a_direct_stream() {
    let world = world();
    let tree = start(&world);
    tree.recovered().await;
    world.store.is_full.store(true, SeqCst);
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event.unwrap());
    }
    assert_eq!(last.unwrap().message.content, "Hello world.");
}

/// The last words of a request, when a message about it is lost.
#[actix::test]
async fn a_direct_stream_hears_an_end_at_once_whatever_panics() {
    tokio::time::pause();
    let on_its_way = [("cache", "Ended"), ("cache", "Finished"), ("broadcaster", "Recorded")];
    for (actor, message) in on_its_way {
        let world = World { inspector: Some(panic_once(actor, message)), ..World::default() };
        let tree = start(&world);
        let mut stream =
            tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
        let asked = Instant::now();
        let mut last = None;
        while let Some(event) = stream.next().await {
            last = Some(event.unwrap());
        }
        assert_eq!(last.unwrap().kind, EventKind::Final, "{actor} at {message}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{actor} at {message}");
    }
}

#[actix::test]
async fn with_drain_an_answer_goes_on_without_its_caller_and_the_conversation_has_it() {
    let mut world = world();
    on_disconnect(&mut world, OnDisconnect::Drain);
    let tree = start(&world);
    world.models.next_call(
        Script::default().then(Duration::ZERO, "one ").then(Duration::from_secs(5), "two").finish(),
    );
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    while stream.next().await.unwrap().unwrap().kind != EventKind::Chunk {}
    drop(stream);
    settled(&world).await;
    assert_eq!(conversation(&tree).await, ["hello", "one two"]);
}

/// Asks for a stream, and leaves after it was polled so often; whether it was there by then.
async fn leave_after(polls: u32, world: &World, entrance: &Entrance) -> bool {
    let mut stream = Box::pin(entrance.stream(a_caller(ALICE).user, world.ask("alice", "chat")));
    for _ in 0..polls {
        if futures::poll!(&mut stream).is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[actix::test]
async fn whoever_leaves_at_any_moment_before_the_stream_is_there_leaves_nothing_running() {
    tokio::time::pause();
    let (mut polls, mut accepted) = (0, 0);
    loop {
        let world = World::default();
        let tree = start(&world);
        world.models.always(part_and_silence());
        let is_there = leave_after(polls, &world, tree.entrance()).await;
        let left = Instant::now();
        settled(&world).await;
        assert!(left.elapsed() < Duration::from_secs(1), "after {polls} polls");
        // One that was accepted has left its question, and beside it how it ended.
        let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
        if let [question, end] = messages.as_slice() {
            accepted += 1;
            assert_eq!((question.role, end.role), (Role::User, Role::Assistant), "after {polls} polls");
            assert_eq!(end.errors, ["The request was cancelled."], "after {polls} polls");
        } else {
            assert!(messages.is_empty(), "after {polls} polls: {messages:?}");
        }
        if is_there {
            break;
        }
        polls += 1;
    }
    assert!(accepted > 1, "nobody left between acceptance and the stream");
}

#[actix::test]
async fn with_drain_whoever_leaves_before_the_stream_is_there_is_answered_all_the_same() {
    tokio::time::pause();
    let mut polls = 1;
    loop {
        let mut world = World::default();
        on_disconnect(&mut world, OnDisconnect::Drain);
        let tree = start(&world);
        let is_there = leave_after(polls, &world, tree.entrance()).await;
        settled(&world).await;
        let accepted = world.store.accepted();
        assert_eq!(accepted.len(), 1, "after {polls} polls");
        // Its place is free a moment before its end is written.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let ended = world.store.ended(accepted[0].request_id).unwrap().outcome;
        assert!(matches!(ended, Outcome::Completed { .. }), "after {polls} polls: {ended:?}");
        if is_there {
            break;
        }
        polls += 1;
    }
}

#[actix::test]
async fn a_subscriber_that_vanishes_cancels_nothing() {
    let world = world();
    let tree = start(&world);
    let slow = Script::default().then(Duration::ZERO, "one ").then(Duration::from_secs(5), "two").finish();
    world.models.next_call(slow);
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    subscription.changed().await;
    drop(subscription);
    let mut again =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    assert_eq!(to_the_final(&mut again).await.pop().unwrap().message.content, "one two");
}

#[actix::test]
async fn a_caller_who_reads_too_slowly_is_told_that_messages_were_lost() {
    let mut world = world();
    // Room for one answer and a little.
    world.limits.retained_bytes = 4 * 1024;
    let tree = start(&world);
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
    for _ in 0..5 {
        answer(&world, tree.entrance(), "alice", ALICE).await;
    }
    let lost = stream.next().await.unwrap().unwrap_err();
    assert_eq!((lost.code, lost.hop), (Code::Overloaded, Hop::Broadcaster));
    assert!(stream.next().await.is_none());
}
