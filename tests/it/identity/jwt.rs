//! JWTs of a real issuer: what they are good for, and the one way in which all others are refused.

use std::{collections::BTreeSet, time::Duration};

use duologue_harness::{
    graphql::{GraphqlClient, Reply, send},
    oidc::{OidcIssuer, SigningKey, hmac_signed, now, unsigned},
    server::{PATIENCE, TestServer},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{AI_ACTION, answer, ask, chat, explain, home, socket, subscribe, try_ask};

/// The users' names at the issuer.
const ALICE: &str = "u-alice";
const MALLORY: &str = "u-mallory";

/// A server that takes the JWTs of two issuers: of `trusted` also for instances.
struct World {
    trusted: OidcIssuer,
    other: OidcIssuer,
    server: TestServer,
    /// One for all tokens: making one takes longer than using it.
    client: GraphqlClient,
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With settings of `auth` beside those that name the issuers.
    async fn with(settings: &[(&str, Value)]) -> Self {
        let (trusted, other) = (OidcIssuer::start().await.unwrap(), OidcIssuer::start().await.unwrap());
        Self::of(trusted, other, settings).await
    }

    async fn of(trusted: OidcIssuer, other: OidcIssuer, settings: &[(&str, Value)]) -> Self {
        let mut home = home();
        home.set("logging", "level", "debug").unwrap();
        home.set("auth", "gitlab_url", trusted.url()).unwrap();
        home.set("auth", "issuers", json!([other.url()])).unwrap();
        home.set("auth", "instance_ids", json!(["7f3c"])).unwrap();
        for (key, value) in settings {
            home.set("auth", key, value.clone()).unwrap();
        }
        let directory = home.read("demo/directory.yaml").unwrap();
        let named = |name: &str, subject: &str| {
            let (trusted, other) = (trusted.url(), other.url());
            format!(
                "username: {name}, global_user_id: g-{name}, identities: {{\"{trusted}\": {subject}, \"{other}\": {subject}}}"
            )
        };
        let directory = directory
            .replace("username: alice", &named("alice", ALICE))
            .replace("username: mallory", &named("mallory", MALLORY));
        home.write("demo/directory.yaml", &directory).unwrap();
        let server = home.serve().await.unwrap();
        let client = server.anonymous().unwrap();
        Self { trusted, other, server, client }
    }

    /// Alice's token for chats, with `more` claims.
    fn token(&self, more: &Value) -> String {
        self.other.mint(&self.claims(more)).unwrap()
    }

    fn claims(&self, more: &Value) -> Value {
        let mut claims = json!({"sub": ALICE, "scopes": ["duo_chat"]});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    /// The token of an instance, as GitLab's Cloud Connector issues it.
    fn instance_token(&self) -> String {
        self.token_of_instance("7f3c")
    }

    fn token_of_instance(&self, id: &str) -> String {
        let claims = json!({
            "sub": id, "gitlab_realm": "saas", "gitlab_instance_id": id, "scopes": ["duo_chat"],
        });
        self.trusted.mint(&claims).unwrap()
    }

    /// What comes of a chat with this token and these headers.
    async fn chat(&self, token: &str, headers: &[(&str, &str)]) -> Reply {
        let body = json!({"query": AI_ACTION, "variables": {"input": chat("What is this about?", None)}});
        let request = self.client.post_request().bearer_auth(token);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        send(request).await.unwrap()
    }

    /// A chat with this token is refused as one with any bad token; the log alone says why.
    async fn is_refused(&self, token: &str, headers: &[(&str, &str)], reason: &str) {
        let before = self.server.log().unwrap().len();
        let refused = self.chat(token, headers).await;
        let nonsense = self.chat("nonsense", &[]).await;
        assert_eq!((refused.status, refused.json()), (401, nonsense.json()), "{reason}");
        assert_eq!(
            nonsense.json(),
            json!({"errors": [{
                "message": "Invalid token", "extensions": {"code": "unauthenticated", "hop": "auth"},
            }]})
        );
        assert_eq!(header_names(&refused), header_names(&nonsense));
        let expected = format!("reason={reason}");
        // The log is that of the whole process: only what came since says anything of this token.
        let since = || self.server.log().unwrap().split_off(before);
        let logged = async {
            while !since().contains(&expected) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, logged).await.unwrap_or_else(|_| panic!("not logged: {expected}; {}", since()));
        assert!(!self.server.log().unwrap().contains(token));
    }

    async fn is_accepted(&self, token: &str, headers: &[(&str, &str)]) {
        let reply = self.chat(token, headers).await;
        assert!(reply.at("/data/aiAction/requestId").is_string(), "{} {}", reply.status, reply.text);
    }

    /// Whose token it is, in the server's eyes.
    async fn username(&self, token: &str) -> Value {
        let client = self.server.graphql(token).unwrap();
        client.post("{ currentUser { username } }", json!({})).await.unwrap().at("/data/currentUser/username")
    }
}

fn header_names(reply: &Reply) -> BTreeSet<String> {
    reply.headers.keys().map(ToString::to_string).collect()
}

// === Good tokens ===

#[tokio::test]
async fn a_jwt_authorises_a_chat_to_its_answer() {
    let world = World::new().await;
    let token = world.token(&json!({}));
    let mut socket = socket(&world.server, &token).await;
    subscribe(&mut socket, "s", json!({"clientSubscriptionId": "page"})).await;
    let request_id =
        ask(&world.server.graphql(&token).unwrap(), chat("What is this about?", Some("page"))).await;
    assert!(!answer(&mut socket, "s", &request_id).await.content().is_empty());
}

#[tokio::test]
async fn an_instance_speaks_for_the_user_it_states() {
    let world = World::new().await;
    let token = world.instance_token();
    world.is_accepted(&token, &[("X-Gitlab-Global-User-Id", "g-alice")]).await;
    let all = [
        ("X-Gitlab-Global-User-Id", "g-alice"),
        ("X-Gitlab-Instance-Id", "7f3c"),
        ("X-Gitlab-Realm", "saas"),
        ("X-Gitlab-Authentication-Type", "oidc"),
    ];
    world.is_accepted(&token, &all).await;
}

#[tokio::test]
async fn a_token_without_the_unit_primitive_is_a_typed_refusal() {
    let world = World::new().await;
    for scopes in [json!(["duo_chat"]), json!([]), Value::Null] {
        let token = world.token(&json!({"scopes": scopes}));
        let code = "gid://gitlab/MergeRequest/52";
        let reply = try_ask(&world.server.graphql(&token).unwrap(), explain(code, None)).await;
        assert_eq!((reply.status, reply.code()), (200, Some("forbidden".to_owned())), "{}", reply.text);
        assert_eq!(reply.error_messages(), ["Unauthorized to access explain_code"]);
    }
}

#[tokio::test]
async fn users_whose_tokens_share_a_long_beginning_never_swap() {
    let world = World::new().await;
    let key = world.other.key().unwrap();
    let tokens = [ALICE, MALLORY].map(|subject| {
        let claims = json!({
            "aaa": "x".repeat(2_000), "iss": world.other.url(), "aud": "gitlab-ai-gateway", "exp": now() + 600,
            "scopes": ["duo_chat"], "sub": subject,
        });
        key.sign(&key.header(), &claims).unwrap()
    });
    let shared = tokens[0].bytes().zip(tokens[1].bytes()).take_while(|(one, two)| one == two).count();
    assert!(shared > 2_500, "{shared}");
    for _ in 0..3 {
        let seen = tokio::join!(world.username(&tokens[0]), world.username(&tokens[1]));
        assert_eq!(seen, (json!("alice"), json!("mallory")));
    }
}

// === Bad tokens, all refused alike ===

#[rstest::rstest]
#[case::missing_exp(json!({"exp": null}), "bad_claims")]
#[case::textual_exp(json!({"exp": "4102444800"}), "bad_claims")]
#[case::expired(json!({"exp": now() - 60}), "expired")]
#[case::nbf_in_the_future(json!({"nbf": now() + 120}), "not_yet_good")]
#[case::wrong_aud(json!({"aud": "somebody-else"}), "bad_claims")]
#[case::missing_aud(json!({"aud": null}), "bad_claims")]
#[case::unknown_issuer(json!({"iss": "https://evil.example"}), "unknown_issuer")]
#[case::missing_iss(json!({"iss": null}), "malformed")]
#[case::unknown_subject(json!({"sub": "u-nobody"}), "unknown_user")]
#[case::a_username_as_subject(json!({"sub": "alice"}), "unknown_user")]
#[case::missing_subject(json!({"sub": null}), "bad_claims")]
#[case::another_realm(json!({"gitlab_realm": "self-managed"}), "wrong_realm")]
#[tokio::test]
async fn a_token_with_a_wrong_claim_is_refused(#[case] more: Value, #[case] reason: &str) {
    let world = World::new().await;
    world.is_refused(&world.token(&more), &[], reason).await;
}

#[rstest::rstest]
#[case::wrong_algorithm(json!({"alg": "RS512"}), "algorithm_not_allowed")]
#[case::embedded_jwk(json!({"alg": "RS256", "jwk": "own"}), "key_in_header")]
#[case::jku(json!({"alg": "RS256", "jku": "https://evil.example/keys"}), "key_in_header")]
#[case::x5u(json!({"alg": "RS256", "x5u": "https://evil.example/certificate"}), "key_in_header")]
#[case::crit(json!({"alg": "RS256", "crit": ["exp"]}), "key_in_header")]
#[tokio::test]
async fn a_token_with_a_wrong_header_is_refused(#[case] mut header: Value, #[case] reason: &str) {
    let world = World::new().await;
    let own = SigningKey::generate().unwrap();
    if header.get("jwk").is_some() {
        header["jwk"] = own.jwk();
    }
    header["kid"] = json!(world.other.key().unwrap().id());
    let token = own.sign(&header, &world.other.claims(&world.claims(&json!({})))).unwrap();
    world.is_refused(&token, &[], reason).await;
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let world = World::new().await;
    let claims = world.other.claims(&world.claims(&json!({})));
    world.is_refused(&unsigned(&json!({"alg": "none"}), &claims), &[], "malformed").await;
    let header = world.other.key().unwrap().header();
    world.is_refused(&unsigned(&header, &claims), &[], "bad_signature").await;
}

#[tokio::test]
async fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    let world = World::new().await;
    let key = world.other.key().unwrap();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key.id()});
    let claims = world.other.claims(&world.claims(&json!({})));
    let token = hmac_signed(&header, &claims, key.pem().unwrap().as_bytes());
    world.is_refused(&token, &[], "algorithm_not_allowed").await;
}

