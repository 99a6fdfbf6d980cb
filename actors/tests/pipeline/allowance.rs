//! What one user may ask for.

use super::*;

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

/// Asks what a model never ends, and shows that there is no second seat.
async fn take_the_seat(world: &World, tree: &Tree, script: Script) -> (RequestId, Reader) {
    world.models.next_call(script);
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.expect("the seat is free");
    let request_id = gate.request_id();
    drop(gate);
    let refusal = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap_err().failure;
    assert_eq!((refusal.code, refusal.hop), (Code::RateLimited, Hop::Auth));
    assert!(refusal.text.contains("in flight"), "{}", refusal.text);
    assert!(tree.entrance().ask(world.ask("root", "chat")).await.is_ok(), "root has a seat of their own");
    (request_id, tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap())
}

#[actix::test]
async fn a_seat_comes_back_when_its_request_ends_however_it_ends() {
    tokio::time::pause();
    let second = Duration::from_secs(1);
    let error = ModelError::new(Code::UpstreamRejected, Retry::Never, "as scripted");
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
        let mut subscription = tree.entrance().subscribe(a_caller(ALICE), filter).await.unwrap();
        let last = to_the_final(&mut subscription).await.pop().unwrap();
        assert_eq!(last.message.content, "again");
    }
    assert_eq!(text(&answer(&world, tree.entrance(), "alice", ALICE).await), "Hello world.");
}
