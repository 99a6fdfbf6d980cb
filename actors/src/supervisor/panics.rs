//! Catches panics and remembers where they happened, without what they said: a panic's text can quote
//! a prompt or an answer.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Once,
};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where a panic happened, as `file:line:column`.
pub type Place = String;

/// Runs a future; a panic in it becomes an `Err`.
///
/// # Errors
/// Where it panicked.
pub async fn catch<F: Future>(future: F) -> Result<F::Output, Place> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_now(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(place) => std::task::Poll::Ready(Err(place)),
    })
    .await
}

/// Runs a function; a panic in it becomes an `Err`.
pub(crate) fn catch_now<T>(function: impl FnOnce() -> T) -> Result<T, Place> {
    install_hook();
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(function));
    GUARDED.set(outer);
    result.map_err(|_payload| PLACE.take().unwrap_or_else(|| "unknown".to_owned()))
}

/// A caught panic is reported by whoever catches it; any other panic is reported as ever.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let otherwise = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                otherwise(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_its_place() {
        let place = catch(async { panic!("secret") }).await.unwrap_err();
        assert!(place.contains("panics.rs:"), "{place}");
        assert!(!place.contains("secret"));
    }

    #[tokio::test]
    async fn what_does_not_panic_passes_through() {
        assert_eq!(catch(async { 7 }).await, Ok(7));
    }
}
