//! The breaker, the budget and the capacity before A, as its callers meet them.

use std::sync::Mutex;

use super::*;

fn with_capacity(concurrency: usize, tokens_per_minute: Option<u64>) -> Two {
    let capacity = Capacity::new(CapacityBounds { concurrency, tokens_per_minute });
    Two::guarded(Guard { capacity, ..Guard::default() })
}

/// A whose breaker has just opened; B has answered meanwhile. A has had 5 calls.
async fn opened() -> Two {
    let two = Two::default();
    two.a.always(overloaded());
    two.told().await;
    two.told().await;
    assert_eq!(two.calls().0, 5, "the breaker opens at the fifth failure, in the middle of a call");
    two
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_ten_seconds_a_gets_no_call_until_one_may_try() {
    let two = opened().await;
    for _ in 0..20 {
        assert_eq!(two.told().await.took, Duration::ZERO);
    }
    assert_eq!(two.calls(), (5, 22));
    let alone = two.told_by_a_alone().await;
    assert_eq!((alone.code(), alone.retry_after()), (Some(Code::UpstreamOverloaded), Some(30)));
    assert_eq!(two.a_guard().budget.left(), 7, "the retry that was not made is not paid for");
    tokio::time::advance(Duration::from_millis(29_999)).await;
    two.told().await;
    assert_eq!(two.calls().0, 5);

    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(two.a_guard().breaker.state(), BreakerState::HalfOpen);
    let probe = two.told_by_a_alone().await;
    assert_eq!((probe.code(), probe.retry_after()), (Some(Code::UpstreamOverloaded), Some(30)));
    assert_eq!((two.calls().0, probe.took), (6, Duration::ZERO), "one probe, and no retry of it");
    assert_eq!(two.a_guard().breaker.state(), BreakerState::Open(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_far_apart_open_nothing() {
    let two = Two::default();
    two.a.always(overloaded());
    for _ in 0..5 {
        two.told().await;
        tokio::time::advance(seconds(11)).await;
    }
    assert_eq!(two.calls(), (15, 5));
}

#[tokio::test(start_paused = true)]
async fn only_one_probe_is_under_way_at_a_time() {
    let two = opened().await;
    tokio::time::advance(seconds(30)).await;
    two.a.always(Script::default().hang());
    let mut probe = two.answer();
    assert!(tokio::time::timeout(seconds(1), probe.next()).await.is_err());
    for _ in 0..5 {
        assert_eq!(two.told().await.text, "Hello world.");
    }
    assert_eq!(two.calls().0, 6);
    assert_eq!(two.a_guard().breaker.state(), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cancelled_says_nothing_and_the_next_call_is_the_probe() {
    let two = opened().await;
    tokio::time::advance(seconds(30)).await;
    two.a.next_call(Script::default().hang());
    let mut probe = two.answer();
    assert!(tokio::time::timeout(seconds(1), probe.next()).await.is_err());
    drop(probe);
    two.a.always(Script::saying(&["back"]));
    assert_eq!(two.told().await.text, "back");
    assert_eq!((two.calls().0, two.a_guard().breaker.state()), (7, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_answers_closes_the_breaker_with_its_first_content() {
    let two = opened().await;
    tokio::time::advance(seconds(30)).await;
    two.a.always(Script::default().then(Duration::ZERO, "part").hang());
    let mut probe = two.answer();
    assert_eq!(probe.next().await, Some(Ok(Progress::Content("part".to_owned()))));
    assert_eq!(two.a_guard().breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_capacity_while_the_breaker_opened_is_not_made() {
    let two = with_capacity(1, None);
    // One at a time; the fifth failure opens it while the others wait for their place.
    two.a.always(Script::default().then(seconds(1), "").fail(error(Code::UpstreamOverloaded, Retry::Again)));
    let told = futures::future::join_all((0..10).map(|_| two.told())).await;
    assert!(told.iter().all(|told| told.text == "Hello world."));
    assert_eq!(two.calls(), (5, 10));
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_did_wrong_never_opens_the_breaker() {
    let two = Two::default();
    let wrong = [
        failing(Code::UpstreamRejected, Retry::Never),
        failing(Code::UpstreamTooLarge, Retry::Never),
        failing(Code::UpstreamAuth, Retry::Never),
        failing(Code::UpstreamRateLimited, Retry::Elsewhere),
        Script::default().finish(),
        Script::default().finish_for(StopReason::Refused),
    ];
    for script in wrong.iter().cycle().take(60) {
        two.a.next_call(script.clone());
        two.told().await;
    }
    assert_eq!((two.calls().0, two.a_guard().breaker.state()), (60, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_or_runs_into_its_deadline_is_not_held_against_the_model() {
    let two = Two { deadline: seconds(1), ..Two::default() };
    two.a.always(Script::default().hang());
    for _ in 0..10 {
        assert_eq!(two.told().await.code(), Some(Code::DeadlineExceeded));
        let mut cancelled = two.answer();
        assert!(tokio::time::timeout(Duration::from_millis(1), cancelled.next()).await.is_err());
    }
    assert_eq!((two.calls().0, two.a_guard().breaker.state()), (20, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn when_everything_fails_retries_are_a_tenth_of_the_calls_and_what_was_saved() {
    let bounds = BreakerBounds { failures: usize::MAX, ..BreakerBounds::default() };
    let budget = RetryBudget::new(BudgetBounds { refill: seconds(1_000_000), ..BudgetBounds::default() });
    let two = Two::guarded(Guard { breaker: Breaker::new(bounds), budget, ..Guard::default() });
    two.a.always(overloaded());
    for _ in 0..1_000 {
        two.told().await;
    }
    let retries = two.calls().0 - 1_000;
    assert!((100..=111).contains(&retries), "{retries} retries");
    assert_eq!(two.calls().1, 1_000, "without a retry the other model is asked at once");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_called_earns_no_retries() {
    let two = opened().await;
    let left = two.a_guard().budget.left();
    for _ in 0..1_000 {
        two.told().await;
    }
    assert_eq!((two.a_guard().budget.left(), two.calls().0), (left, 5));
}

#[tokio::test(start_paused = true)]
async fn a_full_model_is_waited_for_ten_seconds_and_then_b_answers() {
    let two = with_capacity(1, None);
    two.a.always(Script::default().then(Duration::ZERO, "part").hang());
    let mut first = two.answer();
    first.next().await;
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.took, two.calls()), ("Hello world.", seconds(10), (1, 1)));
    let told = two.told_by_a_alone().await;
    assert_eq!((told.code(), told.retry_after(), told.took), (Some(Code::Overloaded), Some(10), seconds(10)));
    assert_eq!(told.end.unwrap_err().what, "no place in time: models.a.limits.concurrency is 1");
    assert_eq!((two.a_guard().capacity.in_flight(), two.a_guard().capacity.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_under_way_than_there_are_places_and_all_get_their_turn() {
    let two = with_capacity(3, None);
    two.a.always(Script::default().then(seconds(1), "x").finish());
    let most = std::cell::Cell::new(0);
    let calls = (0..12).map(|_| async {
        let mut answer = two.answer();
        while answer.next().await.is_some() {
            most.set(most.get().max(two.a.open_calls()));
        }
    });
    let started = Instant::now();
    futures::future::join_all(calls).await;
    assert_eq!((most.get(), two.calls(), started.elapsed()), (3, (12, 0), seconds(4)));
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn tokens_are_reserved_for_the_whole_call_and_come_back_when_it_cost_less() {
    let two = with_capacity(10, Some(1_000));
    let left = || two.a_guard().capacity.tokens_left();
    let usage = Usage { input_tokens: 40, cached_input_tokens: 0, output_tokens: Some(10) };
    two.a.always(Script::default().then(Duration::ZERO, "x").usage(usage).then(Duration::ZERO, "y").finish());
    let mut answer = two.answer();
    answer.next().await;
    assert_eq!(left(), Some(800));
    while answer.next().await.is_some() {}
    assert_eq!(left(), Some(950));

    two.a.always(failing(Code::UpstreamRateLimited, Retry::Never));
    two.told().await;
    assert_eq!(left(), Some(950), "nobody bills a call that was turned away");
}

#[tokio::test(start_paused = true)]
async fn of_an_answer_dropped_on_its_way_the_prompt_and_what_was_said_are_settled() {
    let two = with_capacity(10, Some(1_000));
    let left = || two.a_guard().capacity.tokens_left();
    two.a.always(Script::default().then(Duration::ZERO, &"x".repeat(40)).hang());
    let mut answer = two.answer();
    answer.next().await;
    drop(answer);
    assert_eq!(left(), Some(1_000 - 100 - 10));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_leaves_nothing_behind() {
    let two = with_capacity(2, Some(200));
    two.a.always(Script::default().then(Duration::ZERO, "part").hang());
    let mut first = two.answer();
    first.next().await;
    let mut waiting = two.answer();
    assert!(tokio::time::timeout(seconds(1), waiting.next()).await.is_err());
    let capacity = &two.a_guard().capacity;
    assert_eq!((capacity.in_flight(), capacity.waiting()), (1, 1));
    drop(waiting);
    assert_eq!((capacity.in_flight(), capacity.waiting()), (1, 0));
    drop(first);
    two.assert_nothing_is_held();
    tokio::time::advance(seconds(60)).await;
    assert_eq!(two.told().await.code(), Some(Code::UpstreamStalled), "the next one has its turn");
}

#[tokio::test(start_paused = true)]
async fn a_model_out_of_tokens_is_asked_again_when_they_have_flowed_back() {
    let two = with_capacity(10, Some(1_200));
    let usage = Usage { input_tokens: 100, cached_input_tokens: 0, output_tokens: Some(100) };
    two.a.always(Script::default().then(Duration::ZERO, "x").usage(usage).finish());
    for _ in 0..6 {
        assert_eq!(two.told().await.took, Duration::ZERO);
    }
    let told = two.told().await;
    assert_eq!((told.took.as_secs(), two.calls()), (10, (6, 1)), "200 tokens take a little more than 10 s");
    assert_eq!(two.told().await.took, Duration::ZERO);
    assert_eq!(two.calls(), (7, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_tokens_in_vain_hears_which_limit_it_was_and_when_there_are_enough() {
    let two = with_capacity(10, Some(300));
    let usage = Usage { input_tokens: 100, cached_input_tokens: 0, output_tokens: Some(200) };
    two.a.always(Script::default().then(Duration::ZERO, "x").usage(usage).finish());
    two.told().await;
    let told = two.told_by_a_alone().await;
    // Of 200 tokens, 50 have flowed in while it waited; 5 more come every second.
    assert_eq!((told.code(), told.retry_after(), told.took), (Some(Code::Overloaded), Some(30), seconds(10)));
    let what = "not enough tokens in time: models.a.limits.tokens_per_minute is 300";
    assert_eq!(told.end.unwrap_err().what, what);
}

#[tokio::test(start_paused = true)]
async fn for_a_model_that_is_left_alone_no_prompt_is_written_and_only_who_is_asked_is_told_of() {
    let two = opened().await;
    let (rendered, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let answer = {
        let (route, purpose) = (Route::new(vec![two.of_a.clone(), two.of_b.clone()]), a_purpose());
        let (rendered, asked) = (rendered.clone(), asked.clone());
        let render = move |model: &Model| {
            rendered.lock().unwrap().push(model.name().to_owned());
            Ok(a_call(RequestId::new()))
        };
        let deadline = Instant::now() + two.deadline;
        answer(purpose, route, two.bounds, deadline, render).on_call(move |_| *asked.lock().unwrap() += 1)
    };
    // Its first attempt fails; the prompt is the same in the second.
    two.b.next_call(overloaded());
    assert_eq!(hear(answer).await.text, "Hello world.");
    assert_eq!((rendered.lock().unwrap().as_slice(), *asked.lock().unwrap()), (&["b".to_owned()][..], 1));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_full_is_not_told_of_as_asked() {
    let two = with_capacity(1, None);
    two.a.always(Script::default().then(Duration::ZERO, "part").hang());
    let mut first = two.answer();
    first.next().await;
    let asked = Arc::new(Mutex::new(0));
    let counted = asked.clone();
    let told = hear(two.answer_of(&[&two.of_a]).on_call(move |_| *counted.lock().unwrap() += 1)).await;
    assert_eq!((told.code(), *asked.lock().unwrap()), (Some(Code::Overloaded), 0));
}
