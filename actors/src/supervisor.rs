//! Supervisor: creates the six actors, keeps them alive, stops them in order, and knows how they are.
//!
//! Contexts come first, so that every actor is given its neighbours' addresses when it is built; then
//! the actors start, last to first, so that nobody speaks to someone who is not there. They share one
//! thread: a hop between threads costs more than any of the decisions made here. Stopping goes first to
//! last, so that everybody can still hand on what they hold.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::{
    Actor, Addr, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture, Supervised,
};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    action::Catalogue,
    auth::Auth,
    broadcaster::Broadcaster,
    cache::{self, Cache},
    clock::Clock,
    completion::Completion,
    entrance::Entrance,
    feature_flag::FeatureFlag,
    limits::{Limits, SPARE_MAILBOX_PLACES},
    permits::Permits,
    policy::Policy,
    ports::{ConversationStore, Directory, FlagSource, Journal, LicenceSource, Models, TokenVerifier},
    protocol::Hop,
};

mod crew;
mod guardian;
pub(crate) mod heartbeat;
mod intensity;
pub mod panics;
mod tree;
pub(crate) mod vitals;

use crew::Crew;
use heartbeat::{BEAT, Heart};
pub use tree::{StartError, Tree};
use vitals::Vitals;
pub use vitals::{ActorState, Inspector};

/// Everything the pipeline needs from outside.
#[derive(Clone)]
pub struct Parts {
    pub clock: Clock,
    pub permits: Permits,
    pub catalogue: Arc<Catalogue>,
    pub verifier: Arc<dyn TokenVerifier>,
    pub flags: Arc<dyn FlagSource>,
    pub directory: Arc<dyn Directory>,
    pub licences: Arc<dyn LicenceSource>,
    pub models: Arc<dyn Models>,
    pub journal: Arc<dyn Journal>,
    pub conversation: Arc<dyn ConversationStore>,
    pub limits: Limits,
    /// Looks at each message before its handler does; for tests that inject faults.
    pub inspector: Option<Inspector>,
}

/// How the tree is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeState {
    /// How long the actors' thread has been silent, when that is too long.
    pub stuck_for: Option<Duration>,
    /// Whether what an earlier process left in the journal has been taken over.
    pub recovered: bool,
    /// In the order of the pipeline.
    pub actors: Vec<ActorState>,
}

/// Asks how the tree is.
#[derive(Debug, Message)]
#[rtype(result = "TreeState")]
pub struct Inspect;

/// Stops the actors, first to last.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// How long each may take to finish what it holds.
    pub grace: Duration,
}

pub struct Supervisor {
    /// Gone once the tree is being stopped.
    crew: Option<Crew>,
    heart: Arc<Heart>,
    recovered: CancellationToken,
}

/// A tree that has just been started on this thread.
struct Started {
    supervisor: Addr<Supervisor>,
    entrance: Entrance,
    recovered: CancellationToken,
    gave_up: mpsc::UnboundedReceiver<&'static str>,
}

