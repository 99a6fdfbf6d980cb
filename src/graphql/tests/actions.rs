//! `aiAction` and `aiCancel`.

use super::*;

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
async fn every_refusal_of_an_action_has_its_text_and_its_code() {
    let test = start(world());
    test.world.flags.set("summarize_comments_flag", false);
    let summarize = |id: &str| {
        format!(
            "mutation {{ aiAction(input: {{summarizeComments: {{resourceId: \"{id}\"}}}}) {{ requestId }} }}"
        )
    };
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
        ("type not taken", chat("content: \"a\", resourceId: \"gid://gitlab/Epic/52\"")),
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
    insta::assert_snapshot!(lines.join("\n"), @r#"
no action: Only one method argument is required [invalid_input]
null action: Only one method argument is required [invalid_input]
two actions: Only one method argument is required [invalid_input]
two fields: Only one aiAction is allowed in a document [invalid_input]
flag off: required feature flag is disabled. [feature_disabled]
not an id: Invalid value for argument "input.summarizeComments.resourceId", expected type "AiModelID" [argumentLiteralsIncompatible]
type not taken: The resource that you are attempting to access does not exist or you don't have permission to perform this action [not_found]
not there: The resource that you are attempting to access does not exist or you don't have permission to perform this action [not_found]
blank: content can't be blank [invalid_input]
too long: content is too long (maximum is 100) [invalid_input]
text for an object: Invalid value for argument "input.chat.currentFile", expected type "AiCurrentFileInput" [argumentLiteralsIncompatible]
unknown input: Invalid value for argument "input.chat", unknown field "speed" of type "AiChatInput" [argumentNotAccepted]
missing input: Invalid value for argument "input.chat", field "content" of type "String!" is required but not provided [missingRequiredInputObjectAttribute]
"#);
}

#[actix_web::test]
async fn a_stranger_hears_not_found_and_nothing_else() {
    let test = start(world());
    let there = r#"mutation { aiAction(input: {chat: {content: "a", resourceId: "gid://gitlab/Issue/52"}}) { requestId } }"#;
    let not_there = there.replace("/52", "/53");
    let heard = body(&test, "mallory", there).await;
    assert_eq!(heard, body(&test, "mallory", &not_there).await);
    insta::assert_json_snapshot!(heard, @r#"
{
  "errors": [
    {
      "message": "The resource that you are attempting to access does not exist or you don't have permission to perform this action",
      "locations": [
        {
          "line": 1,
          "column": 12
        }
      ],
      "path": [
        "aiAction"
      ],
      "extensions": {
        "code": "not_found",
        "hop": "policy",
        "requestId": "[uuid]"
      }
    }
  ],
  "data": {
    "aiAction": null
  }
}
"#);
}

#[actix_web::test]
async fn a_full_server_says_so_with_the_time_to_wait() {
    let world = World { permits: Permits::new(1), ..world() };
    let taken = world.permits.take();
    let test = start(world);
    let executed = execute(&test, "alice", ASK).await;
    assert_eq!(executed.rejected, Some(Rejection::Overloaded));
    assert_eq!(executed.retry_after, Some(Duration::from_secs(1)));
    insta::assert_json_snapshot!(shown(&executed.response), @r#"
{
  "errors": [
    {
      "message": "the server is busy, please try again in 1 s",
      "locations": [
        {
          "line": 2,
          "column": 5
        }
      ],
      "extensions": {
        "code": "overloaded",
        "hop": "edge",
        "retryAfter": 1
      }
    }
  ]
}
"#);
    drop(taken);
    assert!(execute(&test, "alice", ASK).await.opens.is_some());
}

#[actix_web::test]
async fn only_the_owner_can_cancel_and_an_unknown_request_is_not_found() {
    let test = start(world());
    test.world.models.next_call(Script::default().hang());
    let executed = execute(&test, "alice", ASK).await;
    let request_id = executed.opens.as_ref().unwrap().request_id();
    let cancel = format!("mutation {{ aiCancel(requestId: \"{request_id}\") {{ requestId errors }} }}");
    assert!(error_of(&test, "mallory", &cancel).await.ends_with("[not_found]"));
    assert!(
        error_of(&test, "alice", "mutation { aiCancel(requestId: \"1\") { errors } }")
            .await
            .ends_with("[invalid_input]")
    );
    let cancelled = body(&test, "alice", &cancel).await;
    assert_eq!(cancelled, json!({"data": {"aiCancel": {"requestId": request_id.to_string(), "errors": []}}}));
}

const INLINE: &str = r#"mutation($inline: Boolean) {
    aiAction(input: {chat: {content: "hello"}, inline: $inline}) { requestId content errors }
}"#;

#[actix_web::test]
async fn an_inline_action_has_its_answer_in_the_payload() {
    let test = start(world());
    let executed = execute_with(&test, "alice", INLINE, json!({"inline": true})).await;
    assert!(executed.opens.is_none(), "its messages are out already");
    let body = shown(&executed.response);
    assert_eq!(body["data"]["aiAction"]["content"], json!("Hello world."), "{body}");
    assert_eq!(body["data"]["aiAction"]["errors"], json!([]));
}

#[actix_web::test]
async fn an_inline_action_that_fails_says_why_in_the_payload() {
    let test = start(world());
    test.world.models.next_call(Script::default().panic());
    let body = shown(&execute_with(&test, "alice", INLINE, json!({"inline": true})).await.response);
    assert!(body["data"]["aiAction"]["errors"][0].as_str().unwrap().contains("A9999"), "{body}");
    assert!(body["data"]["aiAction"]["requestId"].is_string(), "it was accepted");
}

#[rstest::rstest]
#[case::as_the_address_says(json!(null), true)]
#[case::as_the_input_says(json!(false), false)]
#[actix_web::test]
async fn an_address_that_waits_counts_unless_the_input_says_otherwise(
    #[case] inline: Value,
    #[case] waits: bool,
) {
    let test = start(world());
    let request = GraphqlRequest { inline: true, ..request(INLINE, json!({"inline": inline})) };
    let executed = test.edge.graphql.execute(request, &Credentials::token("alice")).await;
    let body = shown(&executed.response);
    assert_eq!(body["data"]["aiAction"]["content"].is_string(), waits, "{body}");
    assert_eq!(executed.opens.is_none(), waits);
}

#[actix_web::test]
async fn an_inline_action_is_refused_where_nobody_may_wait() {
    let test = start(world());
    let parts = GraphqlParts {
        entrance: test.edge.entrance.clone(),
        catalogue: test.world.parts().catalogue,
        flags: test.world.flags.clone(),
        admission: test.edge.admission.clone(),
        config: test.edge.graphql.parts.config.clone(),
        advertised_version: String::new(),
        needs_token: true,
        allows_inline: false,
    };
    let graphql = Graphql::new(parts).unwrap();
    let request = request(INLINE, json!({"inline": true}));
    let body = shown(&graphql.execute(request, &Credentials::token("alice")).await.response);
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("graphql.inline"), "{body}");
    assert_eq!(body["errors"][0]["extensions"]["code"], json!("invalid_input"));
    assert!(test.world.models.calls().is_empty());
}
