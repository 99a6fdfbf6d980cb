//! One logical call: over attempts and models until something of an answer was shown, and to its end.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use futures::{Stream, StreamExt, stream::BoxStream};
use semver::Version;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    CallBounds, Model, Route,
    attempt::{Attempt, Charge, left_alone},
    record::{Record, Tally},
    retry::{Attempts, Next},
    verdict::Verdict,
};
use crate::{
    ports::{ModelCall, ModelError, ModelEvent, Retry, StopReason, Usage},
    protocol::{Code, RequestId},
};

/// Whose call it is, for the log.
#[derive(Clone, Debug)]
pub struct Purpose {
    pub request_id: RequestId,
    pub action: Option<String>,
    pub unit_primitive: String,
    /// Of the action's prompt.
    pub prompt_version: Option<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A piece of the answer, never empty.
    Content(String),
    /// The answer is whole. Nothing follows.
    Finished(StopReason),
}

/// An answer on its way. Dropping it ends the call, and logs it.
pub struct Answer {
    /// `None` once the call has ended.
    steps: Option<BoxStream<'static, Step>>,
    deadline: Instant,
    record: Record,
    /// Is told what each model is asked.
    on_call: Option<OnCall>,
}

type OnCall = Box<dyn Fn(&ModelCall) + Send>;

/// What happened next, in one attempt after another.
enum Step {
    /// This is what the model is asked.
    Asked(Arc<ModelCall>),
    Began(Charge),
    /// The model was passed over: it cost no call.
    NotAsked(Arc<Model>, ModelError),
    Content(String),
    Usage(Usage),
    /// The attempt failed; another one may follow.
    Failed(ModelError),
    /// The attempt failed, and no other follows.
    GaveUp(ModelError),
    Finished(StopReason),
}

/// Asks the models of `route` one after the other, each as often as `bounds` allow, until the first content.
/// `render` writes the call for the model it is given; for one that is left alone it is not called. The
/// answer has ended by `deadline`, and waits that would outlast it are not begun.
#[must_use]
pub fn answer(
    purpose: Purpose,
    route: Route,
    bounds: CallBounds,
    deadline: Instant,
    render: impl Fn(&Model) -> Result<ModelCall, ModelError> + Send + 'static,
) -> Answer {
    let steps = stream! {
        let mut verdict = Verdict::default();
        for model in route.models() {
            let call = model.guard().breaker.check().map_err(left_alone).and_then(|()| render(model));
            match call {
                Ok(call) => {
                    for await step in ask(model.clone(), Arc::new(call), bounds, deadline) {
                        step.judge(&mut verdict);
                        yield step;
                    }
                }
                Err(error) => {
                    let is_hopeless = error.retry == Retry::Never;
                    verdict.not_asked(&error);
                    yield Step::NotAsked(model.clone(), error);
                    if is_hopeless {
                        break;
                    }
                }
            }
            verdict.next_model();
        }
        yield Step::GaveUp(verdict.error());
    };
    Answer { steps: Some(steps.boxed()), deadline, record: Record::new(purpose), on_call: None }
}

/// Asks one model, again and again while that may help. After a step that ends the answer nothing follows;
/// otherwise the next model's turn has come.
fn ask(
    model: Arc<Model>,
    call: Arc<ModelCall>,
    bounds: CallBounds,
    deadline: Instant,
) -> impl Stream<Item = Step> + Send {
    stream! {
        let mut attempts = Attempts::new(bounds.retry);
        loop {
            let mut attempt = match Attempt::begin(&model, &call, &bounds).await {
                Ok((attempt, charge)) => {
                    if attempts.is_first() {
                        model.guard().budget.earn();
                        yield Step::Asked(call.clone());
                    }
                    yield Step::Began(charge);
                    attempt
                }
                Err(error) => {
                    yield Step::NotAsked(model, error);
                    return;
                }
            };
            let end = loop {
                match attempt.next().await {
                    Ok(ModelEvent::Content(content)) => yield Step::Content(content),
                    Ok(ModelEvent::Usage(usage)) => yield Step::Usage(usage),
                    Ok(ModelEvent::Finished(reason)) => break Ok(reason),
                    Err(error) => break Err(error),
                }
            };
            // What has ended must not hold its socket while anything waits.
            let is_shown = attempt.is_shown();
            drop(attempt);
            let error = match end {
                Ok(reason) => {
                    yield Step::Finished(reason);
                    return;
                }
                Err(error) if is_shown => {
                    yield Step::GaveUp(error);
                    return;
                }
                Err(error) => error,
            };
            match after(&error, &mut attempts, &model, deadline) {
                Then::GiveUp => {
                    yield Step::GaveUp(error);
                    return;
                }
                Then::Elsewhere => {
                    yield Step::Failed(error);
                    return;
                }
                Then::LeaveAlone(reason) => {
                    yield Step::Failed(error);
                    yield Step::NotAsked(model, reason);
                    return;
                }
                Then::Again(wait) => {
                    yield Step::Failed(error);
                    sleep(wait).await;
                }
            }
        }
    }
}

