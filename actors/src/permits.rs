//! The bound on requests in flight. A permit travels inside its request and comes back when the
//! request is dropped, whatever its end.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All the places for requests in flight.
#[derive(Clone, Debug)]
pub struct Permits {
    places: Arc<Semaphore>,
    capacity: usize,
}

/// One place among the requests in flight. Not `Clone`: a request takes one place.
#[derive(Debug)]
pub struct Permit(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Permits {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(capacity)), capacity }
    }

    /// A place, if one is free now.
    #[must_use]
    pub fn take(&self) -> Option<Permit> {
        self.places.clone().try_acquire_owned().ok().map(Permit)
    }

    /// The next place to become free; for requests that are accepted already and must not be refused.
    pub async fn wait(&self) -> Option<Permit> {
        self.places.clone().acquire_owned().await.ok().map(Permit)
    }

    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.capacity.saturating_sub(self.places.available_permits())
    }
}
