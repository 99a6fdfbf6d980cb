use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Response};
use serde_json::json;

use super::{
    shapes::{anthropic, openai},
    *,
};

async fn call(provider: &FakeProvider) -> Result<Response, reqwest::Error> {
    let client = Client::builder().no_proxy().build().unwrap();
    client
        .post(format!("{}/v1/chat/completions", provider.url()))
        .json(&json!({ "stream": true }))
        .send()
        .await
}

#[tokio::test]
async fn a_scripted_answer_arrives_as_scripted_and_the_call_is_recorded() {
    let script = openai::answer(&["Hel", "lo"]).header("x-request-id", "7");
    let provider = FakeProvider::start(script).await.unwrap();

    let answer = call(&provider).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["x-request-id"].to_str().unwrap()), (200, "7"));
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""content":"Hel""#) && text.ends_with("data: [DONE]\n\n"), "{text}");

    let calls = provider.until(|calls| calls.iter().any(|call| call.played)).await.unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(calls[0].json(), json!({ "stream": true }));
    assert_eq!(calls[0].header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn queued_scripts_are_played_in_order_before_the_standing_one() {
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    provider.enqueue(Script::status(500));
    provider.enqueue(Script::status(429).header("retry-after", "1"));

    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(call(&provider).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 429, 200, 200]);

    provider.always(Script::status(529));
    assert_eq!(call(&provider).await.unwrap().status().as_u16(), 529);
}

#[tokio::test]
async fn an_answer_waits_for_its_signal_and_a_later_one_does_not() {
    let signal = Signal::default();
    let script = Script::body(200, "text/plain", "before ").content_length(12);
    let provider = FakeProvider::start(script.then(Step::Until(signal.clone())).send("after")).await.unwrap();
    let mut waiting = call(&provider).await.unwrap();
    assert_eq!(waiting.chunk().await.unwrap().unwrap(), "before ");
    assert!(timeout(Duration::from_millis(50), waiting.chunk()).await.is_err());
    signal.give();
    assert_eq!(waiting.chunk().await.unwrap().unwrap(), "after");
    assert_eq!(call(&provider).await.unwrap().text().await.unwrap(), "before after");
}

#[tokio::test]
async fn an_answer_can_be_made_of_what_is_asked() {
    let provider = FakeProvider::answering(|call| Script::body(200, "text/plain", call.path.as_str()));
    let provider = provider.await.unwrap();
    let answer = call(&provider).await.unwrap().text().await.unwrap();
    assert_eq!((answer.as_str(), provider.calls().len()), ("/v1/chat/completions", 0));
}

#[tokio::test]
async fn an_answer_cut_at_every_byte_is_the_same_answer() {
    let whole = anthropic::answer(&["Grüße", "…"]);
    let provider = FakeProvider::start(whole.clone().in_pieces_of(1)).await.unwrap();
    let in_pieces = call(&provider).await.unwrap().text().await.unwrap();
    provider.always(whole);
    assert_eq!(in_pieces, call(&provider).await.unwrap().text().await.unwrap());
    assert!(in_pieces.contains("Grüße"));
}

#[tokio::test]
async fn a_cut_and_a_close_both_break_the_body_off() {
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    for step in [Step::Cut, Step::Close] {
        provider.enqueue(Script::event_stream().send(openai::delta("half")).then(step.clone()));
        let answer = call(&provider).await;
        let broken = match answer {
            Ok(answer) => answer.text().await.is_err(),
            Err(_) => true,
        };
        assert!(broken, "{step:?} left a whole answer");
    }
}

#[tokio::test]
async fn a_silent_provider_takes_the_request_and_notices_that_the_caller_gives_up() {
    let provider = FakeProvider::start(Script::silence()).await.unwrap();
    let waiting = call(&provider);
    assert!(timeout(Duration::from_millis(200), waiting).await.is_err());
    let calls = provider.until(|calls| calls.iter().any(|call| call.caller_closed.is_some())).await.unwrap();
    assert!(calls[0].caller_closed.unwrap() >= calls[0].arrived);
    assert!(!calls[0].played);
}

#[tokio::test]
async fn an_endless_answer_lasts_until_the_caller_leaves() {
    let endless = Step::Repeat(openai::delta("more").into_bytes(), Duration::from_millis(1));
    let provider = FakeProvider::start(Script::event_stream().then(endless)).await.unwrap();
    let mut body = call(&provider).await.unwrap().bytes_stream();
    for _ in 0..50 {
        assert!(!body.next().await.unwrap().unwrap().is_empty());
    }
    assert!(provider.calls()[0].caller_closed.is_none());
    drop(body);
    provider.until(|calls| calls[0].caller_closed.is_some()).await.unwrap();
}