#[tokio::test]
async fn a_token_signed_with_another_issuers_key_is_refused() {
    let world = World::new().await;
    let key = world.trusted.key().unwrap();
    let claims = world.other.claims(&world.claims(&json!({})));
    world.is_refused(&key.sign(&key.header(), &claims).unwrap(), &[], "unknown_key").await;
    let disguised = key.sign(&world.other.key().unwrap().header(), &claims).unwrap();
    world.is_refused(&disguised, &[], "bad_signature").await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_two_questions() {
    let world = World::new().await;
    let claims = world.other.claims(&world.claims(&json!({})));
    let key = world.other.key().unwrap();
    let unknown = |number: u32| {
        key.sign(&json!({"alg": "RS256", "kid": format!("made-up-{number}")}), &claims).unwrap()
    };
    world.is_refused(&unknown(0), &[], "unknown_key").await;
    let flood: Vec<String> = (1..100).map(unknown).collect();
    let statuses = futures::future::join_all(flood.iter().map(|token| world.chat(token, &[]))).await;
    assert!(statuses.iter().all(|reply| reply.status == 401));
    assert!(world.other.jwks_fetches() <= 2, "{}", world.other.jwks_fetches());
    world.is_accepted(&world.token(&json!({})), &[]).await;
}

#[rstest::rstest]
#[case::realm(&[("X-Gitlab-Global-User-Id", "g-alice"), ("X-Gitlab-Realm", "self-managed")], "realm_differs")]
#[case::instance(&[("X-Gitlab-Global-User-Id", "g-alice"), ("X-Gitlab-Instance-Id", "8a00")], "instance_differs")]
#[case::no_user(&[("X-Gitlab-Instance-Id", "7f3c")], "no_user_stated")]
#[case::unknown_user(&[("X-Gitlab-Global-User-Id", "g-nobody")], "unknown_user")]
#[case::a_username(&[("X-Gitlab-Global-User-Id", "alice")], "unknown_user")]
#[tokio::test]
async fn an_instances_token_with_headers_that_say_otherwise_is_refused(
    #[case] headers: &[(&str, &str)],
    #[case] reason: &str,
) {
    let world = World::new().await;
    world.is_refused(&world.instance_token(), headers, reason).await;
}

/// A proxy may vouch for the headers of the upgrade, while the payload is the client's.
#[tokio::test]
async fn a_websocket_whose_payload_contradicts_its_headers_is_refused() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.instance_token());
    for (stated, expected) in [("g-alice", true), ("g-mallory", false)] {
        let connect = world.server.websocket().header("X-Gitlab-Global-User-Id", "g-alice");
        let mut socket = connect.open().await.unwrap();
        let payload = json!({"Authorization": bearer, "X-Gitlab-Global-User-Id": stated});
        socket.send(json!({"type": "connection_init", "payload": payload})).await.unwrap();
        if expected {
            assert_eq!(socket.frame().await.unwrap()["type"], "connection_ack");
        } else {
            assert_eq!(socket.closed().await.unwrap(), (4403, "Forbidden: invalid credentials".to_owned()));
        }
    }
    // Without a word in the payload those of the upgrade count.
    let connect = world.server.websocket().header("X-Gitlab-Instance-Id", "8a00");
    let mut socket = connect.open().await.unwrap();
    let payload = json!({"Authorization": bearer, "X-Gitlab-Global-User-Id": "g-alice"});
    socket.send(json!({"type": "connection_init", "payload": payload})).await.unwrap();
    assert_eq!(socket.closed().await.unwrap(), (4403, "Forbidden: invalid credentials".to_owned()));
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_refused() {
    let world = World::new().await;
    let headers = [("X-Gitlab-Global-User-Id", "g-alice"), ("X-Gitlab-Global-User-Id", "g-mallory")];
    let refused = world.chat(&world.instance_token(), &headers).await;
    assert_eq!((refused.status, refused.json()), (401, world.chat("nonsense", &[]).await.json()));
}

