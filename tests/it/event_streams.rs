//! Answers as Server-Sent Events: `GET /api/v4/ai/requests/{id}/events`, and `POST /api/v4/chat/completions` for
//! whoever accepts events.

use std::time::Duration;

use duologue_harness::{
    event_stream::{EventStream, ServerEvent},
    fake_provider::{FakeProvider, Script, Step, shapes::openai},
    graphql::send,
    oidc::now,
    raw_http::Unread,
    server::{Home, PATIENCE, TestServer},
};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    sessions::{token, watchful_server_with},
    support::{
        ALICE, ISSUE, MALLORY, ROOT, answered_by, ask, ask_to_the_end, chat, home, messages, start, summarize,
    },
};

/// Deltas of an answer, each of which becomes a chunk.
const DELTAS: [&str; 5] = ["One ", "two ", "three ", "four ", "five."];

fn client() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

fn path(request_id: &str) -> String {
    format!("/api/v4/ai/requests/{request_id}/events")
}

fn get(server: &TestServer, token: &str, request_id: &str) -> RequestBuilder {
    client().get(server.url(&path(request_id))).bearer_auth(token)
}

fn post(server: &TestServer, body: &Value) -> RequestBuilder {
    let request = client().post(server.url("/api/v4/chat/completions")).header("PRIVATE-TOKEN", ALICE);
    request.header("accept", "text/event-stream").json(body)
}

/// A model that says one delta after another, with pauses between them.
fn speaking() -> Script {
    speaking_for(Duration::from_millis(30))
}

fn speaking_for(pause: Duration) -> Script {
    let said = DELTAS.into_iter().fold(Script::events([openai::role()]), |script, delta| {
        script.send(openai::delta(delta)).wait(pause)
    });
    said.send(openai::stop()).send(openai::done())
}

async fn server_of(provider: &FakeProvider) -> TestServer {
    let mut home = home();
    answered_by(&mut home, provider);
    home.serve().await.unwrap()
}

/// What a client makes of all it was sent, over however many connections.
#[derive(Default)]
struct Page {
    last_id: String,
    chunks: Vec<(u64, String)>,
    finals: Vec<Value>,
}

impl Page {
    fn hear(&mut self, event: &ServerEvent) {
        self.last_id.clone_from(&event.id);
        assert!(self.finals.is_empty(), "after the final came {event:?}");
        if event.name.is_some() || event.data["role"] == "USER" {
            return;
        }
        let content = event.data["content"].as_str().unwrap().to_owned();
        match event.data["chunkId"].as_u64() {
            Some(id) => self.chunks.push((id, content)),
            None => self.finals.push(event.data.clone()),
        }
    }

    fn is_whole(&self) {
        let expected: Vec<_> = (1..).zip(DELTAS.map(str::to_owned)).collect();
        assert_eq!(self.chunks, expected);
        assert_eq!(self.finals.len(), 1);
        assert_eq!(self.finals[0]["content"], DELTAS.concat());
        assert_eq!(self.last_id, "end");
    }
}

#[tokio::test]
async fn an_accepted_request_is_streamed_from_its_question_to_its_end() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    let server = server_of(&provider).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Count.", None)).await;
    let mut stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
    assert_eq!(stream.response().headers()["cache-control"], "no-store");
    let events = stream.rest().await.unwrap();
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(first.name.as_deref(), Some("subscribed"));
    assert_eq!(first.data["requestId"], request_id.as_str());
    assert_eq!(events[1].data["role"], "USER");
    assert_eq!((last.data["chunkId"].clone(), last.id.as_str()), (Value::Null, "end"));
    assert_eq!(last.data["model"], "scripted/scripted");
    let kept = messages(&server.graphql(ALICE).unwrap(), Some(&[&request_id])).await;
    assert_eq!(kept[1]["content"], last.data["content"]);
    assert_eq!(kept[1]["timestamp"], last.data["timestamp"]);
}

