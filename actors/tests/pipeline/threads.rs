//! Threads of a conversation: chosen when a request is accepted, and each on its own.

use duologue_actors::{
    entrance::{Ask, Gate, Refusal},
    ports::IdempotencyKey,
    protocol::{ConversationType, Thread, ThreadId},
};
use serde_json::json;

use super::*;

const GONE: &str = "Thread not found. It may have expired.";
const QUICK: ConversationType = ConversationType::DuoQuickChat;

fn named(id: ThreadId) -> ThreadChoice {
    ThreadChoice::Named { id, of: None }
}

fn say_in(world: &World, thread: ThreadChoice, content: &str) -> Ask {
    let input = json!({ "content": content }).as_object().cloned().unwrap();
    Ask { input, thread, ..world.ask("alice", "chat") }
}

/// Asks a second later, waits for the end, and returns the thread and all events.
async fn talk(
    world: &World,
    tree: &Tree,
    thread: ThreadChoice,
    content: &str,
) -> (ThreadId, Vec<Arc<Event>>) {
    tokio::time::advance(Duration::from_secs(1)).await;
    let gate = tree.entrance().ask(say_in(world, thread, content)).await.unwrap();
    let (thread_id, filter) = (gate.thread_id().unwrap(), everything_of(ALICE, gate.request_id()));
    drop(gate);
    let events = to_the_final(&mut tree.entrance().subscribe(a_caller(ALICE), filter).await.unwrap()).await;
    (thread_id, events)
}

async fn said_in(tree: &Tree, thread: ThreadChoice) -> Vec<String> {
    let messages = tree.entrance().messages(ALICE, thread).await.unwrap();
    messages.into_iter().map(|message| message.content).collect()
}

async fn threads(tree: &Tree) -> Vec<Thread> {
    tree.entrance().threads(ALICE).await.unwrap()
}

fn told(world: &World) -> Vec<String> {
    let calls = world.models.calls();
    calls.last().unwrap().turns.iter().map(|turn| turn.content.clone()).collect()
}

fn refused(outcome: Result<Gate, Refusal>) -> (Code, Hop, String) {
    let failure = outcome.unwrap_err().failure;
    (failure.code, failure.hop, failure.text)
}

fn not_there() -> (Code, Hop, String) {
    (Code::NotFound, Hop::Cache, GONE.to_owned())
}

#[actix::test]
async fn who_names_no_thread_goes_on_in_the_legacy_one_and_every_message_says_which() {
    let world = world();
    let tree = start(&world);
    let (first, events) = talk(&world, &tree, ThreadChoice::Legacy, "one?").await;
    assert!(events.iter().all(|event| event.message.thread_id == Some(first)), "{events:?}");
    assert!(events.iter().any(|event| event.kind == EventKind::Echo));
    let (second, _) = talk(&world, &tree, ThreadChoice::Legacy, "two?").await;
    assert_eq!(first, second);
    assert_eq!(told(&world), ["one?", "Hello world.", "two?"]);
    let list = threads(&tree).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].conversation_type, ConversationType::DuoChatLegacy);
    assert_eq!(list[0].title.as_deref(), Some("one?"));
}

#[actix::test]
async fn a_type_alone_begins_a_thread_that_knows_nothing_of_the_others() {
    let world = world();
    let tree = start(&world);
    let (legacy, _) = talk(&world, &tree, ThreadChoice::Legacy, "one?").await;
    let (first, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "two?").await;
    assert_eq!(told(&world), ["two?"]);
    let (second, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "three?").await;
    assert_eq!(told(&world), ["three?"]);
    assert!(legacy != first && first != second);
    let (again, _) = talk(&world, &tree, named(first), "four?").await;
    assert_eq!((again, told(&world)), (first, vec!["two?".into(), "Hello world.".into(), "four?".into()]));
    assert_eq!(said_in(&tree, ThreadChoice::Legacy).await, ["one?", "Hello world."]);
    assert_eq!(said_in(&tree, named(second)).await, ["three?", "Hello world."]);
    assert_eq!(
        threads(&tree).await.iter().map(|thread| thread.id).collect::<Vec<_>>(),
        [first, second, legacy],
        "the one that was used last comes first"
    );
    // Whoever reads a type means the last of it.
    assert_eq!(said_in(&tree, ThreadChoice::OfType(QUICK)).await.len(), 4);
    assert_eq!(said_in(&tree, ThreadChoice::OfType(ConversationType::DuoChat)).await, [""; 0]);
}

