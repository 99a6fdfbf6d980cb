//! How many connections there are, and how many come in a second. One too many is accepted, told so, and
//! closed: a client that hears 503 with `Retry-After` behaves better than one that hears nothing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use tokio::time::Instant;

use crate::http::error::Refused;

/// Room for connections that are there only to be refused.
pub(super) const TO_BE_REFUSED: usize = 1_024;

/// Paths of those who run the server: they are let through when it is full.
const OPERATORS: [&str; 3] = ["/-/", "/metrics", "/monitoring/"];

#[derive(Clone)]
pub struct Connections {
    open: Arc<AtomicUsize>,
    second: Arc<Mutex<Second>>,
    max: usize,
    max_new_per_second: usize,
}

/// The arrivals of the second that is running.
struct Second {
    began: Instant,
    arrived: usize,
}

/// One open connection; kept as long as it is.
pub(super) struct Connection {
    open: Arc<AtomicUsize>,
    is_surplus: bool,
}

impl Connections {
    #[must_use]
    pub fn new(max: usize, max_new_per_second: usize) -> Self {
        let second = Second { began: Instant::now(), arrived: 0 };
        Self { open: Arc::default(), second: Arc::new(Mutex::new(second)), max, max_new_per_second }
    }

    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn arrived(&self) -> Connection {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let too_fast = self.counts_too_many(Instant::now());
        let reason = if open > self.max { Some("total") } else { too_fast.then_some("rate") };
        if let Some(reason) = reason {
            metrics::counter!("duologue_connections_refused_total", "reason" => reason).increment(1);
        }
        Connection { open: self.open.clone(), is_surplus: reason.is_some() }
    }

    fn counts_too_many(&self, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(second.began) >= Duration::from_secs(1) {
            *second = Second { began: now, arrived: 0 };
        }
        second.arrived += 1;
        second.arrived > self.max_new_per_second
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers 503 on a connection that is one too many.
pub(super) async fn refuse_surplus(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_surplus = request.conn_data::<Connection>().is_some_and(|connection| connection.is_surplus);
    if is_surplus && !OPERATORS.iter().any(|path| request.path().starts_with(path)) {
        return Ok(request.into_response(Refused::NoRoom.response()));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_more_than_the_total_is_surplus_until_another_leaves() {
        let connections = Connections::new(2, 100);
        let (first, second) = (connections.arrived(), connections.arrived());
        assert!(!first.is_surplus && !second.is_surplus);
        assert!(connections.arrived().is_surplus);
        drop(first);
        assert!(!connections.arrived().is_surplus);
        assert_eq!(connections.open(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_in_one_second_are_surplus_and_the_next_second_is_new() {
        let connections = Connections::new(100, 2);
        let surplus: Vec<_> = (0..3).map(|_| connections.arrived().is_surplus).collect();
        assert_eq!(surplus, [false, false, true]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!connections.arrived().is_surplus);
    }
}
