//! The whole server: builds every part from the settings, starts the pipeline, opens the door, and takes
//! it all down again in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use duologue_actors::{
    clock::Clock,
    permits::Permits,
    supervisor::{Inspector, Parts, StartError, Tree},
};

use crate::{
    admission::Admission,
    config::Config,
    conversation::{self, Conversation, ConversationError},
    document::Faults,
    graphql::{BuildError, Graphql, GraphqlParts},
    http::{features::Features, gateway, metrics},
    offer::Offer,
    people::{People, PeopleError},
    providers::{self, Registry, RegistryError},
    server::{self, Edge, Server, connections::Connections},
    storage::{OpenError, Storage},
    websocket::Sockets,
};

mod readiness;

/// How long each actor may take to finish what it holds once nothing new can come.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// How long the door stays closed while unfinished requests of an earlier process are read. Longer than
/// that means a store that does not answer, and readiness says so.
const RECOVERY: Duration = Duration::from_secs(5);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Faults(#[from] Faults),
    #[error(transparent)]
    Model(#[from] RegistryError),
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error(transparent)]
    Storage(#[from] OpenError),
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error(transparent)]
    Schema(#[from] BuildError),
    #[error("the actors cannot be started")]
    Actors(#[from] StartError),
    #[error("the metrics cannot be collected")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error(
        "cannot listen on {address}: is another server running there? choose another address with \
         server.listen or DUOLOGUE__SERVER__LISTEN"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
}

/// Why the server stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the listening socket failed")]
    Listening(#[from] io::Error),
    #[error("{0} panics again and again; what is accepted is in the journal for the next start")]
    GaveUp(&'static str),
}

/// A server that listens. It serves while [`App::run_until`] runs.
pub struct App {
    tree: Tree,
    conversation: Arc<Conversation>,
    storage: Arc<Storage>,
    server: Server,
}

impl App {
    /// Starts everything the settings describe. Must be called inside an actix system.
    ///
    /// # Errors
    /// Everything that is wrong with the files the settings name, the first thing that is wrong with the
    /// machine.
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        Self::start_inspected(config, None).await
    }

    /// The same, with somebody who looks at each message before its actor does: how panics are brought about in
    /// a whole server, to see what becomes of them. The `duologue` binary has nobody look.
    ///
    /// # Errors
    /// Those of [`App::start`].
    pub async fn start_inspected(config: &Config, inspector: Option<Inspector>) -> Result<Self, AppError> {
        metrics::install()?;
        let (offer, people) = (Offer::follow(config)?, People::load(config)?);
        let storage = Arc::new(Storage::open(
            &config.storage,
            config.conversation.limits(),
            conversation::shelf(config),
        )?);
        let conversation = Arc::new(Conversation::open(config, &storage)?);
        let permits = Permits::new(config.pipeline.permits);
        let models = Arc::new(Registry::new(config)?);
        announce(config, &models);
        gateway::announce(&config.gateway, &offer.catalogue);
        let stores = Stores { journal: storage.clone(), conversation: conversation.clone() };
        let parts = Parts { inspector, ..parts(config, &offer, &people, &stores, &models, &permits) };
        let tree = Tree::start(parts).await?;
        people.verifier.refresh_keys();
        if tokio::time::timeout(RECOVERY, tree.recovered()).await.is_err() {
            tracing::error!("the journal could not be read in time, opening the door without it");
        }
        let edge = edge(config, &offer, &people, &stores, models, permits, &tree)?;
        let server = server::bind(&config.server, edge)
            .map_err(|cause| AppError::Listen { address: config.server.listen, cause })?;
        Ok(Self { tree, conversation, storage, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until `shutdown` resolves, then leaves in order.
    ///
    /// # Errors
    /// When the listening socket fails, or an actor cannot be kept alive.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { tree, conversation, storage, server } = self;
        let ended = tokio::select! {
            ended = server.run_until(shutdown) => ended.map_err(RunError::from),
            actor = tree.gave_up() => Err(RunError::GaveUp(actor)),
        };
        tree.stop(LAST_WRITES).await;
        conversation.stop(LAST_WRITES).await;
        storage.close().await;
        ended
    }
}

/// What outlives the process.
struct Stores {
    journal: Arc<Storage>,
    conversation: Arc<Conversation>,
}

fn parts(
    config: &Config,
    offer: &Offer,
    people: &People,
    stores: &Stores,
    models: &Arc<Registry>,
    permits: &Permits,
) -> Parts {
    Parts {
        clock: Clock::system(),
        permits: permits.clone(),
        catalogue: offer.catalogue.clone(),
        verifier: people.verifier.clone(),
        flags: offer.flags.clone(),
        directory: people.directory.clone(),
        licences: offer.licences.clone(),
        models: models.clone(),
        journal: stores.journal.clone(),
        conversation: stores.conversation.store(),
        limits: config.pipeline.limits(config.rate_limits.bounds(), config.model_calls.bounds()),
        inspector: None,
    }
}

fn edge(
    config: &Config,
    offer: &Offer,
    people: &People,
    stores: &Stores,
    models: Arc<Registry>,
    permits: Permits,
    tree: &Tree,
) -> Result<Edge, AppError> {
    let entrance = tree.entrance();
    let admission = Admission::new(permits, entrance.clone(), config.pipeline.retry_after());
    let graphql = Graphql::new(GraphqlParts {
        entrance: entrance.clone(),
        catalogue: offer.catalogue.clone(),
        flags: offer.flags.clone(),
        admission: admission.clone(),
        config: config.graphql.clone(),
        advertised_version: config.server.advertised_version.clone(),
        needs_token: config.auth.needs_token(),
        allows_inline: config.graphql.inline.allowed(&config.auth),
    })?;
    let sockets = Sockets::new(
        graphql.clone(),
        entrance.clone(),
        Clock::system(),
        config.websocket.clone(),
        config.server.allowed_origins.clone(),
        &config.auth,
    );
    let connections =
        Connections::new(config.server.max_connections, config.server.max_new_connections_per_second);
    Ok(Edge {
        graphql,
        sockets,
        entrance: entrance.clone(),
        admission,
        catalogue: offer.catalogue.clone(),
        rest: config.rest,
        gateway: config.gateway.clone(),
        parts: readiness::parts(config, offer, people, stores, &models),
        models,
        features: Features { flags: offer.flags.clone(), names: people.names.clone() },
        connections,
        max_body_bytes: config.server.max_body_bytes,
    })
}

/// Which model answers where an action names a feature setting, and what keeps those before it from it.
fn announce(config: &Config, models: &Registry) {
    for (feature_setting, model) in models.feature_settings() {
        let passed_over = providers::passed_over(config, feature_setting);
        let passed_over = (!passed_over.is_empty()).then_some(passed_over);
        tracing::info!(feature_setting, model, passed_over, "feature setting settled");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::env_file::Environment;

    async fn readiness(address: SocketAddr) -> (u16, Value) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = http.get(format!("http://{address}/-/readiness")).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    #[test]
    fn readiness_lists_every_part_and_shows_a_fault_in_the_flags() {
        /// A change of the flags is promised to be seen within a second.
        const PROMISED: Duration = Duration::from_secs(1);
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.storage.path = folder.path().join("data");
        config.flags.path = folder.path().join("flags.yaml");
        config.flags.changes = folder.path().join("data/flags.yaml");
        fs::write(&config.flags.path, "a: true\n").unwrap();
        actix_rt::System::new().block_on(async {
            let app = App::start(&config).await.unwrap();
            let address = app.address();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let running = actix_rt::spawn(app.run_until(async { drop(stopped.await) }));

            let (status, body) = readiness(address).await;
            assert_eq!(status, 200, "{body}");
            for part in ["storage", "conversation", "flags", "licence", "issuers", "directory", "models"] {
                assert_eq!(body["parts"][part], json!({"ready": true}), "{part}: {body}");
            }
            fs::write(&config.flags.path, "a: perhaps\n").unwrap();
            let degraded = async {
                loop {
                    let (status, body) = readiness(address).await;
                    // The flags are as they were before: nobody is to be sent away.
                    assert_eq!((status, &body["missing"]), (200, &json!([])));
                    if let Some(why) = body["parts"]["flags"]["degraded"].as_str() {
                        return why.to_owned();
                    }
                }
            };
            let why = tokio::time::timeout(PROMISED, degraded).await.unwrap();
            assert!(why.contains("flags.yaml:1:4: `a` must be true"), "{why}");

            drop(stop);
            running.await.unwrap().unwrap();
        });
    }
}
