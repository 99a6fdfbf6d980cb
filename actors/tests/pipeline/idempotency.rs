//! A client that asks again under the same key is not answered twice.

use duologue_actors::{entrance::Ask, ports::IdempotencyKey};

use super::*;

fn keyed(world: &World, token: &str, key: &str, body: u8) -> Ask {
    let idempotency_key = Some(IdempotencyKey { key: key.to_owned(), fingerprint: [body; 32] });
    Ask { idempotency_key, ..world.ask(token, "chat") }
}

#[actix::test]
async fn the_same_again_is_the_same_request_and_its_answer_is_there_for_both() {
    let world = world();
    let tree = start(&world);
    let first = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap();
    let request_id = first.request_id();
    drop(first);
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    assert_eq!(text(&to_the_final(&mut subscription).await), "Hello world.");

    let again = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap();
    assert_eq!(again.request_id(), request_id);
    drop(again);
    let mut late =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    assert_eq!(to_the_final(&mut late).await.last().unwrap().message.content, "Hello world.");
    assert_eq!(world.models.calls().len(), 1, "the model is asked once");
    assert_eq!(world.store.accepted().len(), 1);
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
    assert_eq!(
        messages.iter().map(|message| message.role).collect::<Vec<_>>(),
        [Role::User, Role::Assistant]
    );
    assert_eq!(world.permits.in_flight(), 0, "its place is free again");
}

#[actix::test]
async fn two_at_once_are_one_and_only_the_firsts_response_opens_the_gate() {
    let world = world();
    let tree = start(&world);
    tree.recovered().await;
    let (first, second) = tokio::join!(
        tree.entrance().ask(keyed(&world, "alice", "k", 1)),
        tree.entrance().ask(keyed(&world, "alice", "k", 1))
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.request_id(), second.request_id());
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, first.request_id())).await.unwrap();
    drop(second);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(subscription.read(1 << 20).await.is_empty(), "the first client has no requestId yet");
    drop(first);
    assert_eq!(text(&to_the_final(&mut subscription).await), "Hello world.");
}

#[actix::test]
async fn something_else_under_the_same_key_is_a_conflict_and_nothing_of_it_is_kept() {
    let world = world();
    let tree = start(&world);
    drop(tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap());
    let refusal = tree.entrance().ask(keyed(&world, "alice", "k", 2)).await.unwrap_err();
    assert_eq!((refusal.failure.code, refusal.failure.hop), (Code::Conflict, Hop::Cache));
    assert_eq!(world.store.accepted().len(), 1);
    assert_eq!(
        tree.entrance()
            .messages(ALICE, ThreadChoice::Legacy)
            .await
            .unwrap()
            .iter()
            .filter(|m| m.role == Role::User)
            .count(),
        1
    );
}

#[actix::test]
async fn another_users_key_says_nothing_about_mine() {
    let world = world();
    let tree = start(&world);
    let hers = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap();
    let his = tree.entrance().ask(keyed(&world, "root", "k", 1)).await.unwrap();
    assert_ne!(hers.request_id(), his.request_id());
}

#[actix::test]
async fn a_request_that_was_not_accepted_has_not_used_its_key() {
    let world = world();
    let tree = start(&world);
    tree.recovered().await;
    world.store.is_full.store(true, SeqCst);
    let refusal = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap_err();
    assert_eq!(refusal.failure.code, Code::StorageUnavailable);
    world.store.is_full.store(false, SeqCst);
    let other = tree.entrance().ask(keyed(&world, "alice", "k", 2)).await.unwrap();
    assert_eq!(world.store.accepted()[0].request_id, other.request_id());
}

#[actix::test]
async fn a_key_is_forgotten_after_a_day() {
    let world = world();
    let tree = start(&world);
    let first = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap().request_id();
    tokio::time::sleep(Duration::from_secs(23 * 60 * 60)).await;
    let same = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap().request_id();
    assert_eq!(same, first);
    tokio::time::sleep(Duration::from_secs(61 * 60 + 60)).await;
    let another = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap().request_id();
    assert_ne!(another, first);
}

#[actix::test]
async fn a_key_that_was_used_before_a_restart_is_known_after_it() {
    let world = world();
    world.models.next_call(Script::default().hang());
    let tree = start(&world);
    let first = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap().request_id();
    tree.stop(Duration::ZERO).await;
    let tree = start(&world);
    tree.recovered().await;
    let again = tree.entrance().ask(keyed(&world, "alice", "k", 1)).await.unwrap();
    assert_eq!(again.request_id(), first);
    drop(again);
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, first)).await.unwrap();
    assert_eq!(text(&to_the_final(&mut subscription).await), "Hello world.");
}
