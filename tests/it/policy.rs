//! The six checks as clients hear them, and as `duologue policy explain` and the debug log explain them.

use duologue_harness::server::{Home, Run};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    ALICE, ISSUE, MALLORY, MERGE_REQUEST, NOT_FOUND, chat, explain, home, summarize, try_ask,
};

const FLAG_DISABLED: &str = "required feature flag is disabled.";
const NOT_ALLOWED: &str = "AI features are not enabled or resource is not permitted to be sent.";
const DUO_OFF: &str = "I am sorry, I cannot access the information you are asking about. A group or project owner has \
                       turned off Duo features in this group or project. Error code: M3002";
const NO_ACCESS: &str =
    "I'm sorry, I can't generate a response. You do not have access to GitLab Duo Chat. Error code: M3004";

/// The demo with one line of one of its files changed.
fn demo_with(file: &str, line: &str, instead: &str) -> Home {
    let home = home();
    let text = home.read(file).unwrap();
    assert_eq!(text.matches(line).count(), 1, "{line:?} in {file}");
    home.write(file, &text.replace(line, instead)).unwrap();
    home
}

fn flag_off(flag: &str) -> Home {
    demo_with("demo/flags.yaml", &format!("\n{flag}: true\n"), &format!("\n{flag}: false\n"))
}

fn group_with(line: &str, instead: &str) -> Home {
    demo_with("demo/directory.yaml", line, instead)
}

fn on_issue() -> Value {
    summarize(ISSUE, None)
}

fn on_nothing() -> Value {
    chat("Hello?", None)
}

/// What `duologue policy explain` says of the same question.
async fn explained(home: &Home, user: &str, input: &Value) -> Run {
    let (action, resource) = match input.as_object().unwrap().keys().next().unwrap().as_str() {
        "chat" => ("chat", None),
        "explainCode" => ("explain_code", Some(&input["explainCode"]["resourceId"])),
        _ => ("summarize_comments", Some(&input["summarizeComments"]["resourceId"])),
    };
    let mut arguments = vec!["policy", "explain", "--user", user, "--action", action];
    if let Some(resource) = resource {
        arguments.extend(["--resource", resource.as_str().unwrap()]);
    }
    home.run(&arguments).await.unwrap()
}

#[rstest]
#[case::check_1_the_chat_switch(
    flag_off("ai_duo_chat_switch"),
    "alice",
    on_nothing(),
    "feature_disabled",
    FLAG_DISABLED,
    "1 chat switch"
)]
#[case::check_2_the_global_switch(
    flag_off("ai_global_switch"),
    "alice",
    on_issue(),
    "feature_disabled",
    FLAG_DISABLED,
    "2 global switch"
)]
#[case::check_3_the_actions_own_flag(
    flag_off("summarize_comments_ai"),
    "alice",
    on_issue(),
    "feature_disabled",
    FLAG_DISABLED,
    "3 feature flag"
)]
#[case::check_3_the_flag_of_another_group(
    demo_with(
        "demo/flags.yaml",
        "summarize_comments_ai: true",
        "summarize_comments_ai: {actors: [gid://gitlab/Group/11]}"
    ),
    "alice",
    on_issue(),
    "feature_disabled",
    FLAG_DISABLED,
    "3 feature flag"
)]
#[case::check_4_the_licence(
    group_with("    plan: ultimate\n", "    plan: premium\n"),
    "alice",
    on_issue(),
    "forbidden",
    NOT_ALLOWED,
    "4 licence"
)]
#[case::check_4_the_licence_without_a_resource(
    group_with("    plan: ultimate\n", ""),
    "alice",
    on_nothing(),
    "forbidden",
    NO_ACCESS,
    "4 licence"
)]
#[case::check_5_membership(home(), "mallory", on_issue(), "not_found", NOT_FOUND, "5 membership")]
#[case::check_5_a_resource_that_is_not_there(
    home(),
    "alice",
    summarize("gid://gitlab/Issue/404", None),
    "not_found",
    NOT_FOUND,
    "5 membership"
)]
#[case::check_5_no_group_at_all(home(), "mallory", on_nothing(), "forbidden", NO_ACCESS, "5 membership")]
#[case::check_6_ai_features_are_off(
    group_with("    plan: ultimate\n", "    plan: ultimate\n    duo_features_enabled: false\n"),
    "alice",
    on_issue(),
    "forbidden",
    DUO_OFF,
    "6 namespace settings"
)]
#[case::check_6_no_consent_to_what_is_unfinished(
    group_with("    plan: ultimate\n    experiment_features_enabled: true\n", "    plan: ultimate\n"),
    "alice", json!({ "generateDescription": { "resourceId": ISSUE, "content": "Exports" } }), "forbidden", NOT_ALLOWED, "6 namespace settings"
)]
#[tokio::test]
async fn a_refusal_of(
    #[case] home: Home,
    #[case] user: &str,
    #[case] input: Value,
    #[case] code: &str,
    #[case] text: &str,
    #[case] check: &str,
) {
    let explanation = match input.get("generateDescription") {
        None => explained(&home, user, &input).await,
        Some(_) => {
            let arguments = [
                "policy",
                "explain",
                "--user",
                user,
                "--action",
                "generate_description",
                "--resource",
                ISSUE,
            ];
            home.run(&arguments).await.unwrap()
        }
    };
    let server = home.serve().await.unwrap();
    let reply = try_ask(&server.graphql(&format!("demo-{user}")).unwrap(), input).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.error_messages(), [text]);
    assert_eq!(reply.code().as_deref(), Some(code));

    assert_eq!(explanation.code(), Some(3), "{}", explanation.stderr);
    let refused =
        explanation.stdout.lines().find(|line| line.starts_with(check) && line.contains("  refused  "));
    assert!(refused.is_some(), "{check} is not refused:\n{}", explanation.stdout);
    assert!(explanation.stdout.contains(text), "{}", explanation.stdout);
}

