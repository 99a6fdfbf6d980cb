//! How sockets end that nothing is wrong with, over both protocols alike: their reader does not read, their token is not
//! good any more, the server stops. Each time whoever comes back gets the whole answer.

use std::time::Duration;

use duologue_harness::{
    action_cable::{ActionCable, identifier},
    fake_provider::{
        FakeProvider, Script, Signal, Step,
        shapes::openai::{delta, done, stop},
    },
    oidc::now,
    server::{Home, TestServer},
    transport_ws::{Connect, Incoming, TransportWs},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    sessions::{token, watchful_server},
    support::{ALICE, Answer, SUBSCRIPTION, ask, chat, home, until_ended},
};

const PAGE: &str = "page";

/// As little as kernels can be had to hold for somebody who does not read.
const FEW_BYTES: u32 = 4_096;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    TransportWs,
    Cable,
}

/// Somebody who listens to the page.
enum Listener {
    TransportWs(TransportWs),
    Cable(ActionCable),
}

/// How a socket ended: the code, and the last message before it where there is one by which clients go.
#[derive(Debug, PartialEq)]
struct Ending {
    code: u16,
    farewell: Option<Value>,
}

impl Protocol {
    fn connect(self, server: &TestServer) -> Connect {
        match self {
            Self::TransportWs => server.websocket(),
            Self::Cable => server.cable(),
        }
    }

    async fn listen(self, connect: Connect) -> Listener {
        let page = json!({ "clientSubscriptionId": PAGE });
        match self {
            Self::TransportWs => {
                let mut socket = connect.open().await.unwrap();
                socket.init(None).await.unwrap();
                socket.subscribe("1", SUBSCRIPTION, page).await.unwrap();
                Listener::TransportWs(socket)
            }
            Self::Cable => {
                let mut cable = ActionCable::open(connect).await.unwrap();
                cable.welcomed().await.unwrap();
                cable.subscribe(&identifier(SUBSCRIPTION, &page)).await.unwrap();
                Listener::Cable(cable)
            }
        }
    }

    /// How a server ends a socket with this code, for this reason, of a client that may come back.
    fn ending(self, code: u16, reason: &str) -> Ending {
        let farewell = match self {
            Self::TransportWs => None,
            Self::Cable => Some(json!({ "type": "disconnect", "reason": reason, "reconnect": true })),
        };
        Ending { code, farewell }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TransportWs => "graphql-transport-ws",
            Self::Cable => "actioncable",
        }
    }
}

impl Listener {
    async fn next(&mut self) -> Incoming {
        match self {
            Self::TransportWs(socket) => socket.next().await.unwrap(),
            Self::Cable(cable) => cable.next().await.unwrap(),
        }
    }

    /// The next message about an answer.
    async fn message(&mut self) -> Value {
        loop {
            let Incoming::Frame(frame) = self.next().await else { panic!("the socket was closed") };
            let field = "data/aiCompletionResponse";
            let places = [format!("/payload/{field}"), format!("/message/result/{field}")];
            if let Some(message) = places.iter().find_map(|place| frame.pointer(place))
                && message.is_object()
            {
                return message.clone();
            }
        }
    }

    async fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        while answer.finals.is_empty() {
            answer.add(&self.message().await);
        }
        answer
    }

    async fn until_first_chunk(&mut self) {
        while self.message().await["chunkId"].is_null() {}
    }

    async fn ended(&mut self) -> Ending {
        let mut farewell = None;
        loop {
            match self.next().await {
                Incoming::Frame(frame) if frame["type"] == "disconnect" => farewell = Some(frame),
                Incoming::Frame(_) => {}
                Incoming::Closed(close) => return Ending { code: close.unwrap().0, farewell },
            }
        }
    }
}

fn with_model(home: &mut Home, model: &FakeProvider) {
    let provider = json!({ "kind": "openai", "base_url": format!("{}/v1", model.url()) });
    home.set("providers", "local", provider).unwrap();
    home.set("models", "small", json!({ "provider": "local", "model": "tiny" })).unwrap();
    home.set("feature_settings", "default", json!(["small"])).unwrap();
}