/// The issuer may have signed it for anybody's instance.
#[tokio::test]
async fn an_instance_that_is_not_ours_speaks_for_none_of_our_users() {
    let world = World::new().await;
    let token = world.token_of_instance("8a00");
    world.is_refused(&token, &[("X-Gitlab-Global-User-Id", "g-alice")], "unknown_instance").await;
}

#[tokio::test]
async fn without_a_list_no_instance_speaks_for_anybody_and_the_log_says_so_at_start() {
    let world = World::with(&[("instance_ids", json!([]))]).await;
    let said = "no instance may speak for its users: auth.instance_ids is empty";
    world.server.log_with(said).await.unwrap();
    let token = world.instance_token();
    world.is_refused(&token, &[("X-Gitlab-Global-User-Id", "g-alice")], "unknown_instance").await;
}

#[tokio::test]
async fn a_users_token_for_another_user_is_refused() {
    let world = World::new().await;
    let token = world.token(&json!({}));
    world.is_accepted(&token, &[("X-Gitlab-Global-User-Id", ALICE)]).await;
    world.is_refused(&token, &[("X-Gitlab-Global-User-Id", MALLORY)], "user_differs").await;
    world.is_refused(&token, &[("X-Gitlab-Global-User-Id", "g-mallory")], "user_differs").await;
}

