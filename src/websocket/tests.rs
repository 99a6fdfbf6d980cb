//! Real sockets over loopback, with the whole pipeline behind them.

use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use duologue_actors::{
    action::{Action, InputField},
    ports::{Credentials, Identity, Scope, TokenVerifier, VerifyError},
    supervisor::Tree,
    testing::{World, an_action},
};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{graphql_transport_ws::SUBPROTOCOL, *};
use crate::{
    admission::Admission,
    config::{Config, GraphqlConfig, InlineAnswers},
    env_file::Environment,
    graphql::GraphqlParts,
};

mod cable;

const MAX_CONNECTIONS_PER_USER: usize = 2;
const CHAT: &str = r#"mutation { aiAction(input: { chat: { content: "hello" } }) { requestId errors } }"#;
const ANSWERS: &str = r#"subscription { aiCompletionResponse(userId: "gid://gitlab/User/2", aiAction: CHAT) { requestId content role chunkId } }"#;

struct Server {
    address: SocketAddr,
    sockets: Sockets,
    handle: ServerHandle,
    _tree: Tree,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

async fn serve() -> Server {
    serve_with(&World::default(), |_| ()).await
}

/// Serves a world's verifier, flags and the rest, with other settings of `auth`.
async fn serve_with(world: &World, change: impl FnOnce(&mut AuthConfig)) -> Server {
    let mut auth = Config::from_layers(None, &Environment::default()).unwrap().auth;
    change(&mut auth);
    let world = World { actions: vec![chat()], ..world.clone() };
    let tree = Tree::start(world.parts()).await.unwrap();
    let sockets = Sockets::new(
        graphql(&world, &tree, auth.needs_token()),
        tree.entrance().clone(),
        world.clock.clone(),
        config(),
        vec!["https://app.example".to_owned()],
        &auth,
    );
    let of_worker = sockets.clone();
    let server = HttpServer::new(move || {
        let sockets = of_worker.clone();
        let route = |protocol| {
            let sockets = sockets.clone();
            web::get().to(move |request: HttpRequest, payload: web::Payload| {
                let sockets = sockets.clone();
                let credentials = crate::http::credentials::of(request.headers());
                async move { sockets.upgrade(protocol, credentials, request, payload).await }
            })
        };
        App::new()
            .route("/api/graphql", route(Protocol::GraphqlTransportWs))
            .route("/-/cable", route(Protocol::ActionCable))
    })
    .workers(1)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    Server { address, sockets, handle, _tree: tree }
}

/// The `chat` of the fakes, with a content to send.
fn chat() -> Arc<Action> {
    let content = InputField {
        name: "content".to_owned(),
        type_name: "String!".to_owned(),
        max_length: None,
        allow_blank: false,
    };
    Arc::new(Action { input: vec![content], ..Action::clone(&an_action("chat")) })
}

fn graphql(world: &World, tree: &Tree, needs_token: bool) -> Graphql {
    let entrance = tree.entrance().clone();
    let config = GraphqlConfig {
        max_depth: 20,
        max_complexity: 250,
        max_query_characters: 10_000,
        max_aliases: 32,
        max_page_size: 100,
        max_label_characters: 500,
        max_flag_names: 100,
        inline: InlineAnswers::Never,
    };
    Graphql::new(GraphqlParts {
        catalogue: world.parts().catalogue,
        flags: world.flags.clone(),
        admission: Admission::new(world.permits.clone(), entrance.clone(), Duration::from_secs(1)),
        entrance,
        config,
        advertised_version: "18.6.0".to_owned(),
        needs_token,
        allows_inline: false,
    })
    .unwrap()
}

fn config() -> WebsocketConfig {
    WebsocketConfig {
        init_seconds: 3,
        max_frame_bytes: 65_536,
        max_subscriptions: 128,
        max_connections_per_user: MAX_CONNECTIONS_PER_USER,
        max_messages_per_second: 50,
        stalled_send_seconds: 10,
        pong_seconds: 10,
        idle_ping_seconds: 25,
        streaming_ping_seconds: 2,
        // Soon, so that no test waits.
        acknowledge_ping_milliseconds: 1,
        cable_ping_seconds: 1,
        read_batch_bytes: 65_536,
    }
}

impl Server {
    /// Upgrades with these headers; an HTTP answer in place of an upgrade as its status.
    async fn upgrade(&self, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
        let mut request = format!("ws://{}/api/graphql", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
                Ok(Client(socket))
            }
            Err(Error::Http(response)) => {
                let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
                assert_eq!(body["errors"][0]["extensions"]["hop"], "edge", "{body}");
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn connect(&self) -> Client {
        self.upgrade(&[("sec-websocket-protocol", SUBPROTOCOL)]).await.unwrap()
    }

    /// A connection that is acknowledged.
    async fn connect_as(&self, token: &str) -> Client {
        let mut client = self.connect().await;
        client.send(json!({"type": "connection_init", "payload": {"PRIVATE-TOKEN": token}})).await;
        assert_eq!(client.next().await, json!({"type": "connection_ack"}));
        client
    }

    async fn until_open(&self, sockets: usize) {
        while self.sockets.open() != sockets {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl Client {
    /// The first frame of a subscription; whether it says that something is replayed.
    async fn begun(&mut self, id: &str) -> String {
        let frame = self.next().await;
        assert_eq!((&frame["id"], &frame["type"]), (&json!(id), &json!("next")), "{frame}");
        assert_eq!(frame["payload"]["data"], json!({"aiCompletionResponse": null}));
        let extensions = &frame["payload"]["extensions"];
        assert!(extensions["subscribed"] == true && extensions["cursor"].is_string(), "{frame}");
        extensions["resume"].as_str().unwrap().to_owned()
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    /// The next message of the protocol; pings are answered on the way.
    async fn next(&mut self) -> Value {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns when the server has pinged and the pong is on its way.
    async fn pinged(&mut self) {
        match self.0.next().await.unwrap().unwrap() {
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
        // The client library puts its pong behind the next frame, so that has to be one of no interest.
        self.send(json!({"type": "ping"})).await;
        assert_eq!(self.next().await, json!({"type": "pong"}));
    }

    /// The close frame, past anything that comes before it.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                Message::Close(None) => panic!("closed without a code"),
                _ => {}
            }
        }
    }
}

#[rstest::rstest]
#[case::no_subprotocol(&[], Some(400))]
#[case::another_subprotocol(&[("sec-websocket-protocol", "graphql-ws")], Some(400))]
#[case::one_of_several(&[("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")], None)]
#[case::a_foreign_page(&[("sec-websocket-protocol", SUBPROTOCOL), ("origin", "https://evil.example")], Some(403))]
#[case::a_named_page(&[("sec-websocket-protocol", SUBPROTOCOL), ("origin", "https://app.example")], None)]
#[actix_web::test]
async fn an_upgrade_is_taken_or_refused_with_a_status(
    #[case] headers: &[(&'static str, &str)],
    #[case] refused: Option<u16>,
) {
    let server = serve().await;
    assert_eq!(server.upgrade(headers).await.err(), refused);
}

#[actix_web::test]
async fn a_token_of_the_upgrade_or_of_the_first_message_is_acknowledged() {
    let server = serve().await;
    server.connect_as("alice").await;
    let headers = [("sec-websocket-protocol", SUBPROTOCOL), ("authorization", "Bearer alice")];
    let mut client = server.upgrade(&headers).await.unwrap();
    client.send(json!({"type": "connection_init"})).await;
    assert_eq!(client.next().await, json!({"type": "connection_ack"}));
}

#[actix_web::test]
async fn where_no_token_is_needed_a_program_without_one_is_whoever_the_verifier_says() {
    let world = World::default();
    let alice = world.verifier.verify(&Credentials::token("alice")).await;
    world.verifier.say("", alice);
    let server = serve_with(&world, |auth| auth.bypass_external = true).await;
    let mut client = server.connect().await;
    client.send(json!({"type": "connection_init"})).await;
    assert_eq!(client.next().await, json!({"type": "connection_ack"}));
    client.subscribe("1", "{ currentUser { username } }").await;
    let payload = json!({"data": {"currentUser": {"username": "alice"}}});
    assert_eq!(client.next().await, json!({"id": "1", "type": "next", "payload": payload}));
    let foreign = [("sec-websocket-protocol", SUBPROTOCOL), ("origin", "https://evil.example")];
    assert_eq!(server.upgrade(&foreign).await.err(), Some(403));
}

/// Serves with a look at the credentials of a live socket every second.
async fn serve_watchful(world: &World) -> Server {
    serve_with(world, |auth| auth.recheck_seconds = 1).await
}

#[actix_web::test]
async fn a_revoked_token_ends_its_live_socket_and_no_other() {
    let world = World::default();
    let server = serve_watchful(&world).await;
    let (mut alice, mut root) = (server.connect_as("alice").await, server.connect_as("root").await);
    alice.subscribe("1", ANSWERS).await;
    assert_eq!(alice.begun("1").await, "LIVE");
    world.verifier.say("alice", Err(VerifyError::Invalid));
    let close = (4403, "Forbidden: the token is not good any more".to_owned());
    assert_eq!(alice.closed().await, close);
    root.send(json!({"type": "ping"})).await;
    assert_eq!(root.next().await, json!({"type": "pong"}));
}

#[actix_web::test]
async fn a_token_that_is_somebody_elses_now_ends_its_live_socket() {
    let world = World::default();
    let server = serve_watchful(&world).await;
    let mut client = server.connect_as("alice").await;
    let mallory = world.verifier.verify(&Credentials::token("mallory")).await;
    world.verifier.say("alice", mallory);
    assert_eq!(client.closed().await.1, "Forbidden: the token is not good any more");
}

#[actix_web::test]
async fn a_token_that_now_expires_earlier_ends_its_live_socket_then() {
    let world = World::default();
    let server = serve_watchful(&world).await;
    let mut client = server.connect_as("alice").await;
    let alice = world.verifier.verify(&Credentials::token("alice")).await.unwrap();
    let expires_at = Some(world.clock.now());
    world.verifier.say("alice", Ok(Identity { expires_at, ..alice }));
    assert_eq!(client.closed().await, (4403, "Forbidden: the token has expired".to_owned()));
}

#[actix_web::test]
async fn an_identity_provider_that_is_down_ends_no_socket() {
    let world = World::default();
    let server = serve_watchful(&world).await;
    let mut client = server.connect_as("alice").await;
    world.verifier.is_down.store(true, SeqCst);
    let before = world.verifier.asked.load(SeqCst);
    // Two looks: the second shows that the first changed nothing.
    while world.verifier.asked.load(SeqCst) < before + 2 {
        tokio::task::yield_now().await;
    }
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.next().await, json!({"type": "pong"}));
    world.verifier.say("alice", Err(VerifyError::Invalid));
    world.verifier.is_down.store(false, SeqCst);
    assert_eq!(client.closed().await.0, 4403);
}

#[actix_web::test]
async fn a_narrow_token_is_told_so_on_the_id_of_what_it_may_not() {
    let world = World::default();
    let scopes = std::collections::BTreeSet::from(["read_user".to_owned()]);
    world.verifier.narrow("alice", Scope::Gitlab(Arc::new(scopes)));
    let server = serve_with(&world, |_| ()).await;
    let mut client = server.connect_as("alice").await;
    client.subscribe("1", ANSWERS).await;
    let error = client.next().await;
    assert_eq!((&error["id"], &error["type"]), (&json!("1"), &json!("error")), "{error}");
    let (text, extensions) = (&error["payload"][0]["message"], &error["payload"][0]["extensions"]);
    assert_eq!(text, "insufficient_scope: the token needs one of api, read_api, ai_features");
    assert_eq!(extensions, &json!({"code": "forbidden", "hop": "auth"}));
    // The socket is as good as before.
    client.subscribe("1", "{ currentUser { username } }").await;
    assert_eq!(client.next().await["payload"]["data"]["currentUser"]["username"], "alice");
}

#[actix_web::test]
async fn who_asks_too_often_over_a_socket_hears_when_to_come_back() {
    let mut world = World::default();
    world.limits.user.requests = 1;
    let server = serve_with(&world, |_| ()).await;
    let mut client = server.connect_as("alice").await;
    client.subscribe("1", CHAT).await;
    assert!(client.next().await["payload"]["data"]["aiAction"]["requestId"].is_string());
    assert_eq!(client.next().await, json!({"type": "complete", "id": "1"}));
    client.subscribe("2", CHAT).await;
    let refused = client.next().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("2"), &json!("next")), "{refused}");
    let error = &refused["payload"]["errors"][0];
    assert_eq!(error["message"], "This endpoint has been requested too many times. Try again later.");
    assert_eq!(error["extensions"]["code"], "rate_limited", "{error}");
    assert!(error["extensions"]["retryAfter"].as_u64().is_some_and(|wait| wait > 28_000), "{error}");
}

#[rstest::rstest]
#[case::no_token(json!({"type": "connection_init"}), 4403)]
#[case::a_bad_token(json!({"type": "connection_init", "payload": {"PRIVATE-TOKEN": "nobody"}}), 4403)]
#[case::no_init(json!({"type": "subscribe", "id": "1", "payload": {"query": "{ a }"}}), 4401)]
#[case::no_message(json!(1), 4400)]
#[actix_web::test]
async fn a_client_that_does_not_introduce_itself_is_closed(#[case] first: Value, #[case] code: u16) {
    let server = serve().await;
    let mut client = server.connect().await;
    client.send(first).await;
    assert_eq!(client.closed().await.0, code);
    server.until_open(0).await;
}

#[actix_web::test]
async fn too_large_a_message_is_closed_4400_before_all_of_it_has_come() {
    let server = serve().await;
    for frames in [
        vec![(Data::Text, true, 70_000)],
        vec![(Data::Text, false, 40_000), (Data::Continue, false, 40_000)],
        vec![(Data::Binary, true, 10)],
        vec![(Data::Continue, true, 10)],
    ] {
        let mut client = server.connect().await;
        for (kind, last, bytes) in frames {
            let frame = Frame::message(vec![b'a'; bytes], OpCode::Data(kind), last);
            client.0.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(client.closed().await.0, 4400);
    }
}

#[actix_web::test]
async fn a_message_that_would_fill_the_memory_is_closed_at_its_header() {
    let server = serve().await;
    let mut client = server.connect().await;
    let masked_text_of_one_tebibyte = [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    client.0.get_mut().write_all(&masked_text_of_one_tebibyte).await.unwrap();
    assert_eq!(client.closed().await, (4400, "invalid message: more than 65536 bytes".to_owned()));
}

#[actix_web::test]
async fn a_user_has_so_many_connections_and_no_more() {
    let server = serve().await;
    let mut clients = Vec::new();
    for _ in 0..MAX_CONNECTIONS_PER_USER {
        clients.push(server.connect_as("alice").await);
    }
    let mut crowded = server.connect().await;
    crowded.send(json!({"type": "connection_init", "payload": {"PRIVATE-TOKEN": "alice"}})).await;
    assert_eq!(crowded.closed().await, (4403, "Forbidden: too many connections".to_owned()));
    server.connect_as("mallory").await;
    clients.pop().unwrap().0.close(None).await.unwrap();
    server.until_open(1).await;
    server.connect_as("alice").await;
}

#[actix_web::test]
async fn a_flood_is_closed_1013() {
    let server = serve().await;
    let mut client = server.connect_as("alice").await;
    for _ in 0..100 {
        client.0.feed(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    }
    client.0.flush().await.unwrap();
    assert_eq!(client.closed().await, (1013, "too many messages a second".to_owned()));
}

#[actix_web::test]
async fn a_shutdown_closes_every_socket_with_1012_and_takes_no_more() {
    let server = serve().await;
    let mut clients = [server.connect().await, server.connect_as("alice").await];
    server.sockets.close_all(Duration::ZERO);
    for client in &mut clients {
        assert_eq!(client.closed().await, (1012, "server_restart".to_owned()));
    }
    assert_eq!(server.upgrade(&[("sec-websocket-protocol", SUBPROTOCOL)]).await.err(), Some(503));
    server.until_open(0).await;
}

#[actix_web::test]
async fn a_query_is_answered_and_a_faulty_one_is_an_error_of_its_own() {
    let server = serve().await;
    let mut client = server.connect_as("alice").await;
    client.subscribe("1", "{ currentUser { username } }").await;
    let payload = json!({"data": {"currentUser": {"username": "alice"}}});
    assert_eq!(client.next().await, json!({"id": "1", "type": "next", "payload": payload}));
    assert_eq!(client.next().await, json!({"id": "1", "type": "complete"}));
    for (id, query) in [("1", "{"), ("2", "{ nothing }"), ("3", "subscription { nothing }")] {
        client.subscribe(id, query).await;
        let error = client.next().await;
        assert_eq!((&error["id"], &error["type"]), (&json!(id), &json!("error")), "{error}");
        assert!(error["payload"][0]["message"].is_string(), "{error}");
    }
}

#[actix_web::test]
async fn an_id_in_use_closes_4409_and_a_completed_one_is_free() {
    let server = serve().await;
    let mut client = server.connect_as("alice").await;
    for _ in 0..2 {
        client.subscribe("1", ANSWERS).await;
        assert_eq!(client.next().await["id"], "1");
        client.send(json!({"type": "complete", "id": "1"})).await;
    }
    client.subscribe("1", ANSWERS).await;
    client.subscribe("1", ANSWERS).await;
    assert_eq!(client.closed().await, (4409, "Subscriber for 1 already exists".to_owned()));
}

#[actix_web::test]
async fn nothing_of_an_answer_comes_before_its_request_id_and_all_of_it_after() {
    let server = serve().await;
    let mut client = server.connect_as("alice").await;
    client.subscribe("answers", ANSWERS).await;
    assert_eq!(client.begun("answers").await, "LIVE");
    client.subscribe("chat", CHAT).await;
    let accepted = client.next().await;
    let request_id = accepted["payload"]["data"]["aiAction"]["requestId"].clone();
    assert!(accepted["id"] == "chat" && request_id.is_string(), "{accepted}");
    assert_eq!(client.next().await, json!({"type": "complete", "id": "chat"}));
    for (role, content) in [("USER", "hello"), ("ASSISTANT", "Hello world.")] {
        let message = client.next().await["payload"]["data"]["aiCompletionResponse"].clone();
        let expected = json!({"requestId": request_id, "content": content, "role": role, "chunkId": null});
        assert_eq!(message, expected);
    }
}

#[actix_web::test]
async fn a_final_is_replayed_until_a_pong_has_acknowledged_it() {
    let server = serve().await;
    let mut asker = server.connect_as("alice").await;
    asker.subscribe("chat", CHAT).await;
    assert_eq!(asker.next().await["type"], "next");
    let mut reader = server.connect_as("alice").await;
    reader.subscribe("1", ANSWERS).await;
    assert_eq!(reader.begun("1").await, "REPLAYED");
    let content = |message: &Value| message["payload"]["data"]["aiCompletionResponse"]["content"].clone();
    while content(&reader.next().await) != "Hello world." {}
    reader.pinged().await;
    reader.subscribe("2", ANSWERS).await;
    assert_eq!(reader.begun("2").await, "LIVE");
}

#[actix_web::test]
async fn a_client_that_vanishes_during_its_mutation_holds_nothing_back() {
    let server = serve().await;
    let mut reader = server.connect_as("alice").await;
    reader.subscribe("1", ANSWERS).await;
    assert_eq!(reader.begun("1").await, "LIVE");
    let mut asker = server.connect_as("alice").await;
    asker.subscribe("chat", CHAT).await;
    asker.send(json!({"type": "ping"})).await;
    // The mutation has begun when a later ping is answered; its own answer may come before or never.
    while asker.next().await != json!({"type": "pong"}) {}
    drop(asker);
    let content = |message: &Value| message["payload"]["data"]["aiCompletionResponse"]["content"].clone();
    while content(&reader.next().await) != "Hello world." {}
}
