//! Who is connected: the number of open sockets, and how many of them each user has.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use duologue_actors::protocol::UserId;
use metrics::gauge;

const OPEN_SOCKETS: &str = "duologue_websocket_connections";

/// Shared by the sockets of all workers.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Arc<AtomicUsize>,
    of_users: Arc<DashMap<UserId, usize>>,
}

/// One open socket; counted until it is dropped.
#[derive(Debug)]
pub struct OpenSocket {
    open: Arc<AtomicUsize>,
    protocol: &'static str,
}

/// A place among the sockets of one user; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    user: UserId,
    of_users: Arc<DashMap<UserId, usize>>,
}

impl Connections {
    #[must_use]
    pub fn opened(&self, protocol: &'static str) -> OpenSocket {
        self.open.fetch_add(1, Ordering::Relaxed);
        gauge!(OPEN_SOCKETS, "protocol" => protocol).increment(1.0);
        OpenSocket { open: self.open.clone(), protocol }
    }

    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for one more socket of this user, while there are fewer than `max`.
    #[must_use]
    pub fn seat(&self, user: UserId, max: usize) -> Option<Seat> {
        let mut taken = self.of_users.entry(user).or_insert(0);
        if *taken >= max {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(Seat { user, of_users: self.of_users.clone() })
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        gauge!(OPEN_SOCKETS, "protocol" => self.protocol).decrement(1.0);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of_users.remove_if_mut(&self.user, |_, taken| {
            *taken = taken.saturating_sub(1);
            *taken == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_as_many_seats_as_allowed_and_leaves_no_trace_when_gone() {
        let connections = Connections::default();
        let seats: Vec<_> = (0..3).map_while(|_| connections.seat(UserId(1), 2)).collect();
        assert_eq!(seats.len(), 2);
        assert!(connections.seat(UserId(2), 2).is_some(), "another user has seats of their own");
        drop(seats);
        assert!(connections.of_users.is_empty());
        assert!(connections.seat(UserId(1), 2).is_some());
    }

    #[test]
    fn open_sockets_are_counted_until_dropped() {
        let connections = Connections::default();
        let (one, _two) = (connections.opened("a"), connections.opened("b"));
        assert_eq!(connections.open(), 2);
        drop(one);
        assert_eq!(connections.open(), 1);
    }
}
