//! An actor that stands where a neighbour would and keeps what it is sent.

use std::time::Duration;

use actix::{Actor, Context, Handler, Message, Recipient};
use tokio::{sync::mpsc, time::timeout};

/// The receiving end of a probe.
#[derive(Debug)]
pub struct Probe<M> {
    received: mpsc::UnboundedReceiver<M>,
}

struct Sink<M>(mpsc::UnboundedSender<M>);

impl<M: Unpin + 'static> Actor for Sink<M> {
    type Context = Context<Self>;
}

impl<M> Handler<M> for Sink<M>
where
    M: Message<Result = ()> + Unpin + Send + 'static,
{
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Self::Context) {
        // A probe that was dropped is not interested.
        let _ = self.0.send(message);
    }
}

/// Longer than any test's deadline; with paused time it takes none.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl<M> Probe<M>
where
    M: Message<Result = ()> + Unpin + Send + 'static,
{
    /// A probe and the address to give to the actor under test.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "a probe does not panic and needs no guardian")]
    pub fn new() -> (Self, Recipient<M>) {
        let (sender, received) = mpsc::unbounded_channel();
        (Self { received }, Sink(sender).start().recipient())
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes.
    #[allow(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn next(&mut self) -> M {
        timeout(PATIENCE, self.received.recv()).await.expect("a message in time").expect("a message")
    }

    /// What has come after everything that could bring something has run.
    pub async fn next_soon(&mut self) -> Option<M> {
        timeout(Duration::from_millis(1), self.received.recv()).await.ok().flatten()
    }

    /// Whether nothing has come, after everything that could bring something has run.
    pub async fn is_silent(&mut self) -> bool {
        self.next_soon().await.is_none()
    }
}
