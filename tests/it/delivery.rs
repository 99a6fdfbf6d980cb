//! An answer reaches exactly who asked, once, in order, whenever they subscribe.

use std::time::Duration;

use duologue_harness::server::PATIENCE;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    AI_ACTION, ALICE, ALICE_ID, Answer, ISSUE, MERGE_REQUEST, ROOT, ROOT_ID, SUBSCRIPTION, answer, ask,
    ask_to_the_end, chat, explain, forgetful_socket, messages, socket, start, subscribe, summarize,
    until_ended,
};

#[tokio::test]
async fn a_subscriber_before_the_mutation_gets_chunks_and_answer_live() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE, "clientSubscriptionId": "before" });
    assert_eq!(subscribe(&mut socket, "1", variables).await, "LIVE");

    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("before"))).await;
    let answer = answer(&mut socket, "1", &request_id).await;
    assert!(!answer.chunks.is_empty() && answer.echoes.is_empty());
    assert!(answer.content().len() > 40);
    assert!(
        answer.chunks.iter().all(|chunk| chunk["contentHtml"].is_null()),
        "a chunk has no HTML of its own"
    );
    assert!(answer.finals[0]["contentHtml"].is_string());
}

#[tokio::test]
async fn subscribers_while_the_answer_is_on_its_way_lose_nothing() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    for round in 0..20 {
        let mut socket = socket(&server, ALICE).await;
        let name = format!("during-{round}");
        let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE, "clientSubscriptionId": name });
        // Neither waits for the other: some rounds subscribe first, some in the middle, some after the end.
        // Which is which cannot be seen from here; the Broadcaster's own tests subscribe between two chunks.
        let (request_id, _) =
            tokio::join!(ask(&client, summarize(ISSUE, Some(&name))), subscribe(&mut socket, "1", variables));
        answer(&mut socket, "1", &request_id).await.content();
        socket.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_subscriber_to_a_request_nobody_knows_is_told_so() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "requestId": "01990000-0000-7000-8000-000000000000" });
    assert_eq!(subscribe(&mut socket, "1", variables).await, "RESET");
}

#[tokio::test]
async fn a_subscriber_after_the_answer_gets_it_all_the_same() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, Some("after"))).await;

    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE, "clientSubscriptionId": "after" });
    assert_eq!(subscribe(&mut socket, "1", variables).await, "REPLAYED");
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn a_subscriber_after_the_answer_gets_it_without_a_client_subscription_id() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, None)).await;

    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE });
    assert_eq!(subscribe(&mut socket, "1", variables).await, "REPLAYED");
    let answer = answer(&mut socket, "1", &request_id).await;
    answer.content();
    assert!(answer.chunks.is_empty(), "no client subscription id, no chunks");
}

#[tokio::test]
async fn an_absent_user_id_is_the_callers_own() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "resourceId": ISSUE })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await;
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn an_action_is_a_topic_like_a_resource() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "userId": ALICE_ID, "aiAction": "CHAT" })).await;
    let client = server.graphql(ALICE).unwrap();
    ask(&client, summarize(ISSUE, None)).await;
    let request_id = ask(&client, chat("How do I add a new AI action?", None)).await;
    let answer = answer(&mut socket, "1", &request_id).await;
    assert_eq!(answer.echoes[0]["content"], "How do I add a new AI action?");
}

#[tokio::test]
async fn the_request_id_alone_brings_everything_of_the_request() {
    let server = start().await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("somewhere"))).await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn two_features_on_one_resource_are_kept_apart_by_their_client_subscription_ids() {
    let server = start().await;
    let mut summary = socket(&server, ALICE).await;
    let mut explanation = socket(&server, ALICE).await;
    for (socket, name) in [(&mut summary, "summary"), (&mut explanation, "explanation")] {
        let variables =
            json!({ "userId": ALICE_ID, "resourceId": MERGE_REQUEST, "clientSubscriptionId": name });
        subscribe(socket, "1", variables).await;
    }
    let client = server.graphql(ALICE).unwrap();
    let (summarized, explained) = tokio::join!(
        ask(&client, summarize(MERGE_REQUEST, Some("summary"))),
        ask(&client, explain(MERGE_REQUEST, Some("explanation")))
    );
    // `answer` fails on a message of any other request.
    answer(&mut summary, "1", &summarized).await.content();
    answer(&mut explanation, "1", &explained).await.content();
    assert_eq!(summary.frames_so_far().await.unwrap(), [] as [Value; 0]);
    assert_eq!(explanation.frames_so_far().await.unwrap(), [] as [Value; 0]);
}

