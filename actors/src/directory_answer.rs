//! Asking a directory that may not answer at once, for requests that are accepted and must not be lost
//! because it is down for a moment.

use std::{future::Future, time::Duration};

use crate::{clock::Deadline, ports::DirectoryError};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks again and again until there is an answer or the deadline has passed.
pub(crate) async fn ask_until<T, Answer>(
    deadline: Deadline,
    mut ask: impl FnMut() -> Answer,
) -> Result<T, DirectoryError>
where
    Answer: Future<Output = Result<T, DirectoryError>>,
{
    loop {
        match ask().await {
            Err(DirectoryError::Unavailable) if !deadline.is_past() => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}
