use reqwest::{Client, Response};
use serde_json::json;

use super::*;
use crate::fake_provider::{FakeProvider, Script};

async fn fetch(script: Script) -> Response {
    let provider = FakeProvider::start(script).await.unwrap();
    Client::builder().no_proxy().build().unwrap().get(provider.url()).send().await.unwrap()
}

/// The data of each event, with the event's name where it has one.
async fn events(script: Script) -> Vec<(String, Value)> {
    let answer = fetch(script).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].as_bytes()),
        (200, b"text/event-stream".as_slice())
    );
    let body = answer.text().await.unwrap().replace("\r\n", "\n");
    let whole = body.strip_suffix("\n\n").expect("the last event is whole");
    whole.split("\n\n").map(event_of).collect()
}

fn event_of(lines: &str) -> (String, Value) {
    let (mut name, mut data) = (String::new(), Value::Null);
    for line in lines.lines() {
        match line.split_once(": ").unwrap() {
            ("event", value) => value.clone_into(&mut name),
            ("data", value) => data = serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
            (other, _) => panic!("what is {other:?}?"),
        }
    }
    (name, data)
}

/// Status and body of an answer in JSON that says how long it is.
async fn refused(script: Script) -> (u16, Value) {
    let answer = fetch(script).await;
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"].as_bytes(), b"application/json");
    assert!(answer.content_length().is_some());
    (status, answer.json().await.unwrap())
}

#[tokio::test]
async fn openai_opens_with_the_role_and_closes_with_the_usage() {
    let counted = openai::Usage { prompt: 12, cached: 8, completion: 2 };
    let events = events(openai::answer_with_usage(&["Hel", "lo"], &counted)).await;
    let deltas: Vec<&Value> =
        events.iter().map(|(_, data)| &data["choices"][0]["delta"]["content"]).collect();
    assert_eq!(deltas[..3], [&json!(""), &json!("Hel"), &json!("lo")]);
    assert_eq!(events[3].1["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[4].1["choices"], json!([]));
    assert_eq!(
        events[4].1["usage"],
        json!({
            "prompt_tokens": 12,
            "completion_tokens": 2,
            "total_tokens": 14,
            "prompt_tokens_details": { "cached_tokens": 8 },
        })
    );
    assert_eq!(events[5].1, "[DONE]");
    assert!(events.iter().all(|(name, _)| name.is_empty()));
}

#[tokio::test]
async fn openai_may_leave_the_usage_out() {
    let events = events(openai::answer(&["Hello"])).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|(_, data)| data.get("usage").is_none()));
}

#[tokio::test]
async fn openai_tells_an_error_alike_in_a_body_and_in_a_stream() {
    let error = json!({ "message": "as scripted", "type": "rate_limit", "param": null, "code": "insufficient_quota" });
    let body = openai::error(429, "rate_limit", Some("insufficient_quota"));
    assert_eq!(refused(body).await, (429, json!({ "error": error })));
    let stream = Script::events([openai::error_event("rate_limit", Some("insufficient_quota"))]);
    assert_eq!(events(stream).await[0].1, json!({ "error": error }));
}

#[tokio::test]
async fn anthropic_counts_the_prompt_at_the_start_and_the_answer_at_the_end() {
    let counted = anthropic::Usage { input: 25, cache_read: 1_000, cache_creation: 50, output: 7 };
    let events = events(anthropic::answer_with_usage(&["Hel", "lo"], &counted)).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(events.iter().all(|(name, data)| data["type"] == name.as_str()));
    assert_eq!(
        events[0].1["message"]["usage"],
        json!({
            "input_tokens": 25,
            "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 1_000,
            "output_tokens": 1,
        })
    );
    assert_eq!(events[4].1["delta"], json!({ "type": "text_delta", "text": "lo" }));
    assert_eq!(events[6].1["delta"], json!({ "stop_reason": "end_turn", "stop_sequence": null }));
    assert_eq!(events[6].1["usage"], json!({ "output_tokens": 7 }));
}

