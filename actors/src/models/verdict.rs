//! What is said when no model answers: a plain decision.

use std::time::Duration;

use crate::{
    ports::{ModelError, Retry},
    protocol::Code,
};

/// What the models of a route have come to, one after the other.
///
/// The answer ends with the error of the last attempt: what a model did says more than that another one
/// could not be asked (its breaker is open, it is full, the prompt does not fit it). Only if no model was
/// asked at all, the last of those reasons is the end. When to come back is another question, and the answer
/// to it is: as soon as any model of the route may do better.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    end: Option<ModelError>,
    was_asked: bool,
    /// How long the model whose turn it is wants to be left alone; not at all is zero.
    wait: Option<Duration>,
    /// The shortest of the models' waits.
    shortest_wait: Option<Duration>,
}

impl Verdict {
    pub(super) fn failed(&mut self, error: &ModelError) {
        self.wait = Some(error.retry_after.unwrap_or_default());
        self.was_asked = true;
        self.end = Some(error.clone());
    }

    pub(super) fn not_asked(&mut self, error: &ModelError) {
        self.wait = error.retry_after.or(self.wait);
        if !self.was_asked {
            self.end = Some(error.clone());
        }
    }

    pub(super) fn next_model(&mut self) {
        self.shortest_wait = self.wait.take().into_iter().chain(self.shortest_wait).min();
    }

    pub(super) fn error(mut self) -> ModelError {
        self.next_model();
        let nobody = || ModelError::new(Code::Internal, Retry::Never, "a route without a model");
        let wait = self.shortest_wait.filter(|wait| !wait.is_zero());
        self.end.unwrap_or_else(nobody).retry_after(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Did {
        Failed(Code, Option<u64>),
        NotAsked(Code, Option<u64>),
        NextModel,
    }
    use Did::{Failed, NextModel, NotAsked};

    fn said(story: &[Did]) -> (Code, Option<u64>) {
        let mut verdict = Verdict::default();
        let error = |code, seconds: &Option<u64>| {
            ModelError::new(code, Retry::Elsewhere, "as told").retry_after(seconds.map(Duration::from_secs))
        };
        for did in story {
            match did {
                Failed(code, seconds) => verdict.failed(&error(*code, seconds)),
                NotAsked(code, seconds) => verdict.not_asked(&error(*code, seconds)),
                NextModel => verdict.next_model(),
            }
        }
        let end = verdict.error();
        (end.code, end.retry_after.map(|wait| wait.as_secs()))
    }

    const LIMITED: Code = Code::UpstreamRateLimited;
    const DOWN: Code = Code::UpstreamUnavailable;

    #[test]
    fn the_last_attempts_error_is_the_end() {
        assert_eq!(said(&[Failed(LIMITED, None), NextModel, Failed(DOWN, None)]), (DOWN, None));
        assert_eq!(said(&[Failed(LIMITED, Some(3_600))]), (LIMITED, Some(3_600)));
    }

    #[test]
    fn a_model_that_was_not_asked_says_less_than_one_that_failed() {
        let full = NotAsked(Code::Overloaded, None);
        assert_eq!(said(&[Failed(LIMITED, Some(9)), NextModel, full]), (LIMITED, Some(9)));
        let open = || NotAsked(DOWN, Some(20));
        assert_eq!(said(&[open(), NextModel, Failed(LIMITED, Some(9))]), (LIMITED, Some(9)));
        assert_eq!(
            said(&[open(), NextModel, NotAsked(Code::Overloaded, Some(10))]),
            (Code::Overloaded, Some(10))
        );
    }

    #[test]
    fn come_back_when_the_first_model_may_do_better() {
        let open = || NotAsked(DOWN, Some(20));
        assert_eq!(said(&[Failed(LIMITED, Some(3_600)), NextModel, open()]), (LIMITED, Some(20)));
        assert_eq!(said(&[Failed(DOWN, None), open()]), (DOWN, Some(20)), "its breaker opened meanwhile");
        let any_time = Failed(DOWN, None);
        assert_eq!(said(&[Failed(LIMITED, Some(3_600)), NextModel, any_time]), (DOWN, None));
    }

    #[test]
    fn only_what_a_model_asked_for_last_counts() {
        assert_eq!(said(&[Failed(LIMITED, Some(1)), Failed(LIMITED, Some(3_600))]), (LIMITED, Some(3_600)));
    }

    #[test]
    fn a_route_without_a_model_is_our_own_fault() {
        assert_eq!(said(&[]), (Code::Internal, None));
    }
}