/// Whoever holds a token chooses the headers beside it.
#[tokio::test]
async fn headers_do_not_make_a_users_token_an_instances() {
    let world = World::new().await;
    let token = world.trusted.mint(&world.claims(&json!({"sub": MALLORY}))).unwrap();
    let headers = [("X-Gitlab-Instance-Id", MALLORY), ("X-Gitlab-Global-User-Id", "g-alice")];
    world.is_refused(&token, &headers, "user_differs").await;
}

#[tokio::test]
async fn an_issuer_of_users_does_not_speak_for_instances() {
    let world = World::new().await;
    let claims = json!({"sub": "7f3c", "gitlab_realm": "saas", "scopes": ["duo_chat"]});
    let token = world.other.mint(&claims).unwrap();
    world.is_refused(&token, &[("X-Gitlab-Global-User-Id", "g-alice")], "user_differs").await;
}

#[tokio::test]
async fn an_issuer_of_whom_the_directory_knows_nobody_is_named_at_start() {
    let mut home = home();
    home.set("auth", "issuers", json!(["http://127.0.0.1:1"])).unwrap();
    home.serve().await.unwrap().log_with("no jwt of this issuer is anybody's").await.unwrap();
    let log = World::new().await.server.whole_log().await.unwrap();
    assert!(!log.contains("no jwt of this issuer is anybody's"), "{log}");
}

