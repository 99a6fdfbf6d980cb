//! One model call from its first event to its one end.

use actix::Recipient;
use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    ChunkProduced,
    chunker::{Chunk, Chunker},
    faults,
};
use crate::{
    clock::Deadline,
    limits::Limits,
    ports::{ModelError, ModelEvent},
    protocol::{Code, Failure, Hop, Outcome, RequestId},
};

/// What a call needs besides the model's events.
pub(super) struct Run {
    pub(super) request_id: RequestId,
    pub(super) deadline: Deadline,
    pub(super) cancel: CancellationToken,
    pub(super) limits: Limits,
    pub(super) chunks: Recipient<ChunkProduced>,
}

/// What happened next.
enum Next {
    Event(Option<Result<ModelEvent, ModelError>>),
    GatheredTextIsDue,
    Over(End),
}

impl Next {
    /// Keep-alives and empty deltas are not content: a model that sends only those is silent.
    fn is_content(&self) -> bool {
        matches!(self, Self::Event(Some(Ok(ModelEvent::Content(delta)))) if !delta.is_empty())
    }
}

/// Why no more events are waited for.
enum End {
    Finished,
    Cancelled,
    Failed(Failure),
}

impl Run {
    /// Passes the answer on as it comes and says how it ended. The stream is dropped, and with it the
    /// call, before this returns.
    pub(super) async fn drive(
        self,
        mut events: BoxStream<'static, Result<ModelEvent, ModelError>>,
    ) -> Outcome {
        let mut chunker = Chunker::new(&self.limits);
        let mut silent_since = Instant::now();
        let end = loop {
            let next = self.next(&mut events, &chunker, silent_since).await;
            if next.is_content() {
                silent_since = Instant::now();
            }
            match self.take(next, &mut chunker).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        drop(events);
        outcome(end, chunker)
    }

    async fn next(
        &self,
        events: &mut BoxStream<'static, Result<ModelEvent, ModelError>>,
        chunker: &Chunker,
        silent_since: Instant,
    ) -> Next {
        let idle_until = silent_since + self.limits.idle_content;
        tokio::select! {
            biased;
            end = self.over() => Next::Over(end),
            () = due(chunker.due()) => Next::GatheredTextIsDue,
            event = events.next() => Next::Event(event),
            () = sleep_until(idle_until) => Next::Over(End::Failed(faults::silent(chunker.has_content()))),
        }
    }

    /// Returns when the request is cancelled or past its deadline.
    async fn over(&self) -> End {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => End::Cancelled,
            () = sleep_until(self.deadline.timer) => {
                End::Failed(Failure::deadline_exceeded(Hop::Completion))
            }
        }
    }

    async fn take(&self, next: Next, chunker: &mut Chunker) -> Result<(), End> {
        let chunk = match next {
            Next::Over(end) => return Err(end),
            Next::GatheredTextIsDue => chunker.flush(),
            Next::Event(Some(Ok(ModelEvent::Content(delta)))) => chunker.push(&delta, Instant::now()),
            Next::Event(Some(Ok(ModelEvent::Finished))) => {
                let rest =
                    chunker.flush().map_err(|_| End::Failed(faults::failed(Code::UpstreamMalformed)))?;
                self.send(rest).await?;
                return Err(End::Finished);
            }
            Next::Event(Some(Err(error))) => return Err(End::Failed(faults::reported(&error))),
            Next::Event(None) => return Err(End::Failed(faults::failed(Code::UpstreamTruncated))),
        };
        let chunk = chunk.map_err(|_| End::Failed(faults::failed(Code::UpstreamMalformed)))?;
        self.send(chunk).await
    }

    /// Hands a chunk over and waits until it is taken: one outstanding a request.
    async fn send(&self, chunk: Option<Chunk>) -> Result<(), End> {
        let Some(Chunk { id, content }) = chunk else {
            return Ok(());
        };
        let produced = ChunkProduced { request_id: self.request_id, chunk_id: id, content };
        tokio::select! {
            taken = self.chunks.send(produced) => {
                // Lost only to a panic of the Broadcaster: the answer would have a hole.
                taken.map_err(|_| End::Failed(Failure::internal(Hop::Broadcaster)))
            }
            end = self.over() => Err(end),
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// An empty success is no success.
fn outcome(end: End, chunker: Chunker) -> Outcome {
    let content = chunker.into_answer();
    match end {
        End::Finished if content.trim().is_empty() => {
            Outcome::Failed { failure: faults::failed(Code::UpstreamMalformed), partial: String::new() }
        }
        End::Finished => Outcome::Completed { content },
        End::Cancelled => Outcome::Cancelled { partial: content },
        End::Failed(failure) => Outcome::Failed { failure, partial: content },
    }
}
