use std::path::Path;

use duologue_harness::fake_provider::{FakeProvider, Script, shapes::openai};

use super::*;
use crate::{config::ConfigFile, env_file::Environment};

fn config(url: &str) -> Config {
    let text = format!(
        "providers:\n  local: {{kind: openai, base_url: '{url}/v1', api_key_variable: LOCAL_KEY}}\n\
         models:\n  small: {{provider: local, model: tiny}}\n\
         model_calls: {{header_seconds: 1, idle_content_seconds: 1}}\n"
    );
    let file = ConfigFile { path: Path::new("mine.yaml"), text: &text };
    let environment: Environment = [("LOCAL_KEY", "sk-1")].into_iter().collect();
    Config::from_layers(Some(file), &environment).unwrap()
}

async fn tested(script: Script, model: Option<&str>) -> (Result<String, String>, FakeProvider) {
    let fake = FakeProvider::start(script).await.unwrap();
    let outcome = test(&config(&fake.url()), "local", model).await.map_err(|error| error.to_string());
    (outcome, fake)
}

#[tokio::test]
async fn one_cheap_call_says_that_a_provider_answers() {
    let (outcome, fake) = tested(openai::answer(&["Hel", "lo."]), None).await;
    let said = outcome.unwrap();
    assert!(said.starts_with("ok  local/tiny answered in "), "{said}");
    assert!(said.ends_with(", with the key 0f2c10bf"), "{said}");
    let calls = fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].json()["max_tokens"], MAX_ANSWER_TOKENS);
    assert_eq!(calls[0].header("authorization"), Some("Bearer sk-1"));
}

#[tokio::test]
async fn the_model_can_be_chosen() {
    let (outcome, fake) = tested(openai::answer(&["Hello."]), Some("other")).await;
    assert!(outcome.unwrap().starts_with("ok  local/other answered"));
    assert_eq!(fake.calls()[0].json()["model"], "other");
}

/// Such as one that spent its few tokens thinking.
#[tokio::test]
async fn an_answer_without_text_shows_that_everything_is_set_up() {
    let (outcome, _fake) = tested(openai::answer(&[]), None).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_after_a_single_call() {
    let error = |status: u16, said: &str| {
        let body = serde_json::json!({ "error": { "message": said } }).to_string();
        Script::status(status).header("content-type", "application/json").send(body)
    };
    for (script, said) in [
        (
            error(401, "bad key"),
            "local/tiny: status 401 with the key 0f2c10bf (upstream_auth): bad key; check the key in LOCAL_KEY",
        ),
        (
            error(404, "no model `tiny`"),
            "local/tiny: status 404 (upstream_rejected): no model `tiny`; check the model's name, tiny, and \
             providers.local.base_url, http://127.0.0.1:",
        ),
        (error(500, "broken"), "local/tiny: status 500 (upstream_unavailable): broken"),
        (
            Script::silence(),
            "local/tiny: no head of an answer in time (upstream_timeout); model_calls.header_seconds bounds the wait",
        ),
        (
            Script::status(200).header("content-type", "text/html").send("<h1>It works!</h1>"),
            "local/tiny: an answer of another content type (upstream_malformed): the answer is text/html; check providers.local.base_url, \
             http://127.0.0.1:",
        ),
        (
            Script::status(302).header("location", "/login"),
            "local/tiny: status 302 (upstream_malformed); check providers.local.base_url, http://127.0.0.1:",
        ),
    ] {
        let (outcome, fake) = tested(script, None).await;
        let error = outcome.unwrap_err();
        assert!(error.starts_with(said), "{error}");
        assert_eq!(fake.calls().len(), 1, "{said}");
    }
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let error = test(&config(&url), "local", None).await.unwrap_err().to_string();
    assert!(error.starts_with("local/tiny: connection refused (upstream_unavailable)"), "{error}");
    assert!(error.ends_with(&format!("check the network and providers.local.base_url, {url}/v1")), "{error}");
}

#[test]
fn the_list_shows_what_is_set_up_and_no_key() {
    let text = table(&config("http://127.0.0.1:1"));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    let local: Vec<&str> = line("local ").split_whitespace().collect();
    assert_eq!(local, ["local", "openai", "http://127.0.0.1:1/v1", "0f2c10bf", "small", "set", "up"]);
    assert!(line("anthropic ").ends_with("claude    ANTHROPIC_API_KEY is not set"), "{text}");
    assert!(line("vertex_ai ").ends_with("providers.vertex_ai.project is not set"), "{text}");
    assert!(!text.contains("sk-1"), "{text}");
}
