//! Starting the logs. They go to standard error or to a file, never to standard output, which belongs to
//! what was asked for.
//!
//! Lines are written by a thread of their own: a full disk or a stopped terminal delays no answer. When
//! it falls far behind, lines are lost rather than memory.

use std::{fs::OpenOptions, io, path::PathBuf};

use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, format::FmtSpan},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::{Level, LogFormat, LoggingConfig};

/// The crates whose logs follow `logging.level`.
const OURS: [&str; 2] = ["duologue", "duologue_actors"];

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("open the log file {path} (logging.to_file)")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("start the logs twice in one process")]
    Started(#[from] TryInitError),
}

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever runs the server: all lines.
    Operator,
    /// A person who asked one question: only what they ask for with a level of `debug` or `trace`.
    Asker,
}

/// Keeps the logs going; what is still in the queue is written when it is dropped.
#[must_use = "the logs end when this is dropped"]
#[derive(Debug)]
pub struct Logs {
    _writer: Option<WorkerGuard>,
}

/// Starts the logs of the process.
///
/// # Errors
/// When the log file cannot be opened, or logs have been started before.
pub fn start(config: &LoggingConfig, audience: Audience) -> Result<Logs, LoggingError> {
    let Some((writer, guard)) = writer(config, audience)? else {
        return Ok(Logs { _writer: None });
    };
    tracing_subscriber::registry()
        .with(lines::<Registry>(config.format, writer).with_filter(filter(config.level)))
        .try_init()?;
    Ok(Logs { _writer: Some(guard) })
}

fn writer(
    config: &LoggingConfig,
    audience: Audience,
) -> Result<Option<(NonBlocking, WorkerGuard)>, LoggingError> {
    if let Some(path) = &config.to_file {
        let file =
            private().open(path).map_err(|source| LoggingError::Open { path: path.clone(), source })?;
        return Ok(Some(tracing_appender::non_blocking(file)));
    }
    let wanted = audience == Audience::Operator || matches!(config.level, Level::Debug | Level::Trace);
    Ok(wanted.then(|| tracing_appender::non_blocking(io::stderr())))
}

/// What is appended to a new file is for its owner only: who asked what is nobody else's business, nor are the
/// prompts that the flag `expanded_ai_logging` puts there. A file that is there stays as it is.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lines<S>(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(false).with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Pretty => layer.boxed(),
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    }
}

/// Libraries stay at `warn` at most: below, some of them print what passes through them.
fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(ours.min(LevelFilter::WARN)).with_targets(OURS.map(|name| (name, ours)))
}

/// For tests that read what is logged on their own thread. Whether a line is of interest is decided where it is first
/// logged, for the whole process: on the threads of other tests somebody must be interested too.
#[cfg(test)]
pub(crate) fn listen_on_all_threads() {
    // Once is enough.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(to_file: Option<PathBuf>) -> LoggingConfig {
        LoggingConfig { level: Level::Info, format: LogFormat::Json, to_file }
    }

    fn write_one_line(config: &LoggingConfig, text: &'static str) {
        let (writer, guard) = writer(config, Audience::Asker).unwrap().unwrap();
        let layer = lines::<Registry>(config.format, writer).with_filter(filter(config.level));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "duologue::test", request_id = 7, "{text}");
            tracing::info!(target: "hyper::client", "a library talks");
        });
        drop(guard);
    }

    #[test]
    fn a_log_file_is_appended_to_one_object_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duologue.log");
        write_one_line(&config(Some(file.clone())), "first");
        write_one_line(&config(Some(file.clone())), "second");
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["message"], &lines[1]["message"]), (&"first".into(), &"second".into()));
        assert_eq!(lines[0]["request_id"], 7);
        assert_eq!(lines[0]["level"], "INFO");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_log_file_is_its_owners_only_and_one_that_is_there_stays_as_it_is() {
        use std::{
            fs::{metadata, set_permissions},
            os::unix::fs::PermissionsExt,
        };

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duologue.log");
        let mode = || metadata(&file).unwrap().permissions().mode() & 0o777;
        write_one_line(&config(Some(file.clone())), "first");
        assert_eq!(mode(), 0o600);
        set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        write_one_line(&config(Some(file.clone())), "second");
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn libraries_never_log_below_warn() {
        let filter = filter(Level::Trace);
        assert!(filter.would_enable("duologue::websocket", &tracing::Level::TRACE));
        assert!(filter.would_enable("duologue_actors::auth", &tracing::Level::TRACE));
        assert!(filter.would_enable("hyper::client", &tracing::Level::WARN));
        assert!(!filter.would_enable("hyper::client", &tracing::Level::INFO));
    }

    #[test]
    fn a_quiet_level_quietens_libraries_too() {
        assert!(!filter(Level::Error).would_enable("hyper::client", &tracing::Level::WARN));
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let error = start(&config(Some("/no/such/folder/x.log".into())), Audience::Operator).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/x.log"));
    }

    #[test]
    fn someone_who_asks_one_question_sees_no_logs_unless_they_want_them() {
        let mut config = config(None);
        assert!(writer(&config, Audience::Asker).unwrap().is_none());
        assert!(writer(&config, Audience::Operator).unwrap().is_some());
        config.level = Level::Debug;
        assert!(writer(&config, Audience::Asker).unwrap().is_some());
    }
}
