//! GitLab's language server at its start: what it asks before anybody types, in its order and in its words. It
//! goes on when every answer is as it must be.

use duologue_harness::{
    graphql::{Reply, send},
    server::{PATIENCE, TestServer},
};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{ALICE, ALICE_ID, ROOT, start};

const USER_AGENT: &str = "gitlab-language-server:8.54.0 (Visual Studio Code:1.99.0)";

fn request(server: &TestServer, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
    let client = Client::builder().no_proxy().timeout(PATIENCE).user_agent(USER_AGENT).build().unwrap();
    let request = client.request(method, server.url(path));
    let request = request.header("X-Gitlab-Language-Server-Version", "8.54.0");
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

async fn get(server: &TestServer, path: &str, token: &str) -> Reply {
    send(request(server, Method::GET, path, Some(token))).await.unwrap()
}

async fn post(server: &TestServer, path: &str, token: &str, body: Value) -> Reply {
    send(request(server, Method::POST, path, Some(token)).json(&body)).await.unwrap()
}

/// A query whose answer must have data and no errors: anything else is a failure to that client.
async fn query(server: &TestServer, query: &str, variables: Value) -> Value {
    let reply = server.graphql(ALICE).unwrap().post(query, variables).await.unwrap();
    let body = reply.json();
    assert!(body["errors"].is_null() && body["data"].is_object(), "{}", reply.text);
    body["data"].clone()
}

#[tokio::test]
async fn the_language_server_starts() {
    let server = start().await;
    let (personal, oauth) = tokio::join!(
        get(&server, "/api/v4/personal_access_tokens/self", ALICE),
        get(&server, "/oauth/token/info", ALICE)
    );
    assert_eq!((personal.status, &personal.json()["scopes"]), (200, &json!(["api"])), "{}", personal.text);
    assert_eq!((oauth.status, &oauth.json()["scope"]), (200, &json!(["api"])), "{}", oauth.text);

    let version = get(&server, "/api/v4/version", ALICE).await;
    let told = version.json()["version"].as_str().unwrap().to_owned();
    let (major, minor) = told.split_once('.').unwrap();
    let minor = minor.split_once('.').unwrap().0;
    let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
    assert!((major, minor) >= (17, 10), "{told} makes clients send their old mutations");

    let available = "query suggestionsAvailable { currentUser { duoCodeSuggestionsAvailable } }";
    let user = json!({"currentUser": {"duoCodeSuggestionsAvailable": false}});
    assert_eq!(query(&server, available, json!({})).await, user);
    let flags = "query featureFlagsEnabled($names: [String!]!) {
        metadata { featureFlags(names: $names) { enabled name } }
    }";
    let on = json!({"metadata": {"featureFlags": [{"enabled": true, "name": "duo_chat"}]}});
    assert_eq!(query(&server, flags, json!({"names": ["duo_chat"]})).await, on);
    let who = "query getUser { currentUser { id username name avatarUrl webUrl } }";
    let user = json!({
        "id": ALICE_ID, "username": "alice", "name": "Alice Lindqvist", "avatarUrl": null, "webUrl": null
    });
    assert_eq!(query(&server, who, json!({})).await, json!({ "currentUser": user }));
    let features =
        "query getDuoAvailableFeatures { currentUser { duoChatAvailableFeatures codeSuggestionsContexts } }";
    let features = query(&server, features, json!({})).await;
    assert_eq!(features["currentUser"]["codeSuggestionsContexts"], json!([]));
    assert!(features["currentUser"]["duoChatAvailableFeatures"].as_array().unwrap().contains(&json!("chat")));
    let chat = "query chatAvailable { currentUser { duoChatAvailable } }";
    assert_eq!(query(&server, chat, json!({})).await, json!({"currentUser": {"duoChatAvailable": true}}));

    let enabled =
        post(&server, "/api/v4/code_suggestions/enabled", ALICE, json!({"project_path": "demo/website"}));
    let enabled = enabled.await;
    assert_eq!((enabled.status, enabled.json()), (403, json!({"message": "403 Forbidden"})));
    let direct = post(&server, "/api/v4/code_suggestions/direct_access", ALICE, json!({})).await;
    let refused = json!({"message": "403 Forbidden - Direct connections are disabled"});
    assert_eq!((direct.status, direct.json()), (403, refused));
}

#[tokio::test]
async fn what_an_instance_says_of_itself_and_of_its_caller() {
    let server = start().await;
    let metadata = get(&server, "/api/v4/metadata", ALICE).await.json();
    assert_eq!(metadata["version"], get(&server, "/api/v4/version", ALICE).await.json()["version"]);
    assert_eq!((&metadata["enterprise"], &metadata["kas"]["enabled"]), (&json!(true), &json!(false)));
    let alice = get(&server, "/api/v4/user", ALICE).await.json();
    assert_eq!(
        (&alice["id"], &alice["username"], &alice["state"]),
        (&json!(2), &json!("alice"), &json!("active"))
    );
    assert!(alice.get("is_admin").is_none(), "{alice}");
    assert_eq!(get(&server, "/api/v4/user", ROOT).await.json()["is_admin"], true);
}

#[tokio::test]
async fn a_bad_token_and_another_method_are_refused_in_gitlabs_words() {
    let server = start().await;
    let paths = [
        (Method::GET, "/api/v4/version"),
        (Method::GET, "/api/v4/metadata"),
        (Method::GET, "/api/v4/user"),
        (Method::GET, "/api/v4/personal_access_tokens/self"),
        (Method::POST, "/api/v4/code_suggestions/enabled"),
        (Method::POST, "/api/v4/code_suggestions/direct_access"),
    ];
    for (method, path) in paths {
        for token in [None, Some("nobody")] {
            let reply = send(request(&server, method.clone(), path, token)).await.unwrap();
            assert_eq!((reply.status, reply.json()), (401, json!({"message": "401 Unauthorized"})), "{path}");
        }
        let reply = send(request(&server, Method::PUT, path, Some(ALICE))).await.unwrap();
        assert_eq!((reply.status, reply.header("allow")), (405, Some(method.as_str())), "{path}");
    }
    let oauth = get(&server, "/oauth/token/info", "nobody").await;
    assert_eq!((oauth.status, &oauth.json()["error"]), (401, &json!("invalid_token")), "{}", oauth.text);
}
