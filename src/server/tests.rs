//! The edge over a real loopback socket.

use actix_web::rt;
use duologue_actors::testing::World;
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use super::{
    testing::{start, world},
    *,
};
use crate::{config::Config, env_file::Environment};

struct Running {
    address: SocketAddr,
    admission: Admission,
    leave: oneshot::Sender<()>,
    ended: rt::task::JoinHandle<io::Result<()>>,
    /// Lives as long as the server.
    _tree: duologue_actors::supervisor::Tree,
}

fn serve(change: impl FnOnce(&mut ServerConfig)) -> Running {
    serve_world(world(), change)
}

fn serve_world(world: World, change: impl FnOnce(&mut ServerConfig)) -> Running {
    let test = start(world);
    let mut config = Config::from_layers(None, &Environment::default()).unwrap().server;
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.drain_seconds = 1;
    change(&mut config);
    let mut edge = test.edge;
    edge.connections = Connections::new(config.max_connections, config.max_new_connections_per_second);
    edge.max_body_bytes = config.max_body_bytes;
    let admission = edge.admission.clone();
    let server = bind(&config, edge).unwrap();
    let address = server.address();
    let (leave, left) = oneshot::channel();
    let ended = rt::spawn(server.run_until(left.map(drop)));
    Running { address, admission, leave, ended, _tree: test.tree }
}

/// Sends a request on a connection of its own and reads until the server closes it.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    // A server that refuses a body closes before it has read it, which may end in a reset.
    let _ = stream.read_to_string(&mut response).await;
    response
}

fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api/graphql HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n")
}

/// The status line, the headers that matter, and the body.
fn shown(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
    let interesting = ["content-type", "allow", "retry-after", "www-authenticate"];
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().to_owned();
    let mut headers: Vec<_> = lines
        .filter(|line| interesting.iter().any(|name| line.to_ascii_lowercase().starts_with(name)))
        .collect();
    headers.sort_unstable();
    format!("{status} | {} | {body}", headers.join(" | "))
}

