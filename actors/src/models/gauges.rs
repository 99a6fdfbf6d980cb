//! What the registry's models are like right now, for whoever collects metrics.

use super::{BreakerState, Model};

/// Sets the gauges of `models`. To be called when they are about to be read: nobody reports a breaker that
/// has become ready for its probe.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn observe<'a>(models: impl IntoIterator<Item = &'a Model>) {
    for model in models {
        let guard = model.guard();
        let labels = [
            ("name", model.name().to_owned()),
            ("provider", model.provider().provider().to_owned()),
            ("model", model.provider().model().to_owned()),
        ];
        metrics::gauge!("duologue_model_breaker_state", &labels).set(number(guard.breaker.state()));
        metrics::gauge!("duologue_model_calls_in_flight", &labels).set(guard.capacity.in_flight() as f64);
        metrics::gauge!("duologue_model_calls_waiting", &labels).set(guard.capacity.waiting() as f64);
        metrics::gauge!("duologue_model_retries_left", &labels).set(f64::from(guard.budget.left()));
        if let Some(tokens) = guard.capacity.tokens_left() {
            metrics::gauge!("duologue_model_tokens_left", &labels).set(tokens as f64);
        }
    }
}

fn number(state: BreakerState) -> f64 {
    match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open(_) => 2.0,
    }
}
