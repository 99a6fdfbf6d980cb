//! What is in a stream, and what is read from one.

use super::*;

async fn seconds_to_live(redis: &RedisServer) -> i64 {
    redis.run(&["TTL", STREAM_OF_ALICE]).await.unwrap()
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn a_chat_is_two_entries_with_the_fields_of_gitlabs_layer() {
    let (redis, server) = scene().await;
    let request_id = ask_and_write(&server, &redis).await;
    let entries = entries(&redis, STREAM_OF_ALICE).await;
    assert_whole(&entries, &[request_id]);
    for entry in &entries {
        let names: Vec<&str> = entry.keys().map(String::as_str).collect();
        assert_eq!(names, ["content", "errors", "extras", "id", "request_id", "role", "timestamp"]);
        assert_eq!((entry["errors"].as_str(), entry["extras"].as_str()), ("[]", "{}"));
    }
    assert_eq!(entries[0]["content"], "Where is this kept?");

    let shown = messages(&server.graphql(ALICE).unwrap(), None).await;
    let contents: Vec<&str> = shown.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents, [&entries[0]["content"], &entries[1]["content"]]);
    assert_eq!(messages(&server.graphql(ROOT).unwrap(), None).await, [] as [Value; 0]);
    is_well_again(&server).await;
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn the_newest_fifty_messages_are_left_and_each_begins_the_three_days_anew() {
    let (redis, server) = scene().await;
    let mut requests = vec![ask_and_write(&server, &redis).await];
    assert!((259_190..=259_200).contains(&seconds_to_live(&redis).await));
    redis.run::<i64>(&["EXPIRE", STREAM_OF_ALICE, "100"]).await.unwrap();
    for _ in 0..25 {
        requests.push(ask_and_write(&server, &redis).await);
    }
    assert!((259_190..=259_200).contains(&seconds_to_live(&redis).await));
    assert_whole(&entries(&redis, STREAM_OF_ALICE).await, &requests[1..]);
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), 50);
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn what_others_wrote_is_shown_where_it_is_a_message_and_passed_over_where_it_is_none() {
    let (redis, server) = scene().await;
    let add = async |fields: &[&str]| {
        let words: Vec<&str> = ["XADD", STREAM_OF_ALICE, "*"].iter().chain(fields).copied().collect();
        redis.run::<String>(&words).await.unwrap();
    };
    let (id, request_id) = ("0198f3a0-0000-7000-8000-000000000001", "0198f3a0-0000-7000-8000-000000000002");
    add(&["hello", "world"]).await;
    add(&["id", id, "request_id", request_id, "role", "nobody", "content", "not to be shown"]).await;
    let from_gitlab = ["id", id, "request_id", request_id, "role", "user", "content", "asked there"];
    let further =
        ["referer_url", "http://127.0.0.1/x", "timestamp", "2026-01-01 10:00:00 UTC", "unknown", "x"];
    add(&[from_gitlab.as_slice(), further.as_slice()].concat()).await;
    ask_and_write(&server, &redis).await;

    let shown = messages(&server.graphql(ALICE).unwrap(), None).await;
    let contents: Vec<&str> = shown.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!((contents.len(), contents[0], contents[1]), (3, "asked there", "Where is this kept?"));
    assert_eq!(shown[0]["timestamp"], "2026-01-01T10:00:00.000Z");
    let log = server.log_with("conversation.entries.unreadable").await.unwrap();
    assert!(log.contains("skipped") && !log.contains("not to be shown"), "{log}");
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn connections_that_were_closed_while_nobody_used_them_are_made_anew_unnoticed() {
    let (redis, server) = scene().await;
    ask_and_write(&server, &redis).await;
    for count in [4, 6] {
        redis.run::<i64>(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
        assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), count - 2);
        ask_and_write(&server, &redis).await;
        assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), count);
    }
    let log = server.log().unwrap();
    assert!(!log.contains("conversation.relay.held_up"), "{log}");
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn a_password_comes_from_its_variable_and_is_shown_nowhere() {
    let mut redis = RedisServer::start().await.unwrap();
    redis.require("a-secret-password").await.unwrap();
    let mut home = home_with(&redis.url());
    let settings = json!({ "url": redis.url(), "username": "default", "password_variable": "CHAT_PASSWORD" });
    home.set("conversation", "redis", settings).unwrap();
    let check = home.run(&["check", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(check.code(), Some(1));
    assert!(check.stderr.contains("names CHAT_PASSWORD, which is not set"), "{}", check.stderr);

    home.write(".env", "CHAT_PASSWORD=wrong\n").unwrap();
    let mut server = home.serve().await.unwrap();
    ask_to_the_end(&server, ALICE, chat("Does it let me in?", None)).await;
    let why = degraded(&server).await;
    assert!(why.contains(&redis.url()) && !why.contains("secret"), "{why}");

    server.terminate().await.unwrap();
    server.ended().await.unwrap();
    server.home().write(".env", "CHAT_PASSWORD=a-secret-password\n").unwrap();
    server.restart().await.unwrap();
    assert_eq!(entries_once(&redis, STREAM_OF_ALICE, 2, PROMISED).await.len(), 2);
    is_well_again(&server).await;
    let log = server.whole_log().await.unwrap();
    assert!(!log.contains("a-secret-password") && !log.contains("Does it let me in"), "{log}");
}
