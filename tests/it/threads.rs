//! Threads of a conversation, as GitLab's clients name, read and list them.

use std::collections::BTreeSet;

use duologue_harness::{
    action_cable::{ActionCable, identifier},
    graphql::{GraphqlClient, Reply},
    server::TestServer,
};
use serde_json::{Value, json};

use crate::support::{ALICE, MALLORY, ROOT, chat, home, socket, start, summarize, until_ended};

const ASK: &str =
    "mutation chat($input: AiActionInput!) { aiAction(input: $input) { requestId errors threadId } }";

const ANSWERS: &str = "subscription s($c: String) {
  aiCompletionResponse(clientSubscriptionId: $c) { requestId threadId chunkId role content }
}";

const READ: &str =
    "query m($threadId: AiConversationThreadID, $type: AiConversationsThreadsConversationType) {
  aiMessages(threadId: $threadId, conversationType: $type) { nodes { content role threadId } }
}";

const LIST: &str =
    "query t($id: AiConversationThreadID, $type: AiConversationsThreadsConversationType, $first: Int,
    $after: String) {
  aiConversationThreads(id: $id, conversationType: $type, first: $first, after: $after) {
    nodes { id lastUpdatedAt createdAt conversationType title }
    edges { cursor node { id } }
    pageInfo { endCursor hasNextPage hasPreviousPage }
  }
}";

const GONE: &str = "Thread not found. It may have expired.";
const QUICK: &str = "DUO_QUICK_CHAT";

