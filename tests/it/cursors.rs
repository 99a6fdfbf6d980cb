//! Cursors: a client says how far it has come, and gets what came since; or it is told that nobody can say.

use duologue_harness::{
    action_cable::{ActionCable, identifier},
    fake_provider::{FakeProvider, Script, Step, shapes::openai},
    server::TestServer,
    transport_ws::TransportWs,
};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, ISSUE, ROOT, SUBSCRIPTION, answer, answered_by, ask, chat, home, message, socket, start,
    subscribe, summarize, try_ask, until_ended,
};

fn cursor(frame: &Value) -> String {
    let cursor = &frame["payload"]["extensions"]["cursor"];
    cursor.as_str().unwrap_or_else(|| panic!("no cursor: {frame}")).to_owned()
}

fn page(name: &str, after: Option<&str>) -> Value {
    json!({ "clientSubscriptionId": name, "after": after })
}

/// Asks for a summary and waits until it is there; its `requestId` and the cursor of its acceptance.
async fn summarized(server: &TestServer, name: &str) -> (String, String) {
    let reply = try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some(name))).await;
    let text = |name: &str| reply.at(&format!("/data/aiAction/{name}")).as_str().map(str::to_owned);
    let (request_id, cursor) = (text("requestId").unwrap(), text("cursor").unwrap());
    until_ended(server, ALICE, &request_id).await;
    (request_id, cursor)
}

/// Reads on what was begun, up to the final.
async fn read_on(socket: &mut TransportWs, mut begun: Answer) -> Answer {
    while begun.finals.is_empty() {
        begun.add(message(&socket.frame().await.unwrap(), "1"));
    }
    begun
}

/// Reads one answer from its start to its first chunk, and breaks the connection; with the last cursor.
async fn broken_off(server: &TestServer, name: &str, after: &str) -> (Answer, String) {
    let mut socket = socket(server, ALICE).await;
    assert_eq!(subscribe(&mut socket, "1", page(name, Some(after))).await, "REPLAYED");
    let frame = socket.frame().await.unwrap();
    let mut begun = Answer::default();
    begun.add(message(&frame, "1"));
    assert_eq!((begun.chunks.len(), begun.finals.len()), (1, 0));
    socket.close().await.unwrap();
    (begun, cursor(&frame))
}

#[tokio::test]
async fn the_cursor_of_the_mutation_brings_every_chunk_however_late() {
    let server = start().await;
    let (request_id, cursor) = summarized(&server, "late").await;
    let mut socket = socket(&server, ALICE).await;
    assert_eq!(subscribe(&mut socket, "1", page("late", Some(&cursor))).await, "REPLAYED");
    let answer = answer(&mut socket, "1", &request_id).await;
    assert!(!answer.chunks.is_empty(), "without the cursor there would be the final alone");
    answer.content();
}

#[tokio::test]
async fn a_reader_that_comes_back_with_its_cursor_goes_on_where_it_was() {
    let server = start().await;
    let (_, accepted) = summarized(&server, "back").await;
    let (begun, reached) = broken_off(&server, "back", &accepted).await;
    let mut socket = socket(&server, ALICE).await;
    assert_eq!(subscribe(&mut socket, "1", page("back", Some(&reached))).await, "REPLAYED");
    // `content` fails on a gap and on a repetition.
    read_on(&mut socket, begun).await.content();
}

#[tokio::test]
async fn connection_init_can_say_where_each_page_was() {
    let server = start().await;
    let (_, accepted) = summarized(&server, "init").await;
    let (begun, reached) = broken_off(&server, "init", &accepted).await;
    let mut socket = server.websocket().token(ALICE).open().await.unwrap();
    socket.init(Some(json!({ "resume": { "init": reached } }))).await.unwrap();
    assert_eq!(subscribe(&mut socket, "1", page("init", None)).await, "REPLAYED");
    read_on(&mut socket, begun).await.content();
}

