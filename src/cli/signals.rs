//! SIGTERM and SIGINT (Ctrl-C). The first asks for an orderly end, the second is not asked again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A write beyond the process's limit on the size of files (`ulimit -f`) is an error like any other of a full disk,
/// not the end of the process. Nobody waits for the signal; having asked for it is enough.
///
/// # Errors
/// When the process may not handle signals.
pub(super) fn survive_file_size_limits() -> io::Result<()> {
    const SIGXFSZ: i32 = 25;
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}

/// Cancelled at the first signal; the second ends the process at once with `impatient_exit`.
///
/// # Errors
/// When the process may not handle signals.
pub(super) fn stop(impatient_exit: i32) -> io::Result<CancellationToken> {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        first.cancel();
        signals.next().await;
        std::process::exit(impatient_exit);
    });
    Ok(stop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
