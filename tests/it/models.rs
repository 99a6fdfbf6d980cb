//! Models that fail and models asked by hand, as the ones who run the server see them.

use std::process::Stdio;

use duologue_harness::{
    fake_provider::{FakeProvider, Script, shapes::openai},
    server::Home,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{ALICE, ask_to_the_end, chat, home};

/// A home whose only model besides the embedded one is a fake of the OpenAI kind, and which `default` stands for.
async fn home_of(script: Script) -> (Home, FakeProvider) {
    let fake = FakeProvider::start(script).await.unwrap();
    let mut home = home();
    let base_url = format!("{}/v1", fake.url());
    home.set("providers", "local", json!({"kind": "openai", "base_url": base_url})).unwrap();
    home.set("models", "small", json!({"provider": "local", "model": "tiny"})).unwrap();
    home.set("feature_settings", "default", json!(["claude", "small", "embedded"])).unwrap();
    home.set("model_calls", "max_retries", 0).unwrap();
    home.set("model_calls", "breaker_failures", 1).unwrap();
    home.set("model_calls", "breaker_open_seconds", 600).unwrap();
    home.fix_port().unwrap();
    (home, fake)
}

fn model_of<'s>(status: &'s Value, name: &str) -> &'s Value {
    let models = status["models"].as_array().unwrap();
    models.iter().find(|model| model["name"] == name).unwrap_or_else(|| panic!("{name} is not in {status}"))
}

#[tokio::test]
async fn a_model_that_fails_degrades_readiness_and_is_shown_to_be_left_alone() {
    let (home, fake) = home_of(Script::status(500)).await;
    let server = home.serve().await.unwrap();
    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!(readiness.at("/parts/models"), json!({"ready": true}), "{}", readiness.text);

    ask_to_the_end(&server, ALICE, chat("Hello?", None)).await;
    assert_eq!(fake.calls().len(), 1);

    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!((readiness.status, readiness.at("/missing")), (200, json!([])), "{}", readiness.text);
    let degraded = readiness.at("/parts/models/degraded");
    let degraded = degraded.as_str().unwrap_or_else(|| panic!("{}", readiness.text));
    assert!(
        degraded.starts_with("small (local/tiny) failed again and again and is not asked for "),
        "{degraded}"
    );

    let status = server.get("/-/models").await.unwrap();
    let status: Value = serde_json::from_str(&status.text).unwrap();
    assert_eq!(status["feature_settings"], json!({"default": "small"}));
    let small = model_of(&status, "small");
    assert_eq!((&small["model"], &small["breaker"]["state"]), (&json!("local/tiny"), &json!("open")));
    assert_eq!(model_of(&status, "embedded")["breaker"], json!({"state": "closed"}));

    let metrics = server.get("/metrics").await.unwrap().text;
    let breaker = "duologue_model_breaker_state{name=\"small\",provider=\"local\",model=\"local/tiny\"} 2";
    assert!(metrics.lines().any(|line| line == breaker), "{metrics}");

    let run = server.home().run(&["models"]).await.unwrap();
    assert_eq!((run.code(), run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let line = run.stdout.lines().find(|line| line.starts_with("small ")).unwrap();
    assert!(line.contains("open for ") && line.ends_with(" s, 0 in flight"), "{}", run.stdout);
    assert!(run.stdout.contains("default is small"), "{}", run.stdout);
}

#[tokio::test]
async fn the_server_says_once_which_model_a_feature_setting_stands_for() {
    let (home, _fake) = home_of(openai::answer(&["Hello."])).await;
    let mut server = home.serve().await.unwrap();
    let log = server.whole_log().await.unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("feature setting settled")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("default") && lines[0].contains("small"), "{log}");
    assert!(lines[0].contains("claude: ANTHROPIC_API_KEY is not set"), "{log}");
}

#[tokio::test]
async fn the_models_of_the_server_are_listed_and_those_it_has_not_are_marked() {
    let (home, _fake) = home_of(openai::answer(&["Hello."])).await;
    let server = home.serve().await.unwrap();
    let mut command = server.home().command(&["models"]);
    command
        .env("DUOLOGUE__MODELS__SMALL__MODEL", "large")
        .env("DUOLOGUE__MODELS__SMALL__LIMITS__CONTEXT_TOKENS", "8192")
        .env("DUOLOGUE__MODELS__LATE__PROVIDER", "local")
        .env("DUOLOGUE__MODELS__LATE__MODEL", "tiny");
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line =
        |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    let small: Vec<&str> = line("small ").split_whitespace().take(3).collect();
    assert_eq!(small, ["small", "local/tiny", "200000"], "{text}");
    assert!(line("small ").ends_with("breaker closed, 0 in flight"), "{text}");
    assert!(line("late ").ends_with("not in the server that runs"), "{text}");
}

#[tokio::test]
async fn without_a_server_the_registry_is_shown_with_a_note() {
    let (home, _fake) = home_of(openai::answer(&["Hello."])).await;
    let run = home.run(&["models", "--json"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.stderr.starts_with("no server answers at 127.0.0.1:"), "{}", run.stderr);
    let status: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(status["feature_settings"]["default"], "small");
    assert_eq!(model_of(&status, "small")["live"], Value::Null);
    assert_eq!(model_of(&status, "claude")["missing"], "ANTHROPIC_API_KEY is not set");
}

#[tokio::test]
async fn a_model_is_talked_to_by_hand() {
    let (home, fake) = home_of(openai::answer(&["I am ", "well."])).await;
    let arguments = ["complete", "--unit-primitive", "duo_chat"];
    let all =
        [&arguments[..], &["--provider", "local", r"\n\nHuman: Hi, how are you?\n\nAssistant:"]].concat();
    let run = home.run(&all).await.unwrap();
    assert_eq!((run.code(), run.stdout.as_str()), (Some(0), "I am well.\n"), "{}", run.stderr);
    assert!(run.stderr.starts_with("local/tiny | ") && run.stderr.contains(" | 1 attempt"), "{}", run.stderr);

    let mut piped = home.command(&[&arguments[..], &["-"]].concat());
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"Hi, how are you?").await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.stdout, b"I am well.\n");
    for call in fake.calls() {
        assert_eq!(call.json()["messages"], json!([{"role": "user", "content": "Hi, how are you?"}]));
    }
}

