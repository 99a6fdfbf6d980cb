//! Models that say what they are told to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};
use tokio::time::Instant;

use crate::{
    models::{Guard, Model, ModelBounds, Route},
    ports::{ModelCall, ModelError, ModelEvent, ModelProvider, Models, StopReason, Usage},
};

/// What the model does in one call: each event after its pause.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<(Duration, Step)>,
}

#[derive(Clone, Debug)]
enum Step {
    Event(Result<ModelEvent, ModelError>),
    Panic,
    Silence,
}

impl Script {
    /// Says each of `deltas` at once and finishes.
    #[must_use]
    pub fn saying(deltas: &[&str]) -> Self {
        deltas.iter().fold(Self::default(), |script, delta| script.then(Duration::ZERO, delta)).finish()
    }

    /// Reports an error and nothing else.
    #[must_use]
    pub fn failing(error: ModelError) -> Self {
        Self::default().fail(error)
    }

    /// Then says `delta` after `pause`; an empty one is a keep-alive.
    #[must_use]
    pub fn then(self, pause: Duration, delta: &str) -> Self {
        self.step(pause, Step::Event(Ok(ModelEvent::Content(delta.to_owned()))))
    }

    /// Then reports what the call has cost so far.
    #[must_use]
    pub fn usage(self, usage: Usage) -> Self {
        self.step(Duration::ZERO, Step::Event(Ok(ModelEvent::Usage(usage))))
    }

    /// Then says that it is done.
    #[must_use]
    pub fn finish(self) -> Self {
        self.finish_for(StopReason::Complete)
    }

    /// Then says that it is done, and why.
    #[must_use]
    pub fn finish_for(self, reason: StopReason) -> Self {
        self.step(Duration::ZERO, Step::Event(Ok(ModelEvent::Finished(reason))))
    }

    /// Then reports an error.
    #[must_use]
    pub fn fail(self, error: ModelError) -> Self {
        self.step(Duration::ZERO, Step::Event(Err(error)))
    }

    /// Then panics.
    #[must_use]
    pub fn panic(self) -> Self {
        self.step(Duration::ZERO, Step::Panic)
    }

    /// Then says nothing more, for ever.
    #[must_use]
    pub fn hang(self) -> Self {
        self.step(Duration::ZERO, Step::Silence)
    }

    fn step(mut self, pause: Duration, step: Step) -> Self {
        self.steps.push((pause, step));
        self
    }

    #[allow(clippy::panic, reason = "panicking is a step's purpose")]
    fn play(self) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        stream::iter(self.steps)
            .then(|(pause, step)| async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                match step {
                    Step::Event(event) => event,
                    Step::Panic => panic!("injected into the model"),
                    Step::Silence => std::future::pending().await,
                }
            })
            .boxed()
    }
}

/// All models there are: one, called `default`; there is no other.
#[derive(Clone)]
pub struct FakeModels {
    shared: Arc<Shared>,
}

struct Shared {
    provider: &'static str,
    model: String,
    scripts: Mutex<VecDeque<Script>>,
    otherwise: Mutex<Script>,
    calls: Mutex<Vec<(Instant, Arc<ModelCall>)>>,
    open: Arc<AtomicUsize>,
}

impl Default for FakeModels {
    fn default() -> Self {
        Self::called("fake")
    }
}

impl FakeModels {
    /// The model `scripted` of a provider called `provider`. It says "Hello world." until it is told otherwise.
    #[must_use]
    pub fn called(provider: &'static str) -> Self {
        let shared = Shared {
            provider,
            model: format!("{provider}/scripted"),
            scripts: Mutex::default(),
            otherwise: Mutex::new(Script::saying(&["Hello ", "world."])),
            calls: Mutex::default(),
            open: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Plays `script` at the next call that has none yet.
    pub fn next_call(&self, script: Script) {
        self.shared.scripts.lock().unwrap_or_else(PoisonError::into_inner).push_back(script);
    }

    /// Plays `script` at every call that has none of its own.
    pub fn always(&self, script: Script) {
        *self.shared.otherwise.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<ModelCall> {
        self.made().into_iter().map(|(_, call)| ModelCall::clone(&call)).collect()
    }

    /// When each of the calls so far was made.
    #[must_use]
    pub fn call_times(&self) -> Vec<Instant> {
        self.made().into_iter().map(|(at, _)| at).collect()
    }

    /// The calls whose stream has not been dropped yet.
    #[must_use]
    pub fn open_calls(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    fn made(&self) -> Vec<(Instant, Arc<ModelCall>)> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn script(&self) -> Script {
        let next = self.shared.scripts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.unwrap_or_else(|| self.shared.otherwise.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Models for FakeModels {
    fn route(&self, name: &str) -> Option<Route> {
        (name == "default").then(|| route_to(Arc::new(self.clone())))
    }
}

/// A route of one model, with the default bounds.
#[must_use]
pub fn route_to(provider: Arc<dyn ModelProvider>) -> Route {
    let model = Model::new("default", provider, ModelBounds::default(), Guard::default());
    Route::new(vec![Arc::new(model)])
}

/// Counts one open stream until it is dropped.
struct OpenCall(Arc<AtomicUsize>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl ModelProvider for FakeModels {
    fn provider(&self) -> &str {
        self.shared.provider
    }

    fn model(&self) -> &str {
        &self.shared.model
    }

    fn stream(&self, call: Arc<ModelCall>) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), call));
        self.shared.open.fetch_add(1, SeqCst);
        let open = OpenCall(self.shared.open.clone());
        self.script()
            .play()
            .map(move |event| {
                let _open = &open;
                event
            })
            .boxed()
    }
}
