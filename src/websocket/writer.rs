//! The writing half of a socket. Whoever does not read is not waited for longer than the limit, so that
//! no answer is kept in memory for a reader that has stalled.

use std::time::Duration;

use actix_ws::{CloseReason, Closed};
use metrics::counter;
use tokio::time::timeout;

const FRAMES_SENT: &str = "duologue_websocket_frames_sent_total";
const STALLED_READERS: &str = "duologue_websocket_stalled_readers_total";

/// Why nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("the client is gone")]
    Gone,
    #[error("the client does not read")]
    Stalled,
}

/// Every clone writes whole messages to the same socket, in the order they were given.
#[derive(Clone)]
pub struct Writer {
    session: actix_ws::Session,
    /// How long one frame may wait for room.
    patience: Duration,
}

impl Lost {
    /// Counts a socket that ends this way.
    pub fn count(self) {
        if self == Self::Stalled {
            counter!(STALLED_READERS).increment(1);
        }
    }
}

impl Writer {
    #[must_use]
    pub fn new(session: actix_ws::Session, patience: Duration) -> Self {
        Self { session, patience }
    }

    /// # Errors
    /// When the client is gone or does not read.
    pub async fn text(&mut self, text: String) -> Result<(), Lost> {
        patiently(self.patience, self.session.text(text)).await
    }

    /// # Errors
    /// When the client is gone or does not read.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), Lost> {
        patiently(self.patience, self.session.ping(payload)).await
    }

    /// # Errors
    /// When the client is gone or does not read.
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), Lost> {
        patiently(self.patience, self.session.pong(payload)).await
    }

    /// # Errors
    /// When the client is gone or does not read.
    pub async fn close(self, reason: Option<CloseReason>) -> Result<(), Lost> {
        patiently(self.patience, self.session.close(reason)).await
    }
}

async fn patiently(
    patience: Duration,
    sending: impl Future<Output = Result<(), Closed>>,
) -> Result<(), Lost> {
    match timeout(patience, sending).await {
        Ok(Ok(())) => {
            counter!(FRAMES_SENT).increment(1);
            Ok(())
        }
        Ok(Err(Closed)) => Err(Lost::Gone),
        Err(_elapsed) => Err(Lost::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stalls_is_given_up_after_the_limit() {
        let start = tokio::time::Instant::now();
        let sent = patiently(Duration::from_secs(10), std::future::pending()).await;
        assert_eq!((sent, start.elapsed()), (Err(Lost::Stalled), Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for() {
        let slow = async {
            tokio::time::sleep(Duration::from_millis(9_999)).await;
            Ok(())
        };
        assert_eq!(patiently(Duration::from_secs(10), slow).await, Ok(()));
        let gone = std::future::ready(Err(Closed));
        assert_eq!(patiently(Duration::from_secs(10), gone).await, Err(Lost::Gone));
    }
}
