//! Whether what was let through may still be had when it is read.

use std::sync::atomic::AtomicUsize;

use super::*;

/// How long a clearance counts here, and more than that.
const LIFETIME: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(10);

/// A world in which a clearance soon counts no more.
fn world_of_doubt() -> World {
    let mut world = world();
    world.limits.clearance_lifetime = LIFETIME;
    world
}

/// The same, with a model that says "Hello", waits for long, and says the rest.
fn world_of_a_slow_answer() -> World {
    let world = world_of_doubt();
    world.models.next_call(Script::default().then(Duration::ZERO, "Hello").then(LONG, " world.").finish());
    world
}

/// Asks for Alice, and reads until the first chunk is there.
async fn first_chunk(world: &World, tree: &Tree) -> (RequestId, Reader) {
    let request_id = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap().request_id();
    let filter = everything_of(ALICE, request_id);
    let mut reader = tree.entrance().subscribe(a_caller(ALICE), filter).await.unwrap();
    let mut shown: Vec<Arc<Event>> = Vec::new();
    while shown.iter().all(|event| event.kind != EventKind::Chunk) {
        reader.changed().await;
        shown.extend(reader.read(1 << 20).await);
    }
    assert_eq!(text(&shown), "Hello");
    (request_id, reader)
}

fn is_withheld(event: &Event, code: Code, text: &str) {
    let failure = event.failure.as_ref().expect("a failure");
    assert_eq!((failure.code, failure.hop), (code, Hop::Policy));
    assert!(event.is_withheld && event.kind == EventKind::Final && event.message.chunk_id.is_none());
    assert_eq!(event.message.content, "", "nothing of the answer");
    assert!(event.message.errors[0].starts_with(text), "{:?}", event.message.errors);
}

fn leave(world: &World) {
    world.directory.members.lock().unwrap().remove(&ALICE);
}

fn join(world: &World) {
    world.directory.members.lock().unwrap().insert(ALICE);
}

/// Counts the messages of one name that the actors take.
fn counting(name: &'static str) -> (Inspector, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let inspector: Inspector = Arc::new(move |_, taking| {
        counted.fetch_add(usize::from(taking == name), SeqCst);
    });
    (inspector, count)
}

#[actix::test]
async fn who_leaves_the_group_while_an_answer_streams_gets_one_final_that_says_so_and_nothing_more() {
    let world = world_of_a_slow_answer();
    let tree = start(&world);
    let (request_id, mut reader) = first_chunk(&world, &tree).await;
    leave(&world);
    let rest = to_the_final(&mut reader).await;
    assert_eq!(rest.len(), 1);
    is_withheld(&rest[0], Code::Forbidden, NO_ACCESS);
    tokio::time::sleep(LONG).await;
    assert!(matches!(world.store.ended(request_id).unwrap().outcome, Outcome::Completed { .. }));
    assert!(reader.read(1 << 20).await.is_empty(), "nothing comes after a final");
}

#[actix::test]
async fn a_licence_that_is_withdrawn_counts_from_the_next_event_on() {
    let mut world = world();
    world.limits.clearance_lifetime = 2 * LONG;
    world.models.next_call(
        Script::default().then(Duration::ZERO, "Hello").then(Duration::from_secs(1), " world.").finish(),
    );
    let tree = start(&world);
    let (_, mut reader) = first_chunk(&world, &tree).await;
    world.licences.withdrawn.store(true, SeqCst);
    is_withheld(&to_the_final(&mut reader).await[0], Code::Forbidden, NO_ACCESS);
}

#[actix::test]
async fn a_flag_that_is_switched_off_does_not_govern_the_rest_of_an_answer() {
    let world = world_of_a_slow_answer();
    let tree = start(&world);
    let (_, mut reader) = first_chunk(&world, &tree).await;
    for flag in [CHAT_SWITCH, GLOBAL_SWITCH, "chat_flag"] {
        world.flags.set(flag, false);
    }
    let rest = to_the_final(&mut reader).await;
    assert_eq!(rest.last().unwrap().message.content, "Hello world.");
}

