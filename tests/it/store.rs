//! The store, from outside: what an operator sees of it, and what clients see when it fails.

use std::fs;

use duologue_harness::server::{Run, TestServer};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{
    ALICE, ISSUE, ROOT, answer, ask, ask_to_the_end, chat, home, messages, socket, start, subscribe,
    summarize, try_ask,
};

async fn duologue(server: &TestServer, arguments: &[&str]) -> Run {
    server.home().run(arguments).await.unwrap()
}

#[tokio::test]
async fn an_operator_sees_conversations_and_requests_beside_a_running_server() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, chat("What is a unit primitive?", None)).await;

    for user in ["alice", "2", "gid://gitlab/User/2"] {
        let shown = duologue(&server, &["messages", "--user", user]).await;
        assert_eq!(shown.code(), Some(0), "{shown:?}");
        let lines: Vec<&str> = shown.stdout.lines().collect();
        assert!(lines[0].ends_with("  duo_chat_legacy  What is a unit primitive?"), "{lines:?}");
        assert!(lines[1].ends_with(&format!("user  {request_id}")), "{lines:?}");
        assert_eq!(lines[2], "    What is a unit primitive?");
        assert!(lines.iter().any(|line| line.ends_with(&format!("assistant  {request_id}"))), "{lines:?}");
    }
    let shown = duologue(&server, &["messages", "--user", "alice", "--json"]).await;
    let first: Value = serde_json::from_str(shown.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["role"], &first["requestId"]), (&json!("user"), &json!(request_id)));

    let shown = duologue(&server, &["requests"]).await;
    let line = shown.stdout.lines().find(|line| line.starts_with(&request_id)).unwrap();
    for part in ["  2  ", "chat", "completed", "embedded/extractive"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!shown.stdout.contains("primitive"), "what was asked is not shown");
    let shown = duologue(&server, &["requests", "--json", "--user", "mallory"]).await;
    assert_eq!((shown.code(), &*shown.stdout), (Some(0), ""));
    let shown = duologue(&server, &["requests", "--unfinished"]).await;
    assert_eq!(shown.stdout.lines().count(), 1, "{}", shown.stdout);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_named_with_the_mend() {
    let home = home();
    let missing = home.run(&["messages", "--user", "nobody"]).await.unwrap();
    assert_eq!(missing.code(), Some(1));
    assert!(missing.stderr.contains("there is no user `nobody`"), "{}", missing.stderr);
    for arguments in [&["messages", "--user", "alice"][..], &["requests"], &["store", "verify"]] {
        let missing = home.run(arguments).await.unwrap();
        assert_eq!(missing.code(), Some(1));
        assert!(missing.stderr.contains("there is no database at"), "{}", missing.stderr);
    }
    let mut home = crate::support::home();
    home.set("storage", "durability", "memory").unwrap();
    let nothing = home.run(&["requests"]).await.unwrap();
    assert!(nothing.stderr.contains("storage.durability is memory"), "{}", nothing.stderr);
}

#[tokio::test]
async fn a_copy_is_made_beside_a_running_server_and_a_server_runs_on_it() {
    let mut server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, chat("What is a unit primitive?", None)).await;
    let made = duologue(&server, &["store", "backup", "copy.sqlite3"]).await;
    assert_eq!(made.code(), Some(0), "{made:?}");
    let again = duologue(&server, &["store", "backup", "copy.sqlite3"]).await;
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let nowhere = duologue(&server, &["store", "backup", "no/such/folder/copy"]).await;
    assert!(nowhere.stderr.contains("cannot be written"), "{}", nowhere.stderr);

    ask_to_the_end(&server, ALICE, chat("What came after the copy?", None)).await;
    server.terminate().await.unwrap();
    server.ended().await.unwrap();
    let (copy, data) = (server.home().path().join("copy.sqlite3"), server.home().path().join("data"));
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::rename(copy, data.join("duologue.sqlite3")).unwrap();
    server.restart().await.unwrap();
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert_eq!(kept.iter().map(|message| &message["requestId"]).collect::<Vec<_>>(), [&request_id; 2]);
    let verified = duologue(&server, &["store", "verify"]).await;
    assert!(verified.stdout.contains("1 ended requests, 2 messages"), "{verified:?}");
}

