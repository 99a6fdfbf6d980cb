//! When each socket leaves at a shutdown. All at once would bring all clients back at once, so the
//! sockets leave one after another over the window the server has.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The fractional part of the golden ratio: its multiples, modulo one, spread evenly however many
/// there are, so that sockets need not know of each other.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// The server's word that all sockets are to leave.
#[derive(Debug)]
pub struct Departures(watch::Sender<Option<Window>>);

/// One socket's departure.
#[derive(Debug)]
pub struct Departure {
    window: watch::Receiver<Option<Window>>,
    /// Where in the window this socket leaves, from 0 to 1.
    place: f64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    length: Duration,
}

impl Default for Departures {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Departures {
    /// Has every socket leave within `length` from now. The first word counts.
    pub fn announce(&self, length: Duration) {
        self.0.send_if_modified(|window| {
            let first = window.is_none();
            window.get_or_insert(Window { from: Instant::now(), length });
            first
        });
    }

    #[must_use]
    pub fn announced(&self) -> bool {
        self.0.borrow().is_some()
    }

    #[must_use]
    pub fn of_socket(&self, number: u64) -> Departure {
        Departure { window: self.0.subscribe(), place: place(number) }
    }
}

impl Departure {
    /// Returns when this socket is to leave. May be dropped and called again.
    pub async fn due(&mut self) {
        let window = match self.window.wait_for(Option::is_some).await {
            Ok(window) => *window,
            Err(_) => None,
        };
        match window {
            Some(window) => sleep_until(window.from + window.length.mul_f64(self.place)).await,
            // Nobody is left who could announce anything.
            None => std::future::pending().await,
        }
    }
}

/// Where among the others a socket with this number stands, from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "sockets a server ever had are far below 2^52")]
#[must_use]
pub fn place(number: u64) -> f64 {
    (number as f64 * GOLDEN).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sockets_leave_evenly_over_the_window_and_none_after_it() {
        let (departures, start) = (Departures::default(), Instant::now());
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let mut departure = departures.of_socket(number);
                tokio::spawn(async move {
                    departure.due().await;
                    start.elapsed()
                })
            })
            .collect();
        departures.announce(Duration::from_secs(20));
        let mut left = [0_u32; 4];
        for socket in waiting {
            let at = socket.await.unwrap();
            assert!(at <= Duration::from_secs(20));
            left[usize::try_from(at.as_secs() / 5).unwrap()] += 1;
        }
        assert!(left.iter().all(|quarter| (20..=30).contains(quarter)), "{left:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_opened_after_the_announcement_leaves_with_the_others() {
        let (departures, start) = (Departures::default(), Instant::now());
        departures.announce(Duration::from_secs(20));
        departures.announce(Duration::from_secs(9_999));
        tokio::time::advance(Duration::from_secs(15)).await;
        departures.of_socket(1).due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(15), "its place in the window is past");
        departures.of_socket(3).due().await;
        assert!(start.elapsed() <= Duration::from_secs(20));
    }
}