#[actix::test]
async fn a_directory_that_is_down_withholds_nothing() {
    let world = world_of_a_slow_answer();
    let tree = start(&world);
    let (_, mut reader) = first_chunk(&world, &tree).await;
    leave(&world);
    world.directory.is_down.store(true, SeqCst);
    assert_eq!(to_the_final(&mut reader).await.last().unwrap().message.content, "Hello world.");
}

#[actix::test]
async fn nobody_is_asked_while_the_clearance_of_a_request_holds() {
    let mut world = world_of_doubt();
    let (inspector, looks) = counting("LookAgain");
    world.inspector = Some(inspector);
    let tree = start(&world);
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
    assert_eq!(looks.load(SeqCst), 0);
    world.models.next_call(Script::default().then(Duration::ZERO, "Hello").then(LONG, " world.").finish());
    let (_, mut reader) = first_chunk(&world, &tree).await;
    to_the_final(&mut reader).await;
    assert_eq!(looks.load(SeqCst), 1, "once for everything that came after the wait");
}

#[actix::test]
async fn a_replay_is_looked_at_too_and_what_is_withheld_is_not_lost() {
    let world = world_of_a_slow_answer();
    let tree = start(&world);
    let (request_id, mut reader) = first_chunk(&world, &tree).await;
    to_the_final(&mut reader).await;
    tokio::time::sleep(LONG).await;
    let replayed = async || {
        let filter = everything_of(ALICE, request_id);
        let mut reader = tree.entrance().subscribe(a_caller(ALICE), filter).await.unwrap();
        to_the_final(&mut reader).await.pop().unwrap()
    };
    leave(&world);
    let told = replayed().await;
    is_withheld(&told, Code::Forbidden, NO_ACCESS);
    join(&world);
    assert_eq!(replayed().await.message.content, "Hello world.");
}

#[actix::test]
async fn one_request_that_is_withheld_takes_no_other_with_it() {
    let world = world_of_doubt();
    let tree = start(&world);
    let page = Filter::new(ALICE, None, None, Some("C".to_owned()), None).unwrap();
    let mut reader = tree.entrance().subscribe(a_caller(ALICE), page).await.unwrap();
    let ask = |resource_id| {
        let mut ask = world.ask("alice", "chat");
        (ask.client_subscription_id, ask.resource_id) = (Some("C".to_owned()), resource_id);
        ask
    };
    world.models.next_call(Script::default().then(Duration::ZERO, "One").then(LONG, " more").finish());
    let about_the_issue =
        tree.entrance().ask(ask(Some(GlobalId::of("Issue", 52)))).await.unwrap().request_id();
    let mut first: Vec<Arc<Event>> = Vec::new();
    while text(&first) != "One" {
        reader.changed().await;
        first.extend(reader.read(1 << 20).await);
    }
    leave(&world);
    tokio::time::sleep(LONG).await;
    is_withheld(&to_the_final(&mut reader).await[0], Code::NotFound, NOT_FOUND);
    join(&world);
    let about_nothing = tree.entrance().ask(ask(None)).await.unwrap().request_id();
    let rest = to_the_final(&mut reader).await;
    assert!(rest.iter().all(|event| event.request_id() == about_nothing && about_nothing != about_the_issue));
    assert_eq!(text(&rest), "Hello world.");
}

#[actix::test]
async fn a_direct_stream_ends_with_the_refusal_and_so_does_its_request() {
    let world = world_of_doubt();
    let begun = Script::default().then(Duration::ZERO, "Hello").then(LONG, " world");
    world.models.next_call(begun.hang());
    let tree = start(&world);
    let mut stream =
        tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "summarize_comments")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().message.content, "Hello");
    leave(&world);
    is_withheld(&stream.next().await.unwrap().unwrap(), Code::Forbidden, NO_ACCESS);
    assert!(stream.next().await.is_none());
    drop(stream);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((world.permits.in_flight(), world.models.open_calls()), (0, 0));
}

