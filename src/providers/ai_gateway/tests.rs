use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use duologue_actors::{
    models::{Model, Progress, Purpose, Route, answer as answer_of},
    ports::{KeptPrompt, ModelCall, ModelError, ModelEvent, Models, StopReason, Turn},
    protocol::{RequestId, Role, UserId},
};
use duologue_harness::fake_provider::{FakeProvider, Script, shapes::ai_gateway as shapes};
use futures::StreamExt;
use tokio::time::Instant;

use super::super::Registry;
use crate::{
    config::{Config, ConfigFile},
    env_file::Environment,
};

mod faults;
mod requests;

const TOKEN: &str = "a-cloud-connector-token";
const TEXT: &str = "Grüße, 世界 🎉";

/// Short enough that a test can wait for them.
const SHORT_BOUNDS: &str = "model_calls: {header_seconds: 1, idle_content_seconds: 1, \
                            shortest_retry_wait_milliseconds: 1, max_event_bytes: 1024, max_response_bytes: 4096}\n";

fn config(url: &str, yaml: &str, variables: &[(&str, &str)]) -> Config {
    let variables: Environment = [("AI_GATEWAY_URL", url)].iter().chain(variables).copied().collect();
    let text = format!("{SHORT_BOUNDS}{yaml}");
    Config::from_layers(Some(ConfigFile { path: Path::new("mine.yaml"), text: &text }), &variables).unwrap()
}

fn route(config: &Config) -> Route {
    Registry::new(config).unwrap().route("gateway").unwrap()
}

/// The model `gateway` at `url`, with a token.
fn model(url: &str) -> Arc<Model> {
    let config = config(url, "", &[("AI_GATEWAY_TOKEN", TOKEN)]);
    route(&config).models().next().unwrap().clone()
}

fn turn(role: Role, content: &str) -> Turn {
    Turn { role, content: content.to_owned() }
}

fn call() -> ModelCall {
    ModelCall {
        request_id: RequestId::new(),
        user: UserId(7),
        unit_primitive: "duo_chat".to_owned(),
        enabled_flags: Vec::new(),
        system: String::new(),
        turns: vec![turn(Role::User, "Hi, how are you?")],
        kept: None,
        max_output_tokens: 4_096,
    }
}

fn kept_call() -> ModelCall {
    let inputs = BTreeMap::from([("question".to_owned(), "What is this?".to_owned())]);
    let kept = KeptPrompt { id: "chat/explain_code".to_owned(), version: "^1.0.0".to_owned(), inputs };
    ModelCall { kept: Some(kept), turns: Vec::new(), unit_primitive: "explain_code".to_owned(), ..call() }
}

/// What one attempt brought, and how it ended.
async fn attempt(model: &Model, call: ModelCall) -> (String, Result<StopReason, ModelError>) {
    let mut events = model.provider().stream(call.into());
    let mut text = String::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(ModelEvent::Content(content)) => text.push_str(&content),
            Ok(ModelEvent::Finished(reason)) => {
                assert!(events.next().await.is_none());
                return (text, Ok(reason));
            }
            Ok(ModelEvent::Usage(usage)) => panic!("the gateway tells of no usage, and here is {usage:?}"),
            Err(error) => return (text, Err(error)),
        }
    }
    panic!("an attempt without an end")
}

async fn attempt_against(script: Script) -> (String, Result<StopReason, ModelError>) {
    let gateway = FakeProvider::start(script).await.unwrap();
    attempt(&model(&gateway.url()), call()).await
}

/// What one logical call brought, over all its attempts.
async fn ask(url: &str) -> (String, Result<StopReason, ModelError>) {
    let config = config(url, "", &[("AI_GATEWAY_TOKEN", TOKEN)]);
    let purpose = Purpose {
        request_id: RequestId::new(),
        action: None,
        unit_primitive: "duo_chat".to_owned(),
        prompt_version: None,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let call = call();
    let render = move |_: &Model| Ok(call.clone());
    let mut answer = answer_of(purpose, route(&config), config.model_calls.bounds(), deadline, render);
    let mut text = String::new();
    loop {
        match answer.next().await.unwrap() {
            Ok(Progress::Content(content)) => text.push_str(&content),
            Ok(Progress::Finished(reason)) => return (text, Ok(reason)),
            Err(error) => return (text, Err(error)),
        }
    }
}

#[tokio::test]
async fn an_answer_is_the_same_however_it_is_cut_into_pieces() {
    for length in 1..=TEXT.len() {
        let gateway = FakeProvider::start(shapes::stream(&[TEXT]).in_pieces_of(length)).await.unwrap();
        let model = model(&gateway.url());
        for call in [call(), kept_call()] {
            assert_eq!(attempt(&model, call).await, (TEXT.to_owned(), Ok(StopReason::Complete)));
        }
    }
}

#[tokio::test]
async fn an_answer_that_looks_like_server_sent_events_is_text() {
    let text = "data: [DONE]\n\n: a comment\r\nevent: error\ndata: {\"error\": {}}\n\n";
    let (shown, end) = attempt_against(shapes::stream(&[text])).await;
    assert_eq!((shown.as_str(), end), (text, Ok(StopReason::Complete)));
}

#[tokio::test]
async fn what_is_no_text_is_replaced_in_place_even_at_the_end() {
    let script = Script::event_stream().send(b"a\xFFb\xF0\x9F".as_slice());
    assert_eq!(attempt_against(script).await, ("a\u{FFFD}b\u{FFFD}".to_owned(), Ok(StopReason::Complete)));
}

#[tokio::test]
async fn a_gateway_that_does_not_stream_is_understood() {
    for script in [shapes::chat_answer(TEXT), shapes::prompt_answer(TEXT)] {
        assert_eq!(attempt_against(script).await, (TEXT.to_owned(), Ok(StopReason::Complete)));
    }
}

#[tokio::test]
async fn whoever_goes_away_closes_the_connection() {
    let endless = shapes::stream(&["Hello"]).then(duologue_harness::fake_provider::Step::Stall);
    let gateway = FakeProvider::start(endless).await.unwrap();
    let mut events = model(&gateway.url()).provider().stream(call().into());
    assert_eq!(events.next().await, Some(Ok(ModelEvent::Content("Hello".to_owned()))));
    drop(events);
    gateway.until(|calls| calls.iter().any(|call| call.caller_closed.is_some())).await.unwrap();
}
