//! `aiCompletionResponse`.

use super::*;

#[actix_web::test]
async fn a_subscriber_sees_the_answer_as_its_document_asks() {
    let test = start(world());
    test.world.models.next_call(Script::saying(&["**Hello**", " world."]));
    let variables = json!({"userId": "gid://gitlab/User/2", "c": "page"});
    let alice = identity(&test, "alice").await;
    let prepared = test.edge.graphql.subscribe(request(SUBSCRIBE, variables), &alice).await.unwrap();
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter.clone()).await.unwrap();
    insta::assert_snapshot!(
        without_cursor(&prepared.first(&subscription)),
        @r#"{"data":{"answer":null},"extensions":{"cursor":"[cursor]","resume":"LIVE","subscribed":true}}"#
    );
    let executed = execute_with(&test, "alice", ASK, json!({"c": "page"})).await;
    let request_id = executed.opens.as_ref().unwrap().request_id().to_string();
    drop(executed);

    let mut frames = Vec::new();
    loop {
        let event = next(&mut subscription).await;
        let frame = prepared.render(&event).await;
        assert_eq!(frame, prepared.render(&event).await);
        assert_eq!(cursor(&frame), event.cursor.to_string());
        frames.push(without_cursor(&frame).replace(&request_id, "[request]"));
        if event.kind == EventKind::Final {
            break;
        }
    }
    insta::assert_snapshot!(frames.join("\n"), @r#"
{"data":{"answer":{"requestId":"[request]","content":"**Hello**","contentHtml":null,"role":"ASSISTANT","chunkId":1,"errors":[],"type":null,"__typename":"AiMessage","extras":{"sources":[],"hasFeedback":false,"additionalContext":[]}}},"extensions":{"cursor":"[cursor]"}}
{"data":{"answer":{"requestId":"[request]","content":" world.","contentHtml":null,"role":"ASSISTANT","chunkId":2,"errors":[],"type":null,"__typename":"AiMessage","extras":{"sources":[],"hasFeedback":false,"additionalContext":[]}}},"extensions":{"cursor":"[cursor]"}}
{"data":{"answer":{"requestId":"[request]","content":"**Hello** world.","contentHtml":"<p><strong>Hello</strong> world.</p>\n","role":"ASSISTANT","chunkId":null,"errors":[],"type":null,"__typename":"AiMessage","extras":{"sources":[],"hasFeedback":false,"additionalContext":[]}}},"extensions":{"cursor":"[cursor]","model":"fake/scripted"}}
"#);
}

fn cursor(frame: &[u8]) -> String {
    let frame: Value = serde_json::from_slice(frame).unwrap();
    frame["extensions"]["cursor"].as_str().unwrap_or_else(|| panic!("no cursor in {frame}")).to_owned()
}

/// A frame without what differs from run to run.
fn without_cursor(frame: &[u8]) -> String {
    String::from_utf8(frame.to_vec()).unwrap().replace(&cursor(frame), "[cursor]")
}

#[actix_web::test]
async fn an_event_is_encoded_once_for_all_who_look_at_it_alike() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let subscribe = |query: &'static str, after: Option<String>| {
        let (graphql, alice) = (test.edge.graphql.clone(), alice.clone());
        async move { graphql.subscribe(request(query, json!({"after": after})), &alice).await.unwrap() }
    };
    let plain = "subscription($after: String) { aiCompletionResponse(clientSubscriptionId: \"page\", after: $after) { content } }";
    let another = "subscription { aiCompletionResponse(clientSubscriptionId: \"page\") { chunkId } }";
    // One of them has been here before.
    let further = Some("0".repeat(32));
    let (one, two, other) =
        tokio::join!(subscribe(plain, None), subscribe(plain, further), subscribe(another, None));
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), one.filter.clone()).await.unwrap();
    drop(execute_with(&test, "alice", ASK, json!({"c": "page"})).await);
    loop {
        let event = next(&mut subscription).await;
        let (first, second, otherwise) =
            tokio::join!(one.render(&event), two.render(&event), other.render(&event));
        assert_eq!(first.as_ptr(), second.as_ptr(), "the same bytes, not equal ones");
        assert_ne!(first, otherwise);
        if event.kind == EventKind::Final {
            return;
        }
    }
}

#[actix_web::test]
async fn a_cursor_that_is_none_is_refused_by_the_name_of_its_argument() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let query = "subscription($c: String) { aiCompletionResponse(aiAction: CHAT, after: $c) { content } }";
    let refused = test.edge.graphql.subscribe(request(query, json!({"c": "7"})), &alice).await;
    let refused = shown(&refused.err().unwrap());
    assert_eq!(refused["errors"][0]["message"], json!("after is not a cursor of this server"));
    assert_eq!(refused["errors"][0]["extensions"]["code"], json!("invalid_input"));
    let absent = test.edge.graphql.subscribe(request(query, json!({"c": null})), &alice).await.unwrap();
    assert_eq!(absent.after, None);
}

#[actix_web::test]
async fn a_rendering_that_was_dropped_half_way_leaves_nothing_behind() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let plain = "subscription { aiCompletionResponse(clientSubscriptionId: \"page\") { content chunkId } }";
    let prepared = test.edge.graphql.subscribe(request(plain, json!({})), &alice).await.unwrap();
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter.clone()).await.unwrap();
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
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter.clone()).await.unwrap();
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
        "subscription { ...F } fragment F on AiMessage { id }",
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
        lines.push(format!(
            "{document}\n    {} [{}]",
            error["message"].as_str().unwrap(),
            error["extensions"]["code"]
        ));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
