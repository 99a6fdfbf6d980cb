//! A model of one provider, set up as a configuration sets it up, and what it says when it is asked.

use std::sync::Arc;

use bytes::Bytes;
use duologue_actors::{
    models::Model,
    ports::{ModelCall, ModelError, ModelEvent, Models, Turn},
    protocol::{RequestId, Role, UserId},
};
use duologue_harness::fake_provider::{FakeProvider, Script};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{
    Registry,
    events::{Dialect, Said},
    sse::Decoder,
};
use crate::{
    config::{Config, ConfigFile},
    env_file::Environment,
};

pub(super) const KEY: &str = "sk-tested";

/// The model `scripted` of a provider of this kind at `url`.
pub(super) fn model(kind: &str, url: &str) -> Arc<Model> {
    model_with(kind, url, &json!({}))
}

/// The same, with more settings than the model itself.
pub(super) fn model_with(kind: &str, url: &str, settings: &Value) -> Arc<Model> {
    let mut settings = settings.clone();
    settings["providers"]["tested"] =
        json!({ "kind": kind, "base_url": url, "api_key_variable": "TESTED_KEY" });
    settings["models"]["tested"]["provider"] = json!("tested");
    settings["models"]["tested"]["model"] = json!("scripted");
    let text = settings.to_string();
    let file = ConfigFile { path: std::path::Path::new("mine.yaml"), text: &text };
    let environment: Environment = [("TESTED_KEY", KEY)].into_iter().collect();
    let config = Config::from_layers(Some(file), &environment).unwrap();
    let route = Registry::new(&config).unwrap().route("tested").unwrap();
    let first = route.models().next();
    Arc::clone(first.unwrap())
}

pub(super) fn a_call() -> ModelCall {
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    ModelCall {
        request_id: RequestId::new(),
        user: UserId(2),
        unit_primitive: "duo_chat".to_owned(),
        enabled_flags: Vec::new(),
        system: "Be brief.".to_owned(),
        turns: vec![turn(Role::User, "One?"), turn(Role::Assistant, "Two."), turn(Role::User, "Three?")],
        kept: None,
        max_output_tokens: 64,
    }
}

/// Everything a call brings, up to its end or its error.
pub(super) async fn asked(model: &Model, call: ModelCall) -> (Vec<ModelEvent>, Option<ModelError>) {
    let mut events = Vec::new();
    let mut stream = model.provider().stream(call.into());
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

/// The error a call ends with before it says anything.
pub(super) async fn refused(model: &Model) -> ModelError {
    match asked(model, a_call()).await {
        (events, Some(error)) if events.is_empty() => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// The text of all that was said.
pub(super) fn text_of(events: &[ModelEvent]) -> String {
    let content = |event: &ModelEvent| match event {
        ModelEvent::Content(content) => Some(content.clone()),
        ModelEvent::Usage(_) | ModelEvent::Finished(_) => None,
    };
    events.iter().filter_map(content).collect()
}

/// What `dialect` makes of a stream that arrives in these pieces, up to its end or its first error.
pub(super) fn read<'a>(
    mut dialect: impl Dialect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Said>, Option<ModelError>) {
    let mut decoder = Decoder::new(1 << 20);
    let mut said = Vec::new();
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(event) = decoder.next_event(&mut piece).unwrap() {
            match dialect.read(event) {
                Ok(next) => said.push(next),
                Err(error) => return (said, Some(error)),
            }
        }
    }
    (said, None)
}

/// What the stream of these events says, read at once; it must have no error.
pub(super) fn read_whole(dialect: impl Dialect, events: impl IntoIterator<Item = String>) -> Vec<Said> {
    let stream: String = events.into_iter().collect();
    let (said, error) = read(dialect, [stream.as_bytes()]);
    assert_eq!(error, None);
    said
}

pub(super) fn texts(said: &[Said]) -> String {
    said.iter().filter_map(|said| said.content.as_deref()).collect()
}

pub(super) async fn fake(script: Script) -> FakeProvider {
    FakeProvider::start(script).await.unwrap()
}

/// What is logged on this thread while `work` is done: of each line all its fields, with its level and message.
pub(super) fn logged(work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    crate::logging::listen_on_all_threads();
    tracing::subscriber::with_default(log, work);
    let text = lines.0.lock().unwrap();
    let lines = String::from_utf8_lossy(&text);
    let ours = |line: &Value| line["target"].as_str().is_some_and(|target| target.starts_with("duologue"));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).filter(ours).collect()
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
