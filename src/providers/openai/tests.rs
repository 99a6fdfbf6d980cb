use duologue_actors::{ports::Retry, protocol::Code};
use duologue_harness::fake_provider::{
    Script,
    shapes::{event, openai},
};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::providers::testing::{KEY, a_call, asked, fake, model, read, read_whole, refused, text_of, texts};

/// Everything the model at a server with this script says.
async fn answered(script: Script) -> (Vec<ModelEvent>, Option<ModelError>) {
    let provider = fake(script).await;
    asked(&model("openai", &provider.url()), a_call()).await
}

/// What the stream says, read at once; it must have no error.
fn said(events: impl IntoIterator<Item = String>) -> Vec<Said> {
    read_whole(CompletionStream::default(), events)
}

/// A chunk with this choice, as no shape has it.
fn chunk(choice: &Value) -> String {
    event(&json!({ "object": "chat.completion.chunk", "choices": [choice] }))
}

#[tokio::test]
async fn a_call_is_sent_as_compatible_servers_take_it() {
    let provider = fake(openai::answer(&["Four."])).await;
    let call = a_call();
    let (events, error) = asked(&model("openai", &format!("{}/v1/", provider.url())), call.clone()).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));

    let sent = provider.calls().remove(0);
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/chat/completions"));
    let (bearer, request_id) = (format!("Bearer {KEY}"), call.request_id.to_string());
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("idempotency-key", &request_id),
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(sent.header(name), Some(value), "{name}");
    }
    assert_eq!(
        sent.json(),
        json!({
            "model": "scripted",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "One?" },
                { "role": "assistant", "content": "Two." },
                { "role": "user", "content": "Three?" },
            ],
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": 64,
        })
    );
}

#[test]
fn openai_itself_is_told_the_bound_by_its_newer_name() {
    let field = max_tokens_field("https://api.openai.com/v1/chat/completions");
    let mut call = a_call();
    call.system = String::new();
    let body = body(&call, "gpt", field);
    assert_eq!((&body["max_completion_tokens"], body.get("max_tokens")), (&json!(64), None));
    assert_eq!(body["messages"][0]["role"], "user");
    for compatible in ["http://127.0.0.1:11434/v1", "https://api.openai.com.example.com/v1"] {
        assert_eq!(max_tokens_field(compatible), "max_tokens");
    }
}

#[tokio::test]
async fn tokens_are_counted_as_the_server_counts_them() {
    let counted = openai::Usage { prompt: 40, cached: 30, completion: 11 };
    let (events, error) = answered(openai::answer_with_usage(&["Fo", "ur."], &counted)).await;
    let usage = Usage { input_tokens: 40, cached_input_tokens: 30, output_tokens: Some(11) };
    assert_eq!(error, None);
    assert!(events.contains(&ModelEvent::Usage(usage)), "{events:?}");
    assert_eq!(events.last(), Some(&ModelEvent::Finished(StopReason::Complete)));
}

#[rstest]
#[case::none(json!(null), None)]
#[case::an_empty_one(json!({}), None)]
#[case::without_details(json!({ "prompt_tokens": 4 }), Some(Usage { input_tokens: 4, ..Usage::default() }))]
#[case::without_what_was_cached(
    json!({ "prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": null }),
    Some(Usage { input_tokens: 4, cached_input_tokens: 0, output_tokens: Some(2) })
)]
fn what_was_not_counted_is_not_made_up(#[case] usage: Value, #[case] expected: Option<Usage>) {
    let said = said([event(&json!({ "choices": [], "usage": usage }))]);
    assert_eq!(said, [Said { usage: expected, ..Said::default() }]);
}

#[rstest]
#[case("stop", StopReason::Complete)]
#[case("length", StopReason::Length)]
#[case("content_filter", StopReason::Refused)]
#[case("something_new", StopReason::Complete)]
fn why_a_model_stopped_is_passed_on(#[case] reason: &str, #[case] expected: StopReason) {
    let said = said([openai::delta("x"), openai::finish(reason), openai::done()]);
    assert_eq!(said.last().unwrap().finished, Some(expected));
}

#[test]
fn what_is_no_text_is_skipped() {
    let events = [
        openai::role(),
        chunk(&json!({ "delta": { "content": null, "reasoning_content": "hm" }, "finish_reason": null })),
        chunk(&json!({ "delta": { "tool_calls": [{ "index": 0 }] }, "finish_reason": "" })),
        chunk(&json!({ "index": 0 })),
        event(&json!({ "object": "something.new", "choices": null })),
        openai::delta("Four."),
    ];
    assert_eq!(texts(&said(events)), "Four.");
}

#[test]
fn a_refusal_is_shown_and_is_one() {
    let events = [
        chunk(&json!({ "delta": { "content": null, "refusal": "I will" }, "finish_reason": null })),
        chunk(&json!({ "delta": { "refusal": " not." }, "finish_reason": null })),
        openai::stop(),
        openai::done(),
    ];
    let said = said(events);
    assert_eq!(texts(&said), "I will not.");
    assert_eq!(said.last().unwrap().finished, Some(StopReason::Refused));
}

