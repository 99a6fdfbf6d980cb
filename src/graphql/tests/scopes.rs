//! What a token is good for, field by field.

use std::collections::BTreeSet;

use duologue_actors::ports::Scope;

use super::*;

const MESSAGES: &str = "{ aiMessages { nodes { id } } }";
const THREADS: &str = "{ aiConversationThreads { nodes { id } } }";
const CURRENT_USER: &str = "{ currentUser { username } }";
const ANSWERS: &str = "subscription { aiCompletionResponse(aiAction: CHAT) { id } }";

fn gitlab(scope: &str) -> Scope {
    Scope::Gitlab(Arc::new(BTreeSet::from([scope.to_owned()])))
}

fn jwt(unit_primitive: &str) -> Scope {
    Scope::UnitPrimitives(Arc::new(BTreeSet::from([unit_primitive.to_owned()])))
}

/// Whether the fields that ask, cancel, read and subscribe are open to Alice when her token has this scope.
async fn open_fields(scope: Scope) -> [bool; 5] {
    let test = start(world());
    test.world.models.next_call(Script::default().hang());
    let running = execute(&test, "alice", ASK).await.opens.unwrap().request_id();
    test.world.verifier.narrow("alice", scope);
    let cancel = format!("mutation {{ aiCancel(requestId: \"{running}\") {{ requestId }} }}");
    let mut open = Vec::new();
    for query in [ASK, &cancel, MESSAGES, THREADS] {
        open.push(is_open(&body(&test, "alice", query).await));
    }
    let alice = identity(&test, "alice").await;
    let subscribed = test.edge.graphql.subscribe(request(ANSWERS, json!({})), &alice).await;
    open.push(subscribed.map_or_else(|refused| is_open(&shown(&refused)), |_| true));
    assert!(is_open(&body(&test, "alice", CURRENT_USER).await), "every token says who its user is");
    open.try_into().unwrap()
}

/// No error at all, or `forbidden` by Auth.
fn is_open(body: &Value) -> bool {
    let Some(error) = body.pointer("/errors/0") else { return true };
    let extensions = &error["extensions"];
    assert_eq!((&extensions["code"], &extensions["hop"]), (&json!("forbidden"), &json!("auth")), "{body}");
    false
}

#[rstest::rstest]
#[case::api(gitlab("api"), [true, true, true, true, true])]
#[case::ai_features(gitlab("ai_features"), [true, true, true, true, true])]
#[case::read_api(gitlab("read_api"), [false, false, true, true, true])]
#[case::another(gitlab("read_user"), [false, false, false, false, false])]
#[case::the_actions_unit_primitive(jwt("chat"), [true, true, true, true, true])]
#[case::another_unit_primitive(jwt("explain_code"), [false, true, true, true, true])]
#[case::no_unit_primitive(Scope::UnitPrimitives(Arc::default()), [false, false, false, false, false])]
#[actix_web::test]
async fn a_field_is_open_to_the_scopes_that_fit_it(#[case] scope: Scope, #[case] open: [bool; 5]) {
    assert_eq!(open_fields(scope).await, open);
}

#[rstest::rstest]
#[case::api(gitlab("api"), true)]
#[case::another(gitlab("read_user"), false)]
#[case::the_actions_unit_primitive(jwt("chat"), true)]
#[case::another_unit_primitive(jwt("explain_code"), false)]
#[actix_web::test]
async fn only_what_the_token_is_good_for_is_shown_as_available(#[case] scope: Scope, #[case] expected: bool) {
    let test = start(world());
    test.world.verifier.narrow("alice", scope);
    let query = "{ currentUser { duoChatAvailable duoChatAvailableFeatures } }";
    let user = body(&test, "alice", query).await["data"]["currentUser"].take();
    let features = user["duoChatAvailableFeatures"].as_array().unwrap();
    assert_eq!((&user["duoChatAvailable"], features.contains(&json!("chat"))), (&json!(expected), expected));
}

#[actix_web::test]
async fn a_narrow_token_is_no_bad_token_and_hears_what_would_do() {
    let test = start(world());
    test.world.verifier.narrow("alice", gitlab("read_user"));
    let executed = execute(&test, "alice", ASK).await;
    assert_eq!(executed.rejected, None, "the status is 200");
    let mut answers = vec![body(&test, "alice", ASK).await, body(&test, "alice", MESSAGES).await];
    test.world.verifier.narrow("alice", jwt("explain_code"));
    answers.push(body(&test, "alice", ASK).await);
    let lines: Vec<_> = answers.iter().map(Value::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
{"errors":[{"message":"insufficient_scope: the token needs one of api, ai_features","locations":[{"line":2,"column":5}],"path":["aiAction"],"extensions":{"code":"forbidden","hop":"auth","requestId":"[uuid]"}}],"data":{"aiAction":null}}
{"errors":[{"message":"insufficient_scope: the token needs one of api, read_api, ai_features","locations":[{"line":1,"column":3}],"path":["aiMessages"],"extensions":{"code":"forbidden","hop":"auth"}}],"data":null}
{"errors":[{"message":"Unauthorized to access chat","locations":[{"line":2,"column":5}],"path":["aiAction"],"extensions":{"code":"forbidden","hop":"auth","requestId":"[uuid]"}}],"data":{"aiAction":null}}
"#);
}