#[tokio::test]
async fn a_stall_after_content_is_noticed_to_be_closed() {
    let script = Script::event_stream().send(openai::delta("first")).then(Step::Stall);
    let provider = FakeProvider::start(script).await.unwrap();
    let mut body = call(&provider).await.unwrap().bytes_stream();
    assert!(body.next().await.unwrap().is_ok());
    drop(body);
    provider.until(|calls| calls[0].caller_closed.is_some()).await.unwrap();
}

#[tokio::test]
async fn a_delay_before_the_head_delays_the_head() {
    let delay = Duration::from_millis(120);
    let provider = FakeProvider::start(Script::status(204).first(Step::Wait(delay))).await.unwrap();
    let before = Instant::now();
    assert_eq!(call(&provider).await.unwrap().status().as_u16(), 204);
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn a_dropped_fake_closes_its_port() {
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    let url = provider.url();
    drop(provider);
    let client = Client::builder().no_proxy().build().unwrap();
    // The listener goes with the task that held it, at the runtime's next chance.
    timeout(PATIENCE, async { while client.get(&url).send().await.is_ok() {} }).await.unwrap();
}

async fn length_of(mut answer: Response) -> u64 {
    let mut length = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        length += piece.len() as u64;
    }
    length
}

#[tokio::test]
async fn bytes_sent_many_times_all_arrive_and_are_never_all_held() {
    let event = openai::delta(&"x".repeat(10_000));
    let script = Script::event_stream().send_times(event.as_bytes(), 10_000).send("data: [DONE]\n\n");
    let provider = FakeProvider::start(script).await.unwrap();
    let before = resident_bytes();
    let answer = call(&provider).await.unwrap();
    assert_eq!(length_of(answer).await, event.len() as u64 * 10_000 + 14);
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < 32 << 20, "{growth} bytes for 100 MB");
}

/// The most memory this process had so far.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn bytes_sent_many_times_arrive_under_every_framing() {
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    let seven = Script::status(200).send_times("abc", 7);
    for script in [seven.clone(), seven.clone().content_length(21), seven.until_closed()] {
        provider.enqueue(script);
        assert_eq!(call(&provider).await.unwrap().text().await.unwrap(), "abc".repeat(7));
    }
}

#[tokio::test]
async fn a_body_shorter_than_promised_is_broken_and_one_until_the_close_looks_whole() {
    let provider = FakeProvider::start(Script::status(200)).await.unwrap();
    provider.enqueue(Script::status(200).content_length(100).send("half"));
    assert!(call(&provider).await.unwrap().text().await.is_err());
    provider.enqueue(Script::event_stream().until_closed().send("half").then(Step::Close));
    assert_eq!(call(&provider).await.unwrap().text().await.unwrap(), "half");
}

#[tokio::test]
async fn a_whole_body_says_how_long_it_is() {
    let provider = FakeProvider::start(Script::json(418, &json!({ "ö": 1 }))).await.unwrap();
    let answer = call(&provider).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.content_length()), (418, Some(8)));
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), json!({ "ö": 1 }));
}

#[tokio::test]
async fn a_redirect_leads_where_the_script_says() {
    let elsewhere = FakeProvider::start(Script::status(204)).await.unwrap();
    let provider = FakeProvider::start(Script::redirect(307, &elsewhere.url())).await.unwrap();
    assert_eq!(call(&provider).await.unwrap().status().as_u16(), 204);
    assert_eq!((provider.calls().len(), elsewhere.calls().len()), (1, 1));
}

#[tokio::test]
async fn bytes_that_are_no_http_are_no_answer() {
    let provider = FakeProvider::start(Script::no_http("SSH-2.0-scripted\r\n")).await.unwrap();
    assert!(call(&provider).await.is_err());
    provider.until(|calls| calls.iter().all(|call| call.played)).await.unwrap();
}

#[tokio::test]
async fn connections_are_counted_also_without_a_request() {
    let provider = FakeProvider::start(Script::status(204)).await.unwrap();
    let address = provider.url().trim_start_matches("http://").to_owned();
    drop(TcpStream::connect(address).await.unwrap());
    call(&provider).await.unwrap();
    assert_eq!((provider.connections(), provider.calls().len()), (2, 1));
}

#[tokio::test]
async fn a_deaf_provider_takes_the_connection_and_nothing_more() {
    let provider = FakeProvider::deaf().await.unwrap();
    assert!(timeout(Duration::from_millis(200), call(&provider)).await.is_err());
    assert_eq!((provider.connections(), provider.calls().len()), (1, 0));
}

#[tokio::test]
async fn a_connection_that_is_kept_takes_the_next_request() {
    let provider = FakeProvider::start(openai::answer(&["Hello"]).keeping_the_connection()).await.unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    for path in ["/first", "/second"] {
        let answer = client.post(format!("{}{path}", provider.url())).send().await.unwrap();
        assert!(answer.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    }
    let calls = provider.until(|calls| calls.iter().filter(|call| call.played).count() == 2).await.unwrap();
    assert_eq!((calls[1].path.as_str(), provider.connections()), ("/second", 1));
}
