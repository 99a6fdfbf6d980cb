//! Over real sockets, with the one dialect that takes all content types there are.

use std::time::Duration;

use duologue_actors::{
    ports::{ModelEvent, Retry, StopReason},
    protocol::Code,
};
use duologue_harness::fake_provider::{Authority, Certificate, FakeProvider, Script, Step, shapes::openai};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    config::Config,
    env_file::Environment,
    providers::{
        stands_for,
        testing::{a_call, asked, model, model_with, refused, text_of},
    },
};

fn bounds(bounds: &Value) -> Value {
    json!({ "model_calls": bounds })
}

fn quick() -> Value {
    bounds(&json!({ "header_seconds": 1, "connect_seconds": 1 }))
}

#[tokio::test]
async fn a_whole_answer_leaves_its_connection_for_the_next_call() {
    // The end of the body comes after the end of the answer.
    let events = [openai::delta("Four."), openai::stop(), openai::done(), ": bye\n\n".to_owned()];
    let script = Script::events(events).keeping_the_connection();
    let provider = FakeProvider::start(script).await.unwrap();
    let model = model("openai", &provider.url());
    // A call that follows at once may be faster than the rest of the body: then it needs another connection.
    let calls = 10;
    for _ in 0..calls {
        let (events, error) = asked(&model, a_call()).await;
        assert_eq!((text_of(&events).as_str(), error), ("Four.", None));
    }
    assert_eq!(provider.calls().len(), calls);
    assert!(provider.connections() < calls, "{} connections", provider.connections());
}

#[tokio::test]
async fn an_error_leaves_its_connection_for_the_next_call() {
    let provider =
        FakeProvider::start(openai::error(500, "server_error", None).keeping_the_connection()).await.unwrap();
    let model = model("openai", &provider.url());
    for _ in 0..3 {
        assert_eq!(refused(&model).await.said.as_deref(), Some("as scripted"));
    }
    assert_eq!((provider.calls().len(), provider.connections()), (3, 1));
}

#[tokio::test]
async fn an_answer_is_over_when_it_says_so_however_long_its_tail_is() {
    let events = [openai::delta("Four."), openai::stop(), openai::done()];
    let script =
        Script::events(events).then(Step::Repeat(b": on and on\n\n".to_vec(), Duration::from_millis(5)));
    let provider = FakeProvider::start(script).await.unwrap();
    let asked_at = Instant::now();
    let (events, _) = asked(&model("openai", &provider.url()), a_call()).await;
    assert_eq!(events.last(), Some(&ModelEvent::Finished(StopReason::Complete)));
    assert!(asked_at.elapsed() < Duration::from_millis(900), "{:?}", asked_at.elapsed());
    // And then it is not listened to for long.
    provider.until(|calls| calls[0].caller_closed.is_some()).await.unwrap();
}

#[rstest]
#[case("text/event-stream", true)]
#[case("text/event-stream;charset=utf-8", true)]
#[case("Text/Event-Stream ; charset=utf-8", true)]
#[case("text/event-streams", false)]
#[case("text/html", false)]
#[case("", false)]
#[tokio::test]
async fn a_stream_is_known_by_its_content_type(#[case] content_type: &str, #[case] is_taken: bool) {
    let stream = openai::delta("Four.") + &openai::stop() + &openai::done();
    let provider = FakeProvider::start(Script::body(200, content_type, stream)).await.unwrap();
    let (events, error) = asked(&model("openai", &provider.url()), a_call()).await;
    assert_eq!(text_of(&events), if is_taken { "Four." } else { "" });
    assert_eq!(error.map(|error| error.code), (!is_taken).then_some(Code::UpstreamMalformed));
}

