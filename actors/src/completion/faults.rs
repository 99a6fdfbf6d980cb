//! The texts for what can go wrong with a model.

use crate::{
    ports::ModelError,
    protocol::{Code, Failure, Hop, TOO_LATE, TRY_AGAIN},
};

/// What the provider itself reported.
pub(super) fn reported(error: &ModelError) -> Failure {
    let mut failure = failed(error.code);
    failure.retry_after = error.retry_after;
    failure
}

/// No content came for too long.
pub(super) fn silent(had_content: bool) -> Failure {
    failed(if had_content { Code::UpstreamStalled } else { Code::UpstreamTimeout })
}

pub(super) fn failed(code: Code) -> Failure {
    let text = match code {
        Code::UpstreamTimeout | Code::UpstreamStalled => TOO_LATE,
        Code::UpstreamTruncated => "I'm sorry, my answer was cut off. Please try again.",
        Code::UpstreamTooLarge => {
            "I'm sorry, there is too much to read in one go. Please ask about less of it."
        }
        Code::UpstreamRateLimited | Code::UpstreamOverloaded => {
            "I'm sorry, too much is being asked of me right now. Please try again later."
        }
        _ => TRY_AGAIN,
    };
    Failure::new(code, Hop::Provider, text)
}
