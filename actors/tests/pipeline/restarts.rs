//! What a process that was killed leaves to the next.

use super::*;

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
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
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
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
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
        let mut replay =
            tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, finished)).await.unwrap();
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
async fn permission_revoked_between_acceptance_and_the_run_ends_forbidden_without_a_model_call() {
    tokio::time::pause();
    let no_member = |world: &World| world.directory.members.lock().unwrap().clear();
    assert_eq!(code_after_restart(no_member).await, Code::Forbidden);
    let no_licence = |world: &World| world.licences.withdrawn.store(true, SeqCst);
    assert_eq!(code_after_restart(no_licence).await, Code::Forbidden);
}

#[actix::test]
async fn a_flag_off_between_acceptance_and_the_run_ends_feature_disabled_without_a_model_call() {
    tokio::time::pause();
    for flag in [CHAT_SWITCH, "chat_flag"] {
        let flag_off = |world: &World| world.flags.set(flag, false);
        assert_eq!(code_after_restart(flag_off).await, Code::FeatureDisabled);
    }
}

#[actix::test]
async fn a_user_who_is_gone_after_a_restart_gets_no_answer_and_a_token_that_is_gone_is_not_guessed() {
    tokio::time::pause();
    let no_user = |world: &World| assert!(world.directory.gone.lock().unwrap().insert(ALICE));
    assert_eq!(code_after_restart(no_user).await, Code::Unauthenticated);
    let needs_token = |world: &World| world.directory.needs_credentials.store(true, SeqCst);
    assert_eq!(code_after_restart(needs_token).await, Code::Interrupted);
}

#[actix::test]
async fn a_direct_stream_that_a_crash_cut_short_is_not_run_again() {
    let world = world();
    {
        let tree = start(&world);
        world.models.next_call(Script::default().then(Duration::ZERO, "lost ").hang());
        let stream = tree.entrance().stream(a_caller(ALICE).user, world.ask("alice", "chat")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        tree.stop(Duration::from_millis(100)).await;
        drop(stream);
    }
    let tree = start(&world);
    tree.recovered().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((world.models.calls().len(), world.permits.in_flight()), (1, 0));
    assert!(world.store.accepted().is_empty());
}

#[actix::test]
async fn a_directory_that_is_down_at_the_restart_only_delays_the_answer() {
    let world = world();
    let request_id = killed_in_flight(&world).await;
    world.directory.is_down.store(true, SeqCst);
    let tree = start(&world);
    tree.recovered().await;
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(subscription.read(1 << 20).await.is_empty());
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
        let mut subscription =
            tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
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
        tree.entrance().subscribe(a_caller(owner), everything_of(owner, request_id)).await.unwrap().resume()
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
    assert_eq!(tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap().len(), 2);
    tokio::time::advance(Duration::from_secs(120)).await;
    assert_eq!(tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap().len(), 0);
}
