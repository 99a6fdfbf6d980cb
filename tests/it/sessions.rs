//! Live websockets whose token goes bad, and callers who need none.

use duologue_harness::{
    graphql::{Reply, send},
    oidc::{OidcIssuer, now},
    server::{Home, TestServer},
    transport_ws::HandshakeError,
};
use serde_json::{Value, json};

use crate::support::{ALICE, ISSUE, answer, ask, home, socket, subscribe, summarize};

/// A server that takes Alice's JWTs of one issuer and looks at them, and at its keys, every second.
pub async fn watchful_server() -> (OidcIssuer, TestServer) {
    watchful_server_with(|_| ()).await
}

/// The same in a folder that is prepared otherwise too.
pub async fn watchful_server_with(prepare: impl FnOnce(&mut Home)) -> (OidcIssuer, TestServer) {
    let issuer = OidcIssuer::start().await.unwrap();
    let mut home = home();
    prepare(&mut home);
    home.set("auth", "issuers", json!([issuer.url()])).unwrap();
    for (key, value) in [("recheck_seconds", 1), ("jwks_refresh_seconds", 1), ("leeway_seconds", 0)] {
        home.set("auth", key, value).unwrap();
    }
    let directory = home.read("demo/directory.yaml").unwrap();
    let named = format!("username: alice, identities: {{\"{}\": u-alice}}", issuer.url());
    home.write("demo/directory.yaml", &directory.replace("username: alice", &named)).unwrap();
    (issuer, home.serve().await.unwrap())
}

/// A JWT of Alice's with these claims besides.
pub fn token(issuer: &OidcIssuer, more: &Value) -> String {
    let mut claims = json!({"sub": "u-alice", "scopes": ["summarize_comments"]});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    issuer.mint(&claims).unwrap()
}

#[tokio::test]
async fn a_token_that_expires_ends_its_live_websocket() {
    let (issuer, server) = watchful_server().await;
    let token = token(&issuer, &json!({"exp": now() + 3}));
    let mut socket = socket(&server, &token).await;
    subscribe(&mut socket, "1", json!({"clientSubscriptionId": "page"})).await;
    let (code, reason) = socket.closed().await.unwrap();
    // Whether the clock or the look at the token comes first.
    let expected = ["Forbidden: the token has expired", "Forbidden: the token is not good any more"];
    assert!(code == 4403 && expected.contains(&reason.as_str()), "{code} {reason}");
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_the_websockets_of_its_tokens_and_no_others() {
    let (issuer, server) = watchful_server().await;
    let mut of_the_issuer = socket(&server, &token(&issuer, &json!({}))).await;
    let mut of_the_directory = socket(&server, ALICE).await;
    subscribe(&mut of_the_directory, "1", json!({"clientSubscriptionId": "page"})).await;
    issuer.rotate().unwrap();
    let close = (4403, "Forbidden: the token is not good any more".to_owned());
    assert_eq!(of_the_issuer.closed().await.unwrap(), close);
    let request_id = ask(&server.graphql(ALICE).unwrap(), summarize(ISSUE, Some("page"))).await;
    answer(&mut of_the_directory, "1", &request_id).await.content();
    // With the new key it goes on.
    socket(&server, &token(&issuer, &json!({}))).await;
}

// === Without tokens ===

async fn open_server() -> TestServer {
    let mut home = home();
    home.set("auth", "bypass_external", true).unwrap();
    home.serve().await.unwrap()
}

async fn current_user(server: &TestServer, headers: &[(&str, &str)]) -> Reply {
    let body = json!({"query": "{ currentUser { username } }"}).to_string();
    let request = server.anonymous().unwrap().post_request().header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(request.body(body)).await.unwrap()
}

#[tokio::test]
async fn without_tokens_everybody_is_the_bypass_user_and_gets_an_answer() {
    let server = open_server().await;
    let reply = current_user(&server, &[]).await;
    assert_eq!(reply.json(), json!({"data": {"currentUser": {"username": "alice"}}}));
    let mut socket = server.websocket().open().await.unwrap();
    socket.init(None).await.unwrap();
    subscribe(&mut socket, "1", json!({"clientSubscriptionId": "page"})).await;
    let request_id = ask(&server.anonymous().unwrap(), summarize(ISSUE, Some("page"))).await;
    answer(&mut socket, "1", &request_id).await.content();
}

#[tokio::test]
async fn without_tokens_pages_of_other_sites_get_nothing() {
    let server = open_server().await;
    let foreign: [&[(&str, &str)]; 3] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("host", "evil.example"), ("origin", "http://evil.example")],
    ];
    for headers in foreign {
        let reply = current_user(&server, headers).await;
        assert_eq!((reply.status, reply.code().as_deref()), (403, Some("forbidden")), "{}", reply.text);
        let connect =
            headers.iter().fold(server.websocket(), |connect, (name, value)| connect.header(name, value));
        match connect.open().await {
            Err(HandshakeError::Refused(status)) => assert_eq!(status, 403, "{headers:?}"),
            other => panic!("{headers:?}: {:?}", other.err()),
        }
    }
    let own = server.url("");
    assert_eq!(current_user(&server, &[("origin", own.as_str())]).await.status, 200);
}
