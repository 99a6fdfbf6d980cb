//! An answer is for whoever may have it when it comes, whichever way they listen.

use std::time::Duration;

use duologue_harness::{
    action_cable::{ActionCable, identifier},
    event_stream::EventStream,
    fake_provider::{FakeProvider, Script, shapes::openai},
    gitlab::GitlabStub,
    server::{PATIENCE, TestServer},
};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    gitlab::{SHA, home_of},
    support::{ISSUE, NOT_FOUND, SUBSCRIPTION, answered_by, ask, message, socket, subscribe, summarize},
};

const TOKEN: &str = "glpat-alice";

/// A model that says the beginning, and the rest when a clearance has grown old.
fn half_now_and_half_later() -> Script {
    let begun = Script::events([openai::role(), openai::delta("We agreed ")]);
    let said = begun.wait(Duration::from_secs(5)).send(openai::delta("to roll back."));
    said.send(openai::stop()).send(openai::done())
}

/// Nothing of the answer, and why.
fn is_withheld(last: &Value) {
    assert_eq!((&last["content"], &last["chunkId"]), (&json!(""), &Value::Null), "{last}");
    assert_eq!(last["errors"].as_array().map(Vec::len), Some(1), "{last}");
    assert!(last["errors"][0].as_str().unwrap().starts_with(NOT_FOUND), "{last}");
}

async fn by_events(server: &TestServer, request_id: &str) -> EventStream {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let url = server.url(&format!("/api/v4/ai/requests/{request_id}/events"));
    EventStream::open(client.get(url).bearer_auth(TOKEN)).await.unwrap()
}

async fn by_cable(server: &TestServer) -> ActionCable {
    let mut cable = ActionCable::open(server.cable().token(TOKEN)).await.unwrap();
    cable.welcomed().await.unwrap();
    let variables = json!({ "clientSubscriptionId": "page", "aiAction": "SUMMARIZE_COMMENTS" });
    cable.subscribe(&identifier(SUBSCRIPTION, &variables)).await.unwrap();
    cable
}

/// The next message on the cable.
async fn heard(cable: &mut ActionCable) -> Value {
    loop {
        let frame = cable.frame().await.unwrap();
        let message = &frame["message"]["result"]["data"]["aiCompletionResponse"];
        if message.is_object() {
            return message.clone();
        }
    }
}

#[tokio::test]
async fn who_is_taken_out_of_the_group_hears_no_more_of_an_answer_on_any_transport() {
    let provider = FakeProvider::start(half_now_and_half_later()).await.unwrap();
    let gitlab = GitlabStub::start().await.unwrap();
    let mut home = home_of(&gitlab);
    answered_by(&mut home, &provider);
    home.set("gitlab", "cache_seconds", 1).unwrap();
    home.set("pipeline", "clearance_seconds", 1).unwrap();
    let server = home.serve().await.unwrap();

    let mut socket = socket(&server, TOKEN).await;
    subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "page" })).await;
    let mut cable = by_cable(&server).await;
    let request_id = ask(&server.graphql(TOKEN).unwrap(), summarize(ISSUE, Some("page"))).await;
    let mut stream = by_events(&server, &request_id).await;
    assert_eq!(message(&socket.frame().await.unwrap(), "1")["content"], "We agreed ");
    assert_eq!(heard(&mut cable).await["content"], "We agreed ");
    gitlab.change(|world| world.groups.iter_mut().for_each(|group| group.members.clear()));

    let frame = socket.frame().await.unwrap();
    is_withheld(message(&frame, "1"));
    assert_eq!(frame["payload"]["extensions"]["withheld"], true, "{frame}");
    is_withheld(&heard(&mut cable).await);
    let events = stream.rest().await.unwrap();
    let last = events.last().unwrap();
    is_withheld(&last.data);
    assert_eq!((&last.data["failure"]["code"], &last.data["withheld"]), (&json!("not_found"), &json!(true)));
    assert!(events.iter().all(|event| event.data["chunkId"] != 2), "{events:?}");

    // Whoever is let in again has the answer.
    gitlab.change(|world| world.groups[0].members.push((2, 50)));
    let again = async {
        loop {
            let last = by_events(&server, &request_id).await.rest().await.unwrap().pop().unwrap();
            if last.data["errors"] == json!([]) {
                return last.data;
            }
        }
    };
    let answer = timeout(PATIENCE, again).await.expect("it is withheld for good");
    assert_eq!(answer["content"], "We agreed to roll back.");
}

#[tokio::test]
async fn after_a_restart_an_answer_about_a_commit_is_still_for_who_asked() {
    let gitlab = GitlabStub::start().await.unwrap();
    let mut home = home_of(&gitlab);
    home.fix_port().unwrap();
    let mut server = home.serve().await.unwrap();
    let commit = json!({
        "chat": { "content": "What is this about?", "resourceId": format!("gid://gitlab/Commit/{SHA}") },
        "projectId": "gid://gitlab/Project/20",
    });
    let request_id = ask(&server.graphql(TOKEN).unwrap(), commit).await;
    by_events(&server, &request_id).await.rest().await.unwrap();
    server.kill9().await.unwrap();
    server.restart().await.unwrap();
    let last = by_events(&server, &request_id).await.rest().await.unwrap().pop().unwrap();
    assert_eq!(last.data["errors"], json!([]), "{last:?}");
}
