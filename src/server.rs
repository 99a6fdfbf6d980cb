//! The edge: one listening socket, all routes, and how the server leaves.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{
    App, HttpServer,
    dev::{Server as HttpTask, ServerHandle},
    http::header::X_CONTENT_TYPE_OPTIONS,
    middleware::{DefaultHeaders, from_fn},
    web::{self, ServiceConfig},
};
use duologue_actors::{action::Catalogue, entrance::Entrance};

use crate::{
    admission::Admission,
    config::{GatewayConfig, RestConfig, ServerConfig},
    graphql::Graphql,
    http::{self, error::Refused, features::Features, health::Part},
    providers::Registry,
    websocket::Sockets,
};

mod bypass;
pub mod connections;
mod drain;
mod socket_options;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod watch;

use connections::Connections;
use socket_options::SocketOptions;

/// What the routes work with; shared by all workers.
pub struct Edge {
    pub graphql: Graphql,
    pub sockets: Sockets,
    pub entrance: Entrance,
    pub admission: Admission,
    pub catalogue: Arc<Catalogue>,
    pub rest: RestConfig,
    pub gateway: GatewayConfig,
    pub features: Features,
    pub models: Arc<Registry>,
    /// The parts outside the pipeline that readiness lists.
    pub parts: Vec<Part>,
    pub connections: Connections,
    pub max_body_bytes: usize,
}

/// Every path the server knows.
pub fn routes(routes: &mut ServiceConfig) {
    routes
        .service(
            web::resource(http::graphql::PATH)
                .route(web::post().to(http::graphql::post))
                .route(web::get().to(http::graphql::get))
                .default_service(web::to(http::graphql::other)),
        )
        .service(features(http::features::PATH, "").route(web::get().to(http::features::list)))
        .service(
            features(http::features::PATH, "/definitions").route(web::get().to(http::features::definitions)),
        )
        .service(
            features(http::features::PATH, "/{name}")
                .route(web::get().to(http::features::show))
                .route(web::post().to(http::features::set))
                .route(web::delete().to(http::features::delete)),
        )
        .service(get_only(http::cable::PATH).route(web::get().to(http::cable::get)))
        .service(rest(http::version::VERSION_PATH, "GET").route(web::get().to(http::version::version)))
        .service(rest(http::version::METADATA_PATH, "GET").route(web::get().to(http::version::metadata)))
        .service(rest(http::token::PERSONAL_PATH, "GET").route(web::get().to(http::token::personal)))
        .service(rest(http::token::OAUTH_PATH, "GET").route(web::get().to(http::token::oauth)))
        .service(rest(http::user::PATH, "GET").route(web::get().to(http::user::user)))
        .service(
            rest(http::code_suggestions::ENABLED_PATH, "POST")
                .route(web::post().to(http::code_suggestions::enabled)),
        )
        .service(
            rest(http::code_suggestions::DIRECT_ACCESS_PATH, "POST")
                .route(web::post().to(http::code_suggestions::direct_access)),
        )
        .service(
            rest(http::chat_completions::PATH, "POST")
                .route(web::post().to(http::chat_completions::complete)),
        )
        .service(rest(http::answers::PATH, "GET").route(web::get().to(http::answers::events)))
        .service(
            web::resource(http::gateway::PATH)
                .route(web::post().to(http::gateway::chat))
                .default_service(web::to(http::gateway::other)),
        )
        .service(get_only("/monitoring/healthz").route(web::get().to(http::health::gateway_liveness)))
        .service(get_only("/monitoring/ready").route(web::get().to(http::health::gateway_readiness)))
        .service(get_only("/-/liveness").route(web::get().to(http::health::liveness)))
        .service(get_only("/-/readiness").route(web::get().to(http::health::readiness)))
        .service(get_only(http::models::PATH).route(web::get().to(http::models::models)))
        .service(get_only("/metrics").route(web::get().to(http::metrics::metrics)))
        .default_service(web::to(async || Refused::NoSuchPath.response()));
}

fn features(path: &str, below: &str) -> actix_web::Resource {
    web::resource(format!("{path}{below}")).default_service(web::to(http::features::other))
}

/// A path of GitLab's REST API that takes the method `allowed`.
fn rest(path: &str, allowed: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || async move { http::rest::other_than(allowed) }))
}

fn get_only(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(async || Refused::Method("GET").response()))
}

/// A server that listens. It serves while [`Server::run_until`] runs.
pub struct Server {
    address: SocketAddr,
    edge: web::Data<Edge>,
    drain: std::time::Duration,
    task: HttpTask,
    handle: ServerHandle,
}

/// Binds the address of `config`; port 0 is any free port.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(config: &ServerConfig, edge: Edge) -> io::Result<Server> {
    let edge = web::Data::from(Arc::new(edge));
    let options =
        SocketOptions { send_buffer_bytes: config.send_buffer_bytes, user_timeout: config.user_timeout() };
    let (shared, arrivals) = (edge.clone(), edge.connections.clone());
    let http = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .wrap(from_fn(connections::refuse_surplus))
            .wrap(from_fn(bypass::refuse_others))
            .wrap(from_fn(watch::trace))
            // No browser is to find a page or a script in what somebody wrote.
            .wrap(DefaultHeaders::new().add((X_CONTENT_TYPE_OPTIONS, "nosniff")))
            .configure(routes)
    })
    .workers(config.workers)
    // The polite bound is `Connections`, which answers; this one only keeps file descriptors.
    .max_connections(config.max_connections.saturating_add(connections::TO_BE_REFUSED))
    .client_request_timeout(config.head())
    .keep_alive(std::time::Duration::from_secs(75))
    .shutdown_timeout(drain::LAST_WORDS.as_secs())
    // Whoever has gone is noticed at once, and what was being done for them on this connection is dropped.
    .h1_allow_half_closed(false)
    .disable_signals()
    // Options of a connection must be known before the address is bound.
    .on_connect(move |socket, extensions| {
        options.apply(socket);
        extensions.insert(arrivals.arrived());
    })
    .bind(config.listen)?;
    let address = http.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let task = http.run();
    Ok(Server { address, edge, drain: config.drain(), handle: task.handle(), task })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then leaves in order: nobody is let in, what is in flight ends,
    /// sockets are told to come back, and the connections are closed.
    ///
    /// # Errors
    /// When the listening socket fails.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { edge, drain, mut task, handle, .. } = self;
        tokio::select! {
            ended = &mut task => return ended,
            () = shutdown => {}
        }
        let leaving = async {
            handle.pause().await;
            drain::drain(&edge, drain).await;
            handle.stop(true).await;
        };
        let ((), ended) = tokio::join!(leaving, task);
        ended
    }
}