fn with(mut input: Value, more: &Value) -> Value {
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

/// Asks to the end; the thread of the payload.
async fn say(server: &TestServer, token: &str, content: &str, more: Value) -> Value {
    let client = server.graphql(token).unwrap();
    let reply = client.post(ASK, json!({ "input": with(chat(content, None), &more) })).await.unwrap();
    let payload = reply.at("/data/aiAction");
    assert_eq!(payload["errors"], json!([]), "{}", reply.text);
    until_ended(server, token, payload["requestId"].as_str().unwrap()).await;
    payload["threadId"].clone()
}

async fn try_read(client: &GraphqlClient, thread: Value) -> Reply {
    client.post(READ, thread).await.unwrap()
}

/// What users said in a thread.
async fn questions(client: &GraphqlClient, thread: Value) -> Vec<String> {
    let reply = try_read(client, thread).await;
    let nodes = reply.at("/data/aiMessages/nodes");
    let nodes = nodes.as_array().unwrap_or_else(|| panic!("{}", reply.text));
    let said = nodes.iter().filter(|node| node["role"] == "USER");
    said.map(|node| node["content"].as_str().unwrap().to_owned()).collect()
}

async fn list(client: &GraphqlClient, variables: Value) -> Value {
    let reply = client.post(LIST, variables).await.unwrap();
    let page = reply.at("/data/aiConversationThreads");
    assert!(page.is_object(), "{}", reply.text);
    page
}

fn ids(page: &Value) -> Vec<Value> {
    page["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect()
}

/// What a refusal says, without the request it is about.
fn refusal(reply: &Reply) -> (u16, Value, Value, Value) {
    let error = reply.at("/errors/0");
    (
        reply.status,
        error["message"].clone(),
        error["extensions"]["code"].clone(),
        error["extensions"]["hop"].clone(),
    )
}

#[tokio::test]
async fn quick_chat_begins_a_thread_goes_on_in_it_and_clears_it() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let legacy = say(&server, ALICE, "What is a licence?", json!({})).await;
    let quick = say(&server, ALICE, "What is a unit primitive?", json!({ "conversationType": QUICK })).await;
    assert_ne!(legacy, quick);
    let number = quick.as_str().unwrap().strip_prefix("gid://gitlab/Ai::Conversation::Thread/").unwrap();
    assert!(number.parse::<u64>().unwrap() < 1 << 53, "a browser reads it as a number");
    let more = json!({ "threadId": quick, "conversationType": QUICK });
    assert_eq!(say(&server, ALICE, "And a feature flag?", more).await, quick);
    assert_eq!(questions(&client, json!({})).await, ["What is a licence?"]);
    let both = ["What is a unit primitive?", "And a feature flag?"];
    assert_eq!(questions(&client, json!({ "threadId": quick })).await, both);
    assert_eq!(questions(&client, json!({ "type": QUICK })).await, both);
    assert_eq!(questions(&client, json!({ "type": "DUO_CHAT" })).await, [""; 0]);

    // An editor clears its thread by name alone.
    assert_eq!(say(&server, ALICE, "/clear", json!({ "threadId": quick })).await, quick);
    assert_eq!(questions(&client, json!({ "threadId": quick })).await, [""; 0]);
    assert_eq!(questions(&client, json!({ "type": "DUO_CHAT_LEGACY" })).await, ["What is a licence?"]);
}

#[tokio::test]
async fn the_list_is_the_callers_own_the_newest_first_page_by_page() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let legacy = say(&server, ALICE, "one?", json!({})).await;
    let first = say(&server, ALICE, "two?", json!({ "conversationType": "DUO_CHAT" })).await;
    let second = say(&server, ALICE, "three?", json!({ "conversationType": "DUO_CHAT" })).await;
    say(&server, ALICE, "four?", json!({ "threadId": first, "conversationType": "DUO_CHAT" })).await;

    let all = list(&client, json!({})).await;
    assert_eq!(ids(&all), [first.clone(), second.clone(), legacy.clone()]);
    let titles: Vec<_> = all["nodes"].as_array().unwrap().iter().map(|node| &node["title"]).collect();
    assert_eq!(titles, [&json!("two?"), &json!("three?"), &json!("one?")]);
    let node = &all["nodes"][0];
    assert!(node["createdAt"].as_str() < node["lastUpdatedAt"].as_str(), "{node}");
    assert_eq!(ids(&list(&client, json!({ "type": "DUO_CHAT" })).await), [first.clone(), second.clone()]);
    assert_eq!(ids(&list(&client, json!({ "id": legacy })).await), std::slice::from_ref(&legacy));

    let page = list(&client, json!({ "first": 2 })).await;
    assert_eq!(
        (&page["pageInfo"]["hasNextPage"], &page["pageInfo"]["hasPreviousPage"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(page["edges"][1]["cursor"], page["pageInfo"]["endCursor"]);
    let rest = list(&client, json!({ "first": 2, "after": page["pageInfo"]["endCursor"] })).await;
    assert_eq!(ids(&rest), [legacy]);
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);

    assert_eq!(ids(&list(&server.graphql(ROOT).unwrap(), json!({})).await), [] as [Value; 0]);
    assert_eq!(ids(&list(&server.graphql(ROOT).unwrap(), json!({ "id": first })).await), [] as [Value; 0]);
    assert_eq!(ids(&list(&server.anonymous().unwrap(), json!({})).await), [] as [Value; 0]);
    let none = client.post(LIST, json!({ "after": "yesterday" })).await.unwrap();
    assert_eq!(none.error_messages(), ["after is not a cursor of aiConversationThreads"]);
}

#[tokio::test]
async fn a_thread_that_is_somebody_elses_is_refused_as_one_that_never_was() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let theirs = say(&server, ROOT, "A secret?", json!({ "conversationType": QUICK })).await;
    let mine = say(&server, ALICE, "Mine?", json!({ "conversationType": QUICK })).await;
    let never = json!("gid://gitlab/Ai::Conversation::Thread/1");
    let (mut asked, mut read) = (Vec::new(), Vec::new());
    for thread in [&theirs, &never] {
        let input = with(chat("What did they say?", None), &json!({ "threadId": thread }));
        asked.push(refusal(&client.post(ASK, json!({ "input": input })).await.unwrap()));
        read.push(refusal(&try_read(&client, json!({ "threadId": thread })).await));
    }
    let gone = (200, json!(GONE), json!("not_found"), json!("cache"));
    assert_eq!((&asked[0], &asked[1]), (&gone, &gone));
    assert_eq!((&read[0], &read[1]), (&gone, &gone));
    let input =
        with(chat("Of another type?", None), &json!({ "threadId": mine, "conversationType": "DUO_CHAT" }));
    assert_eq!(refusal(&client.post(ASK, json!({ "input": input })).await.unwrap()), gone);
    assert_eq!(questions(&client, json!({ "threadId": mine })).await, ["Mine?"]);
    assert_eq!(ids(&list(&client, json!({})).await), [mine]);

    // Who may not chat at all hears nothing of threads.
    let mallory = server.graphql(MALLORY).unwrap();
    let input = with(chat("Whose?", None), &json!({ "threadId": theirs }));
    assert_eq!(refusal(&mallory.post(ASK, json!({ "input": input })).await.unwrap()).2, "forbidden");
}

#[tokio::test]
async fn what_cannot_name_a_thread_is_refused_before_anything_is_asked() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    for more in [
        json!({ "threadId": "gid://gitlab/Issue/52" }),
        json!({ "threadId": "7" }),
        json!({ "conversationType": "CHAT" }),
    ] {
        let reply = client.post(ASK, json!({ "input": with(chat("Why?", None), &more) })).await.unwrap();
        assert_eq!(reply.at("/errors/0/extensions/code"), "argumentLiteralsIncompatible", "{}", reply.text);
    }
    let odd = json!({ "threadId": "gid://gitlab/Ai::Conversation::Thread/abc" });
    let reply = client.post(ASK, json!({ "input": with(chat("Why?", None), &odd) })).await.unwrap();
    assert_eq!(reply.at("/errors/0/extensions/code"), "argumentLiteralsIncompatible", "{}", reply.text);
    assert_eq!(ids(&list(&client, json!({})).await), [] as [Value; 0]);
}

