//! Vectors of texts: Google Cloud's documentation, "Text embeddings API".

use duologue_actors::ports::ModelError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::providers::{Embedding, faults};

/// The model that the configuration names for `vertex_ai`, for providers of this kind by other names.
pub(super) const DEFAULT_MODEL: &str = "text-embedding-005";

/// What the vector is for: to find documents by.
const TASK_TYPE: &str = "RETRIEVAL_QUERY";

pub(super) fn body(text: &str) -> Value {
    json!({ "instances": [{ "content": text, "task_type": TASK_TYPE }] })
}

#[derive(Deserialize)]
struct Answer {
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Prediction {
    embeddings: Vector,
}

#[derive(Deserialize)]
struct Vector {
    values: Vec<f32>,
    #[serde(default)]
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    /// A whole number, which may be written `4.0`.
    #[serde(default)]
    token_count: Option<f64>,
}

/// The vector in an answer for one text.
///
/// # Errors
/// When there is none.
pub(super) fn read(model: String, body: &[u8]) -> Result<Embedding, ModelError> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| faults::foreign("an answer that is no embedding"))?;
    let vector = answer.predictions.into_iter().next().map(|prediction| prediction.embeddings);
    let Some(Vector { values, statistics }) = vector.filter(|vector| !vector.values.is_empty()) else {
        return Err(faults::malformed("an answer without a vector"));
    };
    let tokens = statistics.and_then(|statistics| statistics.token_count);
    let input_tokens = tokens.filter(|tokens| *tokens >= 0.0).map(|tokens| tokens as u64);
    Ok(Embedding { model, values, input_tokens })
}
