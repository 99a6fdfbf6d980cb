//! The websocket clients of the server: those of `graphql-transport-ws` at `/api/graphql` and those of
//! ActionCable at `/-/cable`. What they say differs; what becomes of it is the same.
//!
//! | file | what it decides |
//! |---|---|
//! | `machine` | a socket as a state machine without a socket |
//! | `dialect` | what protocols differ in |
//! | `graphql_transport_ws`, `action_cable` | one protocol each: how its frames are read and written |
//! | `attendance` | what whoever listens without a socket is held to |
//! | `close` | why a socket is closed, as a code |
//! | `keepalive`, `pulse` | when to ping, and what a pong acknowledges; pings that are messages |
//! | `origin`, `credentials`, `rate`, `connections` | who may connect, and how much they may send |
//! | `recheck` | when the credentials of a live socket are looked at again, and what that means |
//! | `resumption` | where the subscriptions of a client that was here before go on |
//! | `intake` | what is too large, before it is in memory |
//! | `session`, `inbound`, `writer`, `subscriptions`, `operations` | the socket itself: one task that does what was decided |
//! | `departure` | when each socket leaves at a shutdown |
//!
//! An upgrade is refused before there is a socket, with an HTTP status and a GraphQL body: 403 for a
//! page of another site, 400 for a client that does not offer the subprotocol it must (a browser would not
//! show it a close code either), 503 while the server is leaving. Everything later is a close code.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HOST, HeaderMap, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
    },
    rt, web,
};
use duologue_actors::{
    clock::Clock,
    entrance::Entrance,
    ports::{Credentials, Identity},
    protocol::{Code, Hop},
};
use serde_json::json;
use tokio::time::Instant;

use self::{
    action_cable::ActionCable, connections::Connections, departure::Departures, dialect::Dialect,
    graphql_transport_ws::GraphqlTransportWs, inbound::Inbound, origin::Origin, session::Session,
};
use crate::{
    config::{AuthConfig, WebsocketConfig},
    graphql::Graphql,
};

mod action_cable;
mod attendance;
mod close;
mod connections;
mod credentials;
mod departure;
mod dialect;
mod graphql_transport_ws;
mod inbound;
mod intake;
mod keepalive;
mod machine;
mod operations;
mod origin;
mod pulse;
mod rate;
mod recheck;
mod resumption;
mod session;
mod subscriptions;
mod writer;

pub use attendance::Attendance;

/// All websockets of the process. Cheap to clone; shared by all workers.
#[derive(Clone)]
pub struct Sockets(Arc<Shared>);

struct Shared {
    graphql: Graphql,
    entrance: Entrance,
    clock: Clock,
    config: WebsocketConfig,
    allowed_origins: Vec<String>,
    /// How often the credentials of a live socket are looked at again.
    recheck: Duration,
    connections: Connections,
    departures: Departures,
    /// Sockets there ever were.
    numbers: AtomicU64,
}

