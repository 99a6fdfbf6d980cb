//! What the log says of a request, and what it never says.

use duologue_harness::server::{Home, TestServer};

use crate::support::{ALICE, ROOT, ask_to_the_end, chat, home, try_ask};

/// Words that stand in no log line of their own accord.
const QUESTION: &str = "Which marmalade goes with the periwinkle export?";

async fn serve(mut home: Home) -> TestServer {
    home.set("logging", "level", "trace").unwrap();
    home.set("logging", "format", "json").unwrap();
    home.serve().await.unwrap()
}

/// The log lines that name a request.
fn lines_of(server: &TestServer, request_id: &str) -> Vec<String> {
    let log = server.log().unwrap();
    log.lines().filter(|line| line.contains(request_id)).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_request_can_be_followed_by_its_id_from_the_edge_to_the_socket() {
    let server = serve(home()).await;
    let request_id = ask_to_the_end(&server, ALICE, chat(QUESTION, None)).await;
    let lines = lines_of(&server, &request_id);
    for said in ["request accepted", "request ended", "\"completed\"", "final written"] {
        assert!(lines.iter().any(|line| line.contains(said)), "{said} is not in {lines:#?}");
    }
}

#[tokio::test]
async fn no_prompt_no_answer_and_no_token_is_in_the_log() {
    let server = serve(home()).await;
    ask_to_the_end(&server, ALICE, chat(QUESTION, Some("page"))).await;
    try_ask(&server.graphql("a-wrong-token-of-somebody").unwrap(), chat(QUESTION, None)).await;
    let log = server.log().unwrap();
    for secret in ["marmalade", "No model is configured", ALICE, "a-wrong-token-of-somebody"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn prompts_and_answers_are_logged_for_a_user_for_whom_the_flag_is_on_and_for_nobody_else() {
    let home = home();
    let flags = home.read("demo/flags.yaml").unwrap();
    let for_alice = flags.replace(
        "expanded_ai_logging: false",
        "expanded_ai_logging: {actors: [gid://gitlab/User/2]}",
    );
    assert_ne!(flags, for_alice);
    home.write("demo/flags.yaml", &for_alice).unwrap();
    let server = serve(home).await;
    let of_root = ask_to_the_end(&server, ROOT, chat(QUESTION, None)).await;
    assert!(lines_of(&server, &of_root).iter().all(|line| !line.contains("marmalade")));
    let of_alice = ask_to_the_end(&server, ALICE, chat(QUESTION, None)).await;
    let lines = lines_of(&server, &of_alice);
    let said = |field: &str, text: &str| {
        lines.iter().any(|line| line.contains(&format!("\"{field}\"")) && line.contains(text))
    };
    assert!(said("input", "marmalade"), "{lines:#?}");
    assert!(said("suggestion", "No model is configured"), "{lines:#?}");
}
