//! Leaving: nothing new is taken, what was accepted gets the time to end, and clients with a socket are
//! sent away one after another, so that they do not all knock at the next process at once.

use std::time::Duration;

use tokio::time::Instant;

use super::Edge;

/// How often it is looked whether everything has ended.
const LOOK: Duration = Duration::from_millis(25);

/// How many sockets a second may come back: as many as a server lets in.
const SOCKETS_A_SECOND: usize = 1_000;

/// What the last answers get to be recorded and written: a request gives its place back when its model
/// is done, a moment before its final message is on the socket.
const LAST_FINALS: Duration = Duration::from_millis(200);

/// What plain connections get to finish their last response.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Takes at most `window`.
pub(super) async fn drain(edge: &Edge, window: Duration) {
    edge.admission.close();
    let (in_flight, sockets) = (edge.admission.in_flight(), edge.sockets.open());
    tracing::info!(in_flight, sockets, "leaving");
    let end = Instant::now() + window;
    let spread = spread(sockets, window);
    until(end - spread, || edge.admission.in_flight() == 0).await;
    if sockets > 0 {
        tokio::time::sleep(LAST_FINALS).await;
    }
    edge.sockets.close_all(spread);
    until(end, || edge.sockets.open() == 0).await;
    tracing::info!(in_flight = edge.admission.in_flight(), sockets = edge.sockets.open(), "left");
}

/// How much of the window it takes to send all sockets away; never more than half of it.
fn spread(sockets: usize, window: Duration) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "a number of sockets is far below 2^52")]
    let needed = Duration::from_secs_f64(sockets as f64 / SOCKETS_A_SECOND as f64);
    needed.min(window / 2)
}

async fn until(end: Instant, done: impl Fn() -> bool) {
    while !done() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sockets_go_at_once_and_many_take_no_more_than_half_the_window() {
        let window = Duration::from_secs(25);
        assert_eq!(spread(0, window), Duration::ZERO);
        assert_eq!(spread(2_000, window), Duration::from_secs(2));
        assert_eq!(spread(50_000, window), window / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_all_is_done_or_the_time_is_over() {
        let start = Instant::now();
        until(start + Duration::from_secs(5), || start.elapsed() >= Duration::from_secs(1)).await;
        assert!(start.elapsed() < Duration::from_secs(2));
        until(start + Duration::from_secs(5), || false).await;
        assert!(start.elapsed() >= Duration::from_secs(5));
    }
}