#[tokio::test]
async fn who_is_let_through_is_explained_too_and_by_the_facts() {
    let home = home();
    let explanation = explained(&home, "alice", &explain(MERGE_REQUEST, None)).await;
    assert_eq!(explanation.code(), Some(0), "{}", explanation.stderr);
    insta::assert_snapshot!(explanation.stdout, @r"
    user      alice (gid://gitlab/User/2)
    action    explain_code
    resource  gid://gitlab/MergeRequest/52

    1 chat switch                not applicable  ai_duo_chat_switch is on
    2 global switch              passed          ai_global_switch is on
    3 feature flag               passed          explain_code_ai is on
    4 licence                    passed          demo: the plan ultimate contains explain_code; explain_code is free
    5 membership                 passed          alice is a member where gid://gitlab/MergeRequest/52 is, in demo
    6 namespace settings         passed          gid://gitlab/Project/20 in demo: duo_features_enabled is on; what is finished needs no consent
    3 feature flag of the group  passed          explain_code_ai is on

    allowed
    ");
    let server = home.serve().await.unwrap();
    let reply = try_ask(&server.graphql(ALICE).unwrap(), explain(MERGE_REQUEST, None)).await;
    assert_eq!(reply.error_messages(), [] as [&str; 0], "{}", reply.text);
}

#[tokio::test]
async fn the_explanation_can_be_read_by_programs() {
    let home = home();
    let run =
        home.run(&["policy", "explain", "--user", "mallory", "--resource", ISSUE, "--json"]).await.unwrap();
    assert_eq!(run.code(), Some(3), "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&json["allowed"], &json["refusal"]["code"]), (&json!(false), &json!("not_found")));
    let checks: Vec<u64> =
        json["checks"].as_array().unwrap().iter().map(|step| step["check"].as_u64().unwrap()).collect();
    assert_eq!(checks, [1, 2, 3, 4, 5, 6, 3]);
}

#[rstest]
#[case::of_an_unknown_user(&["--user", "nobody"], "there is no user \"nobody\"")]
#[case::of_an_unknown_action(&["--user", "alice", "--action", "sing"], "there is no action \"sing\"; there are chat")]
#[case::about_no_global_id(&["--user", "alice", "--resource", "Issue/52"], "gid://gitlab/Issue/52")]
#[case::of_nobody(&[], "--user")]
#[tokio::test]
async fn a_question(#[case] arguments: &[&str], #[case] mend: &str) {
    let all: Vec<&str> = ["policy", "explain"].iter().chain(arguments).copied().collect();
    let run = home().run(&all).await.unwrap();
    assert!(matches!(run.code(), Some(1 | 2)), "{:?}", run.code());
    assert!(run.stderr.contains(mend), "{}", run.stderr);
}

#[tokio::test]
async fn the_debug_log_has_the_same_trace_and_no_text_of_the_resource() {
    let mut home = home();
    home.set("logging", "level", "debug").unwrap();
    let mut server = home.serve().await.unwrap();
    try_ask(&server.graphql(MALLORY).unwrap(), on_issue()).await;
    let log = server.whole_log().await.unwrap();
    for facts in [
        "ai_global_switch is on",
        "summarize_comments_ai is on",
        "mallory may not read gid://gitlab/Issue/52",
        "duo_features_enabled is on",
    ] {
        assert!(log.contains(facts), "{facts} is missing:\n{log}");
    }
    assert!(!log.contains("Export of large reports"), "{log}");
}
