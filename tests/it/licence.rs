//! What a licence opens and what it does not, on a running instance and at the command line.

use std::time::Duration;

use duologue_harness::{
    fake_provider::{FakeProvider, Script, shapes::openai},
    graphql::Reply,
    server::{Home, PATIENCE, Run, TestServer},
};
use serde_json::json;

use crate::support::{
    ALICE, ISSUE, answered_by, ask, chat, home, message, socket, subscribe, summarize, try_ask,
};

const NOT_ALLOWED: &str = "AI features are not enabled or resource is not permitted to be sent.";
const NO_ACCESS: &str =
    "I'm sorry, I can't generate a response. You do not have access to GitLab Duo Chat. Error code: M3004";

/// A self-managed instance that takes the licences of `acme.pem`, and has none yet.
async fn instance() -> Home {
    let mut home = home();
    home.set("deployment", "mode", "self_managed").unwrap();
    home.set("licence", "public_key", "acme.pub.pem").unwrap();
    done(&home, &["licence", "keygen", "--out", "acme"]).await;
    home
}

async fn run(home: &Home, arguments: &[&str]) -> Run {
    let mut all = arguments.to_vec();
    all.extend(["--config", "config.yaml"]);
    home.run(&all).await.unwrap()
}

async fn done(home: &Home, arguments: &[&str]) -> String {
    let run = run(home, arguments).await;
    assert_eq!(run.code(), Some(0), "{arguments:?}: {}", run.stderr);
    run.stdout
}

async fn refused(home: &Home, arguments: &[&str]) -> String {
    let run = run(home, arguments).await;
    assert_eq!(run.code(), Some(1), "{arguments:?}: {}", run.stdout);
    run.stderr
}

/// Issues a licence of `key` to `out`.
async fn issue(home: &Home, key: &str, out: &str, more: &[&str]) {
    let mut arguments = vec!["licence", "issue", "--key", key, "--licensee", "ACME", "--out", out];
    arguments.extend(more);
    done(home, &arguments).await;
}

fn error(reply: &Reply) -> (String, Option<String>) {
    (reply.error_messages().join("\n"), reply.code())
}

async fn ask_chat(server: &TestServer) -> Reply {
    try_ask(&server.graphql(ALICE).unwrap(), chat("How do I add a new AI action?", None)).await
}

