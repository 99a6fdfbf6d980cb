//! GraphQL on a whole pipeline, without a transport.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use duologue_actors::{
    broadcaster::{EventKind, Resume, Subscription},
    permits::Permits,
    ports::Credentials,
    protocol::{GlobalId, UserId},
    testing::{Script, World},
};
use serde_json::{Value, json};

use super::*;
use crate::server::testing::{TestEdge, start, world};

const ASK: &str = r#"mutation($c: String) {
    aiAction(input: {chat: {content: "hello"}, clientSubscriptionId: $c, clientMutationId: "m"}) { requestId errors clientMutationId }
}"#;

const SUBSCRIBE: &str = r#"subscription s($userId: UserID, $c: String, $htmlResponse: Boolean = true) {
    answer: aiCompletionResponse(userId: $userId, aiAction: CHAT, clientSubscriptionId: $c) {
        id @skip(if: true) requestId content contentHtml @include(if: $htmlResponse) role chunkId errors type
        ...Rest
    }
}
fragment Rest on AiMessage { __typename extras { sources hasFeedback additionalContext { id category metadata } } }"#;

fn request(query: &str, variables: Value) -> GraphqlRequest {
    serde_json::from_value(json!({"query": query, "variables": variables})).unwrap()
}

async fn execute(test: &TestEdge, token: &str, query: &str) -> Executed {
    execute_with(test, token, query, json!({})).await
}

async fn execute_with(test: &TestEdge, token: &str, query: &str, variables: Value) -> Executed {
    let credentials = if token.is_empty() { Credentials::default() } else { Credentials::token(token) };
    test.edge.graphql.execute(request(query, variables), &credentials).await
}

fn shown(response: &Response) -> Value {
    serde_json::from_slice(&error::to_bytes(response)).unwrap()
}

/// The response with what differs from run to run taken out.
async fn body(test: &TestEdge, token: &str, query: &str) -> Value {
    let mut body = shown(&execute(test, token, query).await.response);
    if let Some(request_id) = body.pointer_mut("/errors/0/extensions/requestId") {
        *request_id = json!("[uuid]");
    }
    body
}

/// The response of an operation as one line: message and code of its first error.
async fn error_of(test: &TestEdge, token: &str, query: &str) -> String {
    let body = body(test, token, query).await;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    format!("{} [{}]", text("/errors/0/message"), text("/errors/0/extensions/code"))
}

async fn identity(test: &TestEdge, token: &str) -> Identity {
    test.edge.entrance.identify(Credentials::token(token)).await.unwrap()
}

/// The next event a subscription has.
async fn next(subscription: &mut Subscription) -> Arc<duologue_actors::broadcaster::Event> {
    loop {
        if let Some(event) = subscription.read(1).pop() {
            return event;
        }
        subscription.changed().await;
    }
}

#[actix_web::test]
async fn the_schema_is_as_published() {
    let test = start(world());
    insta::assert_snapshot!("schema", test.edge.graphql.sdl());
}

#[actix_web::test]
async fn an_action_of_the_catalogue_is_in_the_schema_without_more() {
    let mut world = world();
    let mut action = duologue_actors::action::Action::clone(&duologue_actors::testing::an_action("amazing_new_ai_feature"));
    action.input = vec![duologue_actors::action::InputField {
        name: "user_input".to_owned(),
        type_name: "String!".to_owned(),
        max_length: None,
        allow_blank: true,
    }];
    world.actions.push(Arc::new(action));
    let sdl = start(world).edge.graphql.sdl();
    for part in ["amazingNewAiFeature: AiAmazingNewAiFeatureInput", "userInput: String!", "AMAZING_NEW_AI_FEATURE"] {
        assert!(sdl.contains(part), "{part} is not in {sdl}");
    }
}

#[actix_web::test]
async fn a_catalogue_that_does_not_fit_a_schema_is_refused() {
    let test = start(world());
    let mut action = duologue_actors::action::Action::clone(&duologue_actors::testing::an_action("project_id"));
    action.input.clear();
    let parts = GraphqlParts {
        entrance: test.edge.entrance.clone(),
        catalogue: Arc::new(Catalogue::new(vec![action])),
        flags: test.world.flags.clone(),
        admission: test.edge.admission.clone(),
        config: GraphqlConfig::clone(&test.edge.graphql.parts.config),
        advertised_version: String::new(),
    };
    assert!(matches!(Graphql::new(parts), Err(BuildError::Catalogue(_))));
}

