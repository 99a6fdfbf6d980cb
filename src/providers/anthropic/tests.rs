use duologue_actors::{ports::Retry, protocol::Code};
use duologue_harness::fake_provider::{
    Script,
    shapes::{anthropic, named_event},
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::providers::testing::{
    KEY, a_call, asked, fake, model, model_with, read, read_whole, refused, text_of, texts,
};

/// What the stream says, read at once; it must have no error.
fn said(events: impl IntoIterator<Item = String>) -> Vec<Said> {
    read_whole(MessageStream::default(), events)
}

/// An event that only this file needs.
fn event(data: &Value) -> String {
    named_event(data["type"].as_str().unwrap(), data)
}

#[tokio::test]
async fn a_call_is_sent_as_the_messages_api_takes_it() {
    let provider = fake(anthropic::answer(&["Four."])).await;
    let call = a_call();
    let model = model_with(
        "anthropic",
        &provider.url(),
        &json!({ "models": { "tested": { "prompt_cache": true } } }),
    );
    let (events, error) = asked(&model, call.clone()).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));

    let sent = provider.calls().remove(0);
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/messages"));
    let request_id = call.request_id.to_string();
    for (name, value) in [
        ("x-api-key", KEY),
        ("anthropic-version", "2023-06-01"),
        ("idempotency-key", &request_id),
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(sent.header(name), Some(value), "{name}");
    }
    assert_eq!(
        sent.json(),
        json!({
            "max_tokens": 64,
            "messages": [
                { "role": "user", "content": "One?" },
                { "role": "assistant", "content": "Two." },
                { "role": "user", "content": "Three?" },
            ],
            "stream": true,
            "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }],
            "model": "scripted",
        })
    );
}

#[test]
fn without_the_cache_there_is_no_mark_and_without_a_system_text_no_field() {
    let mut call = a_call();
    let plain = json!([{ "type": "text", "text": "Be brief." }]);
    assert_eq!(body(&call, false).get("system"), Some(&plain));
    call.system = String::new();
    assert_eq!(body(&call, true).get("system"), None);
}

#[tokio::test]
async fn tokens_are_counted_with_what_was_read_from_the_cache_and_written_to_it() {
    let counted = anthropic::Usage { input: 7, cache_read: 30, cache_creation: 5, output: 11 };
    let provider = fake(anthropic::answer_with_usage(&["Four."], &counted)).await;
    let (events, _) = asked(&model("anthropic", &provider.url()), a_call()).await;
    let last = events.iter().rev().find_map(|event| match event {
        ModelEvent::Usage(usage) => Some(*usage),
        _ => None,
    });
    let expected = Usage { input_tokens: 42, cached_input_tokens: 30, output_tokens: Some(11) };
    assert_eq!(last, Some(expected));
}

#[test]
fn what_the_beginning_of_an_answer_says_of_its_length_is_no_count() {
    let begun = said(anthropic::opening().into_iter().chain([anthropic::delta("Four.")]));
    let counted: Vec<Usage> = begun.iter().filter_map(|said| said.usage).collect();
    assert!(!counted.is_empty() && counted.iter().all(|usage| usage.output_tokens.is_none()), "{counted:?}");
}

#[test]
fn what_nobody_counted_is_not_made_up() {
    let start = event(&json!({ "type": "message_start", "message": {} }));
    assert!(said([start]).iter().all(|said| said.usage.is_none()));
}

#[rstest]
#[case("end_turn", StopReason::Complete)]
#[case("stop_sequence", StopReason::Complete)]
#[case("max_tokens", StopReason::Length)]
#[case("model_context_window_exceeded", StopReason::Length)]
#[case("refusal", StopReason::Refused)]
#[case("something_new", StopReason::Complete)]
fn why_a_model_stopped_is_passed_on(#[case] reason: &str, #[case] expected: StopReason) {
    let events = [anthropic::delta("x")].into_iter().chain(anthropic::closing_with(reason, 1));
    assert_eq!(said(events).last().unwrap().finished, Some(expected));
}