// === Keys that change, issuers that fail ===

#[tokio::test]
async fn a_rotation_of_keys_is_survived_and_ends_the_old_ones() {
    let world = World::new().await;
    let old = world.token(&json!({}));
    world.is_accepted(&old, &[]).await;
    world.other.rotate().unwrap();
    let new = world.token(&json!({}));
    world.is_accepted(&new, &[]).await;
    world.is_refused(&old, &[], "unknown_key").await;
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_survived() {
    let second = ["jwks_refresh_seconds", "jwks_unknown_key_seconds", "jwks_timeout_seconds"];
    let world = World::with(&second.map(|setting| (setting, json!(1)))).await;
    let before = world.token(&json!({}));
    world.is_accepted(&before, &[]).await;
    world.other.down();
    let failed = async {
        while !world.server.log().unwrap().contains("keys of an issuer not fetched") {
            world.is_accepted(&world.token(&json!({})), &[]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, failed).await.expect("the keys were not asked for again");
    world.is_accepted(&before, &[]).await;
    world.other.up();
    world.is_accepted(&world.token(&json!({})), &[]).await;
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_not_the_tokens_fault() {
    let (trusted, other) = (OidcIssuer::start().await.unwrap(), OidcIssuer::start().await.unwrap());
    other.down();
    let world = World::of(trusted, other, &[]).await;
    let reply = world.chat(&world.token(&json!({})), &[]).await;
    assert_eq!((reply.status, reply.code()), (503, Some("overloaded".to_owned())), "{}", reply.text);
    assert!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
    // Each issuer stands alone.
    let of_instance = world.instance_token();
    world.is_accepted(&of_instance, &[("X-Gitlab-Global-User-Id", "g-alice")]).await;
    let readiness = world.server.get("/-/readiness").await.unwrap();
    let concern = format!("{} has not said its keys yet; its tokens are not taken", world.other.url());
    assert_eq!(
        readiness.at("/parts/issuers"),
        json!({"ready": true, "degraded": concern}),
        "{}",
        readiness.text
    );
}

#[tokio::test]
async fn the_keys_are_asked_for_before_anybody_shows_a_token() {
    let world = World::new().await;
    let asked = async {
        while world.other.jwks_fetches() == 0 || world.trusted.jwks_fetches() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the keys were not asked for");
}

// === Nobody is asked ===

#[tokio::test]
async fn with_the_bypass_every_token_is_the_bypass_users_and_the_log_says_so_at_start() {
    let world = World::with(&[("bypass_external", json!(true)), ("bypass_user", json!("mallory"))]).await;
    for token in ["nonsense", "demo-alice", &world.token(&json!({}))] {
        assert_eq!(world.username(token).await, "mallory");
    }
    let log = world.server.log().unwrap();
    assert!(log.contains("auth.bypass_external is on: every caller is this user"), "{log}");
    // The checks are made all the same.
    let reply = world.chat("nonsense", &[]).await;
    assert_eq!((reply.status, reply.code()), (200, Some("forbidden".to_owned())), "{}", reply.text);
}

#[tokio::test]
async fn a_bypass_user_who_is_nobody_stops_the_start_with_the_setting_and_the_mend() {
    let mut home = home();
    home.set("auth", "bypass_external", true).unwrap();
    home.set("auth", "bypass_user", "bob").unwrap();
    let expected = "auth.bypass_user is \"bob\", and nobody in the directory has that username; name one of its \
                    users, or set auth.bypass_external: false";
    for command in ["serve", "check"] {
        let run = home.run(&[command]).await.unwrap();
        assert_eq!(run.code(), Some(1), "{run:?}");
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}
