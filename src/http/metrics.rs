//! `/metrics`, in the text format of Prometheus.

use std::sync::{Mutex, OnceLock, PoisonError};

use actix_web::{HttpResponse, http::header::CONTENT_TYPE, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::server::Edge;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Bounds of the buckets, in seconds: the first chunk of a good answer comes within five.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every metric of the server, with what it counts.
const COUNTERS: [(&str, &str); 8] = [
    (
        "duologue_requests_total",
        "aiAction requests by action and by outcome at the door: accepted, or the refusal's code",
    ),
    (
        "duologue_answers_total",
        "ends of accepted requests by action and outcome: completed, cancelled, or the failure's code",
    ),
    ("duologue_admission_refused_total", "aiAction requests that found no room, by reason"),
    ("duologue_connections_refused_total", "connections that were one too many, by reason"),
    ("duologue_actor_restarts_total", "restarts of each actor after a panic"),
    ("duologue_actor_messages_total", "messages each actor has taken"),
    ("duologue_websocket_frames_sent_total", "messages written to websockets"),
    ("duologue_websocket_stalled_readers_total", "websockets dropped because nobody read them"),
];
const GAUGES: [(&str, &str); 5] = [
    ("duologue_requests_in_flight", "requests that hold a place"),
    ("duologue_connections", "open connections of any kind"),
    ("duologue_websocket_connections", "open websockets"),
    ("duologue_websocket_subscriptions", "open subscriptions of all websockets"),
    ("duologue_actor_in_flight", "what each actor is working on"),
];

/// Starts counting. There is one recorder a process, however often this is called.
///
/// # Errors
/// When something else of the process counts already.
pub fn install() -> Result<(), BuildError> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    for (name, what) in COUNTERS {
        metrics::describe_counter!(name, what);
    }
    for (name, what) in GAUGES {
        metrics::describe_gauge!(name, what);
    }
    metrics::describe_histogram!(
        "duologue_time_to_first_chunk_seconds",
        "from a request's submission to the first chunk of its answer, by action"
    );
    RECORDER.get_or_init(|| handle);
    Ok(())
}

pub async fn metrics(edge: web::Data<Edge>) -> HttpResponse {
    let Some(recorder) = RECORDER.get() else {
        return HttpResponse::NoContent().finish();
    };
    observe(&edge).await;
    recorder.run_upkeep();
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(recorder.render())
}

/// Takes the readings that nobody reports by themselves.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
async fn observe(edge: &Edge) {
    metrics::gauge!("duologue_requests_in_flight").set(edge.admission.in_flight() as f64);
    metrics::gauge!("duologue_connections").set(edge.connections.open() as f64);
    let Some(tree) = edge.entrance.tree().await else {
        return;
    };
    for actor in tree.actors {
        metrics::counter!("duologue_actor_restarts_total", "actor" => actor.name).absolute(actor.restarts);
        metrics::counter!("duologue_actor_messages_total", "actor" => actor.name).absolute(actor.handled);
        metrics::gauge!("duologue_actor_in_flight", "actor" => actor.name).set(actor.in_flight as f64);
    }
}
