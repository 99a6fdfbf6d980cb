//! Every way a request ends.

use super::*;

async fn failed_answer(script: Script) -> (Code, String, Duration) {
    let world = world();
    let tree = start(&world);
    world.models.next_call(script);
    let started = Instant::now();
    let events = answer(&world, tree.entrance(), "alice", ALICE).await;
    let last = events.last().unwrap();
    assert_eq!(world.models.open_calls(), 0, "the call is still open");
    let code = last.failure.as_ref().unwrap().code;
    // A panic takes with it what is known of the text.
    if code != Code::Internal {
        assert_eq!(text(&events), last.message.content, "what is kept is not what was shown");
    }
    (code, last.message.content.clone(), started.elapsed())
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
    let error = ModelError::new(Code::UpstreamRateLimited, Retry::Never, "as scripted");
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
    assert_eq!(code, Code::UpstreamMalformed);
    assert!(kept.len() >= 4_096, "{}", kept.len());
}

#[actix::test]
async fn the_final_message_of_an_answer_that_broke_off_has_what_the_chunks_had_gathered_text_too() {
    let mut world = world();
    world.limits.gather_after_chunks = 1;
    world.limits.max_answer_bytes = 8;
    let error = ModelError::new(Code::UpstreamOverloaded, Retry::Again, "as scripted");
    let part = Script::default().then(Duration::ZERO, "one ").then(Duration::ZERO, "two");
    let ends = [part.clone(), part.clone().fail(error), part.then(Duration::ZERO, " three")];
    for script in ends {
        let tree = start(&world);
        world.models.next_call(script);
        let events = answer(&world, tree.entrance(), "alice", ALICE).await;
        let last = events.last().unwrap();
        assert!(last.failure.is_some());
        assert_eq!((text(&events).as_str(), last.message.content.as_str()), ("one two", "one two"));
    }
}

#[actix::test]
async fn a_cancelled_request_ends_cancelled_and_its_call_is_closed() {
    let world = world();
    let tree = start(&world);
    world.models.next_call(Script::default().then(Duration::ZERO, "part").hang());
    let gate = tree.entrance().ask(world.ask("alice", "chat")).await.unwrap();
    let request_id = gate.request_id();
    drop(gate);
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
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
    let mut subscription =
        tree.entrance().subscribe(a_caller(ALICE), everything_of(ALICE, request_id)).await.unwrap();
    let started = Instant::now();
    let last = to_the_final(&mut subscription).await.pop().unwrap();
    assert_eq!(last.failure.as_ref().unwrap().hop, Hop::Broadcaster);
    assert_eq!(started.elapsed().as_secs(), 121);
    // What Cache says later is ignored.
    world.store.is_silent.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(subscription.read(1 << 20).await.is_empty());
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
