//! What the fake does with one request.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

/// An answer, in steps. Without any step the head and an empty, well-ended body are sent.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) before_head: Vec<Step>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) body: Vec<Step>,
    pub(super) keeps_connection: bool,
}

/// How the caller can tell where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// A length that was promised, whatever is sent.
    Length(u64),
    UntilClosed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes as one piece.
    Send(Vec<u8>),
    /// Sends these bytes so many times, one right after the other, in pieces of any size.
    SendTimes(Vec<u8>, u64),
    /// Does nothing for this long.
    Wait(Duration),
    /// Does nothing until the signal is given.
    Until(Signal),
    /// Sends these bytes again and again, this far apart, for ever.
    Repeat(Vec<u8>, Duration),
    /// Does nothing until the caller goes away.
    Stall,
    /// Resets the connection.
    Cut,
    /// Closes the connection properly, but without the end of the body.
    Close,
}

/// What scripts wait for until the test gives it, once and for all of them.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<watch::Sender<bool>>);

impl Signal {
    /// Lets all scripts go on that wait for this, and does not hold up those that come to it later.
    pub fn give(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn given(&self) {
        // The sender is here, so there is no other end than the one that is waited for.
        let _ = self.0.subscribe().wait_for(|given| *given).await;
    }
}

impl PartialEq for Signal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Signal {}

impl Script {
    /// An answer with this status and nothing in it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let (before_head, headers, body) = (Vec::new(), Vec::new(), Vec::new());
        Self { before_head, status, headers, framing: Framing::Chunked, body, keeps_connection: false }
    }

    /// A whole answer of a known length.
    #[must_use]
    pub fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len() as u64;
        Self::status(status).header("content-type", content_type).content_length(length).send(body)
    }

    /// A whole answer in JSON.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::body(status, "application/json", value.to_string())
    }

    /// Sends the caller elsewhere.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location).content_length(0)
    }

    /// Takes the request and answers it with bytes that are no HTTP.
    #[must_use]
    pub fn no_http(bytes: impl Into<Vec<u8>>) -> Self {
        Self::status(200).first(Step::Send(bytes.into())).first(Step::Close)
    }

    /// An event stream that consists of `events`, each sent as a piece of its own.
    #[must_use]
    pub fn events(events: impl IntoIterator<Item = String>) -> Self {
        events.into_iter().fold(Self::event_stream(), |script, event| script.send(event))
    }

    /// An event stream without anything in it yet.
    #[must_use]
    pub fn event_stream() -> Self {
        Self::status(200).header("content-type", "text/event-stream")
    }

    /// Takes the connection, reads the request and says nothing.
    #[must_use]
    pub fn silence() -> Self {
        Self::status(200).first(Step::Stall)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Promises a body of so many bytes; a body that is shorter is one that was cut.
    #[must_use]
    pub fn content_length(mut self, length: u64) -> Self {
        self.framing = Framing::Length(length);
        self
    }

    /// Marks the end of the body by nothing but the end of the connection, so that a body that was cut looks
    /// whole.
    #[must_use]
    pub fn until_closed(mut self) -> Self {
        self.framing = Framing::UntilClosed;
        self
    }

    /// Leaves the connection open for the next request, once all steps are done.
    #[must_use]
    pub fn keeping_the_connection(mut self) -> Self {
        self.keeps_connection = true;
        self
    }

    /// Does `step` before the head of the answer.
    #[must_use]
    pub fn first(mut self, step: Step) -> Self {
        self.before_head.push(step);
        self
    }

    /// Does `step` next.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.body.push(step);
        self
    }

    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Sends these bytes so many times, without ever holding them all.
    #[must_use]
    pub fn send_times(self, bytes: impl Into<Vec<u8>>, times: u64) -> Self {
        self.then(Step::SendTimes(bytes.into(), times))
    }

    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.then(Step::Wait(time))
    }

    /// The same bytes, cut into pieces of at most `length`; 1 cuts inside of every character and line end.
    #[must_use]
    pub fn in_pieces_of(mut self, length: usize) -> Self {
        let cut = |step: Step| match step {
            Step::Send(bytes) => {
                bytes.chunks(length.max(1)).map(|piece| Step::Send(piece.to_vec())).collect()
            }
            other => vec![other],
        };
        self.body = self.body.into_iter().flat_map(cut).collect();
        self
    }
}
