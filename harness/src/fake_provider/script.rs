//! What the fake does with one request.

use std::time::Duration;

/// An answer, in steps. Without any step the head and an empty, well-ended body are sent.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) before_head: Vec<Step>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes as one piece.
    Send(Vec<u8>),
    /// Does nothing for this long.
    Wait(Duration),
    /// Sends these bytes again and again, this far apart, for ever.
    Repeat(Vec<u8>, Duration),
    /// Does nothing until the caller goes away.
    Stall,
    /// Resets the connection.
    Cut,
    /// Closes the connection properly, but without the end of the body.
    Close,
}

impl Script {
    /// An answer with this status and nothing in it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { before_head: Vec::new(), status, headers: Vec::new(), body: Vec::new() }
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