#[tokio::test]
async fn a_call_by_hand_that_fails_says_why_in_one_line_and_ends_with_1() {
    let (home, _fake) = home_of(Script::status(500)).await;
    let call = ["complete", "--unit-primitive", "duo_chat", "Hi", "--provider"];
    for (provider, said) in [
        ("local", "error: local/tiny: status 500 (upstream_unavailable)"),
        ("loca", "error: unknown provider `loca`; did you mean `local`?"),
        (
            "anthropic",
            "error: the provider `anthropic` is not set up: ANTHROPIC_API_KEY is not set; put the key",
        ),
    ] {
        let run = home.run(&[&call[..], &[provider]].concat()).await.unwrap();
        assert_eq!((run.code(), run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.starts_with(said) && run.stderr.lines().count() == 1, "{}", run.stderr);
    }
}

#[tokio::test]
async fn a_provider_is_tested_with_one_call() {
    let (home, fake) = home_of(openai::answer(&["Hello."])).await;
    fake.enqueue(Script::status(404));
    let run = home.run(&["providers", "test", "local"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(
        run.stderr.contains("check the model's name, tiny, and providers.local.base_url"),
        "{}",
        run.stderr
    );
    let run = home.run(&["providers", "test", "local"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{run:?}");
    assert!(run.stdout.starts_with("ok  local/tiny answered in "), "{}", run.stdout);
    assert_eq!(fake.calls().len(), 2);
    let run = home.run(&["providers"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{run:?}");
    assert!(run.stdout.lines().any(|line| line.starts_with("local ") && line.ends_with("set up")), "{run:?}");
}

#[tokio::test]
async fn an_action_whose_model_is_not_set_up_stops_the_server_and_is_named_by_its_line() {
    let (home, _fake) = home_of(openai::answer(&["Hello."])).await;
    let file = home.read("catalogue/explain_code.yaml").unwrap();
    let model = |line: &&str| !line.starts_with("model:");
    let kept: Vec<&str> = file.lines().filter(model).collect();
    home.write("catalogue/explain_code.yaml", &format!("model: claude\n{}\n", kept.join("\n"))).unwrap();
    for command in ["serve", "check"] {
        let run = home.run(&[command]).await.unwrap();
        assert_eq!(run.code(), Some(1), "{run:?}");
        let said = "explain_code.yaml:1:8: `claude` is not set up: ANTHROPIC_API_KEY is not set";
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}
