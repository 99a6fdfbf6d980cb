//! Over loopback, against a provider that does what its script says.

use std::path::Path;

use clap::Parser;
use duologue_harness::fake_provider::{FakeProvider, Script, Step, shapes::openai};
use serde_json::{Value, json};

use super::*;
use crate::{
    cli::{Arguments, Command},
    config::ConfigFile,
    env_file::Environment,
};

fn config(url: &str) -> Config {
    let text = format!(
        "providers:\n  local: {{kind: openai, base_url: '{url}/v1'}}\n\
         models:\n  small: {{provider: local, model: tiny, fallbacks: [embedded]}}\n\
         model_calls: {{shortest_retry_wait_milliseconds: 1, header_seconds: 1, idle_content_seconds: 1}}\n"
    );
    let file = ConfigFile { path: Path::new("mine.yaml"), text: &text };
    Config::from_layers(Some(file), &Environment::default()).unwrap()
}

fn parsed(arguments: &[&str]) -> Complete {
    let all = ["duologue", "complete"].iter().chain(arguments);
    match Arguments::try_parse_from(all).unwrap().command {
        Some(Command::Complete(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

/// How a run ended and what it printed.
async fn run(url: &str, arguments: &[&str]) -> (anyhow::Result<ExitCode>, String) {
    run_until(url, arguments, &CancellationToken::new()).await
}

async fn run_until(
    url: &str,
    arguments: &[&str],
    interrupted: &CancellationToken,
) -> (anyhow::Result<ExitCode>, String) {
    let asked = parsed(arguments);
    let turns = turns::read(&asked, &mut io::empty()).unwrap();
    let mut out = Vec::new();
    let outcome = complete(&asked, turns, &config(url), &mut out, interrupted).await;
    (outcome, String::from_utf8(out).unwrap())
}

const DUO_CHAT: [&str; 2] = ["--unit-primitive", "duo_chat"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    DUO_CHAT.iter().chain(arguments).copied().collect()
}

#[tokio::test]
async fn the_seeds_prompt_is_sent_as_a_message_and_answered() {
    let fake = FakeProvider::start(openai::answer(&["I am ", "well."])).await.unwrap();
    let prompt = r"\n\nHuman: Hi, how are you?\n\nAssistant:";
    let arguments = with(&["--provider", "local", "--system", "Be brief.", "--max-tokens", "9", prompt]);
    let (outcome, printed) = run(&fake.url(), &arguments).await;
    assert_eq!(outcome.unwrap(), ExitCode::SUCCESS);
    assert_eq!(printed, "I am well.\n");
    let sent = fake.calls()[0].json();
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi, how are you?"},
    ]);
    assert_eq!(
        (&sent["messages"], &sent["model"], &sent["max_tokens"]),
        (&messages, &json!("tiny"), &json!(9))
    );
}

#[tokio::test]
async fn an_answer_as_json_ends_with_what_it_cost() {
    let fake = FakeProvider::start(openai::answer(&["I am ", "well."])).await.unwrap();
    fake.enqueue(Script::status(500));
    let (outcome, printed) = run(&fake.url(), &with(&["--model", "small", "--json", "Hi"])).await;
    assert_eq!(outcome.unwrap(), ExitCode::SUCCESS);
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[..2], [json!({"content": "I am "}), json!({"content": "well."})]);
    let end = &events[2];
    assert_eq!((&end["model"], &end["finish_reason"]), (&json!("local/tiny"), &json!("stop")));
    assert_eq!((&end["attempts"], &end["tokens_estimated"]), (&json!(2), &json!(true)));
    assert!(end["first_content_millis"].is_u64() && end["output_tokens"].is_u64(), "{end}");
}

#[tokio::test]
async fn a_model_of_the_registry_has_its_fallbacks_and_a_provider_alone_has_none() {
    let fake = FakeProvider::start(Script::status(503).header("retry-after", "60")).await.unwrap();
    let (outcome, printed) =
        run(&fake.url(), &with(&["--model", "small", "How do I add an AI action?"])).await;
    assert_eq!(outcome.unwrap(), ExitCode::SUCCESS);
    assert!(printed.len() > 80, "{printed}");

    let (outcome, printed) = run(&fake.url(), &with(&["--provider", "local", "Hi"])).await;
    let error = outcome.unwrap_err().to_string();
    assert_eq!(error, "local/tiny: status 503 (upstream_overloaded); asks to wait 60 s");
    assert_eq!(printed, "");
}

#[tokio::test]
async fn with_a_provider_the_model_is_by_the_provider_s_own_name() {
    let fake = FakeProvider::start(openai::answer(&["Hello."])).await.unwrap();
    for model in ["other", "small"] {
        let arguments = with(&["--provider", "local", "--model", model, "Hi"]);
        run(&fake.url(), &arguments).await.0.unwrap();
    }
    let asked: Vec<Value> = fake.calls().iter().map(|call| call.json()["model"].clone()).collect();
    assert_eq!(asked, [json!("other"), json!("small")]);
}

#[tokio::test]
async fn json_of_a_call_that_fails_ends_with_the_error() {
    let script = Script::event_stream().send(openai::delta("I am")).then(Step::Cut);
    let fake = FakeProvider::start(script).await.unwrap();
    let (outcome, printed) = run(&fake.url(), &with(&["--provider", "local", "--json", "Hi"])).await;
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [content, end] = &events[..] else { panic!("{printed}") };
    assert_eq!(content, &json!({"content": "I am"}));
    let error = json!({"code": "upstream_truncated", "message": outcome.unwrap_err().to_string()});
    assert_eq!((&end["error"], &end["finish_reason"]), (&error, &Value::Null));
    assert_eq!((&end["model"], &end["attempts"]), (&json!("local/tiny"), &json!(1)));
}

#[tokio::test]
async fn json_of_an_interrupted_call_ends_with_that() {
    let fake = FakeProvider::start(Script::silence()).await.unwrap();
    let interrupted = CancellationToken::new();
    let url = fake.url();
    let arguments = with(&["--provider", "local", "--json", "Hi"]);
    let running = run_until(&url, &arguments, &interrupted);
    let ((outcome, printed), ()) = tokio::join!(running, async {
        fake.until(|calls| !calls.is_empty()).await.unwrap();
        interrupted.cancel();
    });
    assert_eq!(outcome.unwrap(), ExitCode::from(INTERRUPTED));
    let end: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&end["finish_reason"], &end["error"]), (&json!("cancelled"), &Value::Null));
    // The prompt was being read, which costs something.
    assert_eq!((&end["attempts"], &end["input_tokens"]), (&json!(1), &json!(1)));
    assert_eq!(end["tokens_estimated"], true);
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_was_shown_and_fails() {
    let fake = FakeProvider::start(Script::event_stream().send(openai::delta("I am")).then(Step::Cut));
    let (outcome, printed) = run(&fake.await.unwrap().url(), &with(&["--provider", "local", "Hi"])).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("local/tiny: ") && error.contains("(upstream_truncated)"), "{error}");
    assert_eq!(printed, "I am\n");
}