#[tokio::test]
async fn a_damaged_store_is_found_out_set_aside_and_served_as_far_as_it_can_be_read() {
    let mut server = start().await;
    ask_to_the_end(&server, ALICE, chat("What is a quince?", None)).await;
    ask_to_the_end(&server, ROOT, chat("What is a unit primitive?", None)).await;
    server.terminate().await.unwrap();
    server.ended().await.unwrap();
    let path = server.home().path().join("data/duologue.sqlite3");
    let mut content = fs::read(&path).unwrap();
    let sound = content.clone();
    // One of the questions, in the middle of its text, wherever that has lain in the file.
    let places: Vec<usize> =
        (0..content.len()).filter(|place| content[*place..].starts_with(b"quince")).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| content[place] = b'Q');
    fs::write(&path, &content).unwrap();

    let verified = duologue(&server, &["store", "verify"]).await;
    assert_eq!(verified.code(), Some(1), "{verified:?}");
    assert!(verified.stderr.contains("of messages is not as it was written"), "{}", verified.stderr);
    assert_eq!(fs::read(&path).unwrap(), content, "verifying changes nothing");

    server.restart().await.unwrap();
    let mut kept = Vec::new();
    for user in [ALICE, ROOT] {
        kept.extend(messages(&server.graphql(user).unwrap(), None).await);
    }
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(!format!("{kept:?}").contains("Quince"), "{kept:?}");
    let readiness = server.get("/-/readiness").await.unwrap();
    let why = readiness.at("/parts/storage/degraded");
    assert_eq!(readiness.status, 200);
    assert!(why.as_str().unwrap().contains("duologue.sqlite3.damaged-"), "{why}");
    let aside: Vec<_> = fs::read_dir(server.home().path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("damaged"))
        // Its log is beside it.
        .filter(|path| !path.to_string_lossy().ends_with("-wal"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read(&aside[0]).unwrap(), content);
    assert_ne!(content, sound);
    assert_eq!(duologue(&server, &["store", "verify"]).await.code(), Some(0));
}

/// The bound on the size of any file the process writes; a disk that refuses, as far as the process can tell.
async fn limit_files(server: &TestServer, bytes: &str) {
    let pid = server.pid().unwrap().to_string();
    // The hard limit stays, so that it can be lifted again.
    let limit = format!("--fsize={bytes}:");
    let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.unwrap();
    assert!(status.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_refuses_writes_costs_new_requests_only_and_no_restart() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let first = ask(&client, summarize(ISSUE, Some("c"))).await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "requestId": first })).await;
    answer(&mut socket, "1", &first).await.content();

    limit_files(&server, "1").await;
    let refused = try_ask(&client, summarize(ISSUE, None)).await;
    assert_eq!((refused.status, refused.code().as_deref()), (503, Some("storage_unavailable")));
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.headers);
    assert!(messages(&client, None).await.is_empty(), "reads go on");
    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!((readiness.status, readiness.at("/missing")), (503, json!(["storage"])));
    assert_eq!(server.get("/-/liveness").await.unwrap().status, 200);
    assert_eq!(socket.frames_so_far().await.unwrap(), [] as [Value; 0], "the socket lives");

    limit_files(&server, "unlimited").await;
    let second = ask(&client, summarize(ISSUE, Some("c"))).await;
    subscribe(&mut socket, "2", json!({ "requestId": second })).await;
    answer(&mut socket, "2", &second).await.content();
    assert_eq!(server.get("/-/readiness").await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_in_memory_only_is_gone_after_a_restart_and_the_log_says_that_it_will_be() {
    let mut home = home();
    home.set("storage", "durability", "memory").unwrap();
    let mut server = home.serve().await.unwrap();
    server.log_with("storage.durability is not fsync").await.unwrap();
    ask_to_the_end(&server, ALICE, chat("What is a unit primitive?", None)).await;
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), 2);
    assert!(!server.home().path().join("data/duologue.sqlite3").exists());
    server.terminate().await.unwrap();
    server.ended().await.unwrap();
    server.restart().await.unwrap();
    assert!(messages(&server.graphql(ALICE).unwrap(), None).await.is_empty());
}