#[tokio::test]
async fn two_users_with_the_same_client_subscription_id_get_their_own_answers() {
    let server = start().await;
    let mut sockets = Vec::new();
    for token in [ALICE, ROOT] {
        let mut socket = socket(&server, token).await;
        subscribe(&mut socket, "1", json!({ "resourceId": ISSUE, "clientSubscriptionId": "the same" })).await;
        sockets.push(socket);
    }
    let (alice, root) = (server.graphql(ALICE).unwrap(), server.graphql(ROOT).unwrap());
    let (of_alice, of_root) = tokio::join!(
        ask(&alice, summarize(ISSUE, Some("the same"))),
        ask(&root, summarize(ISSUE, Some("the same")))
    );
    for (socket, request_id) in sockets.iter_mut().zip([of_alice, of_root]) {
        answer(socket, "1", &request_id).await.content();
        assert_eq!(socket.frames_so_far().await.unwrap(), [] as [Value; 0]);
    }
}

#[tokio::test]
async fn another_users_request_id_brings_nothing() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, Some("hers"))).await;
    let mut socket = socket(&server, ROOT).await;
    subscribe(&mut socket, "1", json!({ "requestId": request_id })).await;
    subscribe(&mut socket, "2", json!({ "clientSubscriptionId": "hers" })).await;
    // Root's own request, asked later, is all that comes.
    let own = ask(&server.graphql(ROOT).unwrap(), summarize(ISSUE, Some("hers"))).await;
    answer(&mut socket, "2", &own).await;
    assert_eq!(messages(&server.graphql(ROOT).unwrap(), Some(&[&request_id])).await, [] as [Value; 0]);
}

#[tokio::test]
async fn one_socket_carries_many_subscriptions_and_each_gets_an_event_once() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "c", json!({ "clientSubscriptionId": "many" })).await;
    subscribe(&mut socket, "rc", json!({ "resourceId": ISSUE, "clientSubscriptionId": "many" })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("many"))).await;

    let (mut of_c, mut of_rc) = (Answer::default(), Answer::default());
    while of_c.finals.is_empty() || of_rc.finals.is_empty() {
        let frame = socket.frame().await.unwrap();
        let message = &frame["payload"]["data"]["aiCompletionResponse"];
        assert_eq!(message["requestId"], request_id.as_str(), "{frame}");
        if frame["id"] == "c" { of_c.add(message) } else { of_rc.add(message) }
    }
    assert_eq!(of_c.content(), of_rc.content());
    assert_eq!(of_c.chunks.len(), of_rc.chunks.len());
}

#[tokio::test]
async fn a_completed_subscription_hears_no_more() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "gone", json!({ "clientSubscriptionId": "x" })).await;
    socket.complete("gone").await.unwrap();
    subscribe(&mut socket, "kept", json!({ "clientSubscriptionId": "x" })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("x"))).await;
    // `answer` fails on a frame of any other subscription.
    answer(&mut socket, "kept", &request_id).await.content();
}

#[tokio::test]
async fn an_answer_that_was_received_is_not_sent_again() {
    let server = start().await;
    let mut receiver = socket(&server, ALICE).await;
    subscribe(&mut receiver, "1", json!({ "clientSubscriptionId": "once" })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("once"))).await;
    answer(&mut receiver, "1", &request_id).await.content();

    // The receipt is the pong of a ping that follows the answer, so the socket must be read meanwhile.
    let acknowledged = async {
        loop {
            assert_eq!(receiver.next_within(Duration::from_millis(50)).await.unwrap(), None);
            let mut later = forgetful_socket(&server, ALICE).await;
            if subscribe(&mut later, "1", json!({ "clientSubscriptionId": "once" })).await == "LIVE" {
                return;
            }
            later.close().await.unwrap();
        }
    };
    timeout(PATIENCE, acknowledged).await.expect("the answer was received and still replayed");
}

