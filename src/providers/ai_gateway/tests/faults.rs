//! What becomes of an answer that is none.

use duologue_actors::{ports::Retry, protocol::Code};
use duologue_harness::fake_provider::Step;
use rstest::rstest;

use super::*;

/// The beginning of the SHA-256 of [`TOKEN`].
const KEY_ID: &str = "2b1f6910";

#[rstest]
#[case::no_token(
    shapes::unauthenticated("No authorization header presented"),
    Code::UpstreamAuth,
    Retry::Never
)]
#[case::scope(shapes::refused(403, "Unauthorized to access duo_chat"), Code::UpstreamAuth, Retry::Never)]
#[case::key_of_the_gateway(shapes::refused(421, "401: Unauthorized"), Code::UpstreamAuth, Retry::Never)]
#[case::model_overloaded(shapes::refused(421, "529: Overloaded"), Code::UpstreamOverloaded, Retry::Again)]
#[case::model_busy(
    shapes::refused(421, "429: Too Many Requests"),
    Code::UpstreamRateLimited,
    Retry::Elsewhere
)]
#[case::no_such_version(shapes::refused(400, "No version matching"), Code::UpstreamRejected, Retry::Never)]
#[case::no_such_path(shapes::refused(404, "Not found"), Code::UpstreamRejected, Retry::Never)]
#[case::too_large(shapes::refused(413, "as scripted"), Code::UpstreamTooLarge, Retry::Never)]
#[case::invalid(shapes::refused(422, "Validation error"), Code::UpstreamRejected, Retry::Never)]
#[case::credits(shapes::out_of_credits(), Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case::request_timeout(shapes::refused(408, "as scripted"), Code::UpstreamTimeout, Retry::Again)]
#[case::conflict(shapes::refused(409, "as scripted"), Code::UpstreamUnavailable, Retry::Again)]
#[case::limit(shapes::refused(429, "Too many requests."), Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case::crashed(shapes::crashed(), Code::UpstreamUnavailable, Retry::Again)]
#[case::of_its_model(
    shapes::refused(502, "Anthropic API Status Error."),
    Code::UpstreamUnavailable,
    Retry::Again
)]
#[case::inference(shapes::refused(503, "Inference failed"), Code::UpstreamOverloaded, Retry::Again)]
#[case::timeout(shapes::refused(504, "Anthropic API Timeout Error."), Code::UpstreamTimeout, Retry::Again)]
#[case::hopeless(shapes::crashed().header("x-should-retry", "false"), Code::UpstreamUnavailable, Retry::Elsewhere)]
#[case::elsewhere(Script::redirect(307, "http://127.0.0.1:9/"), Code::UpstreamMalformed, Retry::Never)]
#[case::page(Script::body(200, "text/html", "<p>Sign in</p>"), Code::UpstreamMalformed, Retry::Never)]
#[case::cut_json(
    Script::body(200, "application/json", "{\"response\": \"Hel"),
    Code::UpstreamMalformed,
    Retry::Never
)]
#[case::no_text(
    Script::body(200, "application/json", "{\"answer\": 42}"),
    Code::UpstreamMalformed,
    Retry::Never
)]
#[case::long_json(shapes::chat_answer(&"x".repeat(1_024)), Code::UpstreamMalformed, Retry::Never)]
#[case::no_end(shapes::stream(&["Hello"]).until_closed(), Code::UpstreamMalformed, Retry::Never)]
#[case::cut_at_once(Script::event_stream().then(Step::Close), Code::UpstreamTruncated, Retry::Again)]
#[case::silence(Script::silence(), Code::UpstreamTimeout, Retry::Elsewhere)]
#[tokio::test]
async fn a_fault_before_any_content_has_its_code_and_what_can_be_done(
    #[case] script: Script,
    #[case] code: Code,
    #[case] retry: Retry,
) {
    let (shown, end) = attempt_against(script).await;
    let error = end.unwrap_err();
    assert_eq!((shown.as_str(), error.code, error.retry), ("", code, retry), "{error:?}");
    assert!(!format!("{error:?}").contains(TOKEN));
}

#[tokio::test]
async fn the_key_that_was_refused_is_named_but_not_the_gateway_s_own() {
    let refused = async |script| attempt_against(script).await.1.unwrap_err().what;
    let own = refused(shapes::refused(403, "Unauthorized to access duo_chat")).await;
    assert_eq!(own, format!("status 403 with the key {KEY_ID}"));
    let theirs = refused(shapes::refused(421, "401: Unauthorized")).await;
    assert_eq!(theirs, "status 421, for status 401 of its model");
}

#[tokio::test]
async fn what_the_gateway_says_of_it_is_there_for_whoever_asks_by_hand() {
    for (script, said) in [
        (shapes::unauthenticated("Invalid authorization header"), Some("Invalid authorization header")),
        (shapes::refused(404, "Not found"), Some("Not found")),
        (shapes::out_of_credits(), Some("as scripted")),
        (shapes::refused(503, "Inference failed"), Some("Inference failed")),
    ] {
        assert_eq!(attempt_against(script).await.1.unwrap_err().said.as_deref(), said);
    }
}

#[tokio::test]
async fn a_crash_of_a_call_with_our_prompt_says_that_newer_gateways_take_only_their_own() {
    let gateway = FakeProvider::start(shapes::crashed()).await.unwrap();
    let model = model(&gateway.url());
    let of_ours = attempt(&model, call()).await.1.unwrap_err();
    assert!(of_ours.said.unwrap().contains("`for: {ai_gateway: {prompt_id: "));
    assert_eq!(of_ours.what, "status 500");
    assert_eq!(attempt(&model, kept_call()).await.1.unwrap_err().said, None);
}

