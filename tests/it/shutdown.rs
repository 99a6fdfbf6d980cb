//! An orderly end.

use serde_json::{Value, json};

use crate::support::{ALICE, ISSUE, ROOT, answer, ask, home, socket, start, subscribe, summarize};

#[tokio::test]
async fn sigterm_closes_the_sockets_1012_and_exits_0() {
    let mut home = home();
    home.set("server", "drain_seconds", 2).unwrap();
    let mut server = home.serve().await.unwrap();
    let mut sockets = vec![socket(&server, ALICE).await, socket(&server, ROOT).await];
    for socket in &mut sockets {
        subscribe(socket, "1", json!({ "clientSubscriptionId": "c" })).await;
    }
    server.terminate().await.unwrap();
    for socket in &mut sockets {
        let (code, _) = socket.closed().await.unwrap();
        assert_eq!(code, 1012);
    }
    assert_eq!(server.ended().await.unwrap().code(), Some(0), "{}", server.log().unwrap());
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let mut server = start().await;
    server.terminate().await.unwrap();
    assert_eq!(server.ended().await.unwrap().code(), Some(0), "{}", server.log().unwrap());
}

#[tokio::test]
async fn what_was_accepted_before_sigterm_ends_now_or_after_the_next_start() {
    let mut home = home();
    home.set("server", "drain_seconds", 2).unwrap();
    let mut server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let mut accepted = Vec::new();
    for _ in 0..20 {
        accepted.push(ask(&client, summarize(ISSUE, None)).await);
    }
    server.terminate().await.unwrap();
    assert_eq!(server.ended().await.unwrap().code(), Some(0), "{}", server.log().unwrap());

    server.restart().await.unwrap();
    for request_id in &accepted {
        let mut socket = socket(&server, ALICE).await;
        subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
        answer(&mut socket, "1", request_id).await.content();
        assert_eq!(socket.frames_so_far().await.unwrap(), [] as [Value; 0]);
        socket.close().await.unwrap();
    }
}