/// The protocols sockets speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    GraphqlTransportWs,
    ActionCable,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this page may not open a websocket here: add its origin to server.allowed_origins")]
    ForeignOrigin,
    #[error("offer the websocket subprotocol {0}")]
    Subprotocol(&'static str),
    #[error("the server is shutting down")]
    Leaving,
    #[error("not a websocket handshake")]
    Handshake(#[source] actix_web::Error),
}

impl Sockets {
    #[must_use]
    pub fn new(
        graphql: Graphql,
        entrance: Entrance,
        clock: Clock,
        config: WebsocketConfig,
        allowed_origins: Vec<String>,
        auth: &AuthConfig,
    ) -> Self {
        Self(Arc::new(Shared {
            graphql,
            entrance,
            clock,
            config,
            allowed_origins,
            recheck: auth.recheck(),
            connections: Connections::default(),
            departures: Departures::default(),
            numbers: AtomicU64::new(0),
        }))
    }

    /// Answers a request with an `Upgrade` header, and serves the socket it becomes.
    pub async fn upgrade(
        &self,
        protocol: Protocol,
        credentials: Credentials,
        request: HttpRequest,
        payload: web::Payload,
    ) -> HttpResponse {
        match self.accept(protocol, credentials, &request, payload).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    }

    /// Has every socket close with 1012 within `spread` from now, one after another.
    pub fn close_all(&self, spread: Duration) {
        self.0.departures.announce(spread);
    }

    /// How many sockets there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.connections.open()
    }

    /// Whether a request comes from a web page of another site.
    #[must_use]
    pub fn is_of_foreign_page(&self, headers: &HeaderMap) -> bool {
        self.0.origin(headers) == Origin::Foreign
    }

    async fn accept(
        &self,
        protocol: Protocol,
        credentials: Credentials,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<HttpResponse, Refusal> {
        let shared = &self.0;
        let origin = shared.origin(request.headers());
        match origin {
            Origin::Foreign => return Err(Refusal::ForeignOrigin),
            _ if shared.departures.announced() => return Err(Refusal::Leaving),
            _ if protocol.needs_offer() && !offers(request, protocol.subprotocol()) => {
                return Err(Refusal::Subprotocol(protocol.subprotocol()));
            }
            Origin::Trusted | Origin::Absent => {}
        }
        let max_bytes = shared.config.max_frame_bytes;
        let (payload, exceeded) =
            intake::bounded(request, payload, max_bytes).await.map_err(Refusal::Handshake)?;
        let (response, session, messages) =
            actix_ws::handle_with_protocols(request, payload, &[protocol.subprotocol()])
                .map_err(Refusal::Handshake)?;
        let messages =
            messages.max_frame_size(max_bytes).aggregate_continuations().max_continuation_size(max_bytes);
        let number = shared.number();
        let session = Session::new(shared.clone(), protocol, session, origin, credentials, number);
        rt::spawn(session.run(Inbound::new(messages, exceeded)));
        Ok(response)
    }
}

impl Shared {
    /// One more socket than there ever was.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// When a socket of this caller ends; a token that is good for longer than time can be counted does not
    /// expire here.
    fn expiry(&self, identity: &Identity) -> Option<Instant> {
        let left = identity.expires_at?.duration_since(self.clock.now()).unwrap_or_default();
        Instant::now().checked_add(left)
    }
}

impl Protocol {
    /// In logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GraphqlTransportWs => "graphql-transport-ws",
            Self::ActionCable => "actioncable",
        }
    }

    fn subprotocol(self) -> &'static str {
        match self {
            Self::GraphqlTransportWs => graphql_transport_ws::SUBPROTOCOL,
            Self::ActionCable => action_cable::SUBPROTOCOL,
        }
    }

    /// Whether a client that does not offer the subprotocol is refused. Some of GitLab's offer none.
    fn needs_offer(self) -> bool {
        self == Self::GraphqlTransportWs
    }

    fn dialect(self, config: &WebsocketConfig) -> Box<dyn Dialect> {
        match self {
            Self::GraphqlTransportWs => Box::new(GraphqlTransportWs),
            Self::ActionCable => Box::new(ActionCable::new(config.cable_ping())),
        }
    }
}

impl Shared {
    fn origin(&self, headers: &HeaderMap) -> Origin {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        Origin::of(header(ORIGIN), header(HOST), &self.allowed_origins)
    }
}

impl Refusal {
    fn response(&self) -> HttpResponse {
        let (status, code) = match self {
            Self::Handshake(error) => return error.error_response(),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, Code::Forbidden),
            Self::Subprotocol(_) => (StatusCode::BAD_REQUEST, Code::InvalidInput),
            Self::Leaving => (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded),
        };
        let mut response = HttpResponse::build(status);
        if matches!(self, Self::Leaving) {
            response.insert_header((RETRY_AFTER, 1));
        }
        let extensions = json!({ "code": code.as_str(), "hop": Hop::Edge.as_str() });
        response.json(json!({ "errors": [{ "message": self.to_string(), "extensions": extensions }] }))
    }
}

fn offers(request: &HttpRequest, subprotocol: &str) -> bool {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    offered.any(|offer| offer.trim() == subprotocol)
}

#[cfg(test)]
mod tests;
