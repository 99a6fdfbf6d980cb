//! Pings that are messages of a protocol: ActionCable's clients take a server that says nothing for six
//! seconds for dead. A task of its own sends them, so nothing that the socket's own task does or waits for
//! can hold them up. What they cannot overtake is a client that does not read.

use std::time::{Duration, SystemTime};

use actix_web::rt::{self, task::JoinHandle};
use duologue_actors::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    dialect::Rhythm,
    writer::{Lost, Writer},
};

/// Beats until it is dropped.
pub struct Pulse(JoinHandle<Lost>);

impl Pulse {
    #[must_use]
    pub fn start(rhythm: Rhythm, mut writer: Writer, clock: Clock) -> Self {
        let ping = async move || writer.text((rhythm.ping)(unix_seconds(&clock))).await;
        Self(rt::spawn(beat(rhythm.every, ping)))
    }

    /// Returns when a ping could not be sent. May be dropped and called again, until it has returned.
    pub async fn stopped(&mut self) -> Lost {
        // A task that panicked sends nothing more either.
        (&mut self.0).await.unwrap_or(Lost::Gone)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends once in every interval. One that was late moves none of the others.
async fn beat(every: Duration, mut send: impl AsyncFnMut() -> Result<(), Lost>) -> Lost {
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first is at once, and the greeting has just been sent.
    beats.tick().await;
    loop {
        beats.tick().await;
        if let Err(lost) = send().await {
            return lost;
        }
    }
}

fn unix_seconds(clock: &Clock) -> u64 {
    clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const EVERY: Duration = Duration::from_secs(3);

    /// When pings were sent within so many seconds, when sending the first takes `first`.
    async fn sent(seconds: u64, first: Duration) -> Vec<u64> {
        let (start, mut sent) = (Instant::now(), Vec::new());
        let send = async || {
            sent.push(start.elapsed().as_secs());
            if sent.len() == 1 {
                sleep(first).await;
            }
            Ok(())
        };
        timeout(Duration::from_secs(seconds), beat(EVERY, send)).await.unwrap_err();
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_goes_out_every_three_seconds_and_none_at_once() {
        assert_eq!(sent(13, Duration::ZERO).await, [3, 6, 9, 12]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_for_a_while_gets_no_burst_afterwards() {
        assert_eq!(sent(16, Duration::from_secs(8)).await, [3, 11, 12, 15]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_with_its_reader() {
        assert_eq!(beat(EVERY, async || Err(Lost::Stalled)).await, Lost::Stalled);
    }
}
