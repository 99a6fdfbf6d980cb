//! Conversations in a real Redis, and what happens to them while it is away. `make test` installs the server.
//!
//! `REDIS_SERVER=/path/to/valkey-server make test` plays the same against another version.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use duologue_harness::{
    redis::RedisServer,
    server::{Home, PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{ALICE, ROOT, ask_to_the_end, chat, home, messages};

mod faults;
mod stream;
mod threads;

/// Within which messages are in Redis after it is back.
const PROMISED: Duration = Duration::from_secs(5);

const STREAM_OF_ALICE: &str = "ai_chat:2";
const STREAM_OF_ROOT: &str = "ai_chat:1";

type Entry = BTreeMap<String, String>;

/// A folder whose conversations are kept at `url`.
fn home_with(url: &str) -> Home {
    let mut home = home();
    home.set("conversation", "store", "redis").unwrap();
    home.set("conversation", "redis", json!({ "url": url })).unwrap();
    home
}

async fn scene() -> (RedisServer, TestServer) {
    let redis = RedisServer::start().await.unwrap();
    let server = home_with(&redis.url()).serve().await.unwrap();
    (redis, server)
}

/// The entries of a stream as anybody reads them.
async fn entries(redis: &RedisServer, key: &str) -> Vec<Entry> {
    let entries: Vec<(String, Entry)> = redis.run(&["XRANGE", key, "-", "+"]).await.unwrap();
    entries.into_iter().map(|(_, fields)| fields).collect()
}

/// The entries, once there are so many.
async fn entries_once(redis: &RedisServer, key: &str, count: usize, patience: Duration) -> Vec<Entry> {
    let there = async {
        loop {
            let entries = entries(redis, key).await;
            if entries.len() >= count {
                return entries;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(patience, there).await.unwrap_or_else(|_| panic!("never {count} entries in {key}"))
}

/// Asks one question to its end, and waits until nothing waits any more; its request.
async fn ask_and_write(server: &TestServer, redis: &RedisServer) -> String {
    let request_id = ask_to_the_end(server, ALICE, chat("Where is this kept?", None)).await;
    let of_it = async || {
        let entries = entries(redis, STREAM_OF_ALICE).await;
        entries.iter().filter(|entry| entry.get("request_id") == Some(&request_id)).count()
    };
    let written = async {
        while of_it().await < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("the messages are never written");
    request_id
}

/// Of each request a question and an answer, in the order they were asked, each message once.
fn assert_whole(entries: &[Entry], requests: &[String]) {
    let said: Vec<(&str, &str)> =
        entries.iter().map(|entry| (entry["request_id"].as_str(), entry["role"].as_str())).collect();
    let expected: Vec<(&str, &str)> = requests
        .iter()
        .flat_map(|request_id| [(request_id.as_str(), "user"), (request_id.as_str(), "assistant")])
        .collect();
    assert_eq!(said, expected);
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids.len(), entries.len());
}

/// What readiness says of the conversations, when everything else is as it should be.
async fn conversation_part(server: &TestServer) -> Value {
    let readiness = server.get("/-/readiness").await.unwrap();
    assert_eq!((readiness.status, readiness.at("/missing")), (200, json!([])), "{}", readiness.text);
    readiness.at("/parts/conversation")
}

/// What is wrong with the conversations, once something is.
async fn degraded(server: &TestServer) -> String {
    let degraded = async {
        loop {
            if let Some(why) = conversation_part(server).await["degraded"].as_str() {
                return why.to_owned();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, degraded).await.expect("readiness says that all is well")
}

async fn is_well_again(server: &TestServer) {
    let well = async {
        while conversation_part(server).await != json!({ "ready": true }) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, well).await.expect("readiness says that something is wrong");
}