#[tokio::test]
async fn an_interrupted_call_closes_its_socket_and_ends_with_what_a_shell_reports() {
    let script = Script::event_stream().send(openai::delta("I am")).then(Step::Stall);
    let fake = FakeProvider::start(script).await.unwrap();
    let interrupted = CancellationToken::new();
    let url = fake.url();
    let arguments = with(&["--provider", "local", "Hi"]);
    let running = run_until(&url, &arguments, &interrupted);
    let ((outcome, printed), ()) = tokio::join!(running, async {
        fake.until(|calls| !calls.is_empty()).await.unwrap();
        interrupted.cancel();
    });
    assert_eq!(outcome.unwrap(), ExitCode::from(INTERRUPTED));
    assert!(printed.is_empty() || printed == "I am\n", "{printed}");
    fake.until(|calls| calls[0].caller_closed.is_some()).await.unwrap();
}

#[tokio::test]
async fn what_is_not_registered_is_not_asked_for() {
    let fake = FakeProvider::start(openai::answer(&["Hello."])).await.unwrap();
    let (outcome, _) =
        run(&fake.url(), &["--unit-primitive", "duo_chatt", "--provider", "local", "Hi"]).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("unknown unit primitive `duo_chatt`; did you mean `duo_chat`?"), "{error}");
    assert!(fake.calls().is_empty());
}

#[test]
fn the_command_line_takes_one_prompt_and_one_way_to_name_a_model() {
    let refused = |arguments: &[&str]| {
        let all = ["duologue", "complete", "--unit-primitive", "duo_chat"].iter().chain(arguments);
        Arguments::try_parse_from(all).is_err()
    };
    assert!(refused(&[]));
    assert!(refused(&["Hi", "--messages", "[]"]));
    assert!(!refused(&["Hi", "--provider", "local", "--model", "tiny"]));
    assert!(refused(&["Hi", "--max-tokens", "0"]));
    assert!(!refused(&["-"]));
}
