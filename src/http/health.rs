//! What the ones who run the server ask: is the process alive, and can it do its work?

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, HttpResponseBuilder, web};
use duologue_actors::supervisor::{ActorState, TreeState};
use futures::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};

use crate::{graphql::timestamp, server::Edge};

/// The longest one part may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Condition> + Send + Sync>;

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Ready,
    /// It does its work, but not as it should: someone is to look at it, nobody is to be sent away.
    Degraded(String),
    /// It does not do its work.
    Missing(String),
}

/// One part of the server outside the pipeline that can be missing: the store, the flags.
#[derive(Clone)]
pub struct Part {
    name: &'static str,
    probe: Probe,
}

impl Part {
    /// A part that is as `probe` says.
    pub fn new<F>(name: &'static str, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Condition> + Send + 'static,
    {
        Self { name, probe: Arc::new(move || Box::pin(probe())) }
    }

    async fn state(&self) -> (String, Value) {
        let condition = tokio::time::timeout(PATIENCE, (self.probe)()).await;
        let state = match condition.unwrap_or_else(|_| Condition::Missing("it does not answer".to_owned())) {
            Condition::Ready => json!({"ready": true}),
            Condition::Degraded(why) => json!({"ready": true, "degraded": why}),
            Condition::Missing(why) => json!({"ready": false, "why": why}),
        };
        (self.name.to_owned(), state)
    }
}

/// The process answers. Depends on nothing: whoever restarts the server for what is outside it only
/// makes things worse.
pub async fn liveness() -> HttpResponse {
    HttpResponse::Ok().json(json!({"service": "duologue", "alive": true}))
}

/// The same in the form of GitLab's AI gateway.
pub async fn gateway_liveness() -> HttpResponse {
    HttpResponse::Ok().json(json!({}))
}

/// Every part and how it is; 503 as long as one is missing.
pub async fn readiness(edge: web::Data<Edge>) -> HttpResponse {
    let (mut response, body) = state(&edge).await;
    response.json(body)
}

/// The same in the form of GitLab's AI gateway, which says no more than the status does.
pub async fn gateway_readiness(edge: web::Data<Edge>) -> HttpResponse {
    state(&edge).await.0.json(json!({}))
}

async fn state(edge: &Edge) -> (HttpResponseBuilder, Value) {
    let (tree, others) = tokio::join!(edge.entrance.tree(), join_all(edge.parts.iter().map(Part::state)));
    let mut parts = actors(tree);
    parts.extend(others);
    parts.insert("admission".to_owned(), admission(edge));
    let missing: Vec<_> =
        parts.iter().filter(|(_, state)| state.get("ready") != Some(&Value::Bool(true))).collect();
    let missing: Vec<_> = missing.into_iter().map(|(name, _)| name.clone()).collect();
    let response = if missing.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    (response, json!({"ready": missing.is_empty(), "missing": missing, "parts": parts}))
}

fn admission(edge: &Edge) -> Value {
    let admission = &edge.admission;
    json!({
        "ready": !admission.is_closed(),
        "in_flight": admission.in_flight(),
        "capacity": admission.capacity(),
        "sockets": edge.sockets.open(),
    })
}

/// The pipeline as its supervisor sees it: whether it moves, and each actor.
fn actors(tree: Option<TreeState>) -> Map<String, Value> {
    let mut parts = Map::new();
    let Some(tree) = tree else {
        parts.insert("pipeline".to_owned(), json!({"ready": false, "why": "the supervisor does not answer"}));
        return parts;
    };
    let pipeline = match (tree.stuck_for, tree.recovered) {
        (Some(silence), _) => {
            json!({"ready": false, "why": "its thread is stuck", "stuck_seconds": silence.as_secs()})
        }
        (None, false) => json!({"ready": false, "why": "unfinished requests are being taken over"}),
        (None, true) => json!({"ready": true}),
    };
    parts.insert("pipeline".to_owned(), pipeline);
    for actor in tree.actors {
        let ActorState { name, alive_since, restarts, handled, in_flight, last_panic } = actor;
        let alive_since = timestamp::rfc3339(alive_since);
        let state = json!({
            "ready": true,
            "alive_since": alive_since,
            "restarts": restarts,
            "handled": handled,
            "in_flight": in_flight,
            "last_panic": last_panic,
        });
        parts.insert(name.to_owned(), state);
    }
    parts
}
