//! What is logged on this thread, kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn message(&self) -> &str {
        self.get("message")
    }

    /// What `field` says; nothing, if it is not there.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

/// All lines since it began, as long as it lives.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    _listening: DefaultGuard,
}

impl Log {
    pub(crate) fn begin() -> Self {
        // Whether a line is of interest is decided where it is first logged, for the whole process: on the thread
        // of a test without a log of its own somebody must be interested too. Once is enough.
        let _ = tracing::subscriber::set_global_default(Listener(None));
        let lines = Arc::default();
        let _listening = tracing::subscriber::set_default(Listener(Some(Arc::clone(&lines))));
        Self { lines, _listening }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines that say `message`.
    pub(crate) fn saying(&self, message: &str) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.message() == message).collect()
    }
}

struct Listener(Option<Arc<Mutex<Vec<Line>>>>);

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(lines) = &self.0 else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        lines.lock().unwrap().push(Line { level: *event.metadata().level(), fields: fields.0 });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