#[tokio::test]
async fn a_connection_that_breaks_behind_any_event_is_gone_on_with_and_misses_nothing() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    let server = server_of(&provider).await;
    // The first word, the question, five chunks: behind each of them.
    for heard in 1..=7 {
        let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Count.", None)).await;
        let mut page = Page::default();
        let mut stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
        for _ in 0..heard {
            page.hear(&stream.next().await.unwrap().unwrap());
        }
        drop(stream);
        let again = get(&server, ALICE, &request_id).header("Last-Event-ID", &page.last_id);
        let events = EventStream::open(again).await.unwrap().rest().await.unwrap();
        assert_ne!(events[0].data["resume"], "RESET", "behind {heard}");
        events.iter().for_each(|event| page.hear(event));
        page.is_whole();
    }
}

#[tokio::test]
async fn whoever_has_heard_the_end_is_told_that_there_is_no_more() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, chat("Hello?", None)).await;
    let again = send(get(&server, ALICE, &request_id).header("Last-Event-ID", "end")).await.unwrap();
    assert_eq!((again.status, again.text.as_str()), (204, ""));
    let posted = post(&server, &json!({"content": "Hello?"})).header("Last-Event-ID", "end");
    assert_eq!(send(posted).await.unwrap().status, 204);
}

#[tokio::test]
async fn a_question_that_is_posted_is_answered_as_events_and_promised() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    let server = server_of(&provider).await;
    let mut page = Page::default();
    let question = json!({"content": "Count."});
    let mut stream = EventStream::open(post(&server, &question)).await.unwrap();
    for _ in 0..4 {
        page.hear(&stream.next().await.unwrap().unwrap());
    }
    // Whoever leaves ends nothing, and whoever comes back asks nothing, whatever they post.
    drop(stream);
    let again = post(&server, &question).header("Last-Event-ID", &page.last_id);
    EventStream::open(again).await.unwrap().rest().await.unwrap().iter().for_each(|event| page.hear(event));
    page.is_whole();
    assert_eq!(provider.calls().len(), 1);
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), 2);
}

#[tokio::test]
async fn under_a_key_a_question_is_posted_twice_and_asked_once() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    let server = server_of(&provider).await;
    let asked = |content: &str| post(&server, &json!({"content": content})).header("Idempotency-Key", "k");
    for _ in 0..2 {
        let mut page = Page::default();
        for event in EventStream::open(asked("Count.")).await.unwrap().rest().await.unwrap() {
            // The second time chunks are those of a replay: the final alone.
            page.hear(&event);
        }
        assert_eq!(page.finals[0]["content"], DELTAS.concat());
    }
    assert_eq!(provider.calls().len(), 1);
    assert_eq!(send(asked("Count again.")).await.unwrap().status, 409);
    let anew = json!({"content": "Count.", "with_clean_history": true});
    let refused = send(post(&server, &anew).header("Idempotency-Key", "k")).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("ask /reset before"), "{}", refused.text);
}

#[tokio::test]
async fn after_a_restart_the_place_is_gone_which_is_said_and_the_answer_comes_from_its_start() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    provider.enqueue(Script::event_stream().send(openai::delta("Half an")).then(Step::Stall));
    let mut home: Home = home();
    answered_by(&mut home, &provider);
    home.fix_port().unwrap();
    let mut server = home.serve().await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Count.", None)).await;
    let mut stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
    let mut before = Page::default();
    while before.chunks.is_empty() {
        before.hear(&stream.next().await.unwrap().unwrap());
    }
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    let again = get(&server, ALICE, &request_id).header("Last-Event-ID", &before.last_id);
    let events = EventStream::open(again).await.unwrap().rest().await.unwrap();
    assert_eq!(events[0].data["resume"], "RESET");
    let mut page = Page::default();
    events.iter().for_each(|event| page.hear(event));
    if page.chunks.is_empty() {
        // It was complete before anybody listened.
        assert_eq!(page.finals[0]["content"], DELTAS.concat());
    } else {
        assert!(events.iter().any(|event| event.name.as_deref() == Some("reset")), "{events:?}");
        page.is_whole();
    }
}

