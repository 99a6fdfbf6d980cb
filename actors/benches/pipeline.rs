//! One pass through the pipeline without what lies outside: a store in memory, a model that says one
//! word. From `ask` to the read of the final, through all six actors on their own thread.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duologue_actors::{
    broadcaster::{EventKind, Filter},
    entrance::Entrance,
    models::Route,
    ports::{ModelCall, ModelError, ModelEvent, ModelProvider, Models, StopReason},
    protocol::UserId,
    supervisor::{Parts, Tree},
    testing::{World, a_caller, route_to},
};
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::time::Instant;

/// Users among whom the requests are spread, so that no log is longer than a busy user's.
const USERS: u64 = 4_096;

/// The provider that takes no time.
struct Null;

impl ModelProvider for Null {
    fn provider(&self) -> &'static str {
        "null"
    }

    fn model(&self) -> &'static str {
        "null/null"
    }

    fn stream(&self, _: Arc<ModelCall>) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        stream::iter([
            Ok(ModelEvent::Content("word".to_owned())),
            Ok(ModelEvent::Finished(StopReason::Complete)),
        ])
        .boxed()
    }
}

struct OnlyNull(Route);

impl Models for OnlyNull {
    fn route(&self, _: &str) -> Option<Route> {
        Some(self.0.clone())
    }
}

/// Asks, subscribes, and reads until the request has ended.
async fn pass(world: &World, entrance: &Entrance, number: u64) {
    // The fakes know any number of users above 100 by such tokens, each a member.
    let user = 101 + number % USERS;
    let ask = world.ask(&format!("user-{user}"), "summarize_comments");
    let gate = entrance.ask(ask).await.unwrap();
    let filter = Filter::new(UserId(user), None, None, None, Some(gate.request_id())).unwrap();
    drop(gate);
    let mut subscription = entrance.subscribe(a_caller(UserId(user)), filter).await.unwrap();
    while !subscription.read(1 << 20).await.iter().any(|event| event.kind == EventKind::Final) {
        subscription.changed().await;
    }
}

/// How long `passes` passes take, `concurrency` at a time.
async fn passes(world: &World, entrance: &Entrance, passes: u64, concurrency: usize) -> Duration {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let started = Instant::now();
    stream::iter(0..passes)
        .for_each_concurrent(concurrency, |_| pass(world, entrance, NUMBER.fetch_add(1, Relaxed)))
        .await;
    started.elapsed()
}

fn pipeline(criterion: &mut Criterion) {
    let system = actix::System::new();
    let mut world = World::default();
    // More than any bench asks: it measures the way through, not the bound at its beginning.
    world.limits.user.requests = u32::MAX;
    let parts = Parts { models: Arc::new(OnlyNull(route_to(Arc::new(Null)))), ..world.parts() };
    let tree = system.block_on(Tree::start(parts)).unwrap();
    let mut group = criterion.benchmark_group("ask_to_final");
    group.throughput(Throughput::Elements(1));
    for concurrency in [1, 64] {
        group.bench_function(format!("concurrency_{concurrency}"), |bencher| {
            bencher.iter_custom(|count| system.block_on(passes(&world, tree.entrance(), count, concurrency)));
        });
    }
    group.finish();
    system.block_on(tree.stop(Duration::from_secs(1)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(5)).sample_size(30);
    targets = pipeline
}
criterion_main!(benches);
