//! A thread in a stream of its own.

use super::*;

const ASK: &str = "mutation chat($input: AiActionInput!) { aiAction(input: $input) { requestId threadId } }";
const READ: &str = "query m($threadId: AiConversationThreadID) {
  aiMessages(threadId: $threadId) { nodes { requestId role threadId } }
}";
const LIST: &str = "{ aiConversationThreads { nodes { id conversationType title } } }";

/// Asks in a thread; the request, the thread, and its stream.
async fn ask_in(server: &TestServer, thread: Value) -> (String, Value, String) {
    let mut input = chat("Where is this kept?", None);
    input.as_object_mut().unwrap().extend(thread.as_object().unwrap().clone());
    let reply = server.graphql(ALICE).unwrap().post(ASK, json!({ "input": input })).await.unwrap();
    let (request_id, thread_id) = (reply.at("/data/aiAction/requestId"), reply.at("/data/aiAction/threadId"));
    let request_id = request_id.as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned();
    crate::support::until_ended(server, ALICE, &request_id).await;
    let number = thread_id.as_str().unwrap().rsplit('/').next().unwrap();
    let stream = format!("{STREAM_OF_ALICE}:{number}");
    (request_id, thread_id, stream)
}

async fn read(server: &TestServer, thread_id: &Value) -> Vec<Value> {
    let reply = server.graphql(ALICE).unwrap().post(READ, json!({ "threadId": thread_id })).await.unwrap();
    let nodes = reply.at("/data/aiMessages/nodes");
    nodes.as_array().unwrap_or_else(|| panic!("{}", reply.text)).clone()
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn each_thread_has_its_own_stream_and_the_legacy_one_is_gitlabs() {
    let (redis, server) = scene().await;
    let legacy = ask_and_write(&server, &redis).await;
    let (first, thread_id, stream) = ask_in(&server, json!({ "conversationType": "DUO_CHAT" })).await;
    let (second, same, _) = ask_in(&server, json!({ "threadId": thread_id })).await;
    assert_eq!(same, thread_id);
    assert_whole(&entries_once(&redis, &stream, 4, PATIENCE).await, &[first, second]);
    assert_whole(&entries(&redis, STREAM_OF_ALICE).await, &[legacy]);
    assert!((259_190..=259_200).contains(&redis.run::<i64>(&["TTL", &stream]).await.unwrap()));

    let shown = read(&server, &thread_id).await;
    assert_eq!(shown.len(), 4);
    assert!(shown.iter().all(|message| message["threadId"] == thread_id), "{shown:?}");
    let listed = server.graphql(ALICE).unwrap().post(LIST, json!({})).await.unwrap();
    let nodes = listed.at("/data/aiConversationThreads/nodes");
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["id"]), (2, &thread_id), "{}", listed.text);
    assert_eq!(nodes[0]["title"], "Where is this kept?");
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), 2);
    is_well_again(&server).await;

    let seen = server.home().run(&["messages", "--user", "alice", "--json"]).await.unwrap();
    assert_eq!(seen.stdout.lines().count(), 6, "{}", seen.stdout);
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn what_others_wrote_is_read_by_who_has_no_thread_here_and_their_first_question_goes_on_with_it() {
    let (redis, server) = scene().await;
    let (id, request_id) = ("0198f3a0-0000-7000-8000-000000000001", "0198f3a0-0000-7000-8000-000000000002");
    let words = [
        "XADD",
        STREAM_OF_ALICE,
        "*",
        "id",
        id,
        "request_id",
        request_id,
        "role",
        "user",
        "content",
        "there",
    ];
    redis.run::<String>(&words).await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let shown = client.post(READ, json!({})).await.unwrap();
    let alone = json!([{ "requestId": request_id, "role": "USER", "threadId": null }]);
    assert_eq!(shown.at("/data/aiMessages/nodes"), alone, "{}", shown.text);
    assert_eq!(
        client.post(LIST, json!({})).await.unwrap().at("/data/aiConversationThreads/nodes"),
        json!([])
    );

    let (_, thread_id, _) = ask_in(&server, json!({})).await;
    let shown = client.post(READ, json!({})).await.unwrap();
    let nodes = shown.at("/data/aiMessages/nodes");
    assert_eq!(
        (&nodes[0]["requestId"], nodes.as_array().unwrap().len()),
        (&json!(request_id), 3),
        "{}",
        shown.text
    );
    assert!(nodes.as_array().unwrap().iter().all(|node| node["threadId"] == thread_id), "{}", shown.text);
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn while_redis_is_away_threads_are_chosen_all_the_same_and_written_when_it_is_back_also_after_a_kill() {
    let mut redis = RedisServer::start().await.unwrap();
    let mut server = home_with(&redis.url()).serve().await.unwrap();
    redis.kill9().await.unwrap();
    let (first, thread_id, stream) = ask_in(&server, json!({ "conversationType": "DUO_QUICK_CHAT" })).await;
    let (second, same, _) = ask_in(&server, json!({ "threadId": thread_id })).await;
    assert_eq!(same, thread_id);
    server.kill9().await.unwrap();
    redis.restart().await.unwrap();
    server.restart().await.unwrap();
    assert_whole(&entries_once(&redis, &stream, 4, PATIENCE).await, &[first, second]);
    assert_eq!(read(&server, &thread_id).await.len(), 4);
    assert_eq!(entries(&redis, STREAM_OF_ALICE).await.len(), 0);
}