/// What follows a failed attempt of which nothing was shown.
enum Then {
    /// The same model again, after this wait. It is paid for.
    Again(Duration),
    /// It would be the same model again, but that is left alone by now.
    LeaveAlone(ModelError),
    Elsewhere,
    GiveUp,
}

fn after(error: &ModelError, attempts: &mut Attempts, model: &Model, deadline: Instant) -> Then {
    let left = deadline.saturating_duration_since(Instant::now());
    let guard = model.guard();
    match attempts.after(error, left) {
        Next::GiveUp => Then::GiveUp,
        Next::Elsewhere => Then::Elsewhere,
        Next::Again(wait) => match guard.breaker.check() {
            Err(open) => Then::LeaveAlone(left_alone(open)),
            Ok(()) if guard.budget.spend() => Then::Again(wait),
            Ok(()) => Then::Elsewhere,
        },
    }
}

impl Step {
    fn judge(&self, verdict: &mut Verdict) {
        match self {
            Self::Failed(error) => verdict.failed(error),
            Self::NotAsked(_, error) => verdict.not_asked(error),
            Self::Asked(_)
            | Self::Began(_)
            | Self::Content(_)
            | Self::Usage(_)
            | Self::GaveUp(_)
            | Self::Finished(_) => {}
        }
    }
}

impl Answer {
    /// Tells `heed` of the call each model is asked; of a model that is passed over nothing is told.
    #[must_use]
    pub fn on_call(mut self, heed: impl Fn(&ModelCall) + Send + 'static) -> Self {
        self.on_call = Some(Box::new(heed));
        self
    }

    /// What comes next; `None` after the end. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Result<Progress, ModelError>> {
        loop {
            match self.step().await? {
                Step::Asked(call) => {
                    if let Some(heed) = &self.on_call {
                        heed(&call);
                    }
                }
                Step::Began(charge) => self.record.began(charge),
                Step::NotAsked(model, error) => self.record.not_asked(&model, &error),
                Step::Failed(error) => self.record.failed(&error),
                Step::Usage(usage) => self.record.usage(usage),
                Step::Content(content) => {
                    self.record.content(&content);
                    return Some(Ok(Progress::Content(content)));
                }
                Step::Finished(reason) => {
                    self.steps = None;
                    self.record.finished(reason);
                    return Some(Ok(Progress::Finished(reason)));
                }
                Step::GaveUp(error) => {
                    self.steps = None;
                    self.record.gave_up(&error);
                    return Some(Err(error));
                }
            }
        }
    }

    async fn step(&mut self) -> Option<Step> {
        let steps = self.steps.as_mut()?;
        // A model that always has something to say would never let the timer have its say.
        if Instant::now() >= self.deadline {
            return Some(Step::GaveUp(too_late()));
        }
        timeout_at(self.deadline, steps.next()).await.unwrap_or_else(|_| Some(Step::GaveUp(too_late())))
    }

    /// `provider/model` of the model asked last.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.record.model()
    }

    /// What the call has cost so far, and how long it took.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.record.tally()
    }

    /// Says why its reader takes no more of it.
    pub fn blame(&mut self, what: &'static str) {
        self.record.blame(what);
    }

    /// Ends the call, if it has not ended, and logs it under `outcome`: `completed`, `cancelled`, or a code.
    /// What it cost is known only now: an attempt under way costs something too.
    pub fn conclude(self, outcome: &'static str) -> Tally {
        let Self { steps, record, .. } = self;
        drop(steps);
        record.conclude(outcome)
    }
}

fn too_late() -> ModelError {
    ModelError::new(Code::DeadlineExceeded, Retry::Never, "the deadline has passed").taken()
}
