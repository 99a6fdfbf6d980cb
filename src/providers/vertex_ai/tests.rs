//! Over real sockets, against a fake of Vertex AI. The credentials are a service account's: its tokens are signed
//! here, so nobody is asked for them.

use std::{path::Path, sync::LazyLock, time::Duration};

use duologue_actors::{
    ports::{StopReason, Turn, Usage},
    protocol::Role,
};
use duologue_harness::{
    fake_provider::{
        FakeProvider, Script, Step,
        shapes::{anthropic as claude, vertex_ai as gemini},
    },
    google::ServiceAccount,
};
use futures::StreamExt;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    config::{Config, ConfigFile},
    providers::{Registry, testing::a_call},
};

mod credentials;
mod embeddings;

static ACCOUNT: LazyLock<ServiceAccount> = LazyLock::new(|| ServiceAccount::new().unwrap());

/// The provider as a server sets it up, asking `fake` with these credentials.
struct Vertex {
    fake: FakeProvider,
    folder: TempDir,
    config: Config,
    registry: Registry,
}

impl Vertex {
    async fn start(standing: Script) -> Self {
        Self::start_as(&ACCOUNT.file.to_string(), standing).await
    }

    async fn start_as(credentials: &str, standing: Script) -> Self {
        let fake = FakeProvider::start(standing).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials.json");
        std::fs::write(&file, credentials).unwrap();
        let yaml = format!(
            "providers:\n  vertex_ai: {{base_url: '{}', project: p1, location: europe-west1, credentials_file: '{}'}}\n\
             models:\n  claude_there: {{provider: vertex_ai, model: claude-sonnet-4-5@20250929, prompt_cache: true}}\n\
             model_calls: {{header_seconds: 1}}\n",
            fake.url(),
            file.display(),
        );
        let config = configured(&yaml, &[]);
        let registry = Registry::new(&config).unwrap();
        Self { fake, folder, config, registry }
    }

    fn provider(&self) -> &dyn Provider {
        &**self.registry.provider("vertex_ai").unwrap()
    }

    /// Everything one attempt brings.
    async fn ask(&self, model: &str) -> Vec<Result<ModelEvent, ModelError>> {
        self.provider().stream(&self.config.models[model], call().into()).collect().await
    }

    async fn ask_gemini(&self) -> Vec<Result<ModelEvent, ModelError>> {
        self.ask("gemini").await
    }

    fn write_credentials(&self, text: &str) {
        std::fs::write(self.folder.path().join("credentials.json"), text).unwrap();
    }
}

fn configured(yaml: &str, variables: &[(&str, &str)]) -> Config {
    let file = ConfigFile { path: Path::new("mine.yaml"), text: yaml };
    Config::from_layers(Some(file), &variables.iter().copied().collect()).unwrap()
}

fn call() -> ModelCall {
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let turns = vec![
        turn(Role::User, "What is a merge train?"),
        turn(Role::Assistant, "A queue."),
        turn(Role::User, "Größe?"),
    ];
    ModelCall { turns, ..a_call() }
}

const COUNTED: gemini::Usage = gemini::Usage { prompt: 12, cached: 4, candidates: 3, thoughts: 20 };

fn content(text: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Content(text.to_owned()))
}

fn finished(reason: StopReason) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Finished(reason))
}

/// The error of an attempt that brought nothing else.
fn only_error(events: Vec<Result<ModelEvent, ModelError>>) -> ModelError {
    assert_eq!(events.len(), 1, "{events:?}");
    events.into_iter().next().unwrap().unwrap_err()
}

fn google_error(code: u16, status: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "status": status, "message": message } })
}

// === A whole answer ===

#[tokio::test]
async fn an_answer_comes_whole_with_its_tokens_however_it_is_cut_into_pieces() {
    let whole = gemini::answer(&["Grüße", " und", " Küsse"], &COUNTED);
    let vertex = Vertex::start(whole.clone()).await;
    vertex.fake.enqueue(whole.in_pieces_of(1));
    let usage = Usage { input_tokens: 12, cached_input_tokens: 4, output_tokens: Some(23) };
    let expected = [
        content("Grüße"),
        content(" und"),
        content(" Küsse"),
        Ok(ModelEvent::Usage(usage)),
        finished(StopReason::Complete),
    ];
    assert_eq!(vertex.ask_gemini().await, expected);
    assert_eq!(vertex.ask_gemini().await, expected);
}

