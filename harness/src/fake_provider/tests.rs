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