#[rstest]
#[case(Script::body(200, "text/html; charset=utf-8", "<p>"), "the answer is text/html; charset=utf-8")]
#[case(Script::body(200, "caf\u{e9}\t", ""), "the answer is caf\\xc3\\xa9")]
#[case(Script::status(200), "the answer does not say of which type it is")]
#[tokio::test]
async fn another_content_type_is_named_but_not_in_the_log(#[case] script: Script, #[case] said: &str) {
    let provider = FakeProvider::start(script).await.unwrap();
    let error = refused(&model("openai", &provider.url())).await;
    assert_eq!(
        (error.what.as_ref(), error.said.as_deref()),
        ("an answer of another content type", Some(said))
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = FakeProvider::start(openai::answer(&["Four."])).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        let provider = FakeProvider::start(Script::redirect(status, &elsewhere.url())).await.unwrap();
        let error = refused(&model("openai", &provider.url())).await;
        assert_eq!((error.code, error.retry), (Code::UpstreamMalformed, Retry::Never));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn what_went_wrong_before_an_answer_is_told_apart() {
    let (authority, refusing) = (Authority::new().unwrap(), FakeProvider::refusing().unwrap());
    let untrusted =
        FakeProvider::start_tls(Script::status(200), Certificate::SignedBy(&authority)).await.unwrap();
    let no_http = FakeProvider::start(Script::no_http("220 mail.example.com ESMTP\r\n")).await.unwrap();
    let cut = FakeProvider::start(Script::status(200).first(Step::Cut)).await.unwrap();
    let silent = FakeProvider::start(Script::silence()).await.unwrap();
    for (url, what, retry) in [
        (refusing.url(), "connection refused", Retry::Again),
        ("https://name.invalid".to_owned(), "the host does not resolve", Retry::Once),
        (untrusted.url(), "no TLS connection", Retry::Elsewhere),
        (no_http.url(), "the connection broke before an answer began", Retry::Again),
        (cut.url(), "the connection broke before an answer began", Retry::Again),
    ] {
        let error = refused(&model_with("openai", &url, &quick())).await;
        assert_eq!((error.what.as_ref(), error.retry), (what, retry), "{:?}", error.said);
        assert_eq!(error.code, Code::UpstreamUnavailable);
        assert!(error.said.is_some(), "{what}");
    }
    let error = refused(&model_with("openai", &silent.url(), &quick())).await;
    assert_eq!((error.code, error.retry), (Code::UpstreamTimeout, Retry::Elsewhere));
}

#[tokio::test]
async fn a_reason_that_does_not_come_does_not_hide_the_status() {
    let stalled = Script::status(503).header("retry-after", "2").then(Step::Stall);
    let endless = Script::status(503).header("retry-after", "2").send_times("x", 1 << 20);
    let cut = Script::status(503).header("retry-after", "2").send("{").then(Step::Cut);
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    let model = model("openai", &provider.url());
    for script in [stalled, endless, cut] {
        provider.enqueue(script);
        let error = refused(&model).await;
        assert_eq!((error.code, error.said), (Code::UpstreamOverloaded, None));
        assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bounds_and_no_further() {
    let small = bounds(&json!({ "max_event_bytes": 1_024, "max_response_bytes": 2_048, "max_events": 3 }));
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    let model = model_with("openai", &provider.url(), &small);
    for (script, what) in [
        (Script::event_stream().send_times("x", 1_500), "an event longer than model_calls.max_event_bytes"),
        (
            Script::event_stream().send_times(": x\n\n", 1_000),
            "an answer longer than model_calls.max_response_bytes",
        ),
        (
            Script::event_stream().send_times("data: {}\n\n", 4),
            "an answer of more events than model_calls.max_events",
        ),
        (
            Script::status(200).header("content-type", "application/json").send_times("x", 1_500),
            "an answer longer than model_calls.max_event_bytes",
        ),
        (
            Script::event_stream().send_gzip(&[(b": x\n", 1_000)]),
            "an answer longer than model_calls.max_response_bytes",
        ),
        (
            Script::event_stream().header("content-encoding", "gzip").send("this is not gzip at all"),
            "an answer that cannot be decompressed",
        ),
    ] {
        provider.enqueue(script);
        let error = refused(&model).await;
        assert_eq!((error.code, error.what.as_ref()), (Code::UpstreamMalformed, what));
    }
}

#[tokio::test]
async fn an_answer_under_gzip_is_unpacked_and_one_that_was_cut_is_known() {
    let stream = openai::delta("Four.") + &openai::stop() + &openai::done();
    let provider =
        FakeProvider::start(Script::event_stream().send_gzip(&[(stream.as_bytes(), 1)])).await.unwrap();
    let model = model("openai", &provider.url());
    assert_eq!(text_of(&asked(&model, a_call()).await.0), "Four.");
    assert!(provider.calls()[0].header("accept-encoding").is_some_and(|taken| taken.contains("gzip")));

    for step in [Step::Cut, Step::Close] {
        provider.enqueue(Script::events([openai::delta("Fo")]).wait(Duration::from_millis(50)).then(step));
        let (events, error) = asked(&model, a_call()).await;
        let error = error.unwrap();
        assert_eq!((text_of(&events).as_str(), error.code), ("Fo", Code::UpstreamTruncated));
    }
}

#[tokio::test]
async fn an_answer_that_is_whole_is_not_kept_waiting_for_its_stream_to_close() {
    let script = Script::events([openai::delta("Four."), openai::stop()]).then(Step::Stall);
    let provider = FakeProvider::start(script).await.unwrap();
    let asked_at = Instant::now();
    let (events, error) = asked(&model("openai", &provider.url()), a_call()).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn keep_alives_do_not_make_a_whole_answer_wait_longer_for_its_stream_to_close() {
    let keep_alive = Step::Repeat(b": still here\n\n".to_vec(), Duration::from_millis(50));
    let script = Script::events([openai::delta("Four."), openai::stop()]).then(keep_alive);
    let provider = FakeProvider::start(script).await.unwrap();
    let asked_at = Instant::now();
    let (events, error) = asked(&model("openai", &provider.url()), a_call()).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));
    assert_eq!(events.last(), Some(&ModelEvent::Finished(StopReason::Complete)));
    assert!(asked_at.elapsed() < Duration::from_secs(3), "{:?}", asked_at.elapsed());
}

#[tokio::test]
async fn a_proxy_carries_what_leaves_the_network_and_nothing_else() {
    let proxy = FakeProvider::start(Script::status(502)).await.unwrap();
    let settings = bounds(
        &json!({ "proxy": proxy.url(), "allowed_private_hosts": ["10.255.255.1"], "connect_seconds": 1 }),
    );

    let near = FakeProvider::start(openai::answer(&["Four."])).await.unwrap();
    let (events, _) = asked(&model_with("openai", &near.url(), &settings), a_call()).await;
    assert_eq!(text_of(&events), "Four.");
    refused(&model_with("openai", "http://10.255.255.1:9/v1", &settings)).await;
    assert_eq!(proxy.connections(), 0);

    refused(&model_with("openai", "https://api.example.com/v1", &settings)).await;
    let calls = proxy.calls();
    assert_eq!(
        (calls.len(), calls[0].method.as_str(), calls[0].path.as_str()),
        (1, "CONNECT", "api.example.com:443")
    );
}

#[tokio::test]
async fn a_server_on_this_machine_needs_no_key_and_another_one_does() {
    for (url, is_set_up) in [("http://localhost:11434/v1", true), ("https://api.example.com/v1", false)] {
        let variables = [("OPENAI_BASE_URL", url)];
        let config = Config::from_layers(None, &variables.into_iter().collect::<Environment>()).unwrap();
        let stands_for = stands_for(&config, "default");
        assert_eq!(stands_for, Some(if is_set_up { "gpt" } else { "embedded" }), "{url}");
    }
}
