//! Many clients at once, and what they have in common.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    audit::Accepted,
    client::{Client, END_WITHIN, Manners},
    ledger::Ledger,
    listener::Numbers,
    subject::Whereabouts,
};
use crate::graphql::GraphqlClient;

/// How long clients get to hear the ends of what they asked: what waits for one waits that long twice at most,
/// before and after a restart.
const FINISHED_WITHIN: Duration = Duration::from_secs(150);

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(10);

/// What the clients of a load share.
#[derive(Clone)]
pub struct Shared {
    pub ledger: Ledger,
    pub whereabouts: Whereabouts,
    pub manners: Manners,
    pub intents: Numbers,
    pub subscribers: Numbers,
    pub counts: Arc<Counts>,
    pub http: GraphqlClient,
    stopping: Arc<AtomicBool>,
    accepted: Arc<Mutex<Vec<Accepted>>>,
}

/// How far a load has come.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
}

impl Counts {
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub fn ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    #[must_use]
    pub fn accepted_so_far(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    #[must_use]
    pub fn refused_so_far(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    #[must_use]
    pub fn ended_so_far(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// Waits until `happened` holds of the counts.
    ///
    /// # Errors
    /// When it does not within the time in which everything must have ended.
    pub async fn until(&self, happened: impl Fn(&Self) -> bool) -> Result<()> {
        timeout(END_WITHIN, async {
            while !happened(self) {
                sleep(LOOK).await;
            }
        })
        .await
        .with_context(|| format!("the load does not get on: {self:?}"))
    }
}

impl Shared {
    pub fn new(
        ledger: Ledger,
        whereabouts: Whereabouts,
        manners: Manners,
        numbers: (Numbers, Numbers),
    ) -> Result<Self> {
        let (intents, subscribers) = numbers;
        // Each client names its own endpoint and token; only the connections are of this one.
        let http = GraphqlClient::new("", None)?;
        let (counts, stopping, accepted) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { ledger, whereabouts, manners, intents, subscribers, counts, http, stopping, accepted })
    }

    /// Where the server listens now.
    ///
    /// # Errors
    /// When there is none.
    pub fn address(&self) -> Result<SocketAddr> {
        (*self.whereabouts.borrow()).context("there is no server")
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    pub fn note_accepted(&self, request: Accepted) {
        self.counts.accepted.fetch_add(1, Relaxed);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    /// The request that was accepted last, of whichever client.
    #[must_use]
    pub fn last_accepted(&self) -> Option<String> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.last().map(|request| request.request_id.clone())
    }

    /// All requests that were accepted so far.
    #[must_use]
    pub fn all_accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Clients that ask on and on.
pub struct Load {
    clients: JoinSet<()>,
    shared: Shared,
}

impl Load {
    /// Starts `clients` clients, of the users from 1 to `users` in turn.
    #[must_use]
    pub fn start(clients: u64, users: u64, seed: u64, shared: Shared) -> Self {
        let mut running = JoinSet::new();
        for number in 0..clients {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(number + 1));
            let client = Client::new(1 + number % users, random, shared.clone());
            running.spawn(client.run());
        }
        Self { clients: running, shared }
    }

    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Lets nobody ask any more and waits until all have heard how their requests ended. Who has not by then
    /// is cut off: the ledger knows whose final is missing.
    pub async fn finish(&mut self) {
        self.shared.stopping.store(true, Relaxed);
        self.wait().await;
    }

    /// Waits until clients that ask a number of times have done so.
    pub async fn wait(&mut self) {
        let ended =
            timeout(FINISHED_WITHIN, async { while self.clients.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.clients.shutdown().await;
        }
    }
}
