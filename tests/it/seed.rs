//! The examples of the documentation this server is made after, as they stand there.

use duologue_harness::transport_ws::TransportWs;
use serde_json::{Value, json};

use crate::support::{
    ALICE, ALICE_ID, ISSUE, MERGE_REQUEST, ask, chat, messages, socket, start, until_ended,
};

const SUMMARIZE_COMMENTS: &str = r#"mutation {
  aiAction(input: { summarizeComments: { resourceId: "gid://gitlab/Issue/52" } }) {
    clientMutationId
    errors
  }
}"#;

const EXPLAIN_CODE: &str = r#"mutation {
  aiAction(
    input: {
      explainCode: { resourceId: "gid://gitlab/MergeRequest/52", code: "foo() { console.log() }" }
    }
  ) {
    clientMutationId
    errors
  }
}"#;

const SUMMARIZE_COMMENTS_FOR_ONE_FEATURE: &str = r#"mutation {
  aiAction(
    input: {
      summarizeComments: { resourceId: "gid://gitlab/Issue/52" }
      clientSubscriptionId: "randomId"
    }
  ) {
    clientMutationId
    errors
  }
}"#;

const SUBSCRIPTION: &str = "subscription aiCompletionResponse(
  $userId: UserID
  $resourceId: AiModelID
  $clientSubscriptionId: String
) {
  aiCompletionResponse(
    userId: $userId
    resourceId: $resourceId
    clientSubscriptionId: $clientSubscriptionId
  ) {
    requestId
    role
    chunkId
    content
    errors
  }
}";

const AI_MESSAGES: &str = "query {
  aiMessages {
    nodes {
      requestId
      content
      role
      errors
      timestamp
    }
  }
}";

/// The next messages of the socket's only subscription, up to the first whole answer.
async fn up_to_the_answer(socket: &mut TransportWs) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let frame = socket.frame().await.unwrap();
        let message = frame["payload"]["data"]["aiCompletionResponse"].clone();
        if message.is_null() {
            continue;
        }
        messages.push(message.clone());
        if message["role"] == "ASSISTANT" && message["chunkId"].is_null() {
            return messages;
        }
    }
}

#[rstest::rstest]
#[case(SUMMARIZE_COMMENTS, ISSUE)]
#[case(EXPLAIN_CODE, MERGE_REQUEST)]
#[tokio::test]
async fn a_mutation_without_a_client_subscription_id_is_answered_to_user_and_resource(
    #[case] mutation: &str,
    #[case] resource: &str,
) {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    socket.subscribe("1", SUBSCRIPTION, json!({ "userId": ALICE_ID, "resourceId": resource })).await.unwrap();
    socket.frame().await.unwrap();

    let reply = server.graphql(ALICE).unwrap().post(mutation, json!({})).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), json!({ "data": { "aiAction": { "clientMutationId": null, "errors": [] } } }));

    let messages = up_to_the_answer(&mut socket).await;
    let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["ASSISTANT"], "the whole answer, no chunks: {messages:?}");
    assert_eq!(messages[0]["errors"], json!([]));
    assert!(!messages[0]["content"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_mutation_with_a_client_subscription_id_is_answered_to_the_three_arguments() {
    let server = start().await;
    let mut socket = socket(&server, ALICE).await;
    let variables = json!({ "userId": ALICE_ID, "resourceId": ISSUE, "clientSubscriptionId": "randomId" });
    socket.subscribe("1", SUBSCRIPTION, variables).await.unwrap();
    socket.frame().await.unwrap();

    let client = server.graphql(ALICE).unwrap();
    let reply = client.post(SUMMARIZE_COMMENTS_FOR_ONE_FEATURE, json!({})).await.unwrap();
    assert_eq!(reply.json(), json!({ "data": { "aiAction": { "clientMutationId": null, "errors": [] } } }));

    let messages = up_to_the_answer(&mut socket).await;
    assert!(messages.iter().all(|message| message["role"] == "ASSISTANT"), "the question is not echoed here");
    let (answer, chunks) = messages.split_last().unwrap();
    assert!(!chunks.is_empty(), "a client subscription id brings chunks");
    let pieces: String = chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
    assert_eq!(answer["content"], pieces);
}

#[tokio::test]
async fn ai_messages_holds_question_and_answer_of_the_chat() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let request_id = ask(&client, chat("How do I add a new AI action?", None)).await;
    until_ended(&server, ALICE, &request_id).await;

    let reply = client.post(AI_MESSAGES, json!({})).await.unwrap();
    let nodes = reply.at("/data/aiMessages/nodes");
    let nodes = nodes.as_array().unwrap();
    assert_eq!(nodes.len(), 2, "{}", reply.text);
    assert_eq!(
        (&nodes[0]["role"], &nodes[0]["content"]),
        (&json!("USER"), &json!("How do I add a new AI action?"))
    );
    assert_eq!((&nodes[1]["role"], &nodes[1]["errors"]), (&json!("ASSISTANT"), &json!([])));
    assert!(
        nodes.iter().all(|node| node["requestId"] == request_id.as_str() && node["timestamp"].is_string())
    );
}

#[tokio::test]
async fn an_action_that_does_not_cache_its_response_leaves_no_message() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    let reply = client.post(SUMMARIZE_COMMENTS, json!({})).await.unwrap();
    assert_eq!(reply.status, 200);
    let request_id = ask(&client, chat("What is a unit primitive?", None)).await;
    until_ended(&server, ALICE, &request_id).await;
    // The chat was asked after it, so whatever the summary would have left is there by now.
    let of_whom: Vec<Value> =
        messages(&client, None).await.iter().map(|message| message["requestId"].clone()).collect();
    assert_eq!(of_whom, [request_id.as_str(), request_id.as_str()]);
}