/// Waits until the server counts so.
async fn until_counted(server: &TestServer, series: &str) {
    let counted = async {
        while !server.get("/metrics").await.unwrap().text.lines().any(|line| line == series) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let patience = duologue_harness::server::PATIENCE;
    tokio::time::timeout(patience, counted).await.unwrap_or_else(|_| panic!("never {series}"));
}

#[rstest]
#[tokio::test]
async fn a_reader_that_does_not_read_is_dropped_and_gets_everything_when_it_comes_back(
    #[values(Protocol::TransportWs, Protocol::Cable)] protocol: Protocol,
) {
    // More than the buffers on the way hold.
    let pieces: Vec<String> = (0..200).map(|number| format!("{number}{}", "-".repeat(4_000))).collect();
    let signal = Signal::default();
    let script = pieces.iter().fold(Script::event_stream(), |script, piece| script.send(delta(piece)));
    let script = script.then(Step::Until(signal.clone())).send(stop()).send(done());
    let model = FakeProvider::start(script).await.unwrap();
    let mut home = home();
    with_model(&mut home, &model);
    home.set("websocket", "stalled_send_seconds", 1).unwrap();
    // A reader that does not read answers no ping either; that is not what it is to be dropped for.
    home.set("websocket", "pong_seconds", 60).unwrap();
    home.set("server", "send_buffer_bytes", FEW_BYTES).unwrap();
    let server = home.serve().await.unwrap();

    let connect = || protocol.connect(&server).token(ALICE);
    let stalled = protocol.listen(connect().receive_buffer_bytes(FEW_BYTES)).await;
    let mut reading = protocol.listen(connect()).await;
    let reading = tokio::spawn(async move { reading.answer().await });
    ask(&server.graphql(ALICE).unwrap(), chat("Hello?", Some(PAGE))).await;
    until_counted(&server, "duologue_websocket_stalled_readers_total 1").await;
    let open = format!("duologue_websocket_connections{{protocol=\"{}\"}} 1", protocol.name());
    until_counted(&server, &open).await;

    drop(stalled);
    let mut back = protocol.listen(connect()).await;
    until_counted(&server, "duologue_websocket_subscriptions 2").await;
    signal.give();
    for answer in [back.answer().await, reading.await.unwrap()] {
        assert_eq!((answer.chunks.len(), answer.content()), (pieces.len(), pieces.concat()));
    }
}

#[rstest]
#[tokio::test]
async fn a_token_that_is_not_good_any_more_ends_the_socket_and_another_one_brings_the_answer(
    #[values(Protocol::TransportWs, Protocol::Cable)] protocol: Protocol,
    #[values(true, false)] expires: bool,
) {
    let (issuer, server) = watchful_server().await;
    let claims = if expires { json!({ "exp": now() + 3 }) } else { json!({}) };
    let mut listener = protocol.listen(protocol.connect(&server).token(&token(&issuer, &claims))).await;
    if !expires {
        issuer.rotate().unwrap();
    }
    assert_eq!(listener.ended().await, protocol.ending(4403, "unauthorized"));
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Hello?", Some(PAGE))).await;
    until_ended(&server, ALICE, &request_id).await;
    let mut again = protocol.listen(protocol.connect(&server).token(&token(&issuer, &json!({})))).await;
    let answer = again.answer().await;
    assert_eq!(answer.finals[0]["requestId"], request_id.as_str());
}

#[rstest]
#[tokio::test]
async fn a_shutdown_in_the_middle_of_an_answer_ends_the_socket_and_the_next_server_brings_all_of_it(
    #[values(Protocol::TransportWs, Protocol::Cable)] protocol: Protocol,
) {
    let script = Script::event_stream().send(delta("All of ")).send(delta("it."));
    let model = FakeProvider::start(script.clone().send(stop()).send(done())).await.unwrap();
    model.enqueue(script.then(Step::Stall));
    let mut home = home();
    with_model(&mut home, &model);
    home.set("server", "drain_seconds", 1).unwrap();
    let mut server = home.serve().await.unwrap();
    let mut listener = protocol.listen(protocol.connect(&server).token(ALICE)).await;
    ask(&server.graphql(ALICE).unwrap(), chat("Hello?", Some(PAGE))).await;
    listener.until_first_chunk().await;

    server.terminate().await.unwrap();
    assert_eq!(listener.ended().await, protocol.ending(1012, "server_restart"));
    assert_eq!(server.ended().await.unwrap().code(), Some(0));
    server.restart().await.unwrap();
    let mut again = protocol.listen(protocol.connect(&server).token(ALICE)).await;
    assert_eq!(again.answer().await.content(), "All of it.");
}