impl Supervisor {
    /// Creates, wires and starts the actors on this thread: all the wiring there is.
    fn start(parts: Parts) -> std::io::Result<Started> {
        let shelves = shelves(&parts);
        let Parts { clock, permits, limits, .. } = parts;
        let mailbox = permits.capacity() + SPARE_MAILBOX_PLACES;
        let (auth_context, auth) = context::<Auth>(mailbox);
        let (feature_flag_context, feature_flag) = context::<FeatureFlag>(mailbox);
        let (policy_context, policy) = context::<Policy>(mailbox);
        let (cache_context, cache) = context::<Cache>(mailbox);
        let (completion_context, completion) = context::<Completion>(mailbox);
        let (broadcaster_context, broadcaster) = context::<Broadcaster>(mailbox);
        let (supervisor_context, supervisor) = context::<Self>(mailbox);

        let heart = Heart::start(limits.stuck_after)?;
        let has_room = Arc::new(AtomicBool::new(true));
        let recovered = CancellationToken::new();
        let (gave_up, given_up) = mpsc::unbounded_channel();
        let ends = cache.clone().recipient();
        let mut crew = Crew::new(&clock, &limits, parts.inspector.clone(), ends.clone(), gave_up.clone());

        crew.join(Hop::Broadcaster, broadcaster_context, |desk| {
            Broadcaster::new(desk, clock.clone(), limits.clone(), has_room.clone())
        });
        crew.join(Hop::Completion, completion_context, |desk| {
            let chunks = broadcaster.clone().recipient();
            Completion::new(desk, parts.models, chunks, ends, limits.clone())
        });
        crew.join(Hop::Cache, cache_context, |desk| {
            let neighbours = neighbours(&auth, completion, &broadcaster);
            Cache::new(desk, shelves, neighbours, recovered.clone())
        });
        crew.join(Hop::Policy, policy_context, |desk| {
            let cache = cache.clone().recipient();
            let bound = limits.max_resource_characters;
            let (directory, licences) = (parts.directory.clone(), parts.licences.clone());
            Policy::new(desk, directory, licences, parts.catalogue, cache, bound)
        });
        crew.join(Hop::FeatureFlag, feature_flag_context, |desk| {
            FeatureFlag::new(desk, parts.flags, policy.clone().recipient())
        });
        crew.join(Hop::Auth, auth_context, |desk| {
            let feature_flag = feature_flag.clone().recipient();
            Auth::new(desk, parts.verifier, parts.directory, feature_flag, limits.user)
        });

        let entrance = Entrance {
            submitted: auth.clone().recipient(),
            identify: auth.recipient(),
            which_enabled: feature_flag.recipient(),
            which_allowed: policy.clone().recipient(),
            look_again: policy.recipient(),
            read_conversation: cache.clone().recipient(),
            read_threads: cache.recipient(),
            awaits: broadcaster.clone().recipient(),
            opened: broadcaster.clone().recipient(),
            subscribe: broadcaster.clone().recipient(),
            acknowledge: broadcaster.clone().recipient(),
            cancel: broadcaster.recipient(),
            inspect: supervisor.clone().recipient(),
            has_room,
            heart: heart.clone(),
            clock: clock.clone(),
            licences: parts.licences,
            deadline: limits.deadline,
            clearance_lifetime: limits.clearance_lifetime,
        };
        let this = Self { crew: Some(crew), heart, recovered: recovered.clone() };
        let vitals = Vitals::new("supervisor", &clock, parts.inspector);
        let intensity = (limits.max_restarts, limits.restart_window);
        guardian::guard(supervisor_context, this, vitals, intensity, gave_up);
        Ok(Started { supervisor, entrance, recovered, gave_up: given_up })
    }
}

/// Whom Cache speaks to.
fn neighbours(
    auth: &Addr<Auth>,
    completion: Addr<Completion>,
    broadcaster: &Addr<Broadcaster>,
) -> cache::Neighbours {
    cache::Neighbours {
        auth: auth.clone().recipient(),
        completion: completion.recipient(),
        admitted: broadcaster.clone().recipient(),
        recorded: broadcaster.clone().recipient(),
        restored: broadcaster.clone().recipient(),
    }
}

/// What Cache keeps things in.
fn shelves(parts: &Parts) -> cache::Shelves {
    cache::Shelves {
        clock: parts.clock.clone(),
        journal: parts.journal.clone(),
        conversation: parts.conversation.clone(),
        catalogue: parts.catalogue.clone(),
        permits: parts.permits.clone(),
        limits: parts.limits.clone(),
    }
}

fn context<A: Actor<Context = Context<A>>>(mailbox: usize) -> (Context<A>, Addr<A>) {
    let mut context = Context::new();
    context.set_mailbox_capacity(mailbox);
    let address = context.address();
    (context, address)
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.heart.beat();
        ctx.run_interval(BEAT, |supervisor, _| supervisor.heart.beat());
    }
}

impl Supervised for Supervisor {}

impl Handler<Inspect> for Supervisor {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        MessageResult(TreeState {
            stuck_for: self.heart.stuck_for(),
            recovered: self.recovered.is_cancelled(),
            actors: self.crew.as_ref().map(Crew::states).unwrap_or_default(),
        })
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Shutdown { grace }: Shutdown, _: &mut Self::Context) -> Self::Result {
        let crew = self.crew.take();
        Box::pin(async move {
            if let Some(crew) = crew {
                crew.stop(grace).await;
            }
        })
    }
}
