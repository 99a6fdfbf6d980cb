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
pub struct Permit {
    _place: OwnedSemaphorePermit,
    /// Its owner's, once the owner is known.
    seat: Option<Seat>,
}

/// One place among the requests in flight of one user.
#[derive(Debug)]
pub(crate) struct Seat(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Permit {
    fn new(place: OwnedSemaphorePermit) -> Self {
        Self { _place: place, seat: None }
    }

    /// Gives the seat back together with the permit.
    pub(crate) fn seat(&mut self, seat: Option<Seat>) {
        self.seat = seat;
    }
}

impl Seat {
    /// A seat, if one is free now.
    pub(crate) fn take(seats: &Arc<Semaphore>) -> Option<Self> {
        seats.clone().try_acquire_owned().ok().map(Self)
    }
}

impl Permits {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(capacity)), capacity }
    }

    /// A place, if one is free now.
    #[must_use]
    pub fn take(&self) -> Option<Permit> {
        self.places.clone().try_acquire_owned().ok().map(Permit::new)
    }

    /// The next place to become free; for requests that are accepted already and must not be refused.
    pub async fn wait(&self) -> Option<Permit> {
        self.places.clone().acquire_owned().await.ok().map(Permit::new)
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
