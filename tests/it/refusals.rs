//! Who is refused, with which words, and what is not said.

use duologue_harness::graphql::Reply;
use serde_json::{Value, json};

use crate::{
    identity::without_summaries,
    support::{
        ALICE, ISSUE, MALLORY, MERGE_REQUEST, NOT_FOUND, ROOT, ask, chat, explain, home, messages, socket,
        start, subscribe, summarize, try_ask,
    },
};

/// The one error of a refused `aiAction`: its message and code. Everything else about the answer is checked.
fn refusal(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let json = reply.json();
    assert_eq!(json["data"], json!({ "aiAction": null }), "{json}");
    let errors = json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{json}");
    let error = &errors[0];
    assert_eq!(error["path"], json!(["aiAction"]), "{json}");
    assert!(error["locations"][0]["line"].is_u64(), "{json}");
    let code = error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no code: {json}"));
    (error["message"].as_str().unwrap().to_owned(), code.to_owned())
}

/// An answer without what differs from request to request.
fn without_request_id(reply: &Reply) -> Value {
    let mut json = reply.json();
    let extensions = json["errors"][0]["extensions"].as_object_mut().unwrap();
    assert!(extensions.remove("requestId").is_some_and(|id| id.is_string()), "{}", reply.text);
    json
}

#[tokio::test]
async fn a_stranger_hears_not_found_and_nothing_else() {
    let server = start().await;
    let mallory = server.graphql(MALLORY).unwrap();
    let mut socket = socket(&server, MALLORY).await;
    subscribe(&mut socket, "1", json!({ "resourceId": ISSUE })).await;

    for input in [summarize(ISSUE, None), summarize(ISSUE, Some("c")), explain(MERGE_REQUEST, None)] {
        let reply = try_ask(&mallory, input).await;
        assert_eq!(refusal(&reply), (NOT_FOUND.to_owned(), "not_found".to_owned()));
        assert_eq!(reply.at("/errors/0/extensions/hop"), "policy");
    }
    assert_eq!(socket.frames_so_far().await.unwrap(), [] as [Value; 0]);
    assert_eq!(messages(&mallory, None).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_exists_and_what_does_not_is_refused_alike() {
    let server = start().await;
    let mallory = server.graphql(MALLORY).unwrap();
    let exists = try_ask(&mallory, summarize(ISSUE, None)).await;
    let missing = try_ask(&mallory, summarize("gid://gitlab/Issue/404404", None)).await;
    assert_eq!(without_request_id(&exists), without_request_id(&missing));
    let as_member =
        try_ask(&server.graphql(ALICE).unwrap(), summarize("gid://gitlab/Issue/404404", None)).await;
    assert_eq!(without_request_id(&as_member), without_request_id(&missing));
}

#[tokio::test]
async fn an_administrator_counts_as_a_member() {
    let server = start().await;
    ask(&server.graphql(ROOT).unwrap(), summarize(ISSUE, None)).await;
}

#[tokio::test]
async fn a_member_of_no_group_that_allows_it_cannot_chat() {
    let server = start().await;
    let (text, code) = refusal(&try_ask(&server.graphql(MALLORY).unwrap(), chat("Hello?", None)).await);
    assert_eq!(
        text,
        "I'm sorry, I can't generate a response. You do not have access to GitLab Duo Chat. Error code: M3004"
    );
    assert_eq!(code, "forbidden");
}

#[tokio::test]
async fn a_resource_of_another_kind_than_the_action_takes_is_refused() {
    let server = start().await;
    let reply = try_ask(&server.graphql(ALICE).unwrap(), summarize("gid://gitlab/User/2", None)).await;
    assert!(!reply.error_messages().is_empty(), "{}", reply.text);
    assert!(reply.code().is_some(), "{}", reply.text);
}

#[rstest::rstest]
#[case::no_action(json!({}))]
#[case::only_a_client_subscription_id(json!({ "clientSubscriptionId": "c" }))]
#[case::two_actions(json!({ "summarizeComments": { "resourceId": ISSUE }, "chat": { "content": "Hello?" } }))]
#[tokio::test]
async fn exactly_one_action_is_required(#[case] input: Value) {
    let server = start().await;
    let (text, code) = refusal(&try_ask(&server.graphql(ALICE).unwrap(), input).await);
    assert_eq!((text.as_str(), code.as_str()), ("Only one method argument is required", "invalid_input"));
}

#[tokio::test]
async fn a_blank_question_is_refused() {
    let server = start().await;
    let reply = try_ask(&server.graphql(ALICE).unwrap(), chat(" \n", None)).await;
    assert_eq!(reply.code().as_deref(), Some("invalid_input"), "{}", reply.text);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let server = start().await;
    let reply = try_ask(&server.anonymous().unwrap(), summarize(ISSUE, None)).await;
    assert_eq!(reply.code().as_deref(), Some("unauthenticated"), "{}", reply.text);
    assert_eq!(reply.at("/data/aiAction/requestId"), Value::Null);
}

#[tokio::test]
async fn a_bad_token_is_refused_before_anything_else() {
    let server = start().await;
    for token in ["demo-nobody", "demo-alice2", "x"] {
        let reply = try_ask(&server.graphql(token).unwrap(), json!({})).await;
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert_eq!(reply.error_messages(), ["Invalid token"]);
        assert_eq!(reply.code().as_deref(), Some("unauthenticated"));
    }
}

#[tokio::test]
async fn the_client_mutation_id_is_echoed_and_platform_origin_is_free_text() {
    let server = start().await;
    let mut input = summarize(ISSUE, None);
    input["clientMutationId"] = json!("mine");
    input["platformOrigin"] = json!("vs_code_extension");
    let reply = try_ask(&server.graphql(ALICE).unwrap(), input).await;
    assert_eq!(reply.at("/data/aiAction/clientMutationId"), "mine", "{}", reply.text);
}

#[tokio::test]
async fn one_document_asks_for_one_action() {
    let server = start().await;
    let twice = "mutation twice($input: AiActionInput!) {
  aiAction(input: $input) { requestId }
  again: aiAction(input: $input) { requestId }
}";
    let reply =
        server.graphql(ALICE).unwrap().post(twice, json!({ "input": summarize(ISSUE, None) })).await.unwrap();
    assert!(!reply.error_messages().is_empty(), "{}", reply.text);
    assert_eq!(reply.at("/data/aiAction/requestId"), Value::Null, "{}", reply.text);
    assert_eq!(reply.at("/data/again/requestId"), Value::Null, "{}", reply.text);
}

#[tokio::test]
async fn an_action_whose_flag_is_off_is_refused() {
    let home = home();
    let flags = without_summaries(&home.read("demo/flags.yaml").unwrap());
    home.write("demo/flags.yaml", &flags).unwrap();
    let server = home.serve().await.unwrap();
    let (text, code) = refusal(&try_ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, None)).await);
    assert_eq!((text.as_str(), code.as_str()), ("required feature flag is disabled.", "feature_disabled"));
    // The flag is looked at before the resource and before who may read it.
    let stranger = refusal(&try_ask(&server.graphql(MALLORY).unwrap(), summarize(ISSUE, None)).await);
    assert_eq!(stranger, (text, code));
}
