//! ActionCable over the same sockets: what needs a verifier that changes its mind.

use std::sync::{Mutex, mpsc};

use duologue_actors::supervisor::Inspector;

use super::*;

const IDENTIFIER: &str = r#"{"channel":"GraphqlChannel","query":"subscription { aiCompletionResponse(aiAction: CHAT) { requestId content } }"}"#;

impl Server {
    async fn cable(&self, token: &str) -> Client {
        let mut request = format!("ws://{}/-/cable", self.address).into_client_request().unwrap();
        request.headers_mut().insert("private-token", token.parse().unwrap());
        let (socket, response) = connect_async(request).await.unwrap();
        assert_eq!(response.headers().get("sec-websocket-protocol"), None);
        Client(socket)
    }
}

impl Client {
    /// The next message that is no ping.
    async fn next_but_pings(&mut self) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] != "ping" {
                return message;
            }
        }
    }

    /// Subscribes; the messages up to the confirmation or rejection, and which it was.
    async fn subscribe_over_cable(&mut self) -> (Vec<Value>, String) {
        self.send(json!({"command": "subscribe", "identifier": IDENTIFIER})).await;
        let mut messages = Vec::new();
        loop {
            let mut frame = self.next_but_pings().await;
            match frame["type"].as_str() {
                Some(kind) => return (messages, kind.to_owned()),
                None => messages.push(frame["message"]["result"].take()),
            }
        }
    }
}

#[actix_web::test]
async fn a_cable_is_welcomed_subscribes_and_leaves_no_trace() {
    let server = serve().await;
    let mut client = server.cable("alice").await;
    assert_eq!(client.next().await, json!({"type": "welcome"}));
    let (messages, kind) = client.subscribe_over_cable().await;
    assert_eq!(messages[0]["data"], json!({"aiCompletionResponse": null}));
    assert_eq!((kind.as_str(), server.sockets.open()), ("confirm_subscription", 1));
    client.0.close(None).await.unwrap();
    server.until_open(0).await;
}

#[actix_web::test]
async fn a_token_that_may_not_read_is_welcomed_and_its_subscription_rejected() {
    let world = World::default();
    let scopes = std::collections::BTreeSet::from(["read_user".to_owned()]);
    world.verifier.narrow("alice", Scope::Gitlab(Arc::new(scopes)));
    let server = serve_with(&world, |_| ()).await;
    let mut client = server.cable("alice").await;
    assert_eq!(client.next().await, json!({"type": "welcome"}));
    let (messages, kind) = client.subscribe_over_cable().await;
    let text = "insufficient_scope: the token needs one of api, read_api, ai_features";
    assert_eq!(messages[0]["errors"][0]["message"], text);
    assert_eq!(messages[0]["data"], json!({"aiCompletionResponse": null}));
    assert_eq!(kind, "reject_subscription");
}

#[actix_web::test]
async fn a_revoked_token_disconnects_its_live_cable_which_may_come_back() {
    let world = World::default();
    let server = serve_watchful(&world).await;
    let mut client = server.cable("alice").await;
    assert_eq!(client.next().await, json!({"type": "welcome"}));
    world.verifier.say("alice", Err(VerifyError::Invalid));
    let farewell = json!({"type": "disconnect", "reason": "unauthorized", "reconnect": true});
    assert_eq!(client.next_but_pings().await, farewell);
    assert_eq!(client.closed().await.0, 4403);
}

#[actix_web::test]
async fn an_identity_provider_that_is_down_sends_a_cable_away_for_a_while() {
    let world = World::default();
    world.verifier.is_down.store(true, SeqCst);
    let server = serve_with(&world, |_| ()).await;
    let mut client = server.cable("alice").await;
    let farewell = json!({"type": "disconnect", "reason": "remote", "reconnect": true});
    assert_eq!(client.next_but_pings().await, farewell);
    assert_eq!(client.closed().await.0, 1013);
}

/// Holds the Broadcaster, and its thread with it, at a subscribe until something is sent.
fn held_at_subscribe() -> (mpsc::Sender<()>, Inspector) {
    let (release, held) = mpsc::channel();
    let held = Mutex::new(held);
    let inspector = Arc::new(move |actor: &'static str, message: &'static str| {
        if (actor, message) == ("broadcaster", "Subscribe") {
            held.lock().unwrap().recv().unwrap();
        }
    });
    (release, inspector)
}

#[actix_web::test]
async fn pings_go_on_while_everything_else_of_a_socket_waits() {
    let (release, inspector) = held_at_subscribe();
    let server = serve_with(&World { inspector: Some(inspector), ..World::default() }, |_| ()).await;
    let mut client = server.cable("alice").await;
    assert_eq!(client.next().await, json!({"type": "welcome"}));
    client.send(json!({"command": "subscribe", "identifier": IDENTIFIER})).await;
    for _ in 0..2 {
        assert_eq!(client.next().await["type"], "ping");
    }
    release.send(()).unwrap();
    assert_eq!(client.next_but_pings().await["identifier"], IDENTIFIER);
}