#[actix_web::test]
async fn an_accepted_action_is_named_and_its_gate_is_kept_shut() {
    let test = start(world());
    let executed = execute(&test, "alice", ASK).await;
    let body = shown(&executed.response);
    let gate = executed.opens.unwrap();
    assert_eq!(body["data"]["aiAction"]["requestId"], json!(gate.request_id().to_string()));
    assert_eq!(body["data"]["aiAction"]["errors"], json!([]));
    assert_eq!(body["data"]["aiAction"]["clientMutationId"], json!("m"));
    assert_eq!(executed.rejected, None);
}

#[actix_web::test]
async fn credentials_that_are_good_for_nothing_fail_the_whole_request() {
    let test = start(world());
    for query in [ASK, "{ currentUser { username } }"] {
        let executed = execute(&test, "nobody", query).await;
        assert_eq!(executed.rejected, Some(Rejection::Unauthenticated));
        let body = shown(&executed.response);
        assert_eq!(body["errors"][0]["message"], json!("Invalid token"));
        assert_eq!(body["errors"][0]["extensions"]["code"], json!("unauthenticated"));
        assert_eq!(body.get("data"), None);
    }
}

#[actix_web::test]
async fn an_anonymous_caller_may_look_but_not_act() {
    let test = start(world());
    let looked = body(&test, "", "{ currentUser { id } aiMessages { nodes { id } pageInfo { hasNextPage endCursor } } }").await;
    let empty = json!({"nodes": [], "pageInfo": {"hasNextPage": false, "endCursor": null}});
    assert_eq!(looked, json!({"data": {"currentUser": null, "aiMessages": empty}}));
    let acted = execute(&test, "", ASK).await;
    assert_eq!(acted.rejected, Some(Rejection::Unauthenticated));
    assert!(acted.opens.is_none());
}

