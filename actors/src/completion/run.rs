//! One answer from its first piece to its one end: what is sent on, and how the request ended.

use actix::Recipient;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    ChunkProduced,
    chunker::{Chunk, Chunker},
    faults,
    modifiers::{self, NothingLeft},
};
use crate::{
    action::Modifier,
    clock::Deadline,
    limits::Limits,
    models::{Answer, Progress},
    ports::ModelError,
    protocol::{Code, Failure, Hop, Outcome, RequestId},
};

/// What it takes besides the answer itself.
pub(super) struct Run {
    pub(super) request_id: RequestId,
    pub(super) deadline: Deadline,
    pub(super) cancel: CancellationToken,
    pub(super) limits: Limits,
    pub(super) chunks: Recipient<ChunkProduced>,
    /// The steps for the whole answer; with any, nothing is shown before its end.
    pub(super) steps: Vec<Modifier>,
}

/// What happened next.
enum Next {
    Cancelled,
    GatheredTextIsDue,
    Progress(Option<Result<Progress, ModelError>>),
}

/// Why no more events are waited for.
enum End {
    Finished,
    Cancelled,
    Failed(Failure),
    /// The Broadcaster panicked with the last chunk in hand: the answer would have a hole.
    ChunkLost,
    /// The model did its part, and its answer is none that can be kept; with the reason, for the log.
    Unfit(&'static str),
}

impl Run {
    /// Passes the answer on as it comes and says how it ended, and which model was asked last. The call is
    /// dropped before this returns.
    pub(super) async fn drive(self, mut answer: Answer) -> (Outcome, Option<String>) {
        let mut chunker = Chunker::new(&self.limits, !self.steps.is_empty());
        let end = loop {
            let next = self.next(&mut answer, &chunker).await;
            match self.take(next, &mut chunker).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        let (outcome, blame) = outcome(end, chunker, &self.steps);
        if let Some(what) = blame {
            answer.blame(what);
        }
        let model = answer.model().map(str::to_owned);
        answer.conclude(outcome.name());
        (outcome, model)
    }

    async fn next(&self, answer: &mut Answer, chunker: &Chunker) -> Next {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Next::Cancelled,
            () = due(chunker.due()) => Next::GatheredTextIsDue,
            progress = answer.next() => Next::Progress(progress),
        }
    }

    async fn take(&self, next: Next, chunker: &mut Chunker) -> Result<(), End> {
        let (chunk, end) = match next {
            Next::Cancelled => return Err(End::Cancelled),
            Next::GatheredTextIsDue => (chunker.flush(), None),
            Next::Progress(Some(Ok(Progress::Content(delta)))) => {
                (chunker.push(&delta, Instant::now()), None)
            }
            // What was gathered is text of the answer, however it ended.
            Next::Progress(Some(Ok(Progress::Finished(_)))) => (chunker.flush(), Some(End::Finished)),
            Next::Progress(Some(Err(error))) => {
                (chunker.flush(), Some(End::Failed(faults::reported(&error))))
            }
            // An answer says how it ends before it does.
            Next::Progress(None) => return Err(End::Failed(Failure::internal(Hop::Completion))),
        };
        let (chunk, end) = match (chunk, end) {
            (Ok(chunk), end) => (chunk, end),
            (Err(_), Some(End::Failed(failure))) => (None, Some(End::Failed(failure))),
            // Of what came before, as much as there is room for.
            (Err(too_long), _) => (chunker.flush().unwrap_or(None), Some(End::Unfit(too_long.what()))),
        };
        self.send(chunk).await?;
        end.map_or(Ok(()), Err)
    }

    /// Hands a chunk over and waits until it is taken, for as long as the request may take: one outstanding a
    /// request.
    async fn send(&self, chunk: Option<Chunk>) -> Result<(), End> {
        let Some(Chunk { id, content }) = chunk else {
            return Ok(());
        };
        let produced = ChunkProduced { request_id: self.request_id, chunk_id: id, content };
        tokio::select! {
            // First of all it is handed over: what has become a chunk counts as shown.
            biased;
            taken = self.chunks.send(produced) => taken.map_err(|_| End::ChunkLost),
            () = self.cancel.cancelled() => Err(End::Cancelled),
            () = sleep_until(self.deadline.timer) => {
                Err(End::Failed(Failure::deadline_exceeded(Hop::Completion)))
            }
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How the request ended, and what is to be blamed for it, where that is not known yet. What is kept of an
/// answer that is not whole is what was shown of it, no more and no less: the final message must not take
/// text away from whoever read along, nor add any.
fn outcome(end: End, chunker: Chunker, steps: &[Modifier]) -> (Outcome, Option<&'static str>) {
    let malformed = |partial| Outcome::Failed { failure: faults::failed(Code::UpstreamMalformed), partial };
    match end {
        End::Cancelled => (Outcome::Cancelled { partial: chunker.into_shown() }, None),
        End::Failed(failure) => (Outcome::Failed { failure, partial: chunker.into_shown() }, None),
        End::ChunkLost => {
            let failure = Failure::internal(Hop::Broadcaster);
            (Outcome::Failed { failure, partial: chunker.into_shown_but_the_last() }, None)
        }
        End::Unfit(what) => (malformed(chunker.into_shown()), Some(what)),
        // An answer without any text has not finished, so that only steps may find that there is none.
        End::Finished => match modifiers::apply(steps, chunker.into_answer()) {
            Ok(content) => (Outcome::Completed { content }, None),
            Err(NothingLeft(step)) => (malformed(String::new()), Some(nothing_left(step))),
        },
    }
}

/// For the log.
fn nothing_left(step: Modifier) -> &'static str {
    match step {
        Modifier::Trim => "the step `trim` leaves nothing of the answer",
        Modifier::StripCodeFence => "the step `strip_code_fence` leaves nothing of the answer",
        Modifier::ExtractJson => "the step `extract_json` finds no complete JSON in the answer",
    }
}
