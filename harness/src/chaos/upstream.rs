//! The provider of the runs: answers each question with its own canary, piece by piece, so slowly that requests
//! are in flight whenever something happens to the server. It lives in the driver, so it outlives every server.

use std::time::Duration;

use anyhow::Result;

use super::{
    fact::{Fact, Intent, canaries, canary},
    ledger::Ledger,
};
use crate::fake_provider::{Call, FakeProvider, Script, shapes::openai};

/// How an answer comes. The time of each piece is as long as its request's number makes it, within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub seed: u64,
    /// Pieces of an answer, at least and at most.
    pub pieces: (u64, u64),
    /// Milliseconds before each piece, at least and at most.
    pub milliseconds: (u64, u64),
    /// Characters that each piece has beside its canary.
    pub padding: usize,
}

/// Starts a provider that tells the ledger of every call.
pub async fn start(pace: Pace, ledger: Ledger) -> Result<FakeProvider> {
    FakeProvider::answering(move |call| match asked(call) {
        Some(intent) => {
            ledger.note(Fact::Asked { intent });
            pace.answer(intent)
        }
        None => Script::status(400),
    })
    .await
}

/// What a call is about. The conversation before it may hold older canaries; the question comes last.
fn asked(call: &Call) -> Option<Intent> {
    canaries(&String::from_utf8_lossy(&call.body)).last()
}

impl Pace {
    fn answer(self, intent: Intent) -> Script {
        let mut random = fastrand::Rng::with_seed(self.seed ^ intent);
        let wait = Duration::from_millis(random.u64(self.milliseconds.0..=self.milliseconds.1));
        let pieces = random.u64(self.pieces.0..=self.pieces.1);
        let (canary, padding) = (canary(intent), "-".repeat(self.padding));
        let script = (1..=pieces).fold(Script::event_stream(), |script, piece| {
            script.wait(wait).send(openai::delta(&format!("{canary} {piece}{padding}, ")))
        });
        script.send(openai::stop()).send(openai::done()).keeping_the_connection()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_is_answered_the_same_way_in_every_run_of_a_seed() {
        let pace = Pace { seed: 3, pieces: (2, 9), milliseconds: (1, 50), padding: 0 };
        assert_eq!(format!("{:?}", pace.answer(5)), format!("{:?}", pace.answer(5)));
        let others = (6..20).map(|intent| format!("{:?}", pace.answer(intent)).len());
        assert!(others.collect::<std::collections::BTreeSet<_>>().len() > 1);
    }
}