#[tokio::test]
async fn anthropic_stops_for_the_reason_it_is_given() {
    let events = events(Script::events(anthropic::closing_with("max_tokens", 3))).await;
    assert_eq!(events[1].1["delta"]["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn anthropic_tells_an_error_alike_in_a_body_and_in_a_stream() {
    let error = json!({
        "type": "error",
        "error": { "type": "overloaded_error", "message": "as scripted" },
        "request_id": "req_scripted",
    });
    assert_eq!(refused(anthropic::error_answer(529, "overloaded_error")).await, (529, error.clone()));
    let stream = Script::events([anthropic::error("overloaded_error")]);
    assert_eq!(events(stream).await, [("error".to_owned(), error)]);
}

#[tokio::test]
async fn gemini_ends_with_a_reason_and_nothing_after_it() {
    let counted = vertex_ai::Usage { prompt: 9, cached: 4, candidates: 2, thoughts: 30 };
    let script = vertex_ai::answer(&["Hel", "lo"], &counted);
    let events = events(script).await;
    let text = |index: usize| &events[index].1["candidates"][0]["content"]["parts"][0]["text"];
    assert_eq!((events.len(), text(0), text(1)), (2, &json!("Hel"), &json!("lo")));
    assert!(events[0].1["candidates"][0].get("finishReason").is_none());
    assert_eq!(events[1].1["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        events[1].1["usageMetadata"],
        json!({
            "promptTokenCount": 9,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 41,
        })
    );
}

#[tokio::test]
async fn gemini_refuses_a_prompt_without_a_candidate() {
    let events = events(Script::events([vertex_ai::blocked("SAFETY")])).await;
    assert_eq!(events[0].1["promptFeedback"]["blockReason"], "SAFETY");
    assert!(events[0].1.get("candidates").is_none());
}

#[tokio::test]
async fn vertex_ai_tells_an_error_alike_in_a_body_and_in_a_stream() {
    let error = json!({ "error": { "code": 429, "message": "as scripted", "status": "RESOURCE_EXHAUSTED" } });
    assert_eq!(refused(vertex_ai::error(429, "RESOURCE_EXHAUSTED")).await, (429, error.clone()));
    let stream = Script::events([vertex_ai::error_event(429, "RESOURCE_EXHAUSTED")]);
    assert_eq!(events(stream).await[0].1, error);
}

#[tokio::test]
async fn vertex_ai_gives_every_text_its_vector() {
    let (status, body) = refused(vertex_ai::embeddings(&[(&[0.5, -1.0], 3), (&[0.25], 1)])).await;
    assert_eq!(status, 200);
    assert_eq!(
        body["predictions"],
        json!([
            { "embeddings": { "values": [0.5, -1.0], "statistics": { "token_count": 3, "truncated": false } } },
            { "embeddings": { "values": [0.25], "statistics": { "token_count": 1, "truncated": false } } },
        ])
    );
}

#[tokio::test]
async fn the_gateway_streams_bare_text_under_the_type_of_events() {
    let answer = fetch(ai_gateway::stream(&["data: ", "Grüße\n\n", "!"])).await;
    assert_eq!(answer.headers()["content-type"].as_bytes(), b"text/event-stream");
    assert_eq!(answer.text().await.unwrap(), "data: Grüße\n\n!");
}

#[tokio::test]
async fn the_gateway_answers_in_json_and_refuses_in_three_shapes() {
    assert_eq!(refused(ai_gateway::prompt_answer("a \"b\"")).await, (200, json!("a \"b\"")));
    assert_eq!(refused(ai_gateway::chat_answer("Hi")).await.1["response"], "Hi");
    let detail = json!({ "detail": "401: Unauthorized" });
    assert_eq!(refused(ai_gateway::refused(421, "401: Unauthorized")).await, (421, detail));
    let error = json!({ "error": "Forbidden by auth provider" });
    assert_eq!(refused(ai_gateway::unauthenticated("Forbidden by auth provider")).await, (401, error));
    let (status, body) = refused(ai_gateway::out_of_credits()).await;
    assert_eq!((status, &body["error_code"]), (402, &json!("USAGE_QUOTA_EXCEEDED")));
    let crashed = fetch(ai_gateway::crashed()).await;
    assert_eq!(
        (crashed.status().as_u16(), crashed.text().await.unwrap()),
        (500, "Internal Server Error".into())
    );
}
