//! Pings: they prove that the other side lives, and that it has received what was written before them.
//! Browsers answer a ping by themselves, so unmodified clients acknowledge without knowing.
//!
//! One ping is out at a time. Its payload is a counter of this socket; the pong with that payload
//! acknowledges the finals written before the ping. Any other pong means nothing.

use std::time::Duration;

use duologue_actors::protocol::RequestId;
use tokio::time::Instant;

use crate::config::WebsocketConfig;

/// Finals that may wait for one pong. One beyond is not acknowledged, which costs no more than a
/// replay of it at the next subscribe.
const MAX_UNACKNOWLEDGED: usize = 1_024;

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between pings while nothing is written.
    pub idle: Duration,
    /// Between pings while something is.
    pub streaming: Duration,
    /// From a final to the ping that has it acknowledged.
    pub acknowledge: Duration,
    /// How long a pong may take.
    pub pong: Duration,
}

impl From<&WebsocketConfig> for Timing {
    fn from(config: &WebsocketConfig) -> Self {
        Self {
            idle: config.idle_ping(),
            streaming: config.streaming_ping(),
            acknowledge: config.acknowledge_ping(),
            pong: config.pong(),
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Ping([u8; 8]),
    /// No pong in time: nobody is there.
    Dead,
}

#[derive(Debug)]
enum Waiting {
    ToPing,
    ForPong { number: u64, finals: Vec<RequestId>, until: Instant },
}

#[derive(Debug)]
pub struct Keepalive {
    timing: Timing,
    waiting: Waiting,
    pings: u64,
    last_ping: Instant,
    /// When the next ping is wanted; it goes out when no other is under way.
    next_ping: Instant,
    /// Finals written since the last ping.
    written: Vec<RequestId>,
}

impl Keepalive {
    #[must_use]
    pub fn new(timing: Timing, now: Instant) -> Self {
        Self {
            timing,
            waiting: Waiting::ToPing,
            pings: 0,
            last_ping: now,
            next_ping: now + timing.idle,
            written: Vec::new(),
        }
    }

    /// Something of an answer has been written.
    pub fn wrote(&mut self, now: Instant) {
        self.ping_by(now.max(self.last_ping + self.timing.streaming));
    }

    /// The end of an answer has been written.
    pub fn wrote_final(&mut self, request_id: RequestId, now: Instant) {
        self.ping_by(now + self.timing.acknowledge);
        if self.written.len() < MAX_UNACKNOWLEDGED && !self.written.contains(&request_id) {
            self.written.push(request_id);
        }
    }

    /// The finals this pong acknowledges.
    #[must_use]
    pub fn pong(&mut self, payload: &[u8]) -> Vec<RequestId> {
        match &mut self.waiting {
            Waiting::ForPong { number, finals, .. } if payload == number.to_be_bytes() => {
                let finals = std::mem::take(finals);
                self.waiting = Waiting::ToPing;
                finals
            }
            _ => Vec::new(),
        }
    }

    /// When [`Keepalive::beat`] has something to say.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.waiting {
            Waiting::ToPing => self.next_ping,
            Waiting::ForPong { until, .. } => until,
        }
    }

    #[must_use]
    pub fn beat(&mut self, now: Instant) -> Option<Beat> {
        if now < self.deadline() {
            return None;
        }
        match self.waiting {
            Waiting::ForPong { .. } => Some(Beat::Dead),
            Waiting::ToPing => {
                self.pings = self.pings.wrapping_add(1);
                self.last_ping = now;
                self.next_ping = now + self.timing.idle;
                let finals = std::mem::take(&mut self.written);
                self.waiting = Waiting::ForPong { number: self.pings, finals, until: now + self.timing.pong };
                Some(Beat::Ping(self.pings.to_be_bytes()))
            }
        }
    }

