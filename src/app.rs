//! The whole server: builds every part from the settings, starts the pipeline, opens the door, and takes
//! it all down again in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use duologue_actors::{
    action::Catalogue,
    clock::Clock,
    permits::Permits,
    ports::FlagSource,
    supervisor::{Parts, StartError, Tree},
};

use crate::{
    admission::Admission,
    catalogue,
    config::Config,
    directory::{FileDirectory, Plans},
    document::Faults,
    flags::FileFlags,
    graphql::{BuildError, Graphql, GraphqlParts},
    http::{health::Part, metrics},
    identity::DevelopmentTokens,
    providers::{Registry, UnknownModel},
    server::{self, Edge, Server, connections::Connections},
    storage::{OpenError, Storage},
    websocket::Sockets,
};

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
    Model(#[from] UnknownModel),
    #[error(transparent)]
    Storage(#[from] OpenError),
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
        metrics::install()?;
        let models: Vec<&str> = config.models.keys().map(String::as_str).collect();
        let catalogue = Arc::new(catalogue::load(&config.catalogue.path, &models)?);
        let flags = Arc::new(FileFlags::watch(&config.flags.path)?);
        let storage = Arc::new(Storage::open(&config.storage.path, config.conversation.limits())?);
        let permits = Permits::new(config.pipeline.permits);
        let parts = parts(config, &catalogue, flags.clone(), &storage, &permits)?;
        let tree = Tree::start(parts).await?;
        if tokio::time::timeout(RECOVERY, tree.recovered()).await.is_err() {
            tracing::error!("the journal could not be read in time, opening the door without it");
        }
        let edge = edge(config, &catalogue, flags, &storage, permits, &tree)?;
        let server = server::bind(&config.server, edge)
            .map_err(|cause| AppError::Listen { address: config.server.listen, cause })?;
        Ok(Self { tree, storage, server })
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
        let Self { tree, storage, server } = self;
        let ended = tokio::select! {
            ended = server.run_until(shutdown) => ended.map_err(RunError::from),
            actor = tree.gave_up() => Err(RunError::GaveUp(actor)),
        };
        tree.stop(LAST_WRITES).await;
        storage.close().await;
        ended
    }
}

fn parts(
    config: &Config,
    catalogue: &Arc<Catalogue>,
    flags: Arc<dyn FlagSource>,
    storage: &Arc<Storage>,
    permits: &Permits,
) -> Result<Parts, AppError> {
    let directory = FileDirectory::load(&config.directory.path)?;
    Ok(Parts {
        clock: Clock::system(),
        permits: permits.clone(),
        catalogue: catalogue.clone(),
        verifier: Arc::new(verifier(config, &directory)),
        flags,
        directory: Arc::new(directory),
        licences: Arc::new(Plans),
        models: Arc::new(Registry::new(&config.models)?),
        journal: storage.clone(),
        conversation: storage.clone(),
        limits: config.pipeline.limits(),
        inspector: None,
    })
}

fn verifier(config: &Config, directory: &FileDirectory) -> DevelopmentTokens {
    if config.auth.development_tokens {
        tracing::warn!("development tokens are accepted; they are for trying things out");
        return DevelopmentTokens::new(directory);
    }
    tracing::warn!("auth.development_tokens is off: nobody can authenticate");
    DevelopmentTokens::default()
}

fn edge(
    config: &Config,
    catalogue: &Arc<Catalogue>,
    flags: Arc<dyn FlagSource>,
    storage: &Arc<Storage>,
    permits: Permits,
    tree: &Tree,
) -> Result<Edge, AppError> {
    let entrance = tree.entrance();
    let admission = Admission::new(permits, entrance.clone(), config.pipeline.retry_after());
    let graphql = Graphql::new(GraphqlParts {
        entrance: entrance.clone(),
        catalogue: catalogue.clone(),
        flags,
        admission: admission.clone(),
        config: config.graphql.clone(),
        advertised_version: config.server.advertised_version.clone(),
    })?;
    let sockets = Sockets::new(
        graphql.clone(),
        entrance.clone(),
        Clock::system(),
        config.websocket.clone(),
        config.server.allowed_origins.clone(),
    );
    let connections =
        Connections::new(config.server.max_connections, config.server.max_new_connections_per_second);
    let store = storage.clone();
    let probe = move || {
        let store = store.clone();
        async move { store.probe().await.map_err(|error| error.to_string()) }
    };
    Ok(Edge {
        graphql,
        sockets,
        entrance: entrance.clone(),
        admission,
        parts: vec![Part::new("storage", probe)],
        connections,
        max_body_bytes: config.server.max_body_bytes,
    })
}
