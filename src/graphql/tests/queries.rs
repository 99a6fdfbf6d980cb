//! What a client may ask for without asking for an action.

use super::*;

#[actix_web::test]
async fn an_anonymous_caller_may_look_but_not_act() {
    let test = start(world());
    let looked = body(
        &test,
        "",
        "{ currentUser { id } aiMessages { nodes { id } pageInfo { hasNextPage endCursor } } }",
    )
    .await;
    let empty = json!({"nodes": [], "pageInfo": {"hasNextPage": false, "endCursor": null}});
    assert_eq!(looked, json!({"data": {"currentUser": null, "aiMessages": empty}}));
    let acted = execute(&test, "", ASK).await;
    assert_eq!(acted.rejected, Some(Rejection::Unauthenticated));
    assert!(acted.opens.is_none());
}

#[actix_web::test]
async fn where_no_token_is_needed_whoever_shows_none_is_who_the_verifier_says() {
    let test = start_without_tokens(world());
    let alice = identity(&test, "alice").await;
    test.world.verifier.say("", Ok(alice));
    let looked = body(&test, "", "{ currentUser { username } }").await;
    assert_eq!(looked, json!({"data": {"currentUser": {"username": "alice"}}}));
    assert!(execute(&test, "", ASK).await.opens.is_some());
    let messages = body(&test, "", "{ aiMessages(roles: USER) { nodes { content } } }").await;
    assert_eq!(messages["data"]["aiMessages"]["nodes"], json!([{"content": "hello"}]));
}

#[actix_web::test]
async fn a_field_that_fails_leaves_the_others_be_unless_it_may_not_be_null() {
    let test = start(world());
    test.world.directory.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let nullable =
        body(&test, "alice", "{ metadata { version } currentUser { username duoChatAvailable } }").await;
    assert_eq!(nullable["data"]["currentUser"], json!({"username": "alice", "duoChatAvailable": null}));
    assert_eq!(nullable["errors"][0]["path"], json!(["currentUser", "duoChatAvailable"]));
    let not_nullable =
        body(&test, "alice", "{ metadata { version } all: aiMessages(after: \"x\") { nodes { id } } }").await;
    assert_eq!(not_nullable["data"], json!(null));
    assert_eq!(not_nullable["errors"][0]["path"], json!(["all"]));
}

#[actix_web::test]
async fn the_conversation_is_read_page_by_page() {
    let test = start(world());
    let alice = identity(&test, "alice").await;
    let query = "subscription { aiCompletionResponse(aiAction: CHAT) { id } }";
    let prepared = test.edge.graphql.subscribe(request(query, json!({})), &alice).await.unwrap();
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter).await.unwrap();
    drop(execute(&test, "alice", ASK).await);
    while next(&mut subscription).await.kind != EventKind::Final {}

    let first = body(
        &test,
        "alice",
        "{ aiMessages(first: 1) { nodes { content role } pageInfo { endCursor hasNextPage } } }",
    )
    .await;
    assert_eq!(first["data"]["aiMessages"]["nodes"], json!([{"content": "hello", "role": "USER"}]));
    assert_eq!(first["data"]["aiMessages"]["pageInfo"]["hasNextPage"], json!(true));
    let cursor = first["data"]["aiMessages"]["pageInfo"]["endCursor"].as_str().unwrap();
    let second = body(
        &test,
        "alice",
        &format!(
            "{{ aiMessages(after: \"{cursor}\") {{ edges {{ node {{ content contentHtml chunkId }} }} }} }}"
        ),
    )
    .await;
    let answer = json!({"content": "Hello world.", "contentHtml": "<p>Hello world.</p>\n", "chunkId": null});
    assert_eq!(second["data"]["aiMessages"]["edges"], json!([{"node": answer}]));
    let answers = body(&test, "alice", "{ aiMessages(roles: [ASSISTANT]) { nodes { role } } }").await;
    assert_eq!(answers["data"]["aiMessages"]["nodes"], json!([{"role": "ASSISTANT"}]));
    let others = body(&test, "mallory", "{ aiMessages { nodes { content } } }").await;
    assert_eq!(others["data"]["aiMessages"]["nodes"], json!([]));
}

#[actix_web::test]
async fn a_user_learns_what_is_open_to_them() {
    let test = start(world());
    test.world.flags.set("summarize_comments_flag", false);
    let query = "{ currentUser { id username name duoChatAvailable duoChatAvailableFeatures } }";
    insta::assert_json_snapshot!(body(&test, "alice", query).await, @r#"
{
  "data": {
    "currentUser": {
      "id": "gid://gitlab/User/2",
      "username": "alice",
      "name": "alice",
      "duoChatAvailable": true,
      "duoChatAvailableFeatures": [
        "chat"
      ]
    }
  }
}
"#);
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