#[tokio::test]
async fn an_answer_that_is_too_long_names_its_bound() {
    let long = attempt_against(shapes::chat_answer(&"x".repeat(1_024))).await.1.unwrap_err();
    assert_eq!(long.what, "an answer longer than model_calls.max_event_bytes");
    let endless = Script::event_stream().send_times("x", 5_000);
    let endless = attempt_against(endless).await.1.unwrap_err();
    assert_eq!(endless.what, "an answer longer than model_calls.max_response_bytes");
}

#[tokio::test]
async fn a_token_that_is_renewed_in_its_file_is_shown_by_the_next_call() {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let yaml = format!("providers:\n  ai_gateway: {{api_key_file: '{}'}}\n", file.display());
    let model = route(&config(&gateway.url(), &yaml, &[])).models().next().unwrap().clone();
    attempt(&model, call()).await.1.unwrap();
    std::fs::write(&file, "renewed").unwrap();
    attempt(&model, call()).await.1.unwrap();
    let calls = gateway.calls();
    let shown: Vec<Option<&str>> = calls.iter().map(|call| call.header("authorization")).collect();
    assert_eq!(shown, [Some("Bearer old"), Some("Bearer renewed")]);
}

#[tokio::test]
async fn where_nobody_listens_the_gateway_is_unavailable() {
    let nobody = FakeProvider::refusing().unwrap();
    let error = ask(&nobody.url()).await.1.unwrap_err();
    assert_eq!((error.code, error.what.as_ref()), (Code::UpstreamUnavailable, "connection refused"));
}

#[tokio::test]
async fn two_crashes_and_an_answer_are_an_answer_to_one_and_the_same_request() {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    gateway.enqueue(shapes::crashed());
    gateway.enqueue(shapes::crashed());
    assert_eq!(ask(&gateway.url()).await, ("Hello".to_owned(), Ok(StopReason::Complete)));
    let calls = gateway.calls();
    let ids: std::collections::BTreeSet<_> = calls.iter().map(|call| call.header("x-request-id")).collect();
    assert_eq!((calls.len(), ids.len()), (3, 1));
}

#[tokio::test]
async fn a_limit_is_waited_for_if_it_is_short() {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    gateway.enqueue(shapes::refused(429, "Too many requests.").header("retry-after", "0.2"));
    assert_eq!(ask(&gateway.url()).await.0, "Hello");
    let calls = gateway.calls();
    let [first, second] = calls.as_slice() else { panic!("{} calls", calls.len()) };
    assert!(second.arrived - first.arrived >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_limit_that_lasts_is_not_waited_for_and_told() {
    let long = shapes::refused(429, "Too many requests.").header("retry-after", "3600");
    let gateway = FakeProvider::start(long).await.unwrap();
    let error = ask(&gateway.url()).await.1.unwrap_err();
    assert_eq!(
        (error.code, error.retry_after),
        (Code::UpstreamRateLimited, Some(Duration::from_secs(3_600)))
    );
    assert_eq!(gateway.calls().len(), 1);
}

#[rstest]
#[case::refused(shapes::refused(403, "Unauthorized to access duo_chat"), 1, Code::UpstreamAuth)]
#[case::crashed(shapes::crashed(), 3, Code::UpstreamUnavailable)]
#[case::overloaded(shapes::refused(421, "529: Overloaded"), 3, Code::UpstreamOverloaded)]
#[case::empty(Script::event_stream(), 1, Code::UpstreamMalformed)]
#[case::empty_text(shapes::prompt_answer(""), 1, Code::UpstreamMalformed)]
#[case::empty_and_cut(Script::event_stream().then(Step::Cut), 3, Code::UpstreamTruncated)]
#[case::silence(Script::silence(), 1, Code::UpstreamTimeout)]
#[tokio::test]
async fn a_fault_costs_so_many_calls(#[case] script: Script, #[case] calls: usize, #[case] code: Code) {
    let gateway = FakeProvider::start(script).await.unwrap();
    let (shown, end) = ask(&gateway.url()).await;
    assert_eq!((shown.as_str(), end.unwrap_err().code), ("", code));
    assert_eq!(gateway.calls().len(), calls);
}

#[rstest]
#[case::closed(Step::Close, Code::UpstreamTruncated)]
#[case::reset(Step::Cut, Code::UpstreamTruncated)]
#[case::stalled(Step::Stall, Code::UpstreamStalled)]
#[case::endless(Step::SendTimes(b"more ".to_vec(), 1_000_000), Code::UpstreamMalformed)]
#[tokio::test]
async fn a_fault_after_content_ends_the_answer_and_nothing_is_asked_again(
    #[case] step: Step,
    #[case] code: Code,
) {
    // What was sent is to have arrived before the connection is reset.
    let script = shapes::stream(&["Hello"]).wait(Duration::from_millis(100)).then(step);
    let gateway = FakeProvider::start(script).await.unwrap();
    let (shown, end) = ask(&gateway.url()).await;
    assert!(shown.starts_with("Hello") && shown.len() <= 4_096, "{} bytes", shown.len());
    assert_eq!(end.unwrap_err().code, code);
    assert_eq!(gateway.calls().len(), 1);
}
