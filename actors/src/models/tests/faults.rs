//! What a fault at A comes to, case by case, with the exact number of calls.

use rstest::rstest;

use super::*;

const HELLO: &str = "Hello world.";

#[rstest]
#[case::refused(failing(Code::UpstreamUnavailable, Retry::Again), (3, 1))]
#[case::does_not_resolve(failing(Code::UpstreamUnavailable, Retry::Once), (2, 1))]
#[case::bad_certificate(failing(Code::UpstreamUnavailable, Retry::Elsewhere), (1, 1))]
#[case::silent_header(failing(Code::UpstreamTimeout, Retry::Elsewhere), (1, 1))]
#[case::conflict(failing(Code::UpstreamUnavailable, Retry::Again), (3, 1))]
#[case::long_retry_after(limited(3_600), (1, 1))]
#[case::spend_limit(failing(Code::UpstreamRateLimited, Retry::Elsewhere), (1, 1))]
#[case::overloaded(overloaded(), (3, 1))]
#[case::told_not_to_retry(failing(Code::UpstreamUnavailable, Retry::Elsewhere), (1, 1))]
#[case::cut_before_content(Script::default(), (3, 1))]
#[tokio::test(start_paused = true)]
async fn a_fault_before_the_first_content_is_retried_as_it_allows_and_then_b_answers(
    #[case] fault: Script,
    #[case] calls: (usize, usize),
) {
    let two = Two::default();
    two.a.always(fault);
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.end), (HELLO, Ok(StopReason::Complete)));
    assert_eq!(two.calls(), calls);
    two.assert_nothing_is_held();
}