#[actix::test]
async fn a_thread_that_is_somebody_elses_of_another_type_expired_or_none_is_refused_alike() {
    let world = world();
    let tree = start(&world);
    let (mine, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "mine").await;
    let ask = Ask { thread: ThreadChoice::OfType(QUICK), ..world.ask("root", "chat") };
    let theirs = tree.entrance().ask(ask).await.unwrap().thread_id().unwrap();
    let other_type = ThreadChoice::Named { id: mine, of: Some(ConversationType::DuoChat) };
    let accepted = world.store.accepted().len();
    for thread in [named(theirs), named(ThreadId(u64::MAX)), other_type] {
        let ask = say_in(&world, thread, "a secret");
        assert_eq!(refused(tree.entrance().ask(ask).await), not_there(), "{thread:?}");
        let read = tree.entrance().messages(ALICE, thread).await.unwrap_err();
        assert_eq!((read.code, read.hop, read.text), not_there(), "{thread:?}");
    }
    assert_eq!(said_in(&tree, ThreadChoice::Named { id: mine, of: Some(QUICK) }).await.len(), 2);
    assert_eq!(world.store.accepted().len(), accepted, "nothing of it is written");
    assert_eq!(threads(&tree).await.len(), 1);

    tokio::time::advance(Duration::from_secs(3 * 24 * 60 * 60 + 1)).await;
    assert_eq!(refused(tree.entrance().ask(say_in(&world, named(mine), "late")).await), not_there());
    assert_eq!(tree.entrance().messages(ALICE, named(mine)).await.unwrap_err().text, GONE);
    assert_eq!(threads(&tree).await, []);
}

#[actix::test]
async fn a_command_counts_in_its_thread_and_nowhere_else() {
    let world = world();
    let tree = start(&world);
    talk(&world, &tree, ThreadChoice::Legacy, "one?").await;
    let (quick, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "two?").await;
    talk(&world, &tree, named(quick), "/clear").await;
    talk(&world, &tree, named(quick), "three?").await;
    assert_eq!(told(&world), ["three?"]);
    talk(&world, &tree, ThreadChoice::Legacy, "four?").await;
    assert_eq!(told(&world), ["one?", "Hello world.", "four?"]);
}

#[actix::test]
async fn of_each_thread_the_last_fifty_messages_are_kept() {
    let world = world();
    let tree = start(&world);
    let (quick, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "quick").await;
    for n in 0..26 {
        talk(&world, &tree, ThreadChoice::Legacy, &n.to_string()).await;
    }
    assert_eq!(said_in(&tree, ThreadChoice::Legacy).await.len(), 50);
    assert_eq!(said_in(&tree, named(quick)).await.len(), 2);
}

#[actix::test]
async fn what_is_run_again_after_a_restart_belongs_to_the_same_thread() {
    let world = world();
    let tree = start(&world);
    let (quick, _) = talk(&world, &tree, ThreadChoice::OfType(QUICK), "one?").await;
    talk(&world, &tree, ThreadChoice::OfType(QUICK), "another").await;
    world.models.next_call(Script::default().then(Duration::ZERO, "lost ").hang());
    let gate = tree.entrance().ask(say_in(&world, named(quick), "two?")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    tokio::time::sleep(Duration::from_secs(1)).await;
    tree.stop(Duration::ZERO).await;

    let tree = start(&world);
    tree.recovered().await;
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    let events = to_the_final(&mut subscription).await;
    assert!(events.iter().all(|event| event.message.thread_id == Some(quick)), "{events:?}");
    assert_eq!(told(&world), ["one?", "Hello world.", "two?"]);
    assert_eq!(said_in(&tree, named(quick)).await, ["one?", "Hello world.", "two?", "Hello world."]);
    assert_eq!(threads(&tree).await.len(), 2);
}

#[actix::test]
async fn the_same_again_under_its_key_is_in_the_same_thread_and_begins_none() {
    let world = world();
    let tree = start(&world);
    let keyed = || Ask {
        idempotency_key: Some(IdempotencyKey { key: "k".to_owned(), fingerprint: [1; 32] }),
        ..say_in(&world, ThreadChoice::OfType(QUICK), "once")
    };
    let first = tree.entrance().ask(keyed()).await.unwrap();
    let (request_id, thread_id) = (first.request_id(), first.thread_id());
    assert!(thread_id.is_some());
    drop(first);
    // Long after its end has been forgotten.
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    let again = tree.entrance().ask(keyed()).await.unwrap();
    assert_eq!((again.request_id(), again.thread_id()), (request_id, thread_id));
    assert_eq!(threads(&tree).await.len(), 1);
}

#[actix::test]
async fn an_action_without_a_conversation_has_no_thread_whatever_its_client_says() {
    let mut world = world();
    world.actions = vec![Arc::new(duologue_actors::action::Action {
        cache_response: false,
        ..(*duologue_actors::testing::an_action("chat")).clone()
    })];
    let tree = start(&world);
    for thread in [ThreadChoice::OfType(QUICK), named(ThreadId(7)), ThreadChoice::Legacy] {
        let gate = tree.entrance().ask(say_in(&world, thread, "why?")).await.unwrap();
        assert_eq!(gate.thread_id(), None);
    }
    assert_eq!(threads(&tree).await, []);
}

#[actix::test]
async fn a_caller_who_waits_for_the_answer_itself_is_in_the_legacy_thread() {
    let world = world();
    let tree = start(&world);
    talk(&world, &tree, ThreadChoice::Legacy, "one?").await;
    talk(&world, &tree, ThreadChoice::OfType(QUICK), "quick").await;
    let mut stream = tree
        .entrance()
        .stream(a_caller(ALICE).user, say_in(&world, ThreadChoice::Legacy, "two?"))
        .await
        .unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert_eq!(told(&world), ["one?", "Hello world.", "two?"]);
    assert_eq!(said_in(&tree, ThreadChoice::Legacy).await.len(), 4);
}