#[test]
fn the_first_stop_wins_and_what_comes_after_it_is_no_text() {
    let events = [
        openai::delta("Four."),
        openai::finish("length"),
        openai::delta("Five."),
        openai::stop(),
        openai::done(),
    ];
    let said = said(events);
    assert_eq!(texts(&said), "Four.");
    assert_eq!(said.last().unwrap().finished, Some(StopReason::Length));
}

#[tokio::test]
async fn an_end_without_its_last_event_is_one_if_the_model_said_that_it_stops() {
    let (events, error) = answered(Script::events([openai::delta("Four."), openai::stop()])).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));
    assert_eq!(events.last(), Some(&ModelEvent::Finished(StopReason::Complete)));

    let (events, error) = answered(Script::events([openai::delta("Four.")])).await;
    assert_eq!((text_of(&events).as_str(), error), ("Four.", None));
    assert!(!events.iter().any(|event| matches!(event, ModelEvent::Finished(_))), "{events:?}");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_heard_all_the_same() {
    let completion = json!({
        "object": "chat.completion",
        "choices": [{ "message": { "role": "assistant", "content": "Four.", "refusal": null }, "finish_reason": "length" }],
        "usage": { "prompt_tokens": 4, "completion_tokens": 2 },
    });
    let (events, error) = answered(Script::json(200, &completion)).await;
    assert_eq!(error, None);
    assert_eq!(
        events,
        [
            ModelEvent::Content("Four.".to_owned()),
            ModelEvent::Usage(Usage { input_tokens: 4, cached_input_tokens: 0, output_tokens: Some(2) }),
            ModelEvent::Finished(StopReason::Length),
        ]
    );
}

#[rstest]
#[case::cut_short("{\"choices\": [{\"message\": {\"cont", Code::UpstreamMalformed, Retry::Never)]
#[case::something_else("{\"status\": \"ok\"}", Code::UpstreamMalformed, Retry::Never)]
#[case::not_at_its_end(
    "{\"choices\": [{\"message\": {\"content\": \"Fo\"}, \"finish_reason\": null}]}",
    Code::UpstreamMalformed,
    Retry::Never
)]
#[case::an_error(
    "{\"error\": {\"message\": \"as scripted\", \"code\": 503}}",
    Code::UpstreamOverloaded,
    Retry::Again
)]
#[tokio::test]
async fn json_that_is_no_completion_is_an_error(
    #[case] body: &str,
    #[case] code: Code,
    #[case] retry: Retry,
) {
    let provider = fake(Script::body(200, "application/json; charset=utf-8", body)).await;
    let error = refused(&model("openai", &provider.url())).await;
    assert_eq!((error.code, error.retry), (code, retry));
}

#[rstest]
#[case(json!({ "type": "invalid_request_error" }), Code::UpstreamRejected, Retry::Never)]
#[case(json!({ "type": "x", "code": "invalid_api_key" }), Code::UpstreamUnavailable, Retry::Again)]
#[case(json!({ "code": "context_length_exceeded" }), Code::UpstreamRejected, Retry::Never)]
#[case(json!({ "type": "insufficient_quota" }), Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case(json!({ "type": "server_error", "code": "503" }), Code::UpstreamOverloaded, Retry::Again)]
#[case(json!({ "type": "server_error", "status": 529 }), Code::UpstreamOverloaded, Retry::Again)]
#[case(json!({ "type": "server_error", "code": 7 }), Code::UpstreamUnavailable, Retry::Again)]
#[case(json!("broken"), Code::UpstreamUnavailable, Retry::Again)]
fn an_error_in_the_stream_means_what_its_status_means(
    #[case] reported: Value,
    #[case] code: Code,
    #[case] retry: Retry,
) {
    let stream = event(&json!({ "error": reported }));
    let (said, error) = read(CompletionStream::default(), [stream.as_bytes()]);
    let error = error.unwrap();
    assert_eq!((said.len(), error.code, error.retry), (0, code, retry));
}

#[test]
fn an_event_that_is_no_chunk_is_malformed() {
    for data in ["{\"choices\":[{\"del", "7", "hello", "{\"choices\": 7}"] {
        let stream = format!("data: {data}\n\n");
        let (_, error) = read(CompletionStream::default(), [stream.as_bytes()]);
        assert_eq!(error.unwrap().code, Code::UpstreamMalformed, "{data}");
    }
}

proptest! {
    #[test]
    fn every_way_to_cut_a_stream_gives_the_same_answer(
        pieces in proptest::collection::vec(".{1,5}", 1..6),
        ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        cuts in proptest::collection::vec(1_usize..40, 1..8),
    ) {
        let deltas = pieces.iter().map(|piece| openai::delta(piece));
        let stream: String = deltas.chain([openai::stop(), openai::done()]).collect();
        let stream = stream.replace('\n', ending).into_bytes();
        let whole = read(CompletionStream::default(), [stream.as_slice()]);
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
        prop_assert_eq!(read(CompletionStream::default(), parts), whole);
    }
}
