//! Who gets in while nobody is asked for a token (`auth.bypass_external`): programs and pages of this
//! machine. The server listens on loopback then, but a browser on this machine opens pages from anywhere.
//!
//! A page of another site says so in `Origin`. One that had its own name point at 127.0.0.1 (DNS rebinding)
//! counts as a page of this server, and cannot hide that name: it is in `Host`. A reverse proxy on this machine
//! would make everybody a program of it: what says that it came through one is refused.

use std::net::{IpAddr, SocketAddr};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HOST, HeaderMap},
    middleware::Next,
    web::Data,
};

use super::Edge;
use crate::http::error::Refused;

/// Answers 403 to what does not come from this machine, where there is no token to tell.
pub(super) async fn refuse_others(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let edge = request.app_data::<Data<Edge>>();
    let refused = edge.and_then(|edge| refusal(edge, request.peer_addr(), request.headers()));
    match refused {
        Some(refused) => {
            tracing::debug!(reason = %refused, "refused");
            Ok(request.into_response(refused.response()))
        }
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

fn refusal(edge: &Edge, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<Refused> {
    if edge.graphql.needs_token() {
        None
    } else if came_through_a_proxy(headers) {
        Some(Refused::Proxied)
    } else if !is_of_this_machine(peer) || !names_this_machine(headers) {
        Some(Refused::ForeignHost)
    } else {
        edge.sockets.is_of_foreign_page(headers).then_some(Refused::ForeignPage)
    }
}

/// Whoever cannot be told is not.
fn is_of_this_machine(peer: Option<SocketAddr>) -> bool {
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

/// RFC 7239 and RFC 9110 section 7.6.3, and the names proxies used before.
fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        matches!(name.as_str(), "forwarded" | "via" | "x-real-ip")
            || name.as_str().starts_with("x-forwarded-")
    })
}

/// Whether the request says, and in one word, that it is for this machine.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(is_loopback),
        _ => false,
    }
}

/// Whether `host`, with or without a port, cannot be any other machine. Names below `localhost` never leave
/// the machine (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (port.is_empty() || port.starts_with(':')).then_some(address),
        None => host.split(':').next(),
    };
    let Some(name) = name else { return false };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.to_ascii_lowercase().rsplit('.').next() == Some("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::StatusCode,
        middleware::from_fn,
        test::{TestRequest, call_service, init_service},
    };
    use duologue_actors::ports::{Credentials, TokenVerifier};

    use super::*;
    use crate::server::{
        routes,
        testing::{TestEdge, start, start_without_tokens, world},
    };

    #[rstest::rstest]
    #[case("localhost", true)]
    #[case("LocalHost:8080", true)]
    #[case("duologue.localhost:8080", true)]
    #[case("127.0.0.1:8080", true)]
    #[case("127.1.2.3", true)]
    #[case("[::1]:8080", true)]
    #[case("[::1]", true)]
    #[case("evil.example:8080", false)]
    #[case("localhost.evil.example", false)]
    #[case("127.0.0.1.evil.example", false)]
    #[case("evillocalhost", false)]
    #[case("192.168.0.7:8080", false)]
    #[case("0.0.0.0:8080", false)]
    #[case("[::]:8080", false)]
    #[case("[::1].evil.example", false)]
    #[case("[::1", false)]
    #[case("", false)]
    fn only_names_of_this_machine_are_loopback(#[case] host: &str, #[case] expected: bool) {
        assert_eq!(is_loopback(host), expected);
    }

    /// The status of a request without a token, where the verifier takes anybody for Alice.
    async fn status(test: TestEdge, headers: &[(&'static str, &str)]) -> StatusCode {
        status_for(test, "127.0.0.1:50000", headers).await
    }

    async fn status_for(test: TestEdge, peer: &str, headers: &[(&'static str, &str)]) -> StatusCode {
        let alice = test.world.verifier.verify(&Credentials::token("alice")).await;
        test.world.verifier.say("", alice);
        let app = App::new().app_data(Data::new(test.edge)).wrap(from_fn(refuse_others)).configure(routes);
        let app = init_service(app).await;
        let request = TestRequest::post()
            .uri("/api/graphql")
            .peer_addr(peer.parse().unwrap())
            .insert_header(("content-type", "application/json"))
            .set_payload(r#"{"query":"{ __typename }"}"#);
        let request = headers.iter().fold(request, |request, header| request.append_header(*header));
        call_service(&app, request.to_request()).await.status()
    }

    #[rstest::rstest]
    #[case::a_program(&[("host", "127.0.0.1:8080")], 200)]
    #[case::its_own_page(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], 200)]
    #[case::another_page(&[("host", "localhost:8080"), ("origin", "https://evil.example")], 403)]
    #[case::another_page_of_this_machine(&[("host", "localhost:8080"), ("origin", "http://localhost:3000")], 403)]
    #[case::a_hidden_page(&[("host", "localhost:8080"), ("origin", "null")], 403)]
    #[case::a_rebound_name(&[("host", "evil.example"), ("origin", "http://evil.example")], 403)]
    #[case::two_names(&[("host", "localhost"), ("host", "evil.example")], 403)]
    #[case::no_name(&[], 403)]
    #[case::a_proxy(&[("host", "localhost"), ("forwarded", "for=192.0.2.60")], 403)]
    #[case::another_proxy(&[("host", "localhost"), ("x-forwarded-for", "192.0.2.60")], 403)]
    #[case::a_terse_proxy(&[("host", "localhost"), ("X-Forwarded-Proto", "https")], 403)]
    #[case::nginx(&[("host", "localhost"), ("x-real-ip", "127.0.0.1")], 403)]
    #[case::a_gateway(&[("host", "localhost"), ("via", "1.1 gateway")], 403)]
    #[actix_web::test]
    async fn without_tokens_only_this_machine_gets_in(
        #[case] headers: &[(&'static str, &str)],
        #[case] expected: u16,
    ) {
        assert_eq!(status(start_without_tokens(world()), headers).await, expected);
    }

    #[rstest::rstest]
    #[case("127.9.9.9:1", 200)]
    #[case("[::1]:1", 200)]
    #[case("[::ffff:127.0.0.1]:1", 200)]
    #[case("192.0.2.60:1", 403)]
    #[actix_web::test]
    async fn without_tokens_another_machine_stays_out_whatever_it_says(
        #[case] peer: &str,
        #[case] expected: u16,
    ) {
        let test = start_without_tokens(world());
        assert_eq!(status_for(test, peer, &[("host", "localhost")]).await, expected);
    }

    #[actix_web::test]
    async fn where_tokens_are_asked_for_any_name_will_do() {
        let headers = [
            ("host", "duologue.example"),
            ("origin", "https://page.example"),
            ("x-forwarded-for", "192.0.2.60"),
        ];
        assert_eq!(status(start(world()), &headers).await, StatusCode::OK);
    }
}
