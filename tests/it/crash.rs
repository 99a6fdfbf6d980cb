//! `kill -9` with requests in flight: none lost, none twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use duologue_harness::{
    graphql::GraphqlClient,
    server::{PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use crate::support::{AI_ACTION, ALICE, ALICE_ID, SUBSCRIPTION, chat, home, messages, socket};

const CLIENTS: usize = 32;
const REQUESTS_BEFORE_THE_KILL: usize = 100;

/// Requests of which a client holds the `requestId`: those that may not be lost.
type Ledger = BTreeSet<String>;

/// Final messages by request.
type Finals = BTreeMap<String, Vec<Value>>;

/// Asks on and on, until the server is gone; what was acknowledged.
async fn ask_until_killed(
    client: GraphqlClient,
    acknowledged: Arc<AtomicUsize>,
    enough: Arc<Notify>,
) -> Ledger {
    let mut ledger = Ledger::new();
    loop {
        let variables = json!({ "input": chat("How do I add a new AI action?", None) });
        // No answer, or half of one: the client never learnt of the request.
        let Ok(reply) = client.post(AI_ACTION, variables).await else {
            return ledger;
        };
        let Some(request_id) = reply.at("/data/aiAction/requestId").as_str().map(str::to_owned) else {
            continue;
        };
        ledger.insert(request_id);
        if acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == REQUESTS_BEFORE_THE_KILL {
            enough.notify_one();
        }
    }
}

/// Lets many clients ask at once and kills the server in the middle of it.
async fn kill_in_the_middle(server: &mut TestServer) -> Ledger {
    let (acknowledged, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = server.graphql(ALICE).unwrap();
        clients.spawn(ask_until_killed(client, Arc::clone(&acknowledged), Arc::clone(&enough)));
    }
    timeout(PATIENCE, enough.notified()).await.expect("the server answers too slowly");
    server.kill9().await.unwrap();
    clients.join_all().await.into_iter().flatten().collect()
}

/// The final messages each request of the ledger brings on a subscription of its own.
async fn finals(server: &TestServer, ledger: &Ledger) -> Finals {
    let mut finals = Finals::new();
    let requests: Vec<&String> = ledger.iter().collect();
    for batch in requests.chunks(100) {
        let mut socket = socket(server, ALICE).await;
        for request_id in batch {
            let variables = json!({ "userId": ALICE_ID, "requestId": request_id });
            socket.subscribe(request_id, SUBSCRIPTION, variables).await.unwrap();
        }
        let mut missing: BTreeSet<&str> = batch.iter().map(|id| id.as_str()).collect();
        while !missing.is_empty() {
            let frame = socket.frame().await.unwrap_or_else(|error| panic!("lost: {missing:?}: {error:#}"));
            missing.remove(keep_final(&frame, &mut finals).unwrap_or_default());
        }
        for frame in socket.frames_so_far().await.unwrap() {
            keep_final(&frame, &mut finals);
        }
        socket.close().await.unwrap();
    }
    finals
}

/// Keeps the frame's message if it is a final one; the subscription it came on.
fn keep_final<'f>(frame: &'f Value, finals: &mut Finals) -> Option<&'f str> {
    assert_eq!(frame["type"], "next", "{frame}");
    let message = &frame["payload"]["data"]["aiCompletionResponse"];
    if message["role"] != "ASSISTANT" || !message["chunkId"].is_null() {
        return None;
    }
    assert_eq!(message["requestId"], frame["id"]);
    finals.entry(frame["id"].as_str()?.to_owned()).or_default().push(message.clone());
    frame["id"].as_str()
}

/// A server of which everything can be counted afterwards.
async fn countable_server() -> TestServer {
    let mut home = home();
    home.set("conversation", "max_messages", 10_000).unwrap();
    home.set("websocket", "max_messages_per_second", 10_000).unwrap();
    home.set("rate_limits", "ai_action", 1_000_000).unwrap();
    home.set("rate_limits", "in_flight_per_user", CLIENTS).unwrap();
    home.serve().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_request_ends_exactly_once_after_a_kill() {
    let mut server = countable_server().await;

    let ledger = kill_in_the_middle(&mut server).await;
    assert!(ledger.len() >= REQUESTS_BEFORE_THE_KILL);
    server.restart().await.unwrap();

    let finals = finals(&server, &ledger).await;
    assert_eq!(finals.keys().collect::<BTreeSet<_>>(), ledger.iter().collect());
    assert!(finals.values().all(|finals| finals.len() == 1), "{finals:?}");

    // The conversation agrees: one question and one answer each, however often the model was asked.
    let client = server.graphql(ALICE).unwrap();
    for request_id in &ledger {
        let roles: Vec<Value> = messages(&client, Some(&[request_id]))
            .await
            .iter()
            .map(|message| message["role"].clone())
            .collect();
        assert_eq!(roles, ["USER", "ASSISTANT"], "{request_id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_request_passes_all_checks_again() {
    let mut server = countable_server().await;
    let ledger = kill_in_the_middle(&mut server).await;
    let flags = server.home().read("demo/flags.yaml").unwrap();
    assert!(flags.contains("duo_chat: true"), "{flags}");
    server.home().write("demo/flags.yaml", &flags.replace("duo_chat: true", "duo_chat: false")).unwrap();
    server.restart().await.unwrap();

    let finals = finals(&server, &ledger).await;
    assert!(finals.values().all(|finals| finals.len() == 1), "{finals:?}");
    let errors: Vec<String> = finals.values().map(|finals| finals[0]["errors"].to_string()).collect();
    // What had ended before the kill stays as it ended; the rest finds its flag switched off.
    let switched_off =
        errors.iter().filter(|errors| errors.contains("required feature flag is disabled.")).count();
    assert!(switched_off > 0, "no request was in flight: {errors:?}");
    assert_eq!(
        errors.iter().filter(|errors| *errors == "[]").count() + switched_off,
        ledger.len(),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_conversation_survives_a_kill() {
    let mut server = home().serve().await.unwrap();
    let request_id =
        crate::support::ask_to_the_end(&server, ALICE, chat("What is a unit primitive?", None)).await;
    let before = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert_eq!(before.len(), 2);
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), Some(&[&request_id])).await, before);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_by_the_firsts_pid() {
    let server = home().serve().await.unwrap();
    let pid = server.pid().unwrap().to_string();
    let second = server.home().run(&["serve", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(second.code(), Some(1), "{second:?}");
    assert!(second.stderr.contains(&pid), "the first process is {pid}: {}", second.stderr);
    // The first is none the worse for it.
    crate::support::ask_to_the_end(&server, ALICE, chat("Are you still there?", None)).await;
}