#[tokio::test]
async fn an_action_without_a_conversation_is_in_no_thread() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let input = with(summarize(crate::support::ISSUE, None), &json!({ "conversationType": QUICK }));
    let reply = client.post(ASK, json!({ "input": input })).await.unwrap();
    assert!(reply.at("/data/aiAction/requestId").is_string(), "{}", reply.text);
    assert_eq!(reply.at("/data/aiAction/threadId"), Value::Null);
    assert_eq!(ids(&list(&client, json!({})).await), [] as [Value; 0]);
}

#[tokio::test]
async fn every_message_says_its_thread_over_both_websocket_protocols() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let mut socket = socket(&server, ALICE).await;
    let mut cable = ActionCable::open(server.cable().token(ALICE)).await.unwrap();
    cable.welcomed().await.unwrap();
    socket.subscribe("1", ANSWERS, json!({ "c": "page" })).await.unwrap();
    cable.subscribe(&identifier(ANSWERS, &json!({ "c": "page" }))).await.unwrap();

    let input = with(chat("What is a unit primitive?", Some("page")), &json!({ "conversationType": QUICK }));
    let reply = client.post(ASK, json!({ "input": input })).await.unwrap();
    let thread_id = reply.at("/data/aiAction/threadId");
    assert!(thread_id.is_string(), "{}", reply.text);
    let over_socket =
        async || socket.frame().await.unwrap()["payload"]["data"]["aiCompletionResponse"].clone();
    let over_cable =
        async || cable.frame().await.unwrap()["message"]["result"]["data"]["aiCompletionResponse"].clone();
    assert_says_its_thread(over_socket, &thread_id).await;
    assert_says_its_thread(over_cable, &thread_id).await;
}

/// Reads up to the final message, which comes after chunks.
async fn assert_says_its_thread(mut next: impl AsyncFnMut() -> Value, thread_id: &Value) {
    let mut chunks = 0;
    loop {
        let message = next().await;
        if message.is_null() {
            continue;
        }
        assert_eq!(&message["threadId"], thread_id, "{message}");
        if message["chunkId"].is_null() && message["role"] == "ASSISTANT" {
            break;
        }
        chunks += 1;
    }
    assert!(chunks > 0);
}