#[tokio::test]
async fn the_conversation_is_sent_as_google_has_it_to_the_model_s_address() {
    let vertex = Vertex::start(gemini::answer(&["ok"], &COUNTED)).await;
    vertex.ask_gemini().await;
    let calls = vertex.fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].method.as_str(), calls[0].path.as_str()),
        (
            "POST",
            "/v1/projects/p1/locations/europe-west1/publishers/google/models/\
             gemini-2.5-flash-lite:streamGenerateContent?alt=sse"
        )
    );
    assert_eq!(calls[0].header("accept"), Some("text/event-stream"));
    assert!(calls[0].header("authorization").unwrap().starts_with("Bearer ey"));
    let turn = |role: &str, text: &str| json!({ "role": role, "parts": [{ "text": text }] });
    assert_eq!(
        calls[0].json(),
        json!({
            "contents": [
                turn("user", "What is a merge train?"), turn("model", "A queue."), turn("user", "Größe?")
            ],
            "generationConfig": { "maxOutputTokens": 64 },
            "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        })
    );
}

#[tokio::test]
async fn claude_is_asked_and_heard_as_anthropic_has_it() {
    let vertex = Vertex::start(claude::answer(&["Hel", "lo"])).await;
    let events = vertex.ask("claude_there").await;
    let said: String = events
        .iter()
        .filter_map(
            |event| if let Ok(ModelEvent::Content(text)) = event { Some(text.as_str()) } else { None },
        )
        .collect();
    assert_eq!((said.as_str(), events.last()), ("Hello", Some(&finished(StopReason::Complete))));
    let calls = vertex.fake.calls();
    assert_eq!(
        calls[0].path,
        "/v1/projects/p1/locations/europe-west1/publishers/anthropic/models/\
         claude-sonnet-4-5@20250929:streamRawPredict"
    );
    let body = calls[0].json();
    assert_eq!((&body["anthropic_version"], &body["model"]), (&json!("vertex-2023-10-16"), &Value::Null));
    assert_eq!((&body["stream"], &body["max_tokens"]), (&json!(true), &json!(64)));
}

#[rstest]
#[case::done("STOP", StopReason::Complete)]
#[case::long("MAX_TOKENS", StopReason::Length)]
#[case::unsafe_text("SAFETY", StopReason::Refused)]
#[case::recited("RECITATION", StopReason::Refused)]
#[case::prohibited("PROHIBITED_CONTENT", StopReason::Refused)]
#[case::new_to_us("YET_TO_BE_NAMED", StopReason::Refused)]
#[tokio::test]
async fn a_reason_to_stop_is_understood(#[case] reason: &str, #[case] stopped: StopReason) {
    let vertex = Vertex::start(Script::events([gemini::last_delta("so far", reason, &COUNTED)])).await;
    let events = vertex.ask_gemini().await;
    assert_eq!((events.first(), events.last()), (Some(&content("so far")), Some(&finished(stopped))));
}

#[tokio::test]
async fn a_prompt_that_is_blocked_is_refused() {
    let vertex = Vertex::start(Script::events([gemini::blocked("PROHIBITED_CONTENT")])).await;
    assert_eq!(vertex.ask_gemini().await, [finished(StopReason::Refused)]);
}

#[tokio::test]
async fn what_the_model_thinks_and_what_means_nothing_yet_is_not_shown() {
    let thought = json!({ "candidates": [{ "content": { "role": "model", "parts": [
        { "text": "They greet me.", "thought": true }, { "text": "Hel" }, { "text": "lo" }, { "executableCode": {} },
    ] }, "finishReason": "FINISH_REASON_UNSPECIFIED" }], "usageMetadata": { "trafficType": "ON_DEMAND" } });
    let nothing =
        json!({ "candidates": [{ "content": { "role": "model" } }], "createTime": "2026-01-01T00:00:00Z" });
    let events = [&thought, &nothing].map(|data| format!("data: {data}\r\n\r\n"));
    let vertex =
        Vertex::start(Script::events(events.into_iter().chain([gemini::last_delta("!", "STOP", &COUNTED)])))
            .await;
    let events = vertex.ask_gemini().await;
    assert_eq!(events[..2], [content("Hello"), content("!")]);
    assert_eq!(events.len(), 4, "{events:?}");
}

#[tokio::test]
async fn after_the_reason_to_stop_nothing_is_heard() {
    let ends =
        [gemini::last_delta("one", "MAX_TOKENS", &COUNTED), gemini::last_delta("two", "STOP", &COUNTED)];
    let vertex = Vertex::start(Script::events(ends)).await;
    let events = vertex.ask_gemini().await;
    assert_eq!((events.first(), events.last()), (Some(&content("one")), Some(&finished(StopReason::Length))));
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn an_empty_answer_has_no_content() {
    let vertex = Vertex::start(Script::events([gemini::last_delta("", "STOP", &COUNTED)])).await;
    let events = vertex.ask_gemini().await;
    assert!(matches!(events[..], [Ok(ModelEvent::Usage(_)), Ok(ModelEvent::Finished(StopReason::Complete))]));
}

// === Faults ===

#[rstest]
#[case(400, "INVALID_ARGUMENT", Code::UpstreamRejected, Retry::Never)]
#[case(401, "UNAUTHENTICATED", Code::UpstreamAuth, Retry::Never)]
#[case(403, "PERMISSION_DENIED", Code::UpstreamAuth, Retry::Never)]
#[case(404, "NOT_FOUND", Code::UpstreamRejected, Retry::Never)]
#[case(408, "DEADLINE_EXCEEDED", Code::UpstreamTimeout, Retry::Again)]
#[case(409, "ABORTED", Code::UpstreamUnavailable, Retry::Again)]
#[case(413, "INVALID_ARGUMENT", Code::UpstreamTooLarge, Retry::Never)]
#[case(429, "RESOURCE_EXHAUSTED", Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case(500, "INTERNAL", Code::UpstreamUnavailable, Retry::Again)]
#[case(503, "UNAVAILABLE", Code::UpstreamOverloaded, Retry::Again)]
#[case(504, "DEADLINE_EXCEEDED", Code::UpstreamTimeout, Retry::Again)]
#[tokio::test]
async fn an_error_means_the_same_as_a_status_in_a_list_and_in_the_stream(
    #[case] status: u16,
    #[case] name: &str,
    #[case] code: Code,
    #[case] retry: Retry,
) {
    let vertex = Vertex::start(gemini::error(status, name)).await;
    vertex.fake.enqueue(Script::json(status, &json!([google_error(status, name, "as scripted")])));
    vertex.fake.enqueue(Script::events([gemini::error_event(status, name)]));
    let in_list = format!("data: {}\r\n\r\n", json!([google_error(status, name, "as scripted")]));
    vertex.fake.enqueue(Script::events([in_list]));
    for _ in 0..5 {
        let error = only_error(vertex.ask_gemini().await);
        assert_eq!((error.code, error.retry, error.said.as_deref()), (code, retry, Some("as scripted")));
        assert!(error.what.starts_with(&format!("status {status}")), "{}", error.what);
    }
    assert_eq!(vertex.fake.calls().len(), 5);
}

#[tokio::test]
async fn a_limit_that_says_when_is_waited_for() {
    let script = gemini::error(429, "RESOURCE_EXHAUSTED").header("retry-after", "1");
    let error = only_error(Vertex::start(script).await.ask_gemini().await);
    assert_eq!((error.retry, error.retry_after), (Retry::Again, Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn a_refusal_names_the_credentials_and_shows_none() {
    let vertex = Vertex::start(gemini::error(403, "PERMISSION_DENIED")).await;
    let error = only_error(vertex.ask_gemini().await);
    assert!(error.what.starts_with("status 403 with the credentials of /"), "{}", error.what);
    assert!(error.what.ends_with("credentials.json"), "{}", error.what);
}

#[tokio::test]
async fn an_error_after_content_leaves_the_content() {
    let events = [gemini::delta("half"), gemini::error_event(503, "UNAVAILABLE")];
    let events = Vertex::start(Script::events(events)).await.ask_gemini().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], content("half"));
    assert_eq!(events[1].as_ref().unwrap_err().code, Code::UpstreamOverloaded);
}

#[tokio::test]
async fn a_stream_that_ends_without_a_reason_is_never_finished() {
    let half = Script::event_stream().send(gemini::delta("half"));
    let vertex = Vertex::start(half.clone()).await;
    assert_eq!(vertex.ask_gemini().await, [content("half")]);

    for step in [Step::Cut, Step::Close] {
        vertex.fake.enqueue(half.clone().wait(Duration::from_millis(50)).then(step));
        let events = vertex.ask_gemini().await;
        let code = events.last().unwrap().as_ref().unwrap_err().code;
        assert_eq!((events.len(), &events[0], code), (2, &content("half"), Code::UpstreamTruncated));
    }
}

#[rstest]
#[case::a_page(Script::body(200, "text/html", "<p>Sign in</p>"))]
#[case::json_cut_short(Script::events(["data: {\"candidates\": [{\"content\r\n\r\n".to_owned()]))]
#[case::no_chunk(Script::events(["data: \"hello\"\r\n\r\n".to_owned()]))]
#[case::an_empty_list(Script::events(["data: []\r\n\r\n".to_owned()]))]
#[case::a_redirect(Script::redirect(302, "http://127.0.0.1:9/"))]
#[tokio::test]
async fn what_is_no_answer_of_google_s_is_malformed_and_nothing_of_it_is_shown(#[case] script: Script) {
    let vertex = Vertex::start(script).await;
    assert_eq!(only_error(vertex.ask_gemini().await).code, Code::UpstreamMalformed);
    assert_eq!(vertex.fake.calls().len(), 1);
}

#[tokio::test]
async fn silence_ends_at_the_bound_for_the_head() {
    let vertex = Vertex::start(Script::silence()).await;
    let error = only_error(vertex.ask_gemini().await);
    assert_eq!((error.code, error.retry), (Code::UpstreamTimeout, Retry::Elsewhere));
}

#[tokio::test]
async fn leaving_closes_the_connection() {
    let vertex = Vertex::start(Script::event_stream().send(gemini::delta("half")).then(Step::Stall)).await;
    let mut answer = vertex.provider().stream(&vertex.config.models["gemini"], call().into());
    assert_eq!(answer.next().await, Some(content("half")));
    drop(answer);
    vertex.fake.until(|calls| calls[0].caller_closed.is_some()).await.unwrap();
}

// === Addresses ===

#[rstest]
#[case("", "https://aiplatform.googleapis.com/v1/projects/p1/locations/global")]
#[case("location: us-east5", "https://us-east5-aiplatform.googleapis.com/v1/projects/p1/locations/us-east5")]
#[case("base_url: https://vertex.example/", "https://vertex.example/v1/projects/p1/locations/global")]
fn the_host_follows_from_the_location_unless_it_is_given(#[case] settings: &str, #[case] address: &str) {
    let config = configured(&format!("providers:\n  vertex_ai: {{project: p1, {settings}}}\n"), &[]);
    assert_eq!(resources(&config.providers["vertex_ai"]).unwrap(), address);
}

#[test]
fn a_location_cannot_be_another_host() {
    let file = ConfigFile {
        path: Path::new("mine.yaml"),
        text: "providers:\n  vertex_ai: {location: evil.example/}\n",
    };
    let faults =
        Config::from_layers(Some(file), &[("", ""); 0].into_iter().collect()).unwrap_err().to_string();
    assert!(faults.contains("`providers.vertex_ai.location`: must be a location such as global"), "{faults}");
}

#[tokio::test]
async fn without_a_project_nothing_is_asked_and_the_setting_is_named() {
    let config = configured("", &[]);
    let registry = Registry::new(&config).unwrap();
    let provider = registry.provider("vertex_ai").unwrap();
    let events = provider.stream(&config.models["gemini"], call().into());
    let error = only_error(events.collect().await);
    assert_eq!((error.code, &*error.what), (Code::UpstreamRejected, "no Google Cloud project"));
    assert!(error.said.unwrap().contains("AIGW_GOOGLE_CLOUD_PLATFORM__PROJECT"));
}