    fn ping_by(&mut self, at: Instant) {
        self.next_ping = self.next_ping.min(at);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    const TIMING: Timing = Timing {
        idle: Duration::from_secs(25),
        streaming: Duration::from_secs(2),
        acknowledge: Duration::from_millis(250),
        pong: Duration::from_secs(10),
    };

    fn started() -> (Keepalive, Instant) {
        let now = Instant::now();
        (Keepalive::new(TIMING, now), now)
    }

    /// Lets time pass until something is due.
    async fn next_beat(keepalive: &mut Keepalive) -> Option<Beat> {
        sleep_until(keepalive.deadline()).await;
        keepalive.beat(Instant::now())
    }

    async fn next_ping(keepalive: &mut Keepalive) -> [u8; 8] {
        match next_beat(keepalive).await {
            Some(Beat::Ping(payload)) => payload,
            other => panic!("a ping was due, not {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_socket_is_pinged_every_25_seconds_with_a_growing_counter() {
        let (mut keepalive, start) = started();
        for number in 1..=4_u32 {
            let payload = next_ping(&mut keepalive).await;
            assert_eq!(payload, u64::from(number).to_be_bytes());
            assert_eq!(start.elapsed(), TIMING.idle * number);
            assert!(keepalive.pong(&payload).is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_streaming_socket_is_pinged_every_2_seconds_and_idle_again_after_the_last_chunk() {
        let (mut keepalive, start) = started();
        let mut pinged = Vec::new();
        for _ in 0..60 {
            advance(Duration::from_millis(100)).await;
            keepalive.wrote(Instant::now());
            if let Some(Beat::Ping(payload)) = keepalive.beat(Instant::now()) {
                pinged.push(start.elapsed());
                let _ = keepalive.pong(&payload);
            }
        }
        assert_eq!(pinged, [2, 4, 6].map(Duration::from_secs));
        next_ping(&mut keepalive).await;
        assert_eq!(start.elapsed(), Duration::from_secs(31));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_is_acknowledged_by_the_pong_of_a_ping_250_milliseconds_later() {
        let (mut keepalive, start) = started();
        let (first, second) = (RequestId::new(), RequestId::new());
        keepalive.wrote_final(first, Instant::now());
        keepalive.wrote_final(first, Instant::now());
        advance(Duration::from_millis(100)).await;
        keepalive.wrote_final(second, Instant::now());
        let payload = next_ping(&mut keepalive).await;
        assert_eq!(start.elapsed(), Duration::from_millis(250));
        assert_eq!(keepalive.pong(&payload), [first, second]);
        assert!(keepalive.pong(&payload).is_empty(), "a second pong acknowledges nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_written_after_the_ping_waits_for_the_next_one() {
        let (mut keepalive, start) = started();
        let (before, after) = (RequestId::new(), RequestId::new());
        keepalive.wrote_final(before, Instant::now());
        let first = next_ping(&mut keepalive).await;
        keepalive.wrote_final(after, Instant::now());
        advance(Duration::from_secs(1)).await;
        assert_eq!(keepalive.pong(&first), [before]);
        let second = next_ping(&mut keepalive).await;
        assert_eq!(start.elapsed(), Duration::from_millis(1_250), "it was due while the pong was awaited");
        assert_eq!(keepalive.pong(&second), [after]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pong_nobody_asked_for_acknowledges_nothing_and_keeps_nobody_alive() {
        let (mut keepalive, start) = started();
        keepalive.wrote_final(RequestId::new(), Instant::now());
        assert!(keepalive.pong(&1_u64.to_be_bytes()).is_empty(), "the ping is not out yet");
        next_ping(&mut keepalive).await;
        for payload in [&b""[..], b"1", &2_u64.to_be_bytes(), &[0; 125]] {
            assert!(keepalive.pong(payload).is_empty());
        }
        assert_eq!(next_beat(&mut keepalive).await, Some(Beat::Dead));
        assert_eq!(start.elapsed(), Duration::from_millis(250) + TIMING.pong);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_due_before_its_time() {
        let (mut keepalive, _) = started();
        advance(TIMING.idle - Duration::from_millis(1)).await;
        assert_eq!(keepalive.beat(Instant::now()), None);
    }
}