#[tokio::test]
async fn threads_are_there_after_the_server_was_killed_and_a_repeated_key_is_in_the_same_one() {
    let mut server = start().await;
    let say_once = async |server: &TestServer| {
        let input = with(chat("Once?", None), &json!({ "conversationType": QUICK }));
        let body = json!({ "query": ASK, "variables": { "input": input } });
        let client = server.graphql(ALICE).unwrap();
        let request = client.post_request().header("Idempotency-Key", "once").json(&body);
        let reply = duologue_harness::graphql::send(request).await.unwrap();
        (reply.at("/data/aiAction/requestId"), reply.at("/data/aiAction/threadId"))
    };
    let first = say_once(&server).await;
    until_ended(&server, ALICE, first.0.as_str().unwrap()).await;
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(say_once(&server).await, first);
    let client = server.graphql(ALICE).unwrap();
    assert_eq!(ids(&list(&client, json!({})).await), std::slice::from_ref(&first.1));
    assert_eq!(say(&server, ALICE, "Again?", json!({ "threadId": first.1 })).await, first.1);
    assert_eq!(questions(&client, json!({ "threadId": first.1 })).await, ["Once?", "Again?"]);
}

#[tokio::test]
async fn only_so_many_threads_are_kept_beside_the_legacy_one() {
    let mut home = home();
    home.set("conversation", "max_threads", 2).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let legacy = say(&server, ALICE, "legacy?", json!({})).await;
    let mut begun = Vec::new();
    for question in ["one?", "two?", "three?"] {
        begun.push(say(&server, ALICE, question, json!({ "conversationType": QUICK })).await);
    }
    let kept: BTreeSet<String> =
        ids(&list(&client, json!({})).await).iter().map(ToString::to_string).collect();
    assert_eq!(kept, [&legacy, &begun[1], &begun[2]].map(ToString::to_string).into());
    assert_eq!(refusal(&try_read(&client, json!({ "threadId": begun[0] })).await).1, GONE);
}

#[tokio::test]
async fn a_thread_expires_by_itself() {
    let mut home = home();
    home.set("conversation", "expiry_seconds", 1).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let quick = say(&server, ALICE, "one?", json!({ "conversationType": QUICK })).await;
    let expired = async {
        while !ids(&list(&client, json!({})).await).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(duologue_harness::server::PATIENCE, expired).await.unwrap();
    let input = with(chat("two?", None), &json!({ "threadId": quick }));
    let reply = client.post(ASK, json!({ "input": input })).await.unwrap();
    assert_eq!(refusal(&reply).1, GONE);
    assert_eq!(refusal(&try_read(&client, json!({ "threadId": quick })).await).1, GONE);
}

#[tokio::test]
async fn an_operator_sees_each_thread_or_one() {
    let server = start().await;
    say(&server, ALICE, "What is a licence?", json!({})).await;
    let quick = say(&server, ALICE, "What is a unit primitive?", json!({ "conversationType": QUICK })).await;
    let quick = quick.as_str().unwrap();
    let shown = server.home().run(&["messages", "--user", "alice"]).await.unwrap();
    let headings: Vec<&str> = shown.stdout.lines().filter(|line| line.starts_with("gid://")).collect();
    assert_eq!(headings.len(), 2, "{}", shown.stdout);
    assert_eq!(headings[1], format!("{quick}  duo_quick_chat  What is a unit primitive?"));
    let shown =
        server.home().run(&["messages", "--user", "alice", "--thread", quick, "--json"]).await.unwrap();
    let lines: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", shown.stdout);
    assert!(lines.iter().all(|line| line["threadId"] == quick), "{}", shown.stdout);
    let nobodys = server.home().run(&["messages", "--user", "mallory", "--thread", quick]).await.unwrap();
    assert!(nobodys.stderr.contains("has no messages here"), "{nobodys:?}");
}
