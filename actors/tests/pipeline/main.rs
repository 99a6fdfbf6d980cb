//! The whole tree, with fakes for what lies outside and time under control.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use duologue_actors::{
    action::OnDisconnect,
    auth::allowance::TOO_OFTEN,
    broadcaster::{Event, EventKind, Filter, Resume},
    entrance::{Entrance, Reader},
    feature_flag::{CHAT_SWITCH, FLAG_DISABLED, GLOBAL_SWITCH},
    policy::checks::{NO_ACCESS, NOT_ALLOWED, NOT_FOUND},
    ports::{Credentials, ModelError, Retry},
    protocol::{Code, Exchange, GlobalId, Hop, Outcome, RequestId, Role, ThreadChoice, UserId},
    slash_command,
    supervisor::{Inspector, Tree},
    testing::{Script, World, a_caller, panic_once},
};
use tokio::time::{Instant, timeout};

mod acceptance;
mod allowance;
mod commands;
mod ends;
mod idempotency;
mod panics;
mod refusals;
mod restarts;
mod second_looks;
mod streams;
mod threads;

const ALICE: UserId = UserId(2);

/// A world whose time passes only while everybody waits. The first thing in every test.
fn world() -> World {
    tokio::time::pause();
    World::default()
}

fn start(world: &World) -> Tree {
    Tree::start_here(world.parts()).unwrap()
}

fn everything_of(owner: UserId, request_id: RequestId) -> Filter {
    Filter::new(owner, None, None, None, Some(request_id)).unwrap()
}

/// Reads a subscription to the final of some request.
async fn to_the_final(subscription: &mut Reader) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while !events.last().is_some_and(|event: &Arc<Event>| event.kind == EventKind::Final) {
        events.extend(subscription.read(1 << 20).await);
        if !events.last().is_some_and(|event| event.kind == EventKind::Final) {
            timeout(Duration::from_secs(600), subscription.changed()).await.expect("an event in time");
        }
    }
    events
}

fn text(events: &[Arc<Event>]) -> String {
    let chunks = events.iter().filter(|event| event.kind == EventKind::Chunk);
    chunks.map(|event| event.message.content.as_str()).collect()
}

/// Asks as `token` and reads everything of the request.
async fn answer(world: &World, entrance: &Entrance, token: &str, owner: UserId) -> Vec<Arc<Event>> {
    let gate = entrance.ask(world.ask(token, "chat")).await.unwrap();
    let filter = everything_of(owner, gate.request_id());
    drop(gate);
    to_the_final(&mut entrance.subscribe(a_caller(owner), filter).await.unwrap()).await
}

/// A world in which a user has one request in flight.
fn world_of_one_seat() -> World {
    let mut world = World::default();
    world.limits.user.in_flight = 1;
    world
}