/// Asks until it is as `wanted`; a change of the licence is promised to be seen within two seconds.
async fn until_chat(server: &TestServer, wanted: impl Fn(&Reply) -> bool) {
    let asking = async {
        loop {
            let reply = ask_chat(server).await;
            if wanted(&reply) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();
}

fn is_accepted(reply: &Reply) -> bool {
    reply.at("/data/aiAction/requestId").is_string()
}

async fn degraded(server: &TestServer) -> Option<String> {
    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!(readiness.status, 200, "{}", readiness.text);
    readiness.at("/parts/licence/degraded").as_str().map(str::to_owned)
}

#[tokio::test]
async fn an_instance_without_a_licence_refuses_and_takes_one_while_it_runs() {
    let server = instance().await.serve().await.unwrap();
    assert_eq!(error(&ask_chat(&server).await), (NO_ACCESS.to_owned(), Some("forbidden".to_owned())));
    let on_issue = try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    assert_eq!(error(&on_issue), (NOT_ALLOWED.to_owned(), Some("forbidden".to_owned())));
    let why = degraded(&server).await.unwrap();
    assert!(
        why.contains("there is no licence at ") && why.contains("`duologue licence upload FILE`"),
        "{why}"
    );
    server.log_with("no AI feature is licensed").await.unwrap();

    issue(server.home(), "acme.pem", "acme.jwt", &["--plan", "premium", "--days", "90"]).await;
    let uploaded = done(server.home(), &["licence", "upload", "acme.jwt"]).await;
    assert!(uploaded.starts_with("licensee    ACME\nplan        premium\n"), "{uploaded}");
    until_chat(&server, is_accepted).await;
    assert_eq!(degraded(&server).await, None);
    // The group's plan is ultimate, but the instance's licence counts.
    let on_issue = try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    assert_eq!(error(&on_issue).0, NOT_ALLOWED);
    let shown = done(server.home(), &["licence", "show"]).await;
    assert!(shown.contains("plan        premium") && shown.contains("days left   89"), "{shown}");

    std::fs::remove_file(server.home().path().join("data/licence.jwt")).unwrap();
    until_chat(&server, |reply| error(reply).0 == NO_ACCESS).await;
}

#[tokio::test]
async fn a_licence_that_is_taken_away_while_an_answer_streams_withholds_the_rest() {
    let begun = Script::events([openai::role(), openai::delta("First, ")]).wait(Duration::from_secs(4));
    let whole = begun.send(openai::delta("a file.")).send(openai::stop()).send(openai::done());
    let provider = FakeProvider::start(whole).await.unwrap();
    let mut home = instance().await;
    answered_by(&mut home, &provider);
    issue(&home, "acme.pem", "acme.jwt", &["--plan", "premium", "--days", "90"]).await;
    done(&home, &["licence", "upload", "acme.jwt"]).await;
    let server = home.serve().await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("How do I add an action?", None)).await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
    while message(&socket.frame().await.unwrap(), "1")["content"] != "First, " {}
    std::fs::remove_file(server.home().path().join("data/licence.jwt")).unwrap();
    let frame = socket.frame().await.unwrap();
    let last = message(&frame, "1");
    assert_eq!((&last["content"], &last["errors"]), (&json!(""), &json!([NO_ACCESS])));
    assert_eq!(frame["payload"]["extensions"]["failure"]["code"], "forbidden");
}

#[tokio::test]
async fn an_expired_licence_opens_nothing_and_cannot_be_uploaded() {
    let home = instance().await;
    let last_year = ["--plan", "ultimate", "--from", "2024-01-01", "--until", "2024-12-31"];
    issue(&home, "acme.pem", "old.jwt", &last_year).await;
    for command in [["licence", "upload", "old.jwt"], ["licence", "verify", "old.jwt"]] {
        let said = refused(&home, &command).await;
        assert_eq!(said, "error: old.jwt: it expired at 2024-12-31 23:59:59 UTC\n");
    }
    assert!(!home.path().join("data/licence.jwt").exists());
    std::fs::create_dir_all(home.path().join("data")).unwrap();
    home.write("data/licence.jwt", &home.read("old.jwt").unwrap()).unwrap();
    for command in [&["check"][..], &["licence", "show"]] {
        let said = refused(&home, command).await;
        assert!(said.contains("data/licence.jwt: it expired at 2024-12-31 23:59:59 UTC"), "{said}");
        assert!(said.contains("`duologue licence upload FILE`"), "{said}");
    }
    // It is said loudly, and the server starts.
    let server = home.serve().await.unwrap();
    assert_eq!(error(&ask_chat(&server).await).0, NO_ACCESS);
    server.log_with("it expired at 2024-12-31 23:59:59 UTC").await.unwrap();
}

#[tokio::test]
async fn a_licence_that_was_changed_or_comes_from_elsewhere_is_refused_with_the_reason() {
    let home = instance().await;
    issue(&home, "acme.pem", "good.jwt", &["--plan", "free"]).await;
    issue(&home, "acme.pem", "later.jwt", &["--plan", "free", "--from", "2999-01-01"]).await;
    done(&home, &["licence", "keygen", "--out", "other"]).await;
    issue(&home, "other.pem", "foreign.jwt", &["--plan", "ultimate"]).await;
    let (good, foreign) = (home.read("good.jwt").unwrap(), home.read("foreign.jwt").unwrap());
    let part = |text: &str, index: usize| text.trim().split('.').nth(index).unwrap().to_owned();
    let changed = format!("{}.{}.{}", part(&good, 0), part(&foreign, 1), part(&good, 2));
    home.write("changed.jwt", &changed).unwrap();
    home.write("letter.jwt", "Dear customer, you have a licence.").unwrap();
    for (file, reason) in [
        ("foreign.jwt", "it was issued by another key ("),
        ("changed.jwt", "it was changed after it was issued"),
        ("letter.jwt", "it is no licence: "),
        ("later.jwt", "it is not good before 2999-01-01 00:00:00 UTC; upload it on that day or later"),
        ("nowhere.jwt", "there is no such file"),
    ] {
        let said = refused(&home, &["licence", "upload", file]).await;
        assert!(said.starts_with(&format!("error: {file}: {reason}")), "{said}");
    }
    assert!(!home.path().join("data/licence.jwt").exists());
    let verified = done(&home, &["licence", "verify", "foreign.jwt", "--public-key", "other.pub.pem"]).await;
    assert!(verified.contains("plan        ultimate"), "{verified}");
    let wrong_half = refused(&home, &["licence", "verify", "good.jwt", "--public-key", "acme.pem"]).await;
    assert!(wrong_half.starts_with("error: acme.pem holds a private key"), "{wrong_half}");
}

#[tokio::test]
async fn a_pair_of_keys_is_never_overwritten() {
    let home = instance().await;
    let before = home.read("acme.pem").unwrap();
    let said = refused(&home, &["licence", "keygen", "--out", "acme"]).await;
    assert!(said.contains("acme.pem is there already"), "{said}");
    assert_eq!(home.read("acme.pem").unwrap(), before);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(home.path().join("acme.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_unit_primitive_past_its_cut_off_date_needs_its_add_on() {
    let home = instance().await;
    let shipped =
        std::fs::read_to_string(format!("{}/unit_primitives.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let sold = shipped.replacen("duo_chat: {", "duo_chat: {cut_off_date: 2024-10-17, ", 1);
    home.write("unit_primitives.yaml", &sold).unwrap();
    issue(&home, "acme.pem", "plain.jwt", &["--plan", "ultimate"]).await;
    issue(&home, "acme.pem", "pro.jwt", &["--plan", "ultimate", "--add-on", "duo_pro"]).await;
    done(&home, &["licence", "upload", "plain.jwt"]).await;
    let server = home.serve().await.unwrap();
    assert_eq!(error(&ask_chat(&server).await).0, NO_ACCESS);
    // Only chat is sold; the rest stays free.
    assert!(is_accepted(&try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await));
    done(server.home(), &["licence", "upload", "pro.jwt"]).await;
    until_chat(&server, is_accepted).await;
}

#[tokio::test]
async fn an_action_in_no_list_of_stages_is_refused_where_the_settings_say_so() {
    let mut home = home();
    let staged = home.read("catalogue/summarize_comments.yaml").unwrap();
    home.write("catalogue/summarize_comments.yaml", &staged.replace("maturity: ga\n", "")).unwrap();
    let listed = done(&home, &["actions"]).await;
    assert!(listed.lines().any(|line| line.starts_with("summarize_comments    ga ")), "{listed}");
    home.set("deployment", "unlisted_features", "refuse").unwrap();
    let listed = done(&home, &["actions"]).await;
    assert!(listed.lines().any(|line| line.starts_with("summarize_comments    - ")), "{listed}");
    let server = home.serve().await.unwrap();
    let reply = try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    assert_eq!(error(&reply), (NOT_ALLOWED.to_owned(), Some("forbidden".to_owned())));
}

#[tokio::test]
async fn a_catalogue_file_with_an_unknown_unit_primitive_stops_the_server_and_is_named() {
    let home = home();
    let chat = home.read("catalogue/chat.yaml").unwrap();
    home.write("catalogue/chat.yaml", &chat.replace("unit_primitive: duo_chat", "unit_primitive: duo_caht"))
        .unwrap();
    for command in ["serve", "check"] {
        let said = refused(&home, &[command]).await;
        assert!(
            said.contains("chat.yaml:7:17: unknown unit primitive `duo_caht`; did you mean `duo_chat`?"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn on_saas_no_licence_is_needed_and_uploading_one_says_so() {
    let mut home = home();
    home.set("licence", "public_key", "acme.pub.pem").unwrap();
    done(&home, &["licence", "keygen", "--out", "acme"]).await;
    issue(&home, "acme.pem", "acme.jwt", &["--plan", "free", "--days", "7", "--add-on", "duo_por"]).await;
    let uploaded = run(&home, &["licence", "upload", "acme.jwt"]).await;
    assert_eq!(uploaded.code(), Some(0), "{}", uploaded.stderr);
    assert!(uploaded.stderr.contains("deployment.mode is saas"), "{}", uploaded.stderr);
    assert!(uploaded.stderr.contains("it ends in 6 days"), "{}", uploaded.stderr);
    let server = home.serve().await.unwrap();
    assert!(is_accepted(&ask_chat(&server).await));
    let parts = server.get("/-/readiness").await.unwrap();
    assert_eq!(parts.at("/parts/licence"), json!({ "ready": true }));
}
