//! From a provider's event stream to the model's events, whatever the dialect: bounded in bytes and in events.

use std::time::Duration;

use async_stream::try_stream;
use bytes::Bytes;
use duologue_actors::ports::{ModelError, ModelEvent, StopReason, Usage};
use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    faults,
    sse::{Decoder, Event},
    transport::{Incoming, JSON},
};

/// How long what follows the end of an answer is waited for: by the answer, as far as it is its own, and so that
/// its connection can serve the next call.
const TAIL: Duration = Duration::from_secs(1);

/// Reads the events of one answer.
pub(crate) trait Dialect: Send + 'static {
    /// What `event` says of the answer, if anything.
    ///
    /// # Errors
    /// When it reports an error, or is none of this dialect.
    fn read(&mut self, event: Event) -> Result<Said, ModelError>;

    /// What it means that the stream has ended properly and nothing said that the answer is whole. Mostly
    /// nothing: the answer was cut.
    fn ended(&mut self) -> Said {
        Said::default()
    }

    /// Whether the answer is whole and only what closes the stream is missing. It is not waited for long: there
    /// are servers that leave it out.
    fn is_whole(&self) -> bool {
        false
    }
}

/// What one event says, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) content: Option<String>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finished: Option<StopReason>,
}

impl Said {
    pub(crate) fn content(text: String) -> Self {
        Self { content: Some(text), ..Self::default() }
    }

    pub(crate) fn finished(reason: StopReason) -> Self {
        Self { finished: Some(reason), ..Self::default() }
    }
}

/// The answer that `call` brings, read in `dialect`. An answer in JSON, where the call takes one, counts as one
/// event: some servers do not stream although they are asked to. Nothing happens before the stream is polled;
/// dropping it closes the connection.
pub(crate) fn of_sse(
    call: impl Future<Output = Result<Incoming, ModelError>> + Send + 'static,
    dialect: impl Dialect,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    try_stream! {
        let mut reader = Reader::new(call.await?, dialect);
        while let Some(said) = reader.next().await? {
            if let Some(content) = said.content {
                yield ModelEvent::Content(content);
            }
            if let Some(usage) = said.usage {
                yield ModelEvent::Usage(usage);
            }
            if let Some(reason) = said.finished {
                tokio::spawn(timeout(TAIL, read_tail(reader.incoming)));
                yield ModelEvent::Finished(reason);
                return;
            }
        }
    }
    .boxed()
}

struct Reader<D> {
    /// Whether the answer is one JSON document rather than a stream.
    is_document: bool,
    incoming: Incoming,
    decoder: Decoder,
    dialect: D,
    /// What is left of the last piece of the body.
    piece: Bytes,
    events_left: usize,
    /// Until when the close of a whole answer is waited for.
    close_by: Option<Instant>,
    has_ended: bool,
}

impl<D: Dialect> Reader<D> {
    fn new(incoming: Incoming, dialect: D) -> Self {
        let bounds = incoming.bounds;
        Self {
            is_document: incoming.is_of_type(JSON),
            incoming,
            decoder: Decoder::new(bounds.max_event.bytes),
            dialect,
            piece: Bytes::new(),
            events_left: bounds.max_events,
            close_by: None,
            has_ended: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Said>, ModelError> {
        if self.is_document {
            return self.document().await.map(Some);
        }
        loop {
            if let Some(event) = self.event()? {
                return self.dialect.read(event).map(Some);
            }
            match self.piece().await? {
                Some(piece) => self.piece = piece,
                None if std::mem::replace(&mut self.has_ended, true) => return Ok(None),
                None => return Ok(Some(self.dialect.ended())),
            }
        }
    }

    /// The next piece of the body. Of a whole answer none that does not come at once.
    async fn piece(&mut self) -> Result<Option<Bytes>, ModelError> {
        if !self.dialect.is_whole() {
            return self.incoming.piece().await;
        }
        let by = *self.close_by.get_or_insert_with(|| Instant::now() + TAIL);
        let piece = timeout_at(by, self.incoming.piece()).await;
        Ok(piece.ok().and_then(Result::ok).flatten())
    }

    /// The whole answer, which does not come as a stream.
    async fn document(&mut self) -> Result<Said, ModelError> {
        let bytes = self.incoming.whole(self.incoming.bounds.max_event).await?;
        let data = String::from_utf8_lossy(&bytes).into_owned();
        let said = self.dialect.read(Event { name: None, data })?;
        match said.finished.or(self.dialect.ended().finished) {
            None => Err(faults::malformed("a document that is no whole answer")),
            finished => Ok(Said { finished, ..said }),
        }
    }

    fn event(&mut self) -> Result<Option<Event>, ModelError> {
        let event = self.decoder.next_event(&mut self.piece);
        let event = event.map_err(|_| self.incoming.bounds.max_event.exceeded_by("an event"))?;
        if event.is_some() {
            self.events_left = self
                .events_left
                .checked_sub(1)
                .ok_or_else(|| faults::malformed("an answer of more events than model_calls.max_events"))?;
        }
        Ok(event)
    }
}

/// Whatever it is, it is not heard; but a connection with something unread on it cannot be used again.
async fn read_tail(mut incoming: Incoming) {
    while let Ok(Some(_)) = incoming.piece().await {}
}
