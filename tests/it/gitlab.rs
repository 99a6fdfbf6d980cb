//! A GitLab instance as directory and as judge of tokens.

use std::time::Duration;

use duologue_harness::{
    gitlab::{GitlabStub, Mood},
    graphql::Reply,
    server::{Home, PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::support::{
    AI_ACTION, ISSUE, MERGE_REQUEST, NOT_FOUND, answer, ask, chat, home, messages, socket, subscribe,
    summarize, try_ask, until_ended,
};

pub const SHA: &str = "1f0e3dad99908345f7439f8ffabdffc4d6c7b9a1";

/// A folder whose users, tokens and resources are those of a GitLab instance.
pub fn home_of(gitlab: &GitlabStub) -> Home {
    let mut home = home();
    home.set("auth", "development_tokens", false).unwrap();
    home.set("auth", "gitlab_tokens", true).unwrap();
    home.set("directory", "source", "gitlab").unwrap();
    home.set("gitlab", "url", gitlab.url()).unwrap();
    home
}

/// A server whose users, tokens and resources are those of a GitLab instance.
async fn start_with(settings: &[(&str, &str, Value)]) -> (GitlabStub, TestServer) {
    let gitlab = GitlabStub::start().await.unwrap();
    let mut home = home_of(&gitlab);
    home.set("gitlab", "experiment_features_when_hidden", true).unwrap();
    for (section, key, value) in settings {
        home.set(section, key, value.clone()).unwrap();
    }
    (gitlab, home.serve().await.unwrap())
}

async fn start() -> (GitlabStub, TestServer) {
    start_with(&[]).await
}

async fn try_summary(server: &TestServer, token: &str, resource: &str) -> Reply {
    try_ask(&server.graphql(token).unwrap(), summarize(resource, None)).await
}

/// The content of the final message.
async fn summary(server: &TestServer, token: &str, resource: &str) -> String {
    let mut socket = socket(server, token).await;
    let client = server.graphql(token).unwrap();
    let request_id = ask(&client, summarize(resource, None)).await;
    subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
    answer(&mut socket, "1", &request_id).await.content()
}

#[rstest::rstest]
#[case::personal_access_token("glpat-alice")]
#[case::oauth_token("oauth-alice")]
#[tokio::test]
async fn whoever_may_read_an_issue_gets_its_summary(#[case] token: &str) {
    let (_gitlab, server) = start().await;
    let content = summary(&server, token, ISSUE).await;
    assert!(content.contains("roll back to version 3"), "{content}");
}

#[tokio::test]
async fn gitlab_knows_the_callers() {
    let (_gitlab, server) = start().await;
    let query = "{ currentUser { id username name } }";
    let reply = server.graphql("glpat-bob").unwrap().post(query, json!({})).await.unwrap();
    let expected = json!({ "id": "gid://gitlab/User/4", "username": "bob", "name": "Bob Example" });
    assert_eq!(reply.at("/data/currentUser"), expected, "{}", reply.text);
}

#[tokio::test]
async fn what_another_users_token_may_not_read_is_not_there() {
    let (_gitlab, server) = start().await;
    summary(&server, "glpat-alice", ISSUE).await;
    for resource in [ISSUE, MERGE_REQUEST, "gid://gitlab/Issue/404404", "gid://gitlab/Epic/5"] {
        let reply = try_summary(&server, "glpat-mallory", resource).await;
        assert_eq!(reply.error_messages(), [NOT_FOUND], "{resource}: {}", reply.text);
        assert_eq!(reply.code().as_deref(), Some("not_found"));
    }
}

#[tokio::test]
async fn a_token_that_may_only_read_may_not_ask() {
    let (_gitlab, server) = start().await;
    let reply = try_summary(&server, "glpat-alice-reads", ISSUE).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.code().as_deref(), Some("forbidden"), "{}", reply.text);
    assert!(reply.error_messages()[0].contains("api, ai_features"), "{}", reply.text);
    // What was said before may be read.
    assert_eq!(messages(&server.graphql("glpat-alice-reads").unwrap(), None).await, [] as [Value; 0]);
}

#[rstest::rstest]
#[case::unknown("glpat-nobody")]
#[case::expired("glpat-alice-old")]
#[case::of_a_blocked_user("glpat-carol")]
#[case::of_the_demo("demo-alice")]
#[tokio::test]
async fn a_token_is_refused_that_is(#[case] token: &str) {
    let (_gitlab, server) = start().await;
    assert_eq!(try_summary(&server, token, ISSUE).await.status, 401);
}

#[tokio::test]
async fn a_revoked_token_is_refused_once_gitlabs_word_is_over() {
    let (gitlab, server) = start_with(&[("auth", "gitlab_token_seconds", json!(1))]).await;
    summary(&server, "glpat-alice", ISSUE).await;
    gitlab.revoke("glpat-alice");
    let refused = async { while try_summary(&server, "glpat-alice", ISSUE).await.status != 401 {} };
    timeout(PATIENCE, refused).await.expect("the token stays good");
}

#[tokio::test]
async fn a_token_revoked_while_its_word_lasts_is_refused_by_gitlab_itself() {
    let (gitlab, server) =
        start_with(&[("auth", "gitlab_token_seconds", json!(3_600)), ("gitlab", "cache_seconds", json!(0))])
            .await;
    summary(&server, "glpat-alice", ISSUE).await;
    gitlab.revoke("glpat-alice");
    for _ in 0..2 {
        let reply = try_summary(&server, "glpat-alice", ISSUE).await;
        let refused = reply.status == 401 || reply.code().as_deref() == Some("unauthenticated");
        assert!(refused, "{} {}", reply.status, reply.text);
    }
    // From the first refusal on its good word is forgotten.
    assert_eq!(try_summary(&server, "glpat-alice", ISSUE).await.status, 401);
}

#[rstest::rstest]
#[case::down(Mood::Down)]
#[case::failing(Mood::Failing(502))]
#[case::endless(Mood::Endless)]
#[tokio::test]
async fn without_gitlab_a_request_is_refused_for_now_and_the_server_goes_on(#[case] mood: Mood) {
    let (gitlab, server) = start().await;
    summary(&server, "glpat-alice", ISSUE).await;
    gitlab.set_mood(mood);
    for token in ["glpat-alice", "glpat-bob"] {
        let reply = try_summary(&server, token, MERGE_REQUEST).await;
        assert_eq!(reply.code().as_deref(), Some("overloaded"), "{token}: {}", reply.text);
    }
    gitlab.set_mood(Mood::Well);
    summary(&server, "glpat-alice", MERGE_REQUEST).await;
}

#[tokio::test]
async fn a_slow_gitlab_is_not_waited_for() {
    let (gitlab, server) = start_with(&[("gitlab", "timeout_seconds", json!(1))]).await;
    summary(&server, "glpat-alice", ISSUE).await;
    gitlab.set_mood(Mood::Slow(Duration::from_secs(60)));
    let asked = Instant::now();
    let reply = try_summary(&server, "glpat-alice", MERGE_REQUEST).await;
    assert_eq!(reply.code().as_deref(), Some("overloaded"), "{}", reply.text);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn two_callers_never_share_what_was_read() {
    let (gitlab, server) = start_with(&[("gitlab", "cache_seconds", json!(3_600))]).await;
    let before = summary(&server, "glpat-alice", ISSUE).await;
    gitlab.change(|world| {
        let issue = world.item("Issue", "52").unwrap();
        "Login works again".clone_into(&mut issue.title);
        issue.notes.retain(|note| !note.body.contains("roll back"));
    });
    assert_eq!(summary(&server, "glpat-alice", ISSUE).await, before);
    // Bob's token reads for itself: as a guest he is not shown the rest of it either.
    gitlab.change(|world| {
        let demo = world.groups.iter_mut().find(|group| group.path == "demo").unwrap();
        demo.members.push((4, 10));
    });
    let reply = try_summary(&server, "glpat-bob", ISSUE).await;
    assert_eq!(
        reply.code().as_deref(),
        Some("forbidden"),
        "the plan is shown to owners only: {}",
        reply.text
    );
    let other = summary(&server, "oauth-alice", ISSUE).await;
    assert!(!other.contains("roll back"), "{other}");
}

#[tokio::test]
async fn a_plan_that_is_hidden_from_members_counts_as_the_settings_say() {
    let (_gitlab, server) = start_with(&[("gitlab", "plan_when_hidden", json!("ultimate"))]).await;
    let client = server.graphql("glpat-bob").unwrap();
    let request_id = ask(&client, chat("What is a unit primitive?", None)).await;
    until_ended(&server, "glpat-bob", &request_id).await;
}

#[tokio::test]
async fn an_explanation_that_gitlab_does_not_help_with_names_the_gitlab_that_was_asked() {
    let gitlab = GitlabStub::start().await.unwrap();
    let home = home_of(&gitlab);
    home.write(".env", "DUOLOGUE_TOKEN=glpat-alice\n").unwrap();
    gitlab.set_mood(Mood::Down);
    let run = home.run(&["policy", "explain", "--user", "alice"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains(&format!("with gitlab.url: {}", gitlab.url())), "{}", run.stderr);
}

#[tokio::test]
async fn a_commit_is_asked_about_in_its_project() {
    let (_gitlab, server) = start().await;
    let client = server.graphql("glpat-alice").unwrap();
    let about = |project: Option<&str>| {
        json!({
            "chat": { "content": "What is this about?", "resourceId": format!("gid://gitlab/Commit/{SHA}") },
            "projectId": project
        })
    };
    let request_id = ask(&client, about(Some("gid://gitlab/Project/20"))).await;
    until_ended(&server, "glpat-alice", &request_id).await;
    for elsewhere in [None, Some("gid://gitlab/Project/22")] {
        let reply = try_ask(&client, about(elsewhere)).await;
        assert_eq!(reply.error_messages(), [NOT_FOUND], "{}", reply.text);
    }
}

#[tokio::test]
async fn a_request_that_a_crash_interrupted_ends_there_because_its_token_is_not_kept() {
    let (_gitlab, mut server) = start().await;
    // Until one was caught between its acceptance and its end.
    for _ in 0..5 {
        let accepted = ask_and_kill(&mut server).await;
        server.restart().await.unwrap();
        let mut interrupted = 0;
        for request_id in accepted {
            let mut socket = socket(&server, "glpat-alice").await;
            subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
            let errors = answer(&mut socket, "1", &request_id).await.finals[0]["errors"].clone();
            if errors != json!([]) {
                assert!(errors.to_string().contains("the server was restarted"), "{errors}");
                interrupted += 1;
            }
        }
        if interrupted > 0 {
            return;
        }
    }
    panic!("every request had ended before its server was killed");
}

/// Asks for several things at once and kills the server as soon as one is accepted; those that were.
async fn ask_and_kill(server: &mut TestServer) -> Vec<String> {
    let client = server.graphql("glpat-alice").unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..16 {
        let client = client.clone();
        asked.spawn(async move {
            let input = json!({ "input": chat("How do I add a new AI action?", None) });
            let reply = client.post(AI_ACTION, input).await.ok()?;
            reply.at("/data/aiAction/requestId").as_str().map(str::to_owned)
        });
    }
    let first = asked.join_next().await.unwrap().unwrap();
    server.kill9().await.unwrap();
    asked.join_all().await.into_iter().chain([first]).flatten().collect()
}

#[tokio::test]
async fn no_token_and_nothing_of_a_resource_is_logged() {
    let (gitlab, mut server) = start_with(&[("logging", "level", json!("trace"))]).await;
    summary(&server, "glpat-alice", ISSUE).await;
    try_summary(&server, "glpat-nobody", ISSUE).await;
    gitlab.set_mood(Mood::Failing(500));
    try_summary(&server, "glpat-alice", MERGE_REQUEST).await;
    let log = server.whole_log().await.unwrap();
    assert!(log.contains("gitlab token refused") && log.contains("gitlab gives no usable answer"), "{log}");
    for secret in ["glpat-", "roll back", "nobody can log in", "Example Corp"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