#[actix_web::test]
async fn every_refusal_of_an_action_has_its_text_and_its_code() {
    let test = start(world());
    test.world.flags.set("summarize_comments_flag", false);
    let summarize = |id: &str| format!("mutation {{ aiAction(input: {{summarizeComments: {{resourceId: \"{id}\"}}}}) {{ requestId }} }}");
    let chat = |input: &str| format!("mutation {{ aiAction(input: {{chat: {{{input}}}}}) {{ requestId }} }}");
    let cases = [
        ("no action", "mutation { aiAction(input: {clientSubscriptionId: \"c\"}) { requestId } }".to_owned()),
        ("null action", "mutation { aiAction(input: {chat: null}) { requestId } }".to_owned()),
        (
            "two actions",
            "mutation { aiAction(input: {chat: {content: \"a\"}, summarizeComments: {resourceId: \"gid://gitlab/Issue/52\"}}) { requestId } }".to_owned(),
        ),
        ("two fields", "mutation { a: aiAction(input: {chat: {content: \"a\"}}) { requestId } b: aiAction(input: {chat: {content: \"a\"}}) { requestId } }".to_owned()),
        ("flag off", summarize("gid://gitlab/Issue/52")),
        ("not an id", summarize("52")),
        ("type not taken", summarize("gid://gitlab/Epic/52")),
        ("not there", chat("content: \"a\", resourceId: \"gid://gitlab/Issue/53\"")),
        ("blank", chat("content: \"  \"")),
        ("too long", chat(&format!("content: \"{}\"", "a".repeat(101)))),
        ("text for an object", chat("content: \"a\", currentFile: \"main.rs\"")),
        ("unknown input", chat("content: \"a\", speed: 9")),
        ("missing input", chat("")),
    ];
    let mut lines = Vec::new();
    for (name, query) in cases {
        lines.push(format!("{name}: {}", error_of(&test, "alice", &query).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @"");
}

#[actix_web::test]
async fn a_stranger_hears_not_found_and_nothing_else() {
    let test = start(world());
    let there = r#"mutation { aiAction(input: {chat: {content: "a", resourceId: "gid://gitlab/Issue/52"}}) { requestId } }"#;
    let not_there = there.replace("/52", "/53");
    let heard = body(&test, "mallory", there).await;
    assert_eq!(heard, body(&test, "mallory", &not_there).await);
    insta::assert_json_snapshot!(heard, @"");
}

#[actix_web::test]
async fn a_full_server_says_so_with_the_time_to_wait() {
    let world = World { permits: Permits::new(1), ..world() };
    let taken = world.permits.take();
    let test = start(world);
    let executed = execute(&test, "alice", ASK).await;
    assert_eq!(executed.rejected, Some(Rejection::Overloaded));
    assert_eq!(executed.retry_after, Some(Duration::from_secs(1)));
    insta::assert_json_snapshot!(shown(&executed.response), @"");
    drop(taken);
    assert!(execute(&test, "alice", ASK).await.opens.is_some());
}

#[actix_web::test]
async fn what_is_wrong_with_a_document_has_the_code_gitlabs_clients_probe_for() {
    let test = start(world());
    let documents = [
        "{ currentUser { id(full: true) } }",
        "mutation { aiAction(input: {chat: {content: \"a\"}, speed: 9}) { requestId } }",
        "{ nothing }",
        "{ metadata { featureFlags { name } } }",
        "{ currentUser }",
        "{ currentUser { id { a } } }",
        "{ metadata { version @upside } }",
        "query @skip(if: true) { metadata { version } }",
        "{ currentUser { ...F } }",
        "fragment F on CurrentUser { id } { currentUser { username } }",
        "fragment F on Nobody { id } { currentUser { ...F } }",
        "fragment F on Metadata { version } { currentUser { ...F } }",
        "fragment F on CurrentUser { ...F } { currentUser { ...F } }",
        "query($a: Nothing) { aiMessages(before: $a) { nodes { id } } }",
        "{ aiMessages(first: $a) { nodes { id } } }",
        "query($a: Int) { metadata { version } }",
        "query($a: String) { aiMessages(first: $a) { nodes { id } } }",
        "{ a: currentUser { id } a: metadata { version } }",
        "{ aiMessages(first: \"two\") { nodes { id } } }",
        "{ aiMessages(first: 1, first: 2) { nodes { id } } }",
        "{ aiMessages(roles: [NOBODY]) { nodes { id } } }",
        "{ aiMessages(first: -1) { nodes { id } } }",
        "subscription { aiCompletionResponse { id } }",
        "{",
        "",
        "query A { metadata { version } } query B { metadata { version } }",
    ];
    let mut lines = Vec::new();
    for document in documents {
        lines.push(format!("{document}\n    {}", error_of(&test, "alice", document).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @"");
}

#[actix_web::test]
async fn the_introspection_query_of_graphql_js_is_answered() {
    let test = start(world());
    let query = include_str!("introspection_query.graphql");
    let body = body(&test, "", query).await;
    assert_eq!(body.get("errors"), None);
    assert_eq!(body["data"]["__schema"]["mutationType"]["name"], json!("Mutation"));
}

#[actix_web::test]
async fn the_kind_of_an_operation_is_known_before_it_runs() {
    let graphql = start(world()).edge.graphql;
    let two = "query A { metadata { version } } mutation B { aiCancel(requestId: 1) { errors } }";
    let named = |name: &str| GraphqlRequest { operation_name: Some(name.to_owned()), ..request(two, json!({})) };
    assert_eq!(graphql.operation(&named("A")).unwrap(), OperationType::Query);
    assert_eq!(graphql.operation(&named("B")).unwrap(), OperationType::Mutation);
    assert!(graphql.operation(&named("C")).is_err());
    assert!(graphql.operation(&request(two, json!({}))).is_err());
    assert_eq!(graphql.operation(&request(SUBSCRIBE, json!({}))).unwrap(), OperationType::Subscription);
}

#[actix_web::test]
async fn a_subscriber_sees_the_answer_as_its_document_asks() {
    let test = start(world());
    test.world.models.next_call(Script::saying(&["**Hello**", " world."]));
    let variables = json!({"userId": "gid://gitlab/User/2", "c": "page"});
    let alice = identity(&test, "alice").await;
    let prepared = test.edge.graphql.subscribe(request(SUBSCRIBE, variables), &alice).await.unwrap();
    insta::assert_snapshot!(
        String::from_utf8_lossy(&prepared.first(Resume::Live)),
        @""
    );
    let mut subscription = test.edge.entrance.subscribe(prepared.filter.clone()).await.unwrap();
    let executed = execute_with(&test, "alice", ASK, json!({"c": "page"})).await;
    let request_id = executed.opens.as_ref().unwrap().request_id().to_string();
    drop(executed);

    let mut frames = Vec::new();
    loop {
        let event = next(&mut subscription).await;
        let frame = prepared.render(&event).await;
        assert_eq!(frame, prepared.render(&event).await);
        frames.push(String::from_utf8(frame.to_vec()).unwrap().replace(&request_id, "[request]"));
        if event.kind == EventKind::Final {
            break;
        }
    }
    insta::assert_snapshot!(frames.join("\n"), @"");
}

#[actix_web::test]
async fn a_rendering_that_was_dropped_half_way_leaves_nothing_behind() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let plain = "subscription { aiCompletionResponse(clientSubscriptionId: \"page\") { content chunkId } }";
    let prepared = test.edge.graphql.subscribe(request(plain, json!({})), &alice).await.unwrap();
    let mut subscription = test.edge.entrance.subscribe(prepared.filter.clone()).await.unwrap();
    drop(execute_with(&test, "alice", ASK, json!({"c": "page"})).await);
    let first = next(&mut subscription).await;
    drop(futures::poll!(Box::pin(prepared.render(&first))));
    let second = next(&mut subscription).await;
    let frame: Value = serde_json::from_slice(&prepared.render(&second).await).unwrap();
    assert_eq!(frame["data"]["aiCompletionResponse"]["content"], json!(second.message.content));
}

#[actix_web::test]
async fn a_failed_answer_says_why_to_people_and_to_programs() {
    let test = start(world());
    test.world.models.next_call(Script::default().panic());
    let alice = identity(&test, "alice").await;
    let query = "subscription { aiCompletionResponse(aiAction: CHAT) { content contentHtml errors role } }";
    let prepared = test.edge.graphql.subscribe(request(query, json!({})), &alice).await.unwrap();
    let mut subscription = test.edge.entrance.subscribe(prepared.filter.clone()).await.unwrap();
    drop(execute(&test, "alice", ASK).await);
    let event = loop {
        let event = next(&mut subscription).await;
        if event.kind == EventKind::Final {
            break event;
        }
    };
    let frame: Value = serde_json::from_slice(&prepared.render(&event).await).unwrap();
    assert_eq!(frame["extensions"]["failure"]["code"], json!("internal"));
    assert_eq!(frame["data"]["aiCompletionResponse"]["contentHtml"], json!(null));
    assert!(frame["data"]["aiCompletionResponse"]["errors"][0].as_str().unwrap().contains("A9999"));
}

#[actix_web::test]
async fn a_subscription_that_cannot_be_is_refused_before_it_is_made() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let documents = [
        "subscription { aiCompletionResponse(userId: \"gid://gitlab/User/3\") { id } }",
        "subscription { aiCompletionResponse(userId: \"alice\") { id } }",
        "subscription { aiCompletionResponse(aiAction: JUGGLE) { id } }",
        "subscription { aiCompletionResponse(requestId: \"1\") { id } }",
        "subscription { aiCompletionResponse(aiAction: CHAT, resourceId: \"gid://gitlab/Issue/52\") { id } }",
        "subscription { ...F } fragment F on Subscription { aiCompletionResponse { id } }",
        "subscription { a: aiCompletionResponse { id } b: aiCompletionResponse { id } }",
        "subscription { aiCompletionResponse @skip(if: true) { id } }",
        "subscription { aiCompletionResponse { nothing } }",
        "{ metadata { version } }",
    ];
    let mut lines = Vec::new();
    for document in documents {
        let refused = test.edge.graphql.subscribe(request(document, json!({})), &alice).await.err().unwrap();
        let body = shown(&refused);
        let error = &body["errors"][0];
        lines.push(format!("{document}\n    {} [{}]", error["message"].as_str().unwrap(), error["extensions"]["code"]));
    }
    insta::assert_snapshot!(lines.join("\n"), @"");
}

#[actix_web::test]
async fn arguments_become_the_filter_whatever_way_they_are_given() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let expected = |action, resource, c: Option<&str>| {
        duologue_actors::broadcaster::Filter::new(UserId(2), action, resource, c.map(str::to_owned), None).unwrap()
    };
    let issue = Some(GlobalId::of("Issue", 52));
    let cases = [
        ("subscription { aiCompletionResponse { id } }", json!({}), expected(None, None, None)),
        (
            "subscription($u: UserID, $r: AiModelID, $c: String) { aiCompletionResponse(userId: $u, resourceId: $r, clientSubscriptionId: $c) { id } }",
            json!({"u": "gid://gitlab/User/2", "r": "gid://gitlab/Issue/52", "c": "randomId"}),
            expected(None, issue, Some("randomId")),
        ),
        (
            "subscription($r: AiModelID, $a: AiAction = SUMMARIZE_COMMENTS) { aiCompletionResponse(resourceId: $r, aiAction: $a) { id } }",
            json!({"r": null}),
            expected(Some("summarize_comments"), None, None),
        ),
    ];
    for (query, variables, filter) in cases {
        let prepared = test.edge.graphql.subscribe(request(query, variables), &alice).await.unwrap();
        assert_eq!(prepared.filter, filter, "{query}");
    }
}

#[actix_web::test]
async fn the_conversation_is_read_page_by_page() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let query = "subscription { aiCompletionResponse(aiAction: CHAT) { id } }";
    let prepared = test.edge.graphql.subscribe(request(query, json!({})), &alice).await.unwrap();
    let mut subscription = test.edge.entrance.subscribe(prepared.filter).await.unwrap();
    drop(execute(&test, "alice", ASK).await);
    while next(&mut subscription).await.kind != EventKind::Final {}

    let first = body(&test, "alice", "{ aiMessages(first: 1) { nodes { content role } pageInfo { endCursor hasNextPage } } }").await;
    assert_eq!(first["data"]["aiMessages"]["nodes"], json!([{"content": "hello", "role": "USER"}]));
    assert_eq!(first["data"]["aiMessages"]["pageInfo"]["hasNextPage"], json!(true));
    let cursor = first["data"]["aiMessages"]["pageInfo"]["endCursor"].as_str().unwrap();
    let second = body(&test, "alice", &format!("{{ aiMessages(after: \"{cursor}\") {{ edges {{ node {{ content contentHtml chunkId }} }} }} }}")).await;
    let answer = json!({"content": "Hello world.", "contentHtml": "<p>Hello world.</p>\n", "chunkId": null});
    assert_eq!(second["data"]["aiMessages"]["edges"], json!([{"node": answer}]));
    let answers = body(&test, "alice", "{ aiMessages(roles: [ASSISTANT]) { nodes { role } } }").await;
    assert_eq!(answers["data"]["aiMessages"]["nodes"], json!([{"role": "ASSISTANT"}]));
    let others = body(&test, "mallory", "{ aiMessages { nodes { content } } }").await;
    assert_eq!(others["data"]["aiMessages"]["nodes"], json!([]));
}

