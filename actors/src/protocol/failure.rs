//! Why a request was refused or failed: a code for programs, a text for people, and the hop it came from.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Every way a request can fail, by the name that stands in `extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Unauthenticated,
    NotFound,
    Forbidden,
    FeatureDisabled,
    RateLimited,
    InvalidInput,
    Conflict,
    Overloaded,
    StorageUnavailable,
    Internal,
    Interrupted,
    DeadlineExceeded,
    BudgetExhausted,
    UpstreamRateLimited,
    UpstreamOverloaded,
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamStalled,
    UpstreamMalformed,
    UpstreamTruncated,
    UpstreamRejected,
    UpstreamAuth,
    UpstreamTooLarge,
}

impl Code {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::FeatureDisabled => "feature_disabled",
            Self::RateLimited => "rate_limited",
            Self::InvalidInput => "invalid_input",
            Self::Conflict => "conflict",
            Self::Overloaded => "overloaded",
            Self::StorageUnavailable => "storage_unavailable",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::BudgetExhausted => "budget_exhausted",
            Self::UpstreamRateLimited => "upstream_rate_limited",
            Self::UpstreamOverloaded => "upstream_overloaded",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamStalled => "upstream_stalled",
            Self::UpstreamMalformed => "upstream_malformed",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::UpstreamRejected => "upstream_rejected",
            Self::UpstreamAuth => "upstream_auth",
            Self::UpstreamTooLarge => "upstream_too_large",
        }
    }

    /// The code GitLab's clients know, shown with the text of a failed answer. The numbers are GitLab's
    /// documented Duo Chat error codes.
    #[must_use]
    pub fn gitlab_code(self) -> &'static str {
        match self {
            Self::UpstreamTimeout | Self::UpstreamStalled | Self::DeadlineExceeded => "A1000",
            Self::UpstreamUnavailable | Self::UpstreamOverloaded | Self::Overloaded => "A1001",
            Self::UpstreamMalformed => "A1002",
            Self::UpstreamTruncated => "A1003",
            Self::UpstreamTooLarge => "A1005",
            _ => "A9999",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of the server an error came from: the first question of whoever is on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    Edge,
    Auth,
    FeatureFlag,
    Policy,
    Completion,
    Provider,
    Cache,
    Broadcaster,
}

impl Hop {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Auth => "auth",
            Self::FeatureFlag => "feature_flag",
            Self::Policy => "policy",
            Self::Completion => "completion",
            Self::Provider => "provider",
            Self::Cache => "cache",
            Self::Broadcaster => "broadcaster",
        }
    }
}

/// What stands before the code in GitLab's texts.
const ERROR_CODE: &str = "Error code: ";

/// What a client hears when there is nothing better to say; GitLab's text.
pub(crate) const TRY_AGAIN: &str = "I'm sorry, I can't generate a response. Please try again.";
/// What a client hears when something took too long, whatever it was; GitLab's text.
pub(crate) const TOO_LATE: &str = "I'm sorry, I couldn't respond in time. Please try again.";

/// A refusal before acceptance or a failure after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    pub code: Code,
    /// For the person who asked; never holds a token, a prompt or an answer.
    pub text: String,
    pub hop: Hop,
    /// When trying again can help, how long to wait first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

impl Failure {
    #[must_use]
    pub fn new(code: Code, hop: Hop, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hop, retry_after: None }
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What a client hears when something of ours broke.
    #[must_use]
    pub fn internal(hop: Hop) -> Self {
        Self::new(Code::Internal, hop, TRY_AGAIN)
    }

    /// What a client hears when the time it had is over.
    #[must_use]
    pub fn deadline_exceeded(hop: Hop) -> Self {
        Self::new(Code::DeadlineExceeded, hop, TOO_LATE)
    }

    /// What a client hears when a second crash cut its request short.
    #[must_use]
    pub fn interrupted(hop: Hop) -> Self {
        Self::new(
            Code::Interrupted,
            hop,
            "I'm sorry, the server was restarted while I was answering. Please try again.",
        )
    }

    /// The line in `errors` of a final message: the text and the code GitLab's clients know, which texts of GitLab's
    /// own have in them.
    #[must_use]
    pub fn final_text(&self) -> String {
        if self.text.contains(ERROR_CODE) {
            return self.text.clone();
        }
        format!("{} {ERROR_CODE}{}", self.text, self.code.gitlab_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_has_a_code_gets_no_other() {
        let failure = Failure::new(Code::Forbidden, Hop::Policy, "Not here. Error code: M3002");
        assert_eq!(failure.final_text(), "Not here. Error code: M3002");
    }

    #[test]
    fn whoever_is_overloaded_clients_hear_that_it_is_unavailable() {
        for code in [Code::Overloaded, Code::UpstreamOverloaded, Code::UpstreamUnavailable] {
            let failure = Failure::new(code, Hop::Completion, "Later.");
            assert_eq!(failure.final_text(), "Later. Error code: A1001");
        }
        assert_eq!(Code::UpstreamRateLimited.gitlab_code(), "A9999");
    }
}