#[tokio::test]
async fn a_failed_answer_ends_with_why_and_so_does_a_cancelled_one() {
    let provider = FakeProvider::start(openai::error(400, "scripted_error", None)).await.unwrap();
    let server = server_of(&provider).await;
    let events =
        EventStream::open(post(&server, &json!({"content": "Hello?"}))).await.unwrap().rest().await.unwrap();
    let last = &events.last().unwrap().data;
    assert_eq!((&last["failure"]["code"], &last["content"]), (&json!("upstream_rejected"), &json!("")));
    assert_eq!(last["errors"].as_array().unwrap().len(), 1);

    provider.always(Script::event_stream().send(openai::delta("Half an")).then(Step::Stall));
    let alice = server.graphql(ALICE).unwrap();
    let request_id = ask(&alice, chat("Hello?", None)).await;
    let mut stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
    let cancel = format!("mutation {{ aiCancel(requestId: \"{request_id}\") {{ errors }} }}");
    alice.post(&cancel, json!({})).await.unwrap();
    let last = stream.rest().await.unwrap().pop().unwrap().data;
    assert_eq!(last["errors"], json!(["The request was cancelled."]));
}

#[tokio::test]
async fn nobody_hears_what_is_not_theirs_and_what_is_wrong_is_said() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, None)).await;
    let nothing = json!({"message": "404 Not Found"});
    for (token, request_id) in [
        (MALLORY, request_id.as_str()),
        (ROOT, request_id.as_str()),
        (ALICE, "0190f5a4-8c1e-7b52-a1d3-5f0f5f1c7e11"),
        (ALICE, "no-uuid"),
    ] {
        let reply = send(get(&server, token, request_id)).await.unwrap();
        assert_eq!((reply.status, reply.json()), (404, nothing.clone()), "{token} {request_id}");
    }
    let strange = send(get(&server, ALICE, &request_id).header("Last-Event-ID", "7")).await.unwrap();
    assert_eq!(
        (strange.status, strange.json()),
        (400, json!({"error": "Last-Event-ID is none of this server's"}))
    );
    let forgotten = "0190f5a4-8c1e-7b52-a1d3-5f0f5f1c7e11";
    let place = format!("{forgotten}.00000000000000070000000000000009");
    let back = get(&server, ALICE, forgotten).header("Last-Event-ID", place);
    let told = EventStream::open(back).await.unwrap().rest().await.unwrap();
    assert_eq!((told.len(), told[0].id.as_str(), &told[0].data["resume"]), (1, "end", &json!("RESET")));
    let other = "0190f5a4-8c1e-7b52-a1d3-5f0f5f1c7e11.00000000000000070000000000000009";
    assert_eq!(
        send(get(&server, ALICE, &request_id).header("Last-Event-ID", other)).await.unwrap().status,
        400
    );
    assert_eq!(send(client().get(server.url(&path(&request_id)))).await.unwrap().status, 401);
    let posted = client().post(server.url(&path(&request_id))).bearer_auth(ALICE);
    assert_eq!(send(posted).await.unwrap().status, 405);
    let refused =
        post(&server, &json!({"content": "Hello?", "resource_type": "issue", "resource_id": 404_404}));
    let refused = send(refused).await.unwrap();
    assert_eq!((refused.status, refused.json()), (404, nothing), "a refusal is no stream");
}

/// An `EventSource` sets no headers.
#[tokio::test]
async fn a_page_has_its_token_in_the_address() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, None)).await;
    let address = format!("{}?access_token={ALICE}", server.url(&path(&request_id)));
    let events = EventStream::open(client().get(address)).await.unwrap().rest().await.unwrap();
    assert_eq!(events.last().unwrap().id, "end");
    assert!(!server.log().unwrap().contains(ALICE));
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives_and_its_token_ends_it() {
    let stalling = Script::event_stream().send(openai::delta("Half an")).then(Step::Stall);
    let provider = FakeProvider::start(stalling).await.unwrap();
    let (issuer, server) = watchful_server_with(|home| {
        answered_by(home, &provider);
        home.set("rest", "heartbeat_seconds", 1).unwrap();
    })
    .await;
    let token = token(&issuer, &json!({"exp": now() + 4}));
    let request_id = ask(&server.graphql(&token).unwrap(), summarize(ISSUE, None)).await;
    let response = get(&server, &token, &request_id).send().await.unwrap();
    let said = response.text().await.unwrap();
    assert!(said.contains("\n\n:\n\n"), "{said}");
    assert!(!said.contains("chunkId\":null"), "{said}");
}