#[actix_web::test]
async fn only_the_owner_can_cancel_and_an_unknown_request_is_not_found() {
    let test = start(world());
    test.world.models.next_call(Script::default().hang());
    let executed = execute(&test, "alice", ASK).await;
    let request_id = executed.opens.as_ref().unwrap().request_id();
    let cancel = format!("mutation {{ aiCancel(requestId: \"{request_id}\") {{ requestId errors }} }}");
    assert!(error_of(&test, "mallory", &cancel).await.ends_with("[not_found]"));
    assert!(error_of(&test, "alice", "mutation { aiCancel(requestId: \"1\") { errors } }").await.ends_with("[invalid_input]"));
    let cancelled = body(&test, "alice", &cancel).await;
    assert_eq!(cancelled, json!({"data": {"aiCancel": {"requestId": request_id.to_string(), "errors": []}}}));
}

#[actix_web::test]
async fn a_user_learns_what_is_open_to_them() {
    let test = start(world());
    test.world.flags.set("summarize_comments_flag", false);
    let query = "{ currentUser { id username name duoChatAvailable duoChatAvailableFeatures } }";
    insta::assert_json_snapshot!(body(&test, "alice", query).await, @"");
    let mallory = body(&test, "mallory", query).await;
    assert_eq!(mallory["data"]["currentUser"]["duoChatAvailable"], json!(false));
}

#[actix_web::test]
async fn flags_are_told_as_they_are_for_the_caller() {
    let test = start(world());
    test.world.flags.set_for("half_open", UserId(2).global_id());
    let query = r#"{ metadata { version featureFlags(names: ["half_open", "ai_global_switch", "chat_flag", "unheard_of"]) { name enabled } } }"#;
    let enabled = |body: &Value| -> Vec<bool> {
        let flags = body["data"]["metadata"]["featureFlags"].as_array().unwrap();
        flags.iter().map(|flag| flag["enabled"].as_bool().unwrap()).collect()
    };
    assert_eq!(enabled(&body(&test, "alice", query).await), [true, true, true, false]);
    assert_eq!(enabled(&body(&test, "", query).await), [false, true, true, false]);
}