#[rstest]
#[case::unauthorized(Code::UpstreamAuth)]
#[case::bad_request(Code::UpstreamRejected)]
#[case::too_large(Code::UpstreamTooLarge)]
#[case::html_page_or_redirect(Code::UpstreamMalformed)]
#[tokio::test(start_paused = true)]
async fn what_nobody_will_do_better_is_the_end_at_once(#[case] code: Code) {
    let two = Two::default();
    two.a.always(failing(code, Retry::Never));
    let told = two.told().await;
    assert_eq!((told.code(), told.took, told.text.as_str()), (Some(code), Duration::ZERO, ""));
    assert_eq!(two.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_the_models_own_error_is_the_end() {
    let two = Two::default();
    two.a.always(failing(Code::UpstreamUnavailable, Retry::Elsewhere));
    assert_eq!(two.told_by_a_alone().await.code(), Some(Code::UpstreamUnavailable));
    two.a.always(overloaded());
    assert_eq!(two.told_by_a_alone().await.code(), Some(Code::UpstreamOverloaded));
    assert_eq!(two.calls(), (1 + 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_takes_the_call_and_says_nothing_has_its_time_and_then_b_answers() {
    let two = Two::default();
    two.a.always(Script::default().hang());
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.took), (HELLO, seconds(30)));
    assert_eq!(two.calls(), (1, 1));
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn when_both_are_silent_the_end_is_a_timeout_well_before_the_deadline() {
    let two = Two::default();
    two.a.always(Script::default().hang());
    two.b.always((0..).take(100).fold(Script::default(), |script, _| script.then(seconds(5), "")));
    let told = two.told().await;
    assert_eq!((told.code(), told.took), (Some(Code::UpstreamTimeout), seconds(60)));
}

#[tokio::test(start_paused = true)]
async fn retry_after_one_second_is_waited_for_and_half_a_second_more_at_most() {
    for _ in 0..50 {
        let two = Two::default();
        two.a.next_call(limited(1));
        let told = two.told().await;
        assert_eq!((told.text.as_str(), two.calls()), (HELLO, (2, 0)));
        assert!((seconds(1)..=Duration::from_millis(1_501)).contains(&told.took), "{:?}", told.took);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_an_hour_is_told_to_the_caller_at_once_when_there_is_no_other_model() {
    let two = Two::default();
    two.a.always(limited(3_600));
    let told = two.told_by_a_alone().await;
    assert_eq!((told.code(), told.retry_after()), (Some(Code::UpstreamRateLimited), Some(3_600)));
    assert_eq!((told.took, two.calls()), (Duration::ZERO, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_longest_retry_after_that_is_waited_for_is_the_bound() {
    let two = Two::default();
    two.a.next_call(limited(10));
    assert_eq!(two.told().await.text, HELLO);
    assert_eq!(two.calls(), (2, 0));
    two.a.next_call(limited(11));
    assert_eq!(two.told().await.took, Duration::ZERO);
    assert_eq!(two.calls(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn when_b_cannot_be_asked_the_end_is_as_error() {
    let mut two = Two::default();
    two.a.always(limited(3_600));
    let bounds = ModelBounds { context_tokens: 10, output_tokens: OUTPUT };
    two.of_b = Arc::new(Model::new("b", Arc::new(two.b.clone()), bounds, Guard::default()));
    let told = two.told().await;
    assert_eq!((told.code(), told.retry_after()), (Some(Code::UpstreamRateLimited), Some(3_600)));
    assert_eq!(two.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_failures_and_an_answer_are_three_calls_with_one_key() {
    let two = Two::default();
    two.a.next_call(overloaded());
    two.a.next_call(overloaded());
    let told = two.told().await;
    assert_eq!((told.text.as_str(), two.calls()), (HELLO, (3, 0)));
    let keys: Vec<RequestId> = two.a.calls().iter().map(|call| call.request_id).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
    // 250 ms and 500 ms, and up to as much again.
    assert!(
        (Duration::from_millis(750)..=Duration::from_millis(1_502)).contains(&told.took),
        "{:?}",
        told.took
    );
}

#[tokio::test(start_paused = true)]
async fn b_is_asked_with_the_same_key_as_a() {
    let two = Two::default();
    two.a.always(overloaded());
    two.told().await;
    assert_eq!(two.a.calls()[0].request_id, two.b.calls()[0].request_id);
}

#[rstest]
#[case::error_event(Code::UpstreamOverloaded, true)]
#[case::reset(Code::UpstreamTruncated, false)]
#[tokio::test(start_paused = true)]
async fn after_the_first_content_a_fault_is_the_end_and_the_text_is_kept(
    #[case] code: Code,
    #[case] is_said: bool,
) {
    let two = Two::default();
    let part = Script::default().then(seconds(1), "part");
    two.a.always(if is_said { part.fail(error(code, Retry::Again)) } else { part });
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.code(), two.calls()), ("part", Some(code), (1, 0)));
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn silence_after_content_is_a_stall_with_and_without_keep_alives() {
    let part = || Script::default().then(Duration::ZERO, "part");
    let kept_alive = (0..100).fold(part(), |script, _| script.then(seconds(1), ""));
    let counted = (0..100).fold(part(), |script, _| script.then(seconds(1), "").usage(Usage::default()));
    for script in [part().hang(), kept_alive, counted] {
        let two = Two::default();
        two.a.always(script);
        let told = two.told().await;
        assert_eq!((told.text.as_str(), told.code()), ("part", Some(Code::UpstreamStalled)));
        assert_eq!((told.took, two.calls()), (seconds(30), (1, 0)));
        two.assert_nothing_is_held();
    }
}

#[tokio::test(start_paused = true)]
async fn content_winds_the_timer_up_again() {
    let two = Two::default();
    let slow = (0..3).fold(Script::default(), |script, _| script.then(seconds(29), "x")).finish();
    two.a.always(slow);
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.took), ("xxx", seconds(87)));
}

#[tokio::test(start_paused = true)]
async fn the_time_a_reader_takes_is_not_the_models_silence() {
    let two = Two::default();
    two.a.always(Script::default().then(Duration::ZERO, "one ").then(seconds(1), "two").finish());
    let mut answer = two.answer();
    assert_eq!(answer.next().await, Some(Ok(Progress::Content("one ".to_owned()))));
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(answer.next().await, Some(Ok(Progress::Content("two".to_owned()))));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_never_ends_is_ended_at_the_deadline() {
    let two = Two::default();
    two.a.always((0..1_000).fold(Script::default(), |script, _| script.then(seconds(1), "x")));
    let told = two.told().await;
    assert_eq!((told.code(), told.took), (Some(Code::DeadlineExceeded), seconds(120)));
    assert!(told.text.len() >= 119);
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_costs_no_call() {
    let two = Two { deadline: Duration::ZERO, ..Two::default() };
    assert_eq!(two.told().await.code(), Some(Code::DeadlineExceeded));
    assert_eq!(two.calls(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_outlast_the_deadline_is_not_begun() {
    let two = Two { deadline: seconds(5), ..Two::default() };
    two.a.always(limited(5));
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.took, two.calls()), (HELLO, Duration::ZERO, (1, 1)));
    let told = two.told_by_a_alone().await;
    assert_eq!((told.code(), told.retry_after()), (Some(Code::UpstreamRateLimited), Some(5)));
}

#[rstest]
#[case::nothing("", StopReason::Complete, Code::UpstreamMalformed)]
#[case::blanks(" \n", StopReason::Complete, Code::UpstreamMalformed)]
#[case::all_thought("", StopReason::Length, Code::UpstreamMalformed)]
#[case::refused("", StopReason::Refused, Code::UpstreamRejected)]
#[tokio::test(start_paused = true)]
async fn an_empty_success_is_no_success(#[case] text: &str, #[case] reason: StopReason, #[case] code: Code) {
    let two = Two::default();
    two.a.always(Script::default().then(Duration::ZERO, text).finish_for(reason));
    assert_eq!(two.told().await.code(), Some(code));
    assert_eq!(two.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_thought_until_its_tokens_were_used_up_names_the_limit_to_raise() {
    let two = Two::default();
    two.a.always(Script::default().finish_for(StopReason::Length));
    let what = "used all its 100 output tokens before any text; raise models.a.limits.output_tokens";
    assert_eq!(two.told().await.end.unwrap_err().what, what);
}

#[tokio::test(start_paused = true)]
async fn the_first_stop_wins_whatever_follows_it() {
    let two = Two::default();
    let more = Script::saying(&["answer"]).then(Duration::ZERO, " and more").finish_for(StopReason::Length);
    two.a.always(more);
    let told = two.told().await;
    assert_eq!((told.text.as_str(), told.end), ("answer", Ok(StopReason::Complete)));
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_closed_as_soon_as_the_end_is_told() {
    let two = Two::default();
    let mut answer = two.answer();
    while answer.next().await != Some(Ok(Progress::Finished(StopReason::Complete))) {}
    two.assert_nothing_is_held();
    assert_eq!(answer.model(), Some("a/scripted"), "who answered is known after the end");
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_holds_no_socket_while_the_next_one_waits() {
    let two = Two::default();
    two.a.next_call(limited(5).hang());
    let mut answer = two.answer();
    let early = tokio::time::timeout(seconds(1), answer.next()).await;
    assert!(early.is_err(), "the wait was not kept");
    assert_eq!(two.calls(), (1, 0));
    two.assert_nothing_is_held();
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_listening_closes_the_stream_whatever_the_call_was_doing() {
    let waits = [limited(5), Script::default().hang(), Script::default().then(Duration::ZERO, "part").hang()];
    for script in waits {
        let two = Two::default();
        two.a.always(script);
        let mut answer = two.answer();
        while tokio::time::timeout(seconds(1), answer.next()).await.is_ok() {}
        drop(answer);
        two.assert_nothing_is_held();
        assert_eq!(two.calls(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_asked_for_in_bits_of_time_is_the_same_answer() {
    let two = Two::default();
    two.a.next_call(limited(1));
    two.a.next_call(Script::default().then(seconds(2), "one ").then(seconds(2), "two").finish());
    let (mut answer, mut text) = (two.answer(), String::new());
    loop {
        match tokio::time::timeout(Duration::from_millis(70), answer.next()).await {
            Err(_) => {}
            Ok(Some(Ok(Progress::Content(content)))) => text.push_str(&content),
            Ok(other) => {
                assert_eq!(other, Some(Ok(Progress::Finished(StopReason::Complete))));
                break;
            }
        }
    }
    assert_eq!((text.as_str(), two.calls()), ("one two", (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_cannot_be_written_costs_no_call_and_b_is_asked_only_if_it_may_help() {
    let two = Two::default();
    for (retry, text, calls) in [(Retry::Never, "", (0, 0)), (Retry::Elsewhere, HELLO, (0, 1))] {
        let route = Route::new(vec![two.of_a.clone(), two.of_b.clone()]);
        let deadline = Instant::now() + two.deadline;
        let told = hear(answer(a_purpose(), route, two.bounds, deadline, move |model| {
            if model.name() == "a" {
                return Err(error(Code::Internal, retry));
            }
            Ok(a_call(RequestId::new()))
        }));
        let told = told.await;
        assert_eq!((told.text.as_str(), two.calls()), (text, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_does_not_fit_goes_to_a_model_it_fits() {
    let mut two = Two::default();
    let bounds = ModelBounds { context_tokens: 199, output_tokens: OUTPUT };
    two.of_a = Arc::new(Model::new("a", Arc::new(two.a.clone()), bounds, Guard::default()));
    assert_eq!(two.told().await.text, HELLO);
    assert_eq!(two.calls(), (0, 1));
    assert_eq!(two.told_by_a_alone().await.code(), Some(Code::UpstreamTooLarge));
}
