//! How much one user may ask for, as GraphQL tells it.

use super::*;

#[actix_web::test]
async fn the_request_after_the_last_of_a_period_hears_gitlabs_text_and_when_to_come_back() {
    let mut world = world();
    world.limits.user.in_flight = 1_000;
    let test = start(world);
    for number in 1..=160 {
        assert!(execute(&test, "alice", ASK).await.opens.is_some(), "request {number}");
    }
    let refused = execute(&test, "alice", ASK).await;
    assert_eq!(refused.rejected, None, "the status is 200");
    let wait = refused.retry_after.unwrap();
    assert!(wait > Duration::from_secs(28_700) && wait <= Duration::from_secs(28_800), "{wait:?}");
    let error = &shown(&refused.response)["errors"][0];
    assert_eq!(error["message"], "This endpoint has been requested too many times. Try again later.");
    let extensions = &error["extensions"];
    assert_eq!((&extensions["code"], &extensions["hop"]), (&json!("rate_limited"), &json!("auth")));
    assert_eq!(extensions["retryAfter"], error::whole_seconds(wait));
    assert!(extensions["requestId"].is_string(), "{error}");

    // Reading is not asking, and another user is another.
    assert!(body(&test, "alice", "{ aiMessages { nodes { id } } }").await.get("errors").is_none());
    assert!(execute(&test, "root", ASK).await.opens.is_some());
}

#[actix_web::test]
async fn the_17th_request_in_flight_is_refused_until_one_of_the_others_has_ended() {
    let test = start(world());
    let mut running = Vec::new();
    for _ in 0..16 {
        test.world.models.next_call(Script::default().hang());
        running.push(execute(&test, "alice", ASK).await.opens.unwrap().request_id());
    }
    let refused = body(&test, "alice", ASK).await;
    insta::assert_snapshot!(
        refused,
        @r#"{"errors":[{"message":"You have 16 requests in flight, which is the limit. Try again when one of them has ended.","locations":[{"line":2,"column":5}],"path":["aiAction"],"extensions":{"code":"rate_limited","hop":"auth","requestId":"[uuid]","retryAfter":1}}],"data":{"aiAction":null}}"#
    );
    let alice = identity(&test, "alice").await;
    let first = running[0];
    let query = format!("subscription {{ aiCompletionResponse(requestId: \"{first}\") {{ id }} }}");
    let prepared = test.edge.graphql.subscribe(request(&query, json!({})), &alice).await.unwrap();
    let mut subscription =
        test.edge.entrance.subscribe(a_caller(alice.user.id), prepared.filter).await.unwrap();
    let cancel = format!("mutation {{ aiCancel(requestId: \"{first}\") {{ requestId }} }}");
    assert!(body(&test, "alice", &cancel).await.get("errors").is_none());
    while next(&mut subscription).await.kind != EventKind::Final {}
    assert!(execute(&test, "alice", ASK).await.opens.is_some());
}