#[tokio::test]
async fn a_token_whose_key_is_withdrawn_ends_its_streams() {
    let provider = FakeProvider::start(speaking_for(Duration::from_secs(1))).await.unwrap();
    let (issuer, server) = watchful_server_with(|home| answered_by(home, &provider)).await;
    let token = token(&issuer, &json!({}));
    let request_id = ask(&server.graphql(&token).unwrap(), summarize(ISSUE, None)).await;
    let mut stream = EventStream::open(get(&server, &token, &request_id)).await.unwrap();
    issuer.rotate().unwrap();
    // Although there is always something to say.
    let said = stream.rest().await.unwrap();
    assert!(said.iter().all(|event| event.id != "end"), "{said:?}");
}

#[tokio::test]
async fn a_user_listens_to_as_many_answers_as_there_may_be_sockets() {
    let stalling = Script::event_stream().send(openai::delta("Half an")).then(Step::Stall);
    let provider = FakeProvider::start(stalling).await.unwrap();
    let mut home = home();
    answered_by(&mut home, &provider);
    home.set("websocket", "max_connections_per_user", 1).unwrap();
    let server = home.serve().await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Hello?", None)).await;
    let stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
    assert_eq!(send(get(&server, ALICE, &request_id)).await.unwrap().status, 429);
    let anew = json!({"content": "Hello?", "with_clean_history": true});
    assert_eq!(send(post(&server, &anew)).await.unwrap().status, 429);
    assert_eq!(provider.calls().len(), 1, "nothing is asked for whom there is no place");
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert!(kept.iter().all(|message| message["content"] != "/reset"), "{kept:?}");
    drop(stream);
    let back = async { while send_head(get(&server, ALICE, &request_id)).await != 200 {} };
    timeout(PATIENCE, back).await.expect("the place is not given back");
}

async fn send_head(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn whoever_does_not_read_is_given_up_and_finds_the_end_when_they_come_back() {
    const CHUNKS: u64 = 900;
    let long = Script::events([openai::role()]).send_times(openai::delta(&"x".repeat(1_000)), CHUNKS);
    let provider = FakeProvider::start(long.send(openai::stop()).send(openai::done())).await.unwrap();
    let mut home = home();
    answered_by(&mut home, &provider);
    home.set("server", "user_timeout_seconds", 1).unwrap();
    let server = home.serve().await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("At length, please.", None)).await;
    let unread = Unread::get(server.address(), &path(&request_id), ALICE).unwrap();
    let listening = async |number: u8| {
        let line = format!("duologue_websocket_connections{{protocol=\"event_stream\"}} {number}");
        while !server.get("/metrics").await.unwrap().text.contains(&line) {}
    };
    timeout(PATIENCE, listening(1)).await.expect("nobody listens");
    timeout(PATIENCE, listening(0)).await.expect("the stalled reader is still there");
    assert!(unread.whole().is_err(), "it was never stalled");
    let events = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap().rest().await.unwrap();
    let content = events.last().unwrap().data["content"].as_str().unwrap().len() as u64;
    assert_eq!(content, CHUNKS * 1_000);
}

#[tokio::test]
async fn a_server_that_leaves_ends_its_streams_and_the_next_one_goes_on() {
    let provider = FakeProvider::start(speaking()).await.unwrap();
    provider.enqueue(Script::event_stream().send(openai::delta("Half an")).then(Step::Stall));
    let mut home = home();
    answered_by(&mut home, &provider);
    home.set("server", "drain_seconds", 1).unwrap();
    home.fix_port().unwrap();
    let mut server = home.serve().await.unwrap();
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat("Count.", None)).await;
    let mut stream = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap();
    server.terminate().await.unwrap();
    let heard = stream.rest().await.expect("an end as it should be");
    assert!(heard.iter().all(|event| event.id != "end"), "{heard:?}");
    assert!(server.ended().await.unwrap().success());
    server.restart().await.unwrap();
    let events = EventStream::open(get(&server, ALICE, &request_id)).await.unwrap().rest().await.unwrap();
    assert_eq!(events.last().unwrap().data["content"], DELTAS.concat());
}
