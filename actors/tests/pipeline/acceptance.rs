//! From a question to its answer, and what acceptance means.

use super::*;

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
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
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
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(subscription.read(1 << 20).await.iter().all(|event| event.kind != EventKind::Final));
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
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    let told = to_the_final(&mut subscription).await.pop().unwrap();
    assert_eq!(told.failure.as_ref().unwrap().code, Code::DeadlineExceeded);
    world.store.is_full.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Outcome::Failed { failure, .. } = world.store.ended(request_id).unwrap().outcome else {
        panic!("the journal says that it was completed")
    };
    assert_eq!(failure.code, Code::DeadlineExceeded);
}