#[actix_web::test]
async fn graphql_over_http_has_these_statuses_and_types() {
    let server = serve(|config| config.max_body_bytes = 200);
    let json = "content-type: application/json\r\n";
    let strict = "content-type: application/json\r\naccept: application/graphql-response+json\r\n";
    let typename = r#"{"query":"{ __typename }"}"#;
    let query = |text: &str| format!("/api/graphql?query={text}");
    let cases = [
        ("ok", post(json, typename)),
        ("ok, strict", post(strict, typename)),
        ("ok, get", get(&query("%7B__typename%7D"), "")),
        ("syntax", post(json, r#"{"query":"{"}"#)),
        ("syntax, strict", post(strict, r#"{"query":"{"}"#)),
        ("field error, strict", post(strict, r#"{"query":"{ aiMessages(first: -1) { nodes { id } } }"}"#)),
        ("subscription", post(strict, r#"{"query":"subscription { aiCompletionResponse { id } }"}"#)),
        ("bad token", post("content-type: application/json\r\nauthorization: Bearer nobody\r\n", typename)),
        (
            "anonymous action",
            post(json, r#"{"query":"mutation { aiAction(input: {chat: {content: \"a\"}}) { requestId } }"}"#),
        ),
        ("mutation by get", get(&query("mutation%7B__typename%7D"), "")),
        ("no query", get("/api/graphql", "")),
        ("batch", post(json, &format!("[{typename}]"))),
        ("no content type", post("", typename)),
        ("text", post("content-type: text/plain\r\n", typename)),
        ("not acceptable", post("content-type: application/json\r\naccept: text/html\r\n", typename)),
        ("not json", post(json, "{ \"not a JSON")),
        ("empty", post(json, "")),
        ("too large", post(json, &format!("{{\"query\":\"{}\"}}", "a".repeat(300)))),
        (
            "put",
            "PUT /api/graphql HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
        ),
        ("elsewhere", get("/api/v4/nothing", "")),
    ];
    let mut lines = Vec::new();
    for (name, request) in cases {
        lines.push(format!("{name}: {}", shown(&send(server.address, &request).await)));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
ok: HTTP/1.1 200 OK | content-type: application/json; charset=utf-8 | {"data":{"__typename":"Query"}}
ok, strict: HTTP/1.1 200 OK | content-type: application/graphql-response+json; charset=utf-8 | {"data":{"__typename":"Query"}}
ok, get: HTTP/1.1 200 OK | content-type: application/json; charset=utf-8 | {"data":{"__typename":"Query"}}
syntax: HTTP/1.1 200 OK | content-type: application/json; charset=utf-8 | {"errors":[{"message":"Syntax error: expected selection","locations":[{"line":1,"column":2}],"extensions":{"code":"parseError","hop":"edge"}}]}
syntax, strict: HTTP/1.1 400 Bad Request | content-type: application/graphql-response+json; charset=utf-8 | {"errors":[{"message":"Syntax error: expected selection","locations":[{"line":1,"column":2}],"extensions":{"code":"parseError","hop":"edge"}}]}
field error, strict: HTTP/1.1 200 OK | content-type: application/graphql-response+json; charset=utf-8 | {"errors":[{"message":"first can't be negative","locations":[{"line":1,"column":3}],"path":["aiMessages"],"extensions":{"code":"invalid_input","hop":"edge"}}],"data":null}
subscription: HTTP/1.1 400 Bad Request | content-type: application/graphql-response+json; charset=utf-8 | {"errors":[{"message":"Subscriptions are not supported on this transport.","extensions":{"code":"transportNotSupported","hop":"edge"}}]}
bad token: HTTP/1.1 401 Unauthorized | content-type: application/json; charset=utf-8 | www-authenticate: Bearer | {"errors":[{"message":"Invalid token","extensions":{"code":"unauthenticated","hop":"auth"}}]}
anonymous action: HTTP/1.1 401 Unauthorized | content-type: application/json; charset=utf-8 | www-authenticate: Bearer | {"errors":[{"message":"Invalid token","locations":[{"line":1,"column":12}],"extensions":{"code":"unauthenticated","hop":"edge"}}]}
mutation by get: HTTP/1.1 405 Method Not Allowed | allow: POST | content-type: application/json; charset=utf-8 | {"errors":[{"message":"mutations are not taken by GET: use POST","extensions":{"code":"invalid_input","hop":"edge"}}]}
no query: HTTP/1.1 400 Bad Request | content-type: application/json; charset=utf-8 | {"errors":[{"message":"query is missing","extensions":{"code":"invalid_input","hop":"edge"}}]}
batch: HTTP/1.1 400 Bad Request | content-type: application/json; charset=utf-8 | {"errors":[{"message":"a list of requests is not taken: send them one by one","extensions":{"code":"invalid_input","hop":"edge"}}]}
no content type: HTTP/1.1 415 Unsupported Media Type | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the body must be application/json in UTF-8","extensions":{"code":"invalid_input","hop":"edge"}}]}
text: HTTP/1.1 415 Unsupported Media Type | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the body must be application/json in UTF-8","extensions":{"code":"invalid_input","hop":"edge"}}]}
not acceptable: HTTP/1.1 406 Not Acceptable | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the client accepts neither application/json nor application/graphql-response+json","extensions":{"code":"invalid_input","hop":"edge"}}]}
not json: HTTP/1.1 400 Bad Request | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the body is not JSON","extensions":{"code":"invalid_input","hop":"edge"}}]}
empty: HTTP/1.1 400 Bad Request | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the body is not JSON","extensions":{"code":"invalid_input","hop":"edge"}}]}
too large: HTTP/1.1 413 Payload Too Large | content-type: application/json; charset=utf-8 | {"errors":[{"message":"the body is larger than 200 bytes","extensions":{"code":"invalid_input","hop":"edge"}}]}
put: HTTP/1.1 405 Method Not Allowed | allow: GET, POST | content-type: application/json; charset=utf-8 | {"errors":[{"message":"this path takes GET, POST only","extensions":{"code":"invalid_input","hop":"edge"}}]}
elsewhere: HTTP/1.1 404 Not Found | content-type: application/json; charset=utf-8 | {"errors":[{"message":"there is nothing at this path","extensions":{"code":"not_found","hop":"edge"}}]}
"#);
    server.leave.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[actix_web::test]
async fn an_action_over_http_is_accepted() {
    let server = serve(|_| ());
    let body = r#"{"query":"mutation { aiAction(input: {chat: {content: \"a\"}}) { requestId errors } }"}"#;
    let request = post("content-type: application/json\r\nprivate-token: alice\r\n", body);
    let response = send(server.address, &request).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.contains(r#""errors":[]"#), "{response}");
}

#[actix_web::test]
async fn who_asks_too_often_gets_200_with_an_error_and_the_time_to_wait_in_a_header() {
    let mut world = world();
    world.limits.user.requests = 1;
    world.limits.user.period = std::time::Duration::from_secs(100);
    let server = serve_world(world, |_| ());
    let body = r#"{"query":"mutation { aiAction(input: {chat: {content: \"a\"}}) { errors } }"}"#;
    let request = post("content-type: application/json\r\nprivate-token: alice\r\n", body);
    assert!(send(server.address, &request).await.ends_with(r#"{"data":{"aiAction":{"errors":[]}}}"#));
    let refused = shown(&send(server.address, &request).await);
    assert!(refused.starts_with("HTTP/1.1 200 OK | "), "{refused}");
    assert!(refused.contains("retry-after: 100 | ") && refused.contains(r#""retryAfter":100"#), "{refused}");
    assert!(refused.contains(r#""code":"rate_limited""#), "{refused}");
}

#[actix_web::test]
async fn operators_see_every_part() {
    crate::http::metrics::install().unwrap();
    let server = serve(|_| ());
    assert!(send(server.address, &get("/-/liveness", "")).await.starts_with("HTTP/1.1 200"));
    let ready = send(server.address, &get("/-/readiness", "")).await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    for part in
        ["pipeline", "auth", "feature_flag", "policy", "cache", "completion", "broadcaster", "admission"]
    {
        assert!(ready.contains(&format!("\"{part}\":{{")), "{part} is not in {ready}");
    }
    let metrics = send(server.address, &get("/metrics", "")).await;
    for metric in [
        "duologue_requests_in_flight 0",
        "duologue_connections 1",
        "duologue_actor_restarts_total{actor=\"auth\"} 0",
    ] {
        assert!(metrics.contains(metric), "{metric} is not in {metrics}");
    }
}

#[actix_web::test]
async fn a_part_that_is_missing_makes_the_server_not_ready() {
    let test = start(world());
    let mut edge = test.edge;
    edge.parts
        .push(Part::new("storage", async || http::health::Condition::Missing("the disk is full".to_owned())));
    edge.parts.push(Part::new("flags", std::future::pending));
    test.tree.recovered().await;
    tokio::time::pause();
    let response = http::health::readiness(web::Data::new(edge)).await;
    assert_eq!(response.status(), 503);
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["missing"], serde_json::json!(["storage", "flags"]));
    assert_eq!(body["parts"]["storage"]["why"], serde_json::json!("the disk is full"));
}

#[actix_web::test]
async fn a_connection_too_many_is_told_when_to_come_back() {
    let server = serve(|config| config.max_connections = 1);
    let _first = TcpStream::connect(server.address).await.unwrap();
    let refused = loop {
        // The first connection is counted when the server has accepted it, not when it was made.
        let response = send(server.address, &get("/api/graphql", "")).await;
        if response.starts_with("HTTP/1.1 503") {
            break response;
        }
    };
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(send(server.address, &get("/-/liveness", "")).await.starts_with("HTTP/1.1 200"));
}

#[actix_web::test]
async fn leaving_lets_nobody_in_and_waits_for_what_is_inside() {
    let server = serve(|_| ());
    let inside = server.admission.admit().unwrap();
    server.leave.send(()).unwrap();
    while !server.admission.is_closed() {
        tokio::task::yield_now().await;
    }
    assert!(server.admission.admit().is_err());
    assert!(!server.ended.is_finished());
    drop(inside);
    server.ended.await.unwrap().unwrap();
}

#[actix_web::test]
async fn no_answer_is_taken_for_anything_but_what_it_says_it_is() {
    let server = serve(|_| ());
    for path in ["/api/graphql", "/api/v4/features", "/-/liveness", "/metrics", "/nothing"] {
        let response = send(server.address, &get(path, "")).await;
        assert!(response.contains("\r\nx-content-type-options: nosniff\r\n"), "{path}: {response}");
    }
}

#[actix_web::test]
async fn a_head_that_does_not_come_to_its_end_is_given_up() {
    let server = serve(|config| config.head_seconds = 1);
    let response = send(server.address, "GET /-/liveness HTTP/1.1\r\nhost: h\r\nx-endless: a").await;
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
}

/// Where a proxy in front ends such a request elsewhere than this server does, what lies behind it could be anybody's.
#[rstest::rstest]
#[case::two_lengths("content-length: 5\r\ncontent-length: 60")]
#[case::a_length_and_chunks("content-length: 60\r\ntransfer-encoding: chunked")]
#[case::chunks_of_something_else("transfer-encoding: chunked, identity")]
#[case::two_encodings("transfer-encoding: identity\r\ntransfer-encoding: chunked")]
#[case::a_length_that_is_no_number("content-length: +5")]
#[case::a_blank_before_the_colon("content-length : 5")]
#[case::a_header_in_two_lines("content-length:\r\n 5")]
#[case::two_hosts("host: other\r\ncontent-length: 5")]
#[actix_web::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused_with_all_that_follows(#[case] headers: &str) {
    let server = serve(|_| ());
    let hidden = get("/-/liveness", "");
    let request = format!(
        "POST /api/graphql HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n{headers}\r\n\r\n0\r\n\r\n{hidden}"
    );
    let response = send(server.address, &request).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert_eq!(response.matches("HTTP/1.1").count(), 1, "{response}");
}

#[actix_web::test]
async fn json_of_a_hundred_thousand_levels_is_refused() {
    let server = serve(|_| ());
    let nested = format!(r#"{{"query":"{{__typename}}","variables":{{"a":{}"#, "[".repeat(100_000));
    let response = send(server.address, &post("content-type: application/json\r\n", &nested)).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert!(send(server.address, &get("/-/liveness", "")).await.starts_with("HTTP/1.1 200"));
}
