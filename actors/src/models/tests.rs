//! Two models, A and its fallback B, and what a caller is told whatever they do.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::*;
use crate::{
    ports::{ModelCall, ModelError, Retry, StopReason, Turn},
    protocol::{Code, RequestId, Role, UserId},
    testing::{FakeModels, Log, Script},
};

mod faults;
mod guards;
mod property;
mod record;

/// Characters of the prompt; a token is four of them.
const PROMPT: usize = 400;
/// The most tokens of an answer, so that a call reserves 200.
const OUTPUT: u32 = 100;

/// What every call of a test goes to.
struct Two {
    a: FakeModels,
    b: FakeModels,
    bounds: CallBounds,
    deadline: Duration,
    of_a: Arc<Model>,
    of_b: Arc<Model>,
}

/// What the caller heard.
#[derive(Debug, PartialEq)]
struct Told {
    text: String,
    end: Result<StopReason, ModelError>,
    took: Duration,
}

impl Told {
    fn code(&self) -> Option<Code> {
        self.end.as_ref().err().map(|error| error.code)
    }

    fn retry_after(&self) -> Option<u64> {
        self.end.as_ref().err().and_then(|error| error.retry_after).map(|wait| wait.as_secs())
    }
}

impl Default for Two {
    fn default() -> Self {
        Self::guarded(Guard::default())
    }
}

impl Two {
    /// With `guard` before A.
    fn guarded(guard: Guard) -> Self {
        let (a, b) = (FakeModels::called("a"), FakeModels::called("b"));
        let model = |fake: &FakeModels, guard| {
            let bounds = ModelBounds { output_tokens: OUTPUT, ..ModelBounds::default() };
            Arc::new(Model::new(fake.provider().to_owned(), Arc::new(fake.clone()), bounds, guard))
        };
        let (of_a, of_b) = (model(&a, guard), model(&b, Guard::default()));
        Self { a, b, bounds: CallBounds::default(), deadline: Duration::from_secs(120), of_a, of_b }
    }

    fn answer_of(&self, models: &[&Arc<Model>]) -> Answer {
        let models = models.iter().map(|&model| model.clone()).collect();
        let purpose = a_purpose();
        let request_id = purpose.request_id;
        let deadline = Instant::now() + self.deadline;
        answer(purpose, Route::new(models), self.bounds, deadline, move |_| Ok(a_call(request_id)))
    }

    fn answer(&self) -> Answer {
        self.answer_of(&[&self.of_a, &self.of_b])
    }

    async fn told(&self) -> Told {
        hear(self.answer()).await
    }

    async fn told_by_a_alone(&self) -> Told {
        hear(self.answer_of(&[&self.of_a])).await
    }

    /// Calls to A and to B.
    fn calls(&self) -> (usize, usize) {
        (self.a.calls().len(), self.b.calls().len())
    }

    fn a_guard(&self) -> &Guard {
        self.of_a.guard()
    }

    fn assert_nothing_is_held(&self) {
        assert_eq!((self.a.open_calls(), self.b.open_calls()), (0, 0), "a stream is still open");
        for model in [&self.of_a, &self.of_b] {
            let capacity = &model.guard().capacity;
            assert_eq!((capacity.in_flight(), capacity.waiting()), (0, 0), "a place was not given back");
        }
    }
}

fn a_purpose() -> Purpose {
    Purpose {
        request_id: RequestId::new(),
        action: Some("chat".to_owned()),
        unit_primitive: "duo_chat".to_owned(),
        prompt_version: None,
    }
}

fn a_call(request_id: RequestId) -> ModelCall {
    ModelCall {
        request_id,
        user: UserId(2),
        unit_primitive: "duo_chat".to_owned(),
        enabled_flags: Vec::new(),
        system: String::new(),
        turns: vec![Turn { role: Role::User, content: "p".repeat(PROMPT) }],
        kept: None,
        max_output_tokens: OUTPUT,
    }
}

/// Listens to the end, and a little longer: nothing may follow it.
async fn hear(mut answer: Answer) -> Told {
    let (started, mut text) = (Instant::now(), String::new());
    let end = loop {
        match answer.next().await.expect("an answer says how it ends") {
            Ok(Progress::Content(content)) => text.push_str(&content),
            Ok(Progress::Finished(reason)) => break Ok(reason),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(answer.next().await, None, "something followed the end");
    let outcome = end.as_ref().map_or_else(|error| error.code.as_str(), |_| "completed");
    answer.conclude(outcome);
    Told { text, end, took: started.elapsed() }
}

fn error(code: Code, retry: Retry) -> ModelError {
    ModelError::new(code, retry, "as scripted")
}

fn failing(code: Code, retry: Retry) -> Script {
    Script::failing(error(code, retry))
}

/// A provider that says 529, or whatever else it calls being overloaded.
fn overloaded() -> Script {
    failing(Code::UpstreamOverloaded, Retry::Again)
}

fn limited(retry_after: u64) -> Script {
    let wait = Some(Duration::from_secs(retry_after));
    Script::failing(error(Code::UpstreamRateLimited, Retry::Again).retry_after(wait))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
