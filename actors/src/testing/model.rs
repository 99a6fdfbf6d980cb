//! A model that says what it is told to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};

use crate::ports::{ModelCall, ModelError, ModelEvent, ModelProvider, Models};

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

    /// Then says `delta` after `pause`.
    #[must_use]
    pub fn then(self, pause: Duration, delta: &str) -> Self {
        self.step(pause, Step::Event(Ok(ModelEvent::Content(delta.to_owned()))))
    }

    /// Then says that it is done.
    #[must_use]
    pub fn finish(self) -> Self {
        self.step(Duration::ZERO, Step::Event(Ok(ModelEvent::Finished)))
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

/// All models there are: one, whatever its name.
#[derive(Clone, Default)]
pub struct FakeModels {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    calls: Mutex<Vec<ModelCall>>,
    open: Arc<AtomicUsize>,
}

impl FakeModels {
    /// Plays `script` at the next call that has none yet; without one, says "Hello world."
    pub fn next_call(&self, script: Script) {
        self.shared.scripts.lock().unwrap_or_else(PoisonError::into_inner).push_back(script);
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<ModelCall> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The calls whose stream has not been dropped yet.
    #[must_use]
    pub fn open_calls(&self) -> usize {
        self.shared.open.load(SeqCst)
    }
}

impl Models for FakeModels {
    fn model(&self, name: &str) -> Option<Arc<dyn ModelProvider>> {
        (name == "default").then(|| Arc::new(self.clone()) as Arc<dyn ModelProvider>)
    }
}

/// Counts one open stream until it is dropped.
struct OpenCall(Arc<AtomicUsize>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl ModelProvider for FakeModels {
    fn provider(&self) -> &'static str {
        "fake"
    }

    fn model(&self) -> &'static str {
        "fake/scripted"
    }

    fn stream(&self, call: ModelCall) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let script = self.shared.scripts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        self.shared.open.fetch_add(1, SeqCst);
        let open = OpenCall(self.shared.open.clone());
        script
            .unwrap_or_else(|| Script::saying(&["Hello ", "world."]))
            .play()
            .map(move |event| {
                let _open = &open;
                event
            })
            .boxed()
    }
}
