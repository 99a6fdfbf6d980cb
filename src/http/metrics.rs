//! `/metrics`, in the text format of Prometheus.

use std::sync::{Mutex, OnceLock, PoisonError};

use actix_web::{HttpResponse, http::header::CONTENT_TYPE, web};
use duologue_actors::models;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::server::Edge;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Bounds of the buckets, in seconds: the first chunk of a good answer comes within five.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The bounds OpenTelemetry's semantic conventions advise for `gen_ai.client.operation.duration`, in seconds,
/// up to the longest deadline.
const CALL_SECONDS: [f64; 15] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84];

/// The bounds they advise for `gen_ai.client.token.usage`, up to the largest contexts there are.
const TOKENS: [f64; 12] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Every metric of the server, with what it counts.
const COUNTERS: [(&str, &str); 13] = [
    (
        "duologue_requests_total",
        "aiAction requests by action and by outcome at the door: accepted, or the refusal's code",
    ),
    (
        "duologue_answers_total",
        "ends of accepted requests by action and outcome: completed, cancelled, or the failure's code",
    ),
    (
        "duologue_answers_withheld_total",
        "answers whose reader may not have them any more, by the code of the refusal",
    ),
    (
        "duologue_credentials_refused_total",
        "credentials that were not taken, by reason: invalid, or unavailable when they could not be checked",
    ),
    ("duologue_admission_refused_total", "aiAction requests that found no room, by reason"),
    ("duologue_connections_refused_total", "connections that were one too many, by reason"),
    ("duologue_actor_restarts_total", "restarts of each actor after a panic"),
    ("duologue_actor_messages_total", "messages each actor has taken"),
    ("duologue_websocket_frames_sent_total", "messages written to websockets"),
    ("duologue_websocket_stalled_readers_total", "websockets dropped because nobody read them"),
    (
        "duologue_model_attempts_total",
        "attempts at each model by outcome: ok, cancelled, dropped, or the fault's code",
    ),
    ("duologue_model_passed_over_total", "calls that did not reach a model, by the code of the reason"),
    (
        "duologue_model_cost_microdollars_total",
        "what the attempts at each model cost by the prices of the configuration, in millionths of a US dollar",
    ),
];
const GAUGES: [(&str, &str); 11] = [
    ("duologue_requests_in_flight", "requests that hold a place"),
    ("duologue_connections", "open connections of any kind"),
    ("duologue_websocket_connections", "open websockets and event streams by protocol"),
    ("duologue_websocket_subscriptions", "open subscriptions of all websockets"),
    ("duologue_actor_in_flight", "what each actor is working on"),
    ("duologue_model_breaker_state", "each model's breaker: 0 closed, 1 half-open, 2 open"),
    ("duologue_model_calls_in_flight", "calls of each model under way"),
    ("duologue_model_calls_waiting", "calls that wait for a model's capacity"),
    ("duologue_model_retries_left", "retries each model may be sent now"),
    ("duologue_conversation_messages_waiting", "messages that wait to be written to Redis"),
    ("duologue_model_tokens_left", "tokens that can be had at once, of a model with a bound a minute"),
];
const HISTOGRAMS: [(&str, &str); 4] = [
    (
        "duologue_time_to_first_chunk_seconds",
        "from a request's submission to the first chunk of its answer, by action",
    ),
    (
        "gen_ai_client_operation_duration_seconds",
        "model calls from their beginning to their end, retries and fallbacks included",
    ),
    (
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "model calls from their beginning to their first content",
    ),
    (
        "gen_ai_client_token_usage",
        "tokens of each attempt at a model, input and output; estimated where the provider did not count",
    ),
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
        .set_buckets_for_metric(full("gen_ai_client_operation_duration_seconds"), &CALL_SECONDS)?
        .set_buckets_for_metric(full("gen_ai_client_operation_time_to_first_chunk_seconds"), &CALL_SECONDS)?
        .set_buckets_for_metric(full("gen_ai_client_token_usage"), &TOKENS)?
        .install_recorder()?;
    for (name, what) in COUNTERS {
        metrics::describe_counter!(name, what);
    }
    for (name, what) in GAUGES {
        metrics::describe_gauge!(name, what);
    }
    for (name, what) in HISTOGRAMS {
        metrics::describe_histogram!(name, what);
    }
    RECORDER.get_or_init(|| handle);
    Ok(())
}

fn full(name: &str) -> Matcher {
    Matcher::Full(name.to_owned())
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
    models::observe(edge.models.models().map(AsRef::as_ref));
    let Some(tree) = edge.entrance.tree().await else {
        return;
    };
    for actor in tree.actors {
        metrics::counter!("duologue_actor_restarts_total", "actor" => actor.name).absolute(actor.restarts);
        metrics::counter!("duologue_actor_messages_total", "actor" => actor.name).absolute(actor.handled);
        metrics::gauge!("duologue_actor_in_flight", "actor" => actor.name).set(actor.in_flight as f64);
    }
}
