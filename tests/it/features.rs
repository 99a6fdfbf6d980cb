//! Flags changed while the server runs: by an admin over `/api/v4/features`, and by `duologue flags`.

use std::time::Duration;

use duologue_harness::{
    graphql::{Reply, send},
    server::{PATIENCE, TestServer},
};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{ALICE, ISSUE, MALLORY, ROOT, home, start, summarize, try_ask};

const FLAG: &str = "summarize_comments_ai";

/// A request to `/api/v4/features` and what is below it.
fn request(server: &TestServer, method: Method, below: &str, token: Option<&str>) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let request = client.request(method, server.url(&format!("/api/v4/features{below}")));
    match token {
        Some(token) => request.header("PRIVATE-TOKEN", token),
        None => request,
    }
}

async fn get(server: &TestServer, below: &str) -> Value {
    let reply = send(request(server, Method::GET, below, Some(ROOT))).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// Sends a form as an admin, as `curl --data` does.
async fn set(server: &TestServer, flag: &str, form: &str) -> Reply {
    let request = request(server, Method::POST, &format!("/{flag}"), Some(ROOT));
    let form = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    send(form).await.unwrap()
}

async fn may_summarize(server: &TestServer, token: &str) -> bool {
    let reply = try_ask(&server.graphql(token).unwrap(), summarize(ISSUE, None)).await;
    let messages = reply.error_messages();
    assert!(messages.is_empty() || messages == ["required feature flag is disabled."], "{messages:?}");
    messages.is_empty()
}

async fn until_may_summarize(server: &TestServer, expected: bool) -> Duration {
    let flipped = Instant::now();
    let seen = async { while may_summarize(server, ALICE).await != expected {} };
    timeout(PATIENCE, seen).await.expect("the flip was not seen");
    flipped.elapsed()
}

#[tokio::test]
async fn an_admin_flips_a_flag_and_the_very_next_request_knows_also_after_a_restart() {
    let mut server = start().await;
    assert!(may_summarize(&server, ALICE).await);
    let reply = set(&server, FLAG, "value=false").await;
    let definition = json!({
        "name": FLAG, "introduced_by_url": null, "rollout_issue_url": null, "milestone": null,
        "type": "development", "group": null, "default_enabled": false,
    });
    let off = json!({
        "name": FLAG, "state": "off", "gates": [{"key": "boolean", "value": false}], "definition": definition,
    });
    assert_eq!((reply.status, reply.json()), (201, off.clone()));
    assert!(!may_summarize(&server, ALICE).await);

    // Nothing is flushed on the way out: what was answered is on disk.
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    assert!(!may_summarize(&server, ALICE).await);
    assert_eq!(get(&server, &format!("/{FLAG}")).await, off);

    let reply = send(request(&server, Method::DELETE, &format!("/{FLAG}"), Some(ROOT))).await.unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert!(may_summarize(&server, ALICE).await, "the file says on");
    let reply = send(request(&server, Method::DELETE, "/never_set", Some(ROOT))).await.unwrap();
    assert_eq!(reply.status, 204, "a flag that is not changed is in that state already");
}

#[tokio::test]
async fn a_flag_is_on_for_those_named_and_for_the_share_of_the_users_it_is_on_for_at_gitlab() {
    let server = start().await;
    set(&server, FLAG, "value=false").await;
    let reply = set(&server, FLAG, "value=true&user=alice,root&project=demo/website").await;
    let gates = json!([
        {"key": "boolean", "value": false},
        {"key": "actors", "value": ["Project:20", "User:1", "User:2"]},
    ]);
    assert_eq!((&reply.json()["state"], &reply.json()["gates"]), (&json!("conditional"), &gates));
    set(&server, FLAG, "value=false&project=demo/website").await;
    assert!(may_summarize(&server, ALICE).await);
    set(&server, FLAG, "value=false&user=alice").await;
    assert!(!may_summarize(&server, ALICE).await && may_summarize(&server, ROOT).await);

    // python3 -c "import zlib; print(zlib.crc32(b'summarize_comments_aiUser:2') % 100000)": 16157.
    set(&server, FLAG, "value=16.157&key=percentage_of_actors").await;
    assert!(!may_summarize(&server, ALICE).await);
    let reply = set(&server, FLAG, "value=16.158&key=percentage_of_actors").await;
    assert_eq!(reply.json()["gates"][2], json!({"key": "percentage_of_actors", "value": 16.158}));
    assert!(may_summarize(&server, ALICE).await);
}

#[tokio::test]
async fn all_flags_and_all_that_mean_something_are_listed() {
    let server = start().await;
    set(&server, "my_own", "value=30&force=true").await;
    let all = get(&server, "").await;
    let of = |name: &str| all.as_array().unwrap().iter().find(|flag| flag["name"] == name).unwrap().clone();
    let gates = json!([{"key": "boolean", "value": false}, {"key": "percentage_of_time", "value": 30}]);
    let own = json!({"name": "my_own", "state": "conditional", "gates": gates, "definition": null});
    assert_eq!(of("my_own"), own);
    assert_eq!(
        (of(FLAG)["state"].as_str(), of("expanded_ai_logging")["state"].as_str()),
        (Some("on"), Some("off"))
    );

    let definitions = get(&server, "/definitions").await;
    let kinds: Vec<_> = definitions
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| {
            (flag["name"].as_str().unwrap(), flag["type"].as_str().unwrap(), flag["default_enabled"] == true)
        })
        .collect();
    let expected = [
        ("access_rest_chat", "development", false),
        ("ai_duo_chat_switch", "ops", true),
        ("ai_global_switch", "ops", true),
        ("duo_chat", "development", true),
        ("expanded_ai_logging", "ops", false),
        ("explain_code_ai", "development", false),
        ("generate_description_ai", "development", false),
        (FLAG, "development", false),
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn only_admins_are_let_in_and_are_told_apart_in_gitlabs_words() {
    let server = start().await;
    let flag = format!("/{FLAG}");
    let ways = [
        (Method::GET, ""),
        (Method::GET, "/definitions"),
        (Method::POST, flag.as_str()),
        (Method::DELETE, &flag),
    ];
    for (method, below) in ways {
        for (token, status, message) in [
            (None, 401, "401 Unauthorized"),
            (Some("no-such-token"), 401, "401 Unauthorized"),
            (Some(ALICE), 403, "403 Forbidden"),
            (Some(MALLORY), 403, "403 Forbidden"),
        ] {
            let request = request(&server, method.clone(), &format!("{below}?value=false"), token);
            let reply = send(request).await.unwrap();
            assert_eq!(
                (reply.status, reply.json()),
                (status, json!({ "message": message })),
                "{method} {below}"
            );
        }
    }
    assert!(may_summarize(&server, ALICE).await);
    let reply = send(request(&server, Method::PUT, &flag, Some(ROOT))).await.unwrap();
    assert_eq!(reply.status, 405);
}

/// Where nobody is asked who they are, any web page could have a browser send a form.
#[tokio::test]
async fn without_a_header_nothing_is_changed_also_where_everybody_is_an_admin() {
    let mut home = home();
    home.set("auth", "bypass_external", true).unwrap();
    home.set("auth", "bypass_user", "root").unwrap();
    home.set("auth", "development_tokens", false).unwrap();
    let server = home.serve().await.unwrap();
    let form = |token| request(&server, Method::POST, &format!("/{FLAG}?value=false"), token);
    let of_a_page = send(form(None)).await.unwrap();
    assert_eq!((of_a_page.status, of_a_page.json()), (401, json!({ "message": "401 Unauthorized" })));
    assert_eq!(send(form(Some("anything"))).await.unwrap().status, 201);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let server = start().await;
    for (flag, form, said) in [
        (FLAG, "", "value is missing"),
        (FLAG, "value=perhaps", "400 Bad request - Cannot set 'summarize_comments_ai' to \\\"perhaps\\\""),
        (FLAG, "value=false&user=ghost", "400 Bad request - ghost is not found!"),
        (FLAG, "value=false&users=alice", "users is not a parameter of this request"),
        (FLAG, "value=5&key=percentage_of_actors&user=alice", "key, user are mutually exclusive"),
        (FLAG, "value=true&feature_group=nobody", "`nobody` is not a feature group"),
        ("summarize_comment_ai", "value=false", "did you mean 'summarize_comments_ai'?"),
        ("summarize_comments", "value=false", "`summarize_comments` is a licensed feature of the catalogue"),
        ("summarize_comments", "value=false&force=true", "`summarize_comments` is a licensed feature"),
        ("Not-A-Flag", "value=false&force=true", "cannot be the name of a flag"),
        ("ai_global_switch", "value=true&group=demo", "cannot be on or off for Group:10: it is asked about"),
        (FLAG, "value=true&user=alice&user=root", "user is given twice, and not the same"),
    ] {
        let reply = set(&server, flag, form).await;
        assert_eq!(reply.status, 400, "{flag} {form}: {}", reply.text);
        assert!(reply.text.contains(said), "{flag} {form}: {}", reply.text);
    }
    let huge = set(&server, FLAG, &format!("value=true&user={}", "x".repeat(70_000))).await;
    assert_eq!(huge.status, 413, "{}", huge.text);
    assert!(may_summarize(&server, ALICE).await);
    assert!(!server.home().path().join("data/flags.yaml").exists());
}

#[tokio::test]
async fn parameters_may_come_as_json_or_in_the_address_too() {
    let server = start().await;
    let post = |query: &str| request(&server, Method::POST, &format!("/{FLAG}{query}"), Some(ROOT));
    let body = json!({ "value": false }).to_string();
    let reply = send(post("").header("content-type", "application/json").body(body)).await.unwrap();
    assert_eq!((reply.status, &reply.json()["state"]), (201, &json!("off")), "{}", reply.text);
    let reply = send(post("?value=true")).await.unwrap();
    assert_eq!((reply.status, &reply.json()["state"]), (201, &json!("on")), "{}", reply.text);
}

#[tokio::test]
async fn a_change_is_in_the_log_with_who_made_it_and_without_their_token() {
    let server = start().await;
    set(&server, FLAG, "value=true&user=alice").await;
    set(&server, FLAG, "value=false").await;
    let written = async {
        loop {
            let log = server.log().unwrap();
            let lines = log.lines().filter(|line| line.contains("flag changed by an admin"));
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            if lines.len() == 2 {
                return (log, lines);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (log, lines) = timeout(PATIENCE, written).await.unwrap();
    assert!(lines[0].contains("INFO") && lines[0].contains("on for User:2"), "{}", lines[0]);
    for said in ["user=1", FLAG, "off"] {
        assert!(lines[1].contains(said), "{said}: {}", lines[1]);
    }
    assert!(!log.contains(ROOT), "a token is in the log");
}

#[tokio::test]
async fn a_running_server_sees_what_another_process_changes_within_a_second() {
    let server = start().await;
    assert!(may_summarize(&server, ALICE).await);
    for (task, expected) in [("disable", false), ("enable", true)] {
        let run = server.home().run(&["flags", task, FLAG]).await.unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let state = if expected { "on" } else { "off" };
        assert_eq!(run.stdout, format!("{FLAG} is {state}\n"));
        let elapsed = until_may_summarize(&server, expected).await;
        assert!(elapsed <= Duration::from_secs(1), "seen after {elapsed:?}");
    }
    let run = server.home().run(&["flags", "delete", FLAG]).await.unwrap();
    assert_eq!(run.stdout, format!("{FLAG} is on\n"));
    let run = server.home().run(&["flags", "delete", FLAG]).await.unwrap();
    assert_eq!((run.code(), run.stdout), (Some(0), format!("{FLAG} has not been changed\n")));
}

#[tokio::test]
async fn a_file_of_flags_emptied_under_a_running_server_counts_within_a_second() {
    let server = start().await;
    assert!(may_summarize(&server, ALICE).await);
    server.home().write("demo/flags.yaml", "").unwrap();
    let elapsed = until_may_summarize(&server, false).await;
    assert!(elapsed <= Duration::from_secs(1), "seen after {elapsed:?}");
}

#[tokio::test]
async fn narrowing_a_flag_that_is_on_by_default_is_not_done_without_a_word() {
    let home = home();
    home.write("demo/flags.yaml", "").unwrap();
    let run = home.run(&["flags", "enable", "duo_chat", "--user", "alice"]).await.unwrap();
    assert_eq!(
        (run.code(), run.stdout.as_str()),
        (Some(0), "duo_chat is on for 1 actor\n"),
        "{}",
        run.stderr
    );
    let said =
        "it was on by default and is now off for everyone else; `duologue flags delete duo_chat` undoes this";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let run = home.run(&["flags", "disable", "ai_duo_chat_switch", "--user", "mallory"]).await.unwrap();
    assert_eq!((run.code(), run.stdout.as_str()), (Some(0), "ai_duo_chat_switch is off\n"), "{}", run.stderr);
    assert!(run.stderr.contains("it was on by default and is now off for everyone; "), "{}", run.stderr);
}

#[tokio::test]
async fn flags_lists_every_flag_and_where_it_is_from() {
    let home = home();
    let run = home.run(&["flags", "enable", "explain_code_ai", "--user", "alice"]).await.unwrap();
    assert_eq!(run.stdout, "explain_code_ai is on\n", "{}", run.stderr);
    let run = home.run(&["flags", "disable", "explain_code_ai"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let run = home.run(&["flags", "enable", "explain_code_ai", "--user", "alice"]).await.unwrap();
    assert_eq!(run.stdout, "explain_code_ai is on for 1 actor\n", "{}", run.stderr);
    let run = home.run(&["flags", "list"]).await.unwrap();
    let expected = "\
FLAG                     STATE        GATES     FROM
access_rest_chat         on           everyone  file
ai_duo_chat_switch       on           everyone  file
ai_global_switch         on           everyone  file
duo_chat                 on           everyone  file
expanded_ai_logging      off          -         file
explain_code_ai          conditional  User:2    changed
generate_description_ai  on           everyone  file
summarize_comments_ai    on           everyone  file
";
    assert_eq!(run.stdout, expected, "{}", run.stderr);

    let run = home.run(&["flags", "enable-all"]).await.unwrap();
    assert!(run.stdout.ends_with("explain_code_ai is on\n"), "{}", run.stdout);
    let run = home.run(&["flags", "enable", "duo_chatt"]).await.unwrap();
    assert_eq!(run.code(), Some(1));
    assert!(run.stderr.contains("did you mean `duo_chat`?"), "{}", run.stderr);
    let run = home.run(&["check"]).await.unwrap();
    assert!(run.stdout.contains("changed by "), "{}{}", run.stdout, run.stderr);
}