subscription { aiCompletionResponse(userId: "gid://gitlab/User/3") { id } }
    Unauthorized subscription ["forbidden"]
subscription { aiCompletionResponse(userId: "alice") { id } }
    Invalid value for argument "userId", expected type "UserID" ["argumentLiteralsIncompatible"]
subscription { aiCompletionResponse(aiAction: JUGGLE) { id } }
    Invalid value for argument "aiAction", enumeration type "AiAction" does not contain the value "JUGGLE" ["argumentLiteralsIncompatible"]
subscription { aiCompletionResponse(requestId: "1") { id } }
    requestId is not the id of a request ["invalid_input"]
subscription { aiCompletionResponse(aiAction: CHAT, resourceId: "gid://gitlab/Issue/52") { id } }
    Nothing is published under these arguments: give clientSubscriptionId alone, requestId alone, or one of aiAction and resourceId with or without clientSubscriptionId. ["invalid_input"]
subscription { ...F } fragment F on AiMessage { id }
    a subscription selects a field of the type Subscription ["invalid_input"]
subscription { a: aiCompletionResponse { id } b: aiCompletionResponse { id } }
    a subscription selects exactly one field ["invalid_input"]
subscription { aiCompletionResponse @skip(if: true) { id } }
    the subscription's only field is skipped ["invalid_input"]
subscription { aiCompletionResponse { nothing } }
    Unknown field "nothing" on type "AiMessage". ["undefinedField"]
{ metadata { version } }
    the operation is not a subscription ["invalid_input"]
"#);
}

#[actix_web::test]
async fn arguments_become_the_filter_whatever_way_they_are_given() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let expected = |action, resource, c: Option<&str>| {
        duologue_actors::broadcaster::Filter::new(UserId(2), action, resource, c.map(str::to_owned), None)
            .unwrap()
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

/// The chunks and the final of one answer, as a document with these variables and this operation has them.
async fn frames(query: &str, variables: Value, operation_name: Option<&str>) -> Vec<Value> {
    let test = start(world());
    test.world.models.next_call(Script::saying(&["Hello."]));
    let alice = identity(&test, "alice").await;
    let operation_name = operation_name.map(str::to_owned);
    let request = GraphqlRequest { operation_name, ..request(query, variables) };
    let prepared = test.edge.graphql.subscribe(request, &alice).await.unwrap();
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter.clone()).await.unwrap();
    drop(execute_with(&test, "alice", ASK, json!({"c": "page"})).await);
    let mut frames = Vec::new();
    loop {
        let event = next(&mut subscription).await;
        if event.kind == EventKind::Echo {
            continue;
        }
        frames.push(serde_json::from_slice::<Value>(&prepared.render(&event).await).unwrap()["data"].take());
        if event.kind == EventKind::Final {
            return frames;
        }
    }
}

#[actix_web::test]
async fn one_of_several_operations_is_selected_by_its_name() {
    let query = r#"query q { metadata { version } }
        subscription one { aiCompletionResponse(clientSubscriptionId: "page") { content } }
        subscription two { second: aiCompletionResponse(clientSubscriptionId: "page") { chunkId } }"#;
    let expected = [json!({"second": {"chunkId": 1}}), json!({"second": {"chunkId": null}})];
    assert_eq!(frames(query, json!({}), Some("two")).await, expected);
}

#[actix_web::test]
async fn directives_take_variables_and_their_defaults() {
    let query = r#"subscription($yes: Boolean = true, $no: Boolean = false, $given: Boolean!) {
        aiCompletionResponse(clientSubscriptionId: "page") @include(if: $yes) {
            content @include(if: $yes) chunkId @skip(if: $no) role @include(if: $no) errors @skip(if: $given)
            ... @include(if: $given) { kind: __typename }
        }
    }"#;
    let message = |chunk_id: Value| json!({"aiCompletionResponse": {"content": "Hello.", "chunkId": chunk_id, "kind": "AiMessage"}});
    let given = frames(query, json!({"given": true}), None).await;
    assert_eq!(given, [message(json!(1)), message(json!(null))]);
    let overridden = frames(query, json!({"given": false, "no": true}), None).await;
    let content = json!({"aiCompletionResponse": {"content": "Hello.", "role": "ASSISTANT", "errors": []}});
    assert_eq!(overridden, [content.clone(), content]);
}

#[actix_web::test]
async fn the_field_may_be_in_fragments_with_directives() {
    let query = r#"subscription($c: String = "page", $yes: Boolean = true) { ...Answer @include(if: $yes) }
        fragment Answer on Subscription { ... { answer: aiCompletionResponse(clientSubscriptionId: $c) { ...Text } } }
        fragment Text on AiMessage { content }"#;
    let content = json!({"answer": {"content": "Hello."}});
    assert_eq!(frames(query, json!({}), None).await, [content.clone(), content]);
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let skipped = test.edge.graphql.subscribe(request(query, json!({"yes": false})), &alice).await;
    let body = shown(&skipped.err().unwrap());
    assert_eq!(body["errors"][0]["message"], "the subscription's only field is skipped");
}
