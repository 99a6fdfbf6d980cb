//! The texts for what can go wrong with a model.

use crate::{
    ports::ModelError,
    protocol::{Code, Failure, Hop, TOO_LATE, TRY_AGAIN},
};

const BUSY: &str = "I'm sorry, too much is being asked of me right now. Please try again later.";

const NOTHING_ASKED: &str = "I'm sorry, there is nothing to answer. Please write a question.";

/// What the call of the models came to.
pub(super) fn reported(error: &ModelError) -> Failure {
    let mut failure = match error.code {
        // What went wrong before anybody was asked is our own fault.
        Code::Internal => Failure::internal(Hop::Completion),
        Code::DeadlineExceeded => Failure::deadline_exceeded(Hop::Completion),
        Code::InvalidInput => Failure::new(Code::InvalidInput, Hop::Completion, NOTHING_ASKED),
        Code::Overloaded => Failure::new(Code::Overloaded, Hop::Completion, BUSY),
        code => failed(code),
    };
    failure.retry_after = error.retry_after;
    failure
}

pub(super) fn failed(code: Code) -> Failure {
    let text = match code {
        Code::UpstreamTimeout | Code::UpstreamStalled => TOO_LATE,
        Code::UpstreamTruncated => "I'm sorry, my answer was cut off. Please try again.",
        Code::UpstreamTooLarge => {
            "I'm sorry, there is too much to read in one go. Please ask about less of it."
        }
        Code::UpstreamRateLimited | Code::UpstreamOverloaded => BUSY,
        _ => TRY_AGAIN,
    };
    Failure::new(code, Hop::Provider, text)
}