#[test]
fn only_text_is_text() {
    let other = |delta: Value| event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    let events = [
        anthropic::ping(),
        event(&json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking" } })),
        other(json!({ "type": "thinking_delta", "thinking": "hm" })),
        other(json!({ "type": "signature_delta", "signature": "c2ln" })),
        other(json!({ "type": "something_new_delta", "text": "hm" })),
        event(&json!({ "type": "something_new", "text": "hm" })),
        anthropic::delta("Four."),
    ];
    assert_eq!(texts(&said(events)), "Four.");
}

#[test]
fn the_first_stop_wins_and_what_comes_after_it_is_no_text() {
    let events = [
        anthropic::delta("Four."),
        anthropic::stop("max_tokens", 1),
        anthropic::delta("Five."),
        anthropic::stop("end_turn", 2),
        anthropic::message_stop(),
    ];
    let said = said(events);
    assert_eq!(texts(&said), "Four.");
    assert_eq!(said.last().unwrap().finished, Some(StopReason::Length));
}

#[rstest]
#[case("invalid_request_error", Code::UpstreamRejected, Retry::Never)]
#[case("authentication_error", Code::UpstreamAuth, Retry::Never)]
#[case("permission_error", Code::UpstreamAuth, Retry::Never)]
#[case("billing_error", Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case("not_found_error", Code::UpstreamRejected, Retry::Never)]
#[case("request_too_large", Code::UpstreamTooLarge, Retry::Never)]
#[case("rate_limit_error", Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case("timeout_error", Code::UpstreamTimeout, Retry::Again)]
#[case("overloaded_error", Code::UpstreamOverloaded, Retry::Again)]
#[case("api_error", Code::UpstreamUnavailable, Retry::Again)]
fn an_error_in_the_stream_means_what_its_status_means(
    #[case] kind: &str,
    #[case] code: Code,
    #[case] retry: Retry,
) {
    let stream = anthropic::error(kind);
    let (said, error) = read(MessageStream::default(), [stream.as_bytes()]);
    let error = error.unwrap();
    assert_eq!((said.len(), error.code, error.retry), (0, code, retry));
    assert_eq!(error.said.as_deref(), Some("as scripted"));
}

#[test]
fn an_event_that_is_none_of_the_api_is_malformed() {
    for data in ["{\"type\":\"content_block_delta\",\"del", "[]", "hello", "{\"type\":\"message_start\"}"] {
        let stream = format!("data: {data}\n\n");
        let (_, error) = read(MessageStream::default(), [stream.as_bytes()]);
        assert_eq!(error.unwrap().code, Code::UpstreamMalformed, "{data}");
    }
}

#[tokio::test]
async fn a_refused_key_is_named_by_its_id_only() {
    let provider = fake(anthropic::error_answer(401, "authentication_error")).await;
    let error = refused(&model("anthropic", &provider.url())).await;
    // printf sk-tested | sha256sum
    assert_eq!((error.code, error.what.as_ref()), (Code::UpstreamAuth, "status 401 with the key 772ed8f7"));
    assert!(!format!("{error:?}").contains(KEY));
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_malformed() {
    let provider = fake(Script::json(200, &json!({ "type": "message", "content": [] }))).await;
    let error = refused(&model("anthropic", &provider.url())).await;
    assert_eq!((error.code, error.retry), (Code::UpstreamMalformed, Retry::Never));
}

proptest! {
    #[test]
    fn every_way_to_cut_a_stream_gives_the_same_answer(
        pieces in proptest::collection::vec(".{1,5}", 1..6),
        ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        cuts in proptest::collection::vec(1_usize..40, 1..8),
    ) {
        let deltas = pieces.iter().map(|piece| anthropic::delta(piece));
        let stream: String =
            anthropic::opening().into_iter().chain(deltas).chain(anthropic::closing()).collect();
        let stream = stream.replace('\n', ending).into_bytes();
        let whole = read(MessageStream::default(), [stream.as_slice()]);
        prop_assert_eq!(texts(&whole.0), pieces.concat());
        let (mut rest, mut parts) = (stream.as_slice(), Vec::new());
        for length in cuts.iter().cycle() {
            let (part, after) = rest.split_at((*length).min(rest.len()));
            parts.push(part);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read(MessageStream::default(), parts), whole);
    }
}
