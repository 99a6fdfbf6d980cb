//! Prompts and answers in the log: never, but for a user for whom the flag `expanded_ai_logging` is on.
//! The field names are those of GitLab's AI Gateway, so that its log viewers' settings fit.

use crate::{
    cache::Accepted,
    ports::ModelCall,
    protocol::{Outcome, RequestId},
};

/// The flag; off unless switched on.
pub const EXPANDED_LOGGING: &str = "expanded_ai_logging";

/// Whether one request's texts may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpandedLog(bool);

impl ExpandedLog {
    pub(super) fn of(accepted: &Accepted) -> Self {
        let user = accepted.caller().user.id.global_id();
        Self(accepted.flags().enabled(EXPANDED_LOGGING, false, &[user]))
    }

    pub(super) fn is_on(self) -> bool {
        self.0
    }

    pub(super) fn input(self, call: &ModelCall) {
        if !self.0 {
            return;
        }
        if let Some(kept) = &call.kept {
            tracing::info!(request_id = %call.request_id, prefix = kept.id, input = ?kept.inputs, "prompt");
        } else if let Some(turn) = call.turns.last() {
            let (prefix, input) = (call.system.as_str(), turn.content.as_str());
            tracing::info!(request_id = %call.request_id, prefix, input, "prompt");
        }
    }

    pub(super) fn suggestion(self, request_id: RequestId, outcome: &Outcome) {
        let (Outcome::Completed { content: suggestion }
        | Outcome::Failed { partial: suggestion, .. }
        | Outcome::Cancelled { partial: suggestion }) = outcome;
        if self.0 {
            tracing::info!(%request_id, suggestion, "answer");
        }
    }
}
