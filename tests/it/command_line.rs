//! The binary as a person at a terminal uses it.

use serde_json::{Value, json};

use crate::support::{ALICE, ISSUE, home, messages};

const QUESTION: &str = "How do I add a new AI action?";

/// The last line of a successful `ask`: request id, time to first chunk, total, model.
fn assert_has_summary_line(output: &str) {
    let line = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap();
    let has_request_id =
        line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-')).any(|word| word.len() == 36);
    assert!(has_request_id, "no request id: {line}");
    assert!(line.contains("embedded/extractive"), "no model: {line}");
    assert!(
        line.matches(" ms").count() + line.matches(" s").count() + line.matches("ms").count() >= 2,
        "no times: {line}"
    );
}

#[tokio::test]
async fn ask_answers_without_a_server() {
    let mut home = home();
    home.fix_port().unwrap();
    let run = home.run(&["ask", QUESTION]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.stdout.to_lowercase().contains("catalogue"), "{}", run.stdout);
    assert_has_summary_line(&format!("{}\n{}", run.stdout, run.stderr));
}

#[tokio::test]
async fn ask_works_in_an_empty_folder() {
    let home = home();
    for part in ["catalogue", "demo"] {
        std::fs::remove_dir_all(home.path().join(part)).unwrap();
    }
    std::fs::remove_file(home.config_path()).unwrap();
    let address = duologue_harness::server::free_address().unwrap().to_string();
    let mut command = home.command(&["ask", QUESTION]);
    let output = command.env("DUOLOGUE__SERVER__LISTEN", address).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[tokio::test]
async fn ask_uses_the_server_that_runs() {
    let mut home = home();
    home.fix_port().unwrap();
    let server = home.serve().await.unwrap();
    let run = server.home().run(&["ask", QUESTION]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert_has_summary_line(&format!("{}\n{}", run.stdout, run.stderr));
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert_eq!(kept[0]["content"], QUESTION, "the running server did not hear of it");
    let answer = kept[1]["content"].as_str().unwrap();
    assert!(run.stdout.contains(answer.lines().next().unwrap()), "{}", run.stdout);
}

#[tokio::test]
async fn ask_runs_any_action_on_any_resource() {
    let mut home = home();
    home.fix_port().unwrap();
    let run = home.run(&["ask", "--action", "summarize_comments", "--resource", ISSUE]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.stdout.len() > 80, "{}", run.stdout);
}

#[tokio::test]
async fn ask_prints_the_events_as_json() {
    let mut home = home();
    home.fix_port().unwrap();
    let run = home.run(&["ask", "--json", QUESTION]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let events: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // It streams: the pieces come first, the whole answer last.
    let (answer, others) = events.split_last().unwrap();
    assert_eq!((&answer["chunkId"], &answer["errors"]), (&json!(null), &json!([])), "{}", run.stdout);
    let chunks = others.iter().filter(|event| event["role"] == "ASSISTANT");
    let numbers: Vec<u64> = chunks.map(|chunk| chunk["chunkId"].as_u64().unwrap()).collect();
    assert!(!numbers.is_empty(), "{}", run.stdout);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[rstest::rstest]
#[case::a_bad_token(&["ask", "--token", "demo-nobody", "Hello?"], "token")]
#[case::an_unknown_action(&["ask", "--action", "make_coffee", "Hello?"], "make_coffee")]
#[case::a_stranger(
    &["ask", "--token", "demo-mallory", "--action", "summarize_comments", "--resource", ISSUE], "does not exist"
)]
#[tokio::test]
async fn an_error_of_ask_is_one_clear_line(#[case] arguments: &[&str], #[case] said: &str) {
    let mut home = home();
    home.fix_port().unwrap();
    let run = home.run(arguments).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert_eq!(run.stdout, "");
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{}", run.stderr);
    assert!(lines[0].contains(said), "{}", run.stderr);
}

#[tokio::test]
async fn the_token_may_come_from_the_environment() {
    let mut home = home();
    home.fix_port().unwrap();
    let mut command = home.command(&["ask", "Hello?"]);
    let output = command.env("DUOLOGUE_TOKEN", "demo-nobody").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_what_we_ship() {
    let run = home().run(&["check"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test]
async fn actions_lists_the_catalogue() {
    let run = home().run(&["actions"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    for action in ["chat", "summarize_comments", "explain_code", "generate_description"] {
        assert!(run.stdout.contains(action), "{}", run.stdout);
    }
}

/// Each mistake is named with its place, and all of them at once.
#[rstest::rstest]
#[case::an_unknown_section("servre:\n  listen: 127.0.0.1:0\n", &["servre", ":1:"])]
#[case::an_unknown_key("server:\n  lsten: 127.0.0.1:0\n", &["lsten", ":2:"])]
#[case::a_value_of_the_wrong_kind("server:\n  max_connections: many\n", &["max_connections", ":2:"])]
#[case::a_value_out_of_bounds("pipeline:\n  permits: 0\n", &["permits"])]
#[case::an_unknown_provider("models:\n  mine: { provider: crystal_ball, model: x }\n", &["crystal_ball"])]
#[case::no_yaml("server: [\n", &["config.yaml:"])]
#[case::a_directory_that_is_not_there("directory:\n  path: nowhere.yaml\n", &["nowhere.yaml"])]
#[case::development_tokens_for_everyone("server:\n  listen: 0.0.0.0:8080\n", &["development_tokens", "127.0.0.1"])]
#[tokio::test]
async fn a_mistake_in_the_configuration_is_found_by_check(#[case] config: &str, #[case] said: &[&str]) {
    let home = home();
    home.write("config.yaml", config).unwrap();
    let run = home.run(&["check", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    let output = format!("{}{}", run.stdout, run.stderr);
    for word in said {
        assert!(output.contains(word), "{word} is not in: {output}");
    }
}

#[tokio::test]
async fn all_mistakes_are_named_at_once() {
    let home = home();
    home.write("config.yaml", "pipeline:\n  permits: 0\n  deadline_seconds: 0\ngraphql:\n  max_depth: 0\n")
        .unwrap();
    let run = home.run(&["check", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    let output = format!("{}{}", run.stdout, run.stderr);
    for key in ["permits", "deadline_seconds", "max_depth"] {
        assert!(output.contains(key), "{key} is not in: {output}");
    }
}

#[tokio::test]
async fn the_environment_wins_over_the_file() {
    let home = home();
    let mut command = home.command(&["check", "--config", "config.yaml"]);
    let output = command.env("DUOLOGUE__PIPELINE__PERMITS", "0").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        String::from_utf8_lossy(&said).contains("DUOLOGUE__PIPELINE__PERMITS"),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test]
async fn a_server_for_everyone_does_not_take_development_tokens() {
    let mut home = home();
    home.set("server", "listen", "0.0.0.0:0").unwrap();
    let run = home.run(&["serve", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("development_tokens"), "{}", run.stderr);
}

#[tokio::test]
async fn an_env_file_sets_what_the_environment_leaves_open() {
    let home = home();
    home.write(".env", "# a comment\nexport DUOLOGUE__PIPELINE__PERMITS=0\n").unwrap();
    let run = home.run(&["check"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    let mut command = home.command(&["check"]);
    let output = command.env("DUOLOGUE__PIPELINE__PERMITS", "4").output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_printed_curl_line_works() {
    let mut home = home();
    let address = home.fix_port().unwrap();
    let mut child = home.command(&["serve"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let curl = tokio::time::timeout(duologue_harness::server::PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("no curl line");
            if let Some(start) = line.find("curl ") {
                return line[start..].to_owned();
            }
        }
    });
    let curl = curl.await.unwrap();
    assert!(curl.contains(&address.to_string()), "{curl}");
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let output = tokio::process::Command::new("sh").args(["-c", &curl]).output().await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(json!(null));
    assert!(
        answer["data"].is_object() && answer["errors"].is_null(),
        "{curl}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