#[actix::test]
async fn a_reader_who_is_known_anew_is_looked_at_as_who_they_are_now() {
    let world = world_of_a_slow_answer();
    leave(&world);
    let tree = start(&world);
    let root = UserId(1);
    let request_id = tree.entrance().ask(world.ask("root", "chat")).await.unwrap().request_id();
    let mut caller = a_caller(root);
    caller.user.admin = true;
    let (known, caller) = tokio::sync::watch::channel(caller);
    let filter = everything_of(root, request_id);
    let mut reader = tree.entrance().subscribe_after(caller, filter, None).await.unwrap();
    known.send_modify(|caller| caller.user.admin = false);
    is_withheld(to_the_final(&mut reader).await.last().unwrap(), Code::Forbidden, NO_ACCESS);
}

#[actix::test]
async fn nobody_reads_for_somebody_else() {
    let world = world();
    let tree = start(&world);
    let filter = everything_of(ALICE, RequestId::new());
    let refused = tree.entrance().subscribe(a_caller(UserId(3)), filter).await.unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
}

#[actix::test]
async fn a_look_that_takes_long_is_not_begun_again_by_who_turns_to_something_else_meanwhile() {
    let mut world = world_of_doubt();
    let (inspector, looks) = counting("LookAgain");
    world.inspector = Some(inspector);
    world.models.next_call(Script::default().then(Duration::ZERO, "Hello").then(LONG, " world.").finish());
    let tree = start(&world);
    let (_, mut reader) = first_chunk(&world, &tree).await;
    *world.directory.takes.lock().unwrap() = 3 * LIFETIME;
    reader.changed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut left = 0;
    let shown = loop {
        match timeout(Duration::from_secs(1), reader.read(1 << 20)).await {
            Ok(shown) => break shown,
            Err(_) => left += 1,
        }
    };
    assert!(left > 1, "it took no time");
    assert_eq!(shown.last().unwrap().message.content, "Hello world.");
    assert_eq!((looks.load(SeqCst), shown.len()), (1, 2));
}

#[actix::test]
async fn no_place_behind_what_was_withheld_is_a_receipt_of_it() {
    let world = world_of_a_slow_answer();
    let tree = start(&world);
    let page = || Filter::new(ALICE, None, None, Some("C".to_owned()), None).unwrap();
    let mut on_the_page = world.ask("alice", "chat");
    on_the_page.client_subscription_id = Some("C".to_owned());
    let mut reader = tree.entrance().subscribe(a_caller(ALICE), page()).await.unwrap();
    let request_id = tree.entrance().ask(on_the_page).await.unwrap().request_id();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(text(&reader.read(1 << 20).await), "Hello");
    leave(&world);
    let told = to_the_final(&mut reader).await.pop().unwrap();
    is_withheld(&told, Code::Forbidden, NO_ACCESS);
    tokio::time::sleep(LONG).await;
    assert!(reader.read(1 << 20).await.is_empty());
    let behind = reader.cursor();
    join(&world);
    tokio::time::sleep(LONG).await;

    let subscribe = async |after| {
        let caller = tokio::sync::watch::channel(a_caller(ALICE)).1;
        tree.entrance().subscribe_after(caller, page(), after).await.unwrap()
    };
    assert!(subscribe(Some(behind)).await.read(1 << 20).await.is_empty());
    let replayed = to_the_final(&mut subscribe(None).await).await;
    assert_eq!((replayed[0].request_id(), replayed[0].is_withheld), (request_id, false));
    // The place of the word itself is before what it stood for.
    let rest = to_the_final(&mut subscribe(Some(told.cursor)).await).await;
    assert_eq!((text(&rest).as_str(), rest.last().unwrap().is_withheld), (" world.", false));
}
