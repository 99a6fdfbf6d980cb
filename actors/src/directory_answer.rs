//! Asking a directory that may not answer at once, for requests that are accepted and must not be lost
//! because it is down for a moment.

use std::{future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{clock::Deadline, ports::DirectoryError};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks again and again until there is an answer, the deadline has passed or the request is cancelled.
pub(crate) async fn ask_until<T, Answer>(
    deadline: Deadline,
    cancel: &CancellationToken,
    mut ask: impl FnMut() -> Answer,
) -> Result<T, DirectoryError>
where
    Answer: Future<Output = Result<T, DirectoryError>>,
{
    loop {
        match ask().await {
            Err(DirectoryError::Unavailable) if !deadline.is_past() && !cancel.is_cancelled() => {
                // A cancelled request need not wait; what ended it is looked at by whoever asked.
                let _ = cancel.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
            answer => return answer,
        }
    }
}
