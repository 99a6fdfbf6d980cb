use std::time::Duration;

use garde::Validate;
use serde::Deserialize;

/// Bounds and timers of one websocket.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct WebsocketConfig {
    #[garde(range(min = 1))]
    pub init_seconds: u64,
    #[garde(range(min = 1_024))]
    pub max_frame_bytes: usize,
    #[garde(range(min = 1))]
    pub max_subscriptions: usize,
    #[garde(range(min = 1))]
    pub max_connections_per_user: usize,
    #[garde(range(min = 1))]
    pub max_messages_per_second: u32,
    #[garde(range(min = 1))]
    pub stalled_send_seconds: u64,
    #[garde(range(min = 1))]
    pub pong_seconds: u64,
    #[garde(range(min = 1))]
    pub idle_ping_seconds: u64,
    #[garde(range(min = 1))]
    pub streaming_ping_seconds: u64,
    #[garde(range(min = 1))]
    pub acknowledge_ping_milliseconds: u64,
    #[garde(range(min = 1))]
    pub cable_ping_seconds: u64,
    #[garde(range(min = 1_024))]
    pub read_batch_bytes: usize,
}

impl WebsocketConfig {
    #[must_use]
    pub fn init(&self) -> Duration {
        Duration::from_secs(self.init_seconds)
    }

    #[must_use]
    pub fn stalled_send(&self) -> Duration {
        Duration::from_secs(self.stalled_send_seconds)
    }

    #[must_use]
    pub fn pong(&self) -> Duration {
        Duration::from_secs(self.pong_seconds)
    }

    #[must_use]
    pub fn idle_ping(&self) -> Duration {
        Duration::from_secs(self.idle_ping_seconds)
    }

    #[must_use]
    pub fn streaming_ping(&self) -> Duration {
        Duration::from_secs(self.streaming_ping_seconds)
    }

    #[must_use]
    pub fn acknowledge_ping(&self) -> Duration {
        Duration::from_millis(self.acknowledge_ping_milliseconds)
    }

    #[must_use]
    pub fn cable_ping(&self) -> Duration {
        Duration::from_secs(self.cable_ping_seconds)
    }
}
