//! What the log says of a request, and what it never says.

use std::time::Duration;

use duologue_harness::server::{Home, PATIENCE, TestServer};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{ALICE, ROOT, ask_to_the_end, chat, home, try_ask};

/// Words that stand in no log line of their own accord.
const QUESTION: &str = "Which marmalade goes with the periwinkle export?";

async fn serve(mut home: Home) -> TestServer {
    home.set("logging", "level", "trace").unwrap();
    home.set("logging", "format", "json").unwrap();
    home.serve().await.unwrap()
}

/// The log, once a line of it has both `one` and `other`: a thread of its own writes it.
async fn log_with(server: &TestServer, one: &str, other: &str) -> String {
    let written = async {
        loop {
            let log = server.log().unwrap();
            if log.lines().any(|line| line.contains(one) && line.contains(other)) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap_or_else(|_| panic!("no line has {one} and {other}"))
}

/// The log lines that name a request, once its final has been written to a socket.
async fn lines_of(server: &TestServer, request_id: &str) -> Vec<String> {
    let log = log_with(server, request_id, "final written").await;
    log.lines().filter(|line| line.contains(request_id)).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_request_can_be_followed_by_its_id_from_the_edge_to_the_socket() {
    let server = serve(home()).await;
    let request_id = ask_to_the_end(&server, ALICE, chat(QUESTION, None)).await;
    let lines = lines_of(&server, &request_id).await;
    for said in ["request accepted", "request ended", "\"completed\"", "final written"] {
        assert!(lines.iter().any(|line| line.contains(said)), "{said} is not in {lines:#?}");
    }
}

#[tokio::test]
async fn no_prompt_no_answer_and_no_token_is_in_the_log() {
    let server = serve(home()).await;
    try_ask(&server.graphql("a-wrong-token-of-somebody").unwrap(), chat(QUESTION, None)).await;
    let request_id = ask_to_the_end(&server, ALICE, chat(QUESTION, Some("page"))).await;
    let log = log_with(&server, &request_id, "final written").await;
    for secret in ["marmalade", "No model is configured", ALICE, "a-wrong-token-of-somebody"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(log.lines().all(is_json), "not all JSON:\n{log}");
}

#[tokio::test]
async fn prompts_and_answers_are_logged_for_a_user_for_whom_the_flag_is_on_and_for_nobody_else() {
    let home = home();
    let flags = home.read("demo/flags.yaml").unwrap();
    let for_alice =
        flags.replace("expanded_ai_logging: false", "expanded_ai_logging: {actors: [gid://gitlab/User/2]}");
    assert_ne!(flags, for_alice);
    home.write("demo/flags.yaml", &for_alice).unwrap();
    let server = serve(home).await;
    let of_root = ask_to_the_end(&server, ROOT, chat(QUESTION, None)).await;
    assert!(lines_of(&server, &of_root).await.iter().all(|line| !line.contains("marmalade")));
    let of_alice = ask_to_the_end(&server, ALICE, chat(QUESTION, None)).await;
    let lines = lines_of(&server, &of_alice).await;
    let said = |field: &str, text: &str| {
        lines.iter().any(|line| line.contains(&format!("\"{field}\"")) && line.contains(text))
    };
    assert!(said("input", "marmalade"), "{lines:#?}");
    assert!(said("suggestion", "No model is configured"), "{lines:#?}");
}

#[tokio::test]
async fn what_a_client_says_begins_no_line_of_its_own_in_the_log() {
    let forged = "page\n2026-01-01T00:00:00Z  INFO duologue: flag changed by an admin\u{1b}[2J";
    let mut home = home();
    home.set("logging", "level", "trace").unwrap();
    let server = home.serve().await.unwrap();
    let mut input = chat(QUESTION, Some(forged));
    input["platformOrigin"] = json!(forged);
    input["clientMutationId"] = json!(forged);
    let request_id = ask_to_the_end(&server, ALICE, input).await;
    let log = log_with(&server, &request_id, "final written").await;
    let line = log.lines().find(|line| line.contains("flag changed by an admin"));
    assert!(
        line.is_some_and(|line| line.contains("request accepted")),
        "what was said is not where it belongs"
    );
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "a line was forged");
    assert!(!log.contains('\u{1b}'), "the log has a command for a terminal");
}
