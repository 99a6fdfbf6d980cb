//! Redis away, in every way it can be: requests are accepted and answered all the same, and no message is lost.

use super::*;

/// Something that is done to Redis.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Stopped,
    Killed,
    Frozen,
    Full,
}

impl Fault {
    async fn begin(self, redis: &mut RedisServer) {
        match self {
            Self::Stopped => redis.stop().await,
            Self::Killed => redis.kill9().await,
            Self::Frozen => redis.freeze().await,
            Self::Full => redis.fill().await,
        }
        .unwrap();
    }

    async fn end(self, redis: &mut RedisServer) {
        match self {
            Self::Stopped | Self::Killed => redis.restart().await,
            Self::Frozen => redis.thaw().await,
            Self::Full => redis.make_room().await,
        }
        .unwrap();
    }
}

/// Asks two questions to their ends, which reach their subscribers, and looks at what operators see.
async fn goes_on(server: &TestServer, requests: &mut Vec<String>) -> String {
    for question in ["Are you there?", "And now?"] {
        requests.push(ask_to_the_end(server, ALICE, chat(question, None)).await);
    }
    assert_eq!(server.get("/-/liveness").await.unwrap().status, 200);
    degraded(server).await
}

/// All of it is there in time, once and in order, and shown.
async fn is_caught_up(server: &TestServer, redis: &RedisServer, requests: &[String]) {
    let entries = entries_once(redis, STREAM_OF_ALICE, requests.len() * 2, PROMISED).await;
    assert_whole(&entries, requests);
    is_well_again(server).await;
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), requests.len() * 2);
}

#[rstest::rstest]
#[case::stopped(Fault::Stopped)]
#[case::killed(Fault::Killed)]
#[case::frozen(Fault::Frozen)]
#[case::full(Fault::Full)]
#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn requests_are_answered_without_redis_and_its_return_loses_nothing(#[case] fault: Fault) {
    let (mut redis, server) = scene().await;
    let mut requests = vec![ask_and_write(&server, &redis).await];
    for _ in 0..2 {
        fault.begin(&mut redis).await;
        let why = goes_on(&server, &mut requests).await;
        assert!(why.contains(&redis.url()) && why.ends_with("messages that wait: 4"), "{why}");
        fault.end(&mut redis).await;
        is_caught_up(&server, &redis, &requests).await;
    }
    let log = server.log().unwrap();
    let held_up = log.matches("conversation.relay.held_up").count();
    assert!((1..=2).contains(&held_up), "{held_up} times: {log}");
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn a_redis_that_is_still_loading_is_waited_for() {
    let (mut redis, server) = scene().await;
    let mut requests = vec![ask_and_write(&server, &redis).await];
    redis.prepare_slow_keys().await.unwrap();
    redis.kill9().await.unwrap();
    requests.push(ask_to_the_end(&server, ALICE, chat("Are you there?", None)).await);
    redis.restart_slowly().unwrap();
    let loading = async { while !degraded(&server).await.contains("LOADING") {} };
    timeout(PATIENCE, loading).await.expect("it never says that it is loading");
    goes_on(&server, &mut requests).await;
    redis.serves().await.unwrap();
    is_caught_up(&server, &redis, &requests).await;
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn the_server_starts_without_redis() {
    let mut redis = RedisServer::stopped().unwrap();
    let server = home_with(&redis.url()).serve().await.unwrap();
    let mut requests = Vec::new();
    goes_on(&server, &mut requests).await;
    redis.restart().await.unwrap();
    is_caught_up(&server, &redis, &requests).await;
}

#[rstest::rstest]
#[case::down(Fault::Killed)]
#[case::frozen(Fault::Frozen)]
#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn what_waits_survives_kill_9_of_the_server(#[case] fault: Fault) {
    let (mut redis, mut server) = scene().await;
    let mut requests = vec![ask_and_write(&server, &redis).await];
    fault.begin(&mut redis).await;
    goes_on(&server, &mut requests).await;
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    requests.push(ask_to_the_end(&server, ALICE, chat("And after the restart?", None)).await);
    fault.end(&mut redis).await;
    is_caught_up(&server, &redis, &requests).await;
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn what_can_be_written_is_written_before_the_server_ends() {
    let (redis, mut server) = scene().await;
    let request_id = ask_to_the_end(&server, ALICE, chat("Is this kept?", None)).await;
    server.terminate().await.unwrap();
    assert_eq!(server.ended().await.unwrap().code(), Some(0), "{}", server.log().unwrap());
    assert_whole(&entries(&redis, STREAM_OF_ALICE).await, &[request_id]);
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn reading_a_conversation_that_cannot_be_had_is_a_typed_error() {
    let (mut redis, server) = scene().await;
    ask_and_write(&server, &redis).await;
    redis.kill9().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let reply = client.post("query { aiMessages { nodes { content } } }", json!({})).await.unwrap();
    assert_eq!(reply.at("/errors/0/extensions/code"), "storage_unavailable", "{}", reply.text);
    assert!(!reply.text.contains(&redis.url()), "{}", reply.text);
}

#[tokio::test]
#[ignore = "needs redis-server: run make test"]
async fn one_users_bad_key_holds_up_nobody_else() {
    let (redis, server) = scene().await;
    redis.run::<String>(&["SET", STREAM_OF_ALICE, "no stream"]).await.unwrap();
    let of_alice = ask_to_the_end(&server, ALICE, chat("Mine?", None)).await;
    for number in 1..=3 {
        ask_to_the_end(&server, ROOT, chat("Mine?", None)).await;
        entries_once(&redis, STREAM_OF_ROOT, 2 * number, PROMISED).await;
    }
    let why = degraded(&server).await;
    assert!(why.contains("set aside 1: WRONGTYPE"), "{why}");

    redis.run::<i64>(&["DEL", STREAM_OF_ALICE]).await.unwrap();
    assert_whole(&entries_once(&redis, STREAM_OF_ALICE, 2, PATIENCE).await, &[of_alice]);
    is_well_again(&server).await;
}