#[tokio::test]
async fn the_cable_has_the_same_cursors() {
    let server = start().await;
    let (_, accepted) = summarized(&server, "cable").await;
    let (mut begun, reached) = broken_off(&server, "cable", &accepted).await;
    let mut cable = ActionCable::open(server.cable().token(ALICE)).await.unwrap();
    cable.welcomed().await.unwrap();
    cable.subscribe(&identifier(SUBSCRIPTION, &page("cable", Some(&reached)))).await.unwrap();
    let first = cable.frame().await.unwrap();
    assert_eq!(first["message"]["result"]["extensions"]["resume"], "REPLAYED");
    assert_eq!(first["message"]["result"]["extensions"]["cursor"], reached);
    assert_eq!(cable.frame().await.unwrap()["type"], "confirm_subscription");
    while begun.finals.is_empty() {
        let frame = cable.frame().await.unwrap();
        begun.add(&frame["message"]["result"]["data"]["aiCompletionResponse"]);
    }
    begun.content();
}

#[tokio::test]
async fn a_presented_cursor_is_a_receipt() {
    let server = start().await;
    let (request_id, accepted) = summarized(&server, "receipt").await;
    let mut reader = socket(&server, ALICE).await;
    subscribe(&mut reader, "1", page("receipt", Some(&accepted))).await;
    let reached = loop {
        let frame = reader.frame().await.unwrap();
        if message(&frame, "1")["chunkId"].is_null() {
            break cursor(&frame);
        }
    };
    reader.close().await.unwrap();
    let mut socket = socket(&server, ALICE).await;
    assert_eq!(subscribe(&mut socket, "1", page("receipt", Some(&reached))).await, "LIVE");
    assert_eq!(subscribe(&mut socket, "2", page("receipt", None)).await, "LIVE", "{request_id} came again");
}

#[tokio::test]
async fn a_cursor_that_cannot_be_honoured_is_reset_and_brings_what_is_left() {
    let mut server = start().await;
    let (request_id, accepted) = summarized(&server, "old").await;
    // Somebody else's log, and the log of a process that is gone.
    let mut of_root = socket(&server, ROOT).await;
    assert_eq!(subscribe(&mut of_root, "1", page("old", Some(&accepted))).await, "RESET");
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    let mut socket = socket(&server, ALICE).await;
    assert_eq!(subscribe(&mut socket, "1", page("old", Some(&accepted))).await, "RESET");
    let answer = answer(&mut socket, "1", &request_id).await;
    assert!(answer.chunks.is_empty());
    answer.content();
}

#[tokio::test]
async fn an_answer_that_begins_again_after_a_crash_says_so_before_its_first_chunk() {
    let fake = FakeProvider::start(openai::answer(&["A whole", " answer."])).await.unwrap();
    fake.enqueue(Script::event_stream().send(openai::delta("Half an")).then(Step::Stall));
    let mut home = home();
    answered_by(&mut home, &fake);
    home.fix_port().unwrap();
    let mut server = home.serve().await.unwrap();

    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Hello?", Some("again"))).await;
    let mut before = socket(&server, ALICE).await;
    subscribe(&mut before, "1", page("again", None)).await;
    let shown = loop {
        let frame = before.frame().await.unwrap();
        if !message(&frame, "1")["chunkId"].is_null() {
            break message(&frame, "1")["content"].clone();
        }
    };
    assert_eq!(shown, "Half an");
    server.kill9().await.unwrap();
    server.restart().await.unwrap();

    let mut after = socket(&server, ALICE).await;
    subscribe(&mut after, "1", json!({ "requestId": request_id })).await;
    let announcement = loop {
        let frame = after.frame().await.unwrap();
        let message = &frame["payload"]["data"]["aiCompletionResponse"];
        assert_ne!(message["chunkId"], 1, "no announcement before {frame}");
        if message.is_null() || message["chunkId"].is_null() && message["role"] == "ASSISTANT" {
            break frame;
        }
    };
    let extensions = &announcement["payload"]["extensions"];
    if extensions["resume"] == "RESET" {
        assert_eq!(extensions["requestId"], request_id.as_str());
        assert_eq!(announcement["payload"]["data"], json!({ "aiCompletionResponse": null }));
        assert_eq!(answer(&mut after, "1", &request_id).await.content(), "A whole answer.");
    } else {
        // The second answer was complete before the subscription: nothing of the first is to be seen.
        assert_eq!(message(&announcement, "1")["content"], "A whole answer.");
    }
}
