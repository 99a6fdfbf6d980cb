//! An answer that is streamed straight to whoever asked, for entrances without a `requestId` to come back with.

use std::{collections::VecDeque, sync::Arc};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Ask, Entrance, Reader, Refusal};
use crate::{
    action::OnDisconnect,
    broadcaster::{Event, EventKind, Filter},
    ports::{Caller, User},
    protocol::{Code, Exchange, Failure, Hop, Origin, RequestId},
};

/// How much is read of the owner's log at a time, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// The events of one request, for the caller who waits for them. Dropped before the final, it cancels the
/// request, unless the action says that it goes on.
///
/// One that is cancelled with its caller is not in the journal: after a crash nobody waits for it, and to run
/// it again would be to bill what nobody reads. One that goes on without its caller is, like any other.
#[derive(Debug)]
pub struct DirectStream {
    request_id: RequestId,
    reader: Reader,
    /// Read, but not handed on yet.
    read: VecDeque<Arc<Event>>,
    is_over: bool,
    /// Cancels the request when it is dropped. Of a request that has ended, nothing is left to cancel.
    _hold: Option<DropGuard>,
}

impl Entrance {
    /// Asks, and streams the answer to this caller alone: `user`, as the credentials of `ask` have it.
    ///
    /// # Errors
    /// The refusal of whichever actor refused it.
    pub async fn stream(&self, user: User, ask: Ask) -> Result<DirectStream, Refusal> {
        let origin = match ask.action.on_disconnect {
            OnDisconnect::Cancel => Origin::Streamed,
            OnDisconnect::Drain => Origin::Asked,
        };
        self.stream_as(user, ask, origin).await
    }

    /// The same, about a conversation that the caller brings along. It ends with its caller, whatever the action
    /// says: nothing that was brought is kept for another run.
    ///
    /// # Errors
    /// The refusal of whichever actor refused it.
    pub async fn stream_of(
        &self,
        user: User,
        ask: Ask,
        before: Vec<Exchange>,
    ) -> Result<DirectStream, Refusal> {
        self.stream_as(user, ask, Origin::Brought(before)).await
    }

    async fn stream_as(&self, user: User, ask: Ask, origin: Origin) -> Result<DirectStream, Refusal> {
        let cancel = CancellationToken::new();
        // Made first: the caller may leave before the request is accepted, and before its stream is there.
        let hold = (!origin.is_journalled()).then(|| cancel.clone().drop_guard());
        let caller = Caller { user, credentials: Some(ask.credentials.clone()) };
        let gate = self.submit(ask, cancel.clone(), origin).await?;
        let request_id = gate.request_id();
        let stream = self.follow(caller, request_id).await.map_err(|failure| {
            // What is refused here must not run on.
            cancel.cancel();
            Refusal { request_id, failure }
        })?;
        Ok(DirectStream { _hold: hold, ..stream })
    }

    /// The events of an accepted request, as far back as they are kept, for a caller who may leave without ending it.
    ///
    /// # Errors
    /// `not_found` when nothing is kept of it, so that nothing would ever come.
    pub async fn follow(&self, caller: Caller, request_id: RequestId) -> Result<DirectStream, Failure> {
        let filter = Filter::of_request(caller.user.id, request_id);
        let reader = self.subscribe(caller, filter).await?;
        if !reader.is_known() {
            return Err(Failure::new(Code::NotFound, Hop::Broadcaster, "The answer is not kept any more."));
        }
        Ok(DirectStream { request_id, reader, read: VecDeque::new(), is_over: false, _hold: None })
    }
}

impl DirectStream {
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The whole answer, or why there is none.
    ///
    /// # Errors
    /// As [`DirectStream::next`].
    pub async fn last(mut self) -> Result<Arc<Event>, Failure> {
        while let Some(event) = self.next().await {
            let event = event?;
            if event.kind == EventKind::Final {
                return Ok(event);
            }
        }
        Err(Failure::internal(Hop::Broadcaster))
    }

    /// The next event; `None` after the final. Safe to drop and call again.
    ///
    /// # Errors
    /// `overloaded` when the caller read so slowly that events were removed before it had them; nothing
    /// follows.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, Failure>> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.is_over = event.kind == EventKind::Final;
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            self.read = self.reader.news(READ_BYTES).await.into();
            if self.reader.has_hole() {
                self.read.clear();
                self.is_over = true;
                return Some(Err(read_too_slowly()));
            }
        }
    }
}

fn read_too_slowly() -> Failure {
    Failure::new(Code::Overloaded, Hop::Broadcaster, "Messages were lost: read faster.")
}