#[tokio::test]
async fn an_answer_without_a_receipt_is_sent_again() {
    let server = start().await;
    let request_id = ask_to_the_end(&server, ALICE, summarize(ISSUE, Some("again"))).await;
    for _ in 0..3 {
        let mut socket = forgetful_socket(&server, ALICE).await;
        assert_eq!(subscribe(&mut socket, "1", json!({ "clientSubscriptionId": "again" })).await, "REPLAYED");
        answer(&mut socket, "1", &request_id).await.content();
    }
}

#[tokio::test]
async fn an_answer_is_rendered_as_html_that_can_do_no_harm() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let question = "How do I add an action? <script>alert(1)</script> <img src=x onerror=alert(1)>";
    subscribe(&mut socket, "1", json!({ "aiAction": "CHAT" })).await;
    let request_id = ask(&server.graphql(ALICE).unwrap(), chat(question, None)).await;
    let answer = answer(&mut socket, "1", &request_id).await;
    assert_eq!(answer.echoes[0]["content"], question, "content is raw");
    for message in answer.echoes.iter().chain(&answer.finals) {
        let html = message["contentHtml"].as_str().unwrap().to_lowercase();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
}

#[tokio::test]
async fn a_query_over_the_socket_is_answered_and_completed() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.subscribe("q", "{ currentUser { username } }", json!({})).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!(frame["payload"]["data"], json!({ "currentUser": { "username": "alice" } }));
    assert_eq!(socket.frame().await.unwrap(), json!({ "id": "q", "type": "complete" }));
}

#[tokio::test]
async fn a_mutation_over_the_socket_is_answered_before_its_chunks_come() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    subscribe(&mut socket, "s", json!({ "clientSubscriptionId": "same socket" })).await;
    for round in 0..10 {
        let id = format!("m{round}");
        let variables = json!({ "input": summarize(ISSUE, Some("same socket")) });
        socket.subscribe(&id, AI_ACTION, variables).await.unwrap();
        let frame = socket.frame().await.unwrap();
        assert_eq!((&frame["id"], &frame["type"]), (&json!(id), &json!("next")), "{frame}");
        let request_id = frame["payload"]["data"]["aiAction"]["requestId"].as_str().unwrap().to_owned();

        let mut of_it = Answer::default();
        while of_it.finals.is_empty() {
            let frame = socket.frame().await.unwrap();
            if frame["id"] == "s" {
                let message = &frame["payload"]["data"]["aiCompletionResponse"];
                assert_eq!(message["requestId"], request_id.as_str());
                of_it.add(message);
            } else {
                assert_eq!(frame, json!({ "id": id, "type": "complete" }));
            }
        }
        of_it.content();
    }
}

#[tokio::test]
async fn another_users_id_is_refused_aloud() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ROOT_ID, "resourceId": ISSUE });
    socket.subscribe("1", SUBSCRIPTION, variables).await.unwrap();
    let frame = socket.frame().await.unwrap();
    assert_eq!((&frame["id"], &frame["type"]), (&json!("1"), &json!("error")), "{frame}");
    assert_eq!(frame["payload"][0]["message"], "Unauthorized subscription");
    assert!(frame["payload"][0]["extensions"]["code"].is_string(), "{frame}");
}

#[tokio::test]
async fn cancelling_is_for_the_owner_of_a_request_only() {
    const CANCEL: &str = "mutation($id: ID!) { aiCancel(requestId: $id) { requestId errors } }";
    let server = start().await;
    let (alice, root) = (server.graphql(ALICE).unwrap(), server.graphql(ROOT).unwrap());
    let request_id = ask(&alice, summarize(ISSUE, Some("cancel"))).await;

    let refused = root.post(CANCEL, json!({ "id": request_id })).await.unwrap();
    assert_eq!(refused.code().as_deref(), Some("not_found"), "{}", refused.text);
    let unknown = "0190163d-8694-739b-aea5-966c26f8ad91";
    let refused = alice.post(CANCEL, json!({ "id": unknown })).await.unwrap();
    assert_eq!(refused.code().as_deref(), Some("not_found"), "{}", refused.text);

    // In time or too late, it is not an error, and one end comes of it.
    let cancelled = alice.post(CANCEL, json!({ "id": request_id })).await.unwrap();
    assert_eq!(cancelled.error_messages(), [] as [&str; 0], "{}", cancelled.text);
    until_ended(&server, ALICE, &request_id).await;
}
