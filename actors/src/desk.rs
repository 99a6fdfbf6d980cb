//! The discipline every actor of the pipeline keeps: say which request is in hand before touching it,
//! so that a panic ends that request and no other; do slow work in a task, so that the actor never
//! waits; end the tasks when told to stop.

use std::{future::Future, sync::Arc};

use actix::{Recipient, ResponseFuture};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    protocol::{Ended, Failure, Hop, Request, RequestId, Stop, deliver},
    supervisor::{panics, vitals::Vitals},
};

#[derive(Debug)]
pub(crate) struct Desk {
    hop: Hop,
    vitals: Arc<Vitals>,
    /// Cache, which writes every end.
    ends: Recipient<Ended>,
    in_hand: Option<RequestId>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Desk {
    pub(crate) fn new(hop: Hop, vitals: Arc<Vitals>, ends: Recipient<Ended>) -> Self {
        Self {
            hop,
            vitals,
            ends,
            in_hand: None,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// First line of every handler.
    pub(crate) fn take(&mut self, message: &'static str, request: Option<RequestId>) {
        self.in_hand = request;
        self.vitals.took(message);
    }

    /// Last line of every handler.
    pub(crate) fn clear(&mut self) {
        self.in_hand = None;
    }

    /// To be called by `restarting`: the request in hand when the panic came, whose message is lost.
    pub(crate) fn abandoned(&mut self) -> Option<RequestId> {
        self.in_hand.take()
    }

    /// To be called by `restarting`: the request in hand when the panic came ends here.
    pub(crate) fn end_abandoned(&mut self) {
        if let Some(request_id) = self.abandoned() {
            self.end(request_id, Failure::internal(self.hop));
        }
    }

    pub(crate) fn end(&self, request_id: RequestId, failure: Failure) {
        // Whoever answers for the end says so in the log: Cache for an accepted request, the edge for a
        // refused one.
        tracing::debug!(%request_id, hop = self.hop.as_str(), code = %failure.code, "ending request");
        deliver(&self.ends, Ended::failed(request_id, failure));
    }

    /// Ends a request that could not go on: cancelled if that is why, else with `failure`.
    pub(crate) fn end_or_cancel(&self, request: &Request, failure: Failure) {
        if request.cancel.is_cancelled() {
            deliver(&self.ends, Ended::cancelled(request.id));
        } else {
            self.end(request.id, failure);
        }
    }

    /// Runs slow work beside the actor. A panic in it ends `request`; a stop of the actor ends it.
    pub(crate) fn work<F>(&self, request: Option<RequestId>, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (hop, vitals, ends) = (self.hop, self.vitals.clone(), self.ends.clone());
        let (busy, closing) = (self.vitals.busy(), self.closing.clone());
        self.tasks.spawn(async move {
            let _busy = busy;
            let Err(place) = panics::catch(closing.run_until_cancelled(work)).await else {
                return;
            };
            vitals.panicked(&place);
            if let Some(request_id) = request {
                deliver(&ends, Ended::failed(request_id, Failure::internal(hop)));
            }
        });
    }

    /// Answers a question beside the actor. A panic in it is a failure like others.
    pub(crate) fn answer<T, F>(&self, answer: F) -> ResponseFuture<Result<T, Failure>>
    where
        F: Future<Output = Result<T, Failure>> + 'static,
    {
        let (hop, vitals, busy) = (self.hop, self.vitals.clone(), self.vitals.busy());
        Box::pin(async move {
            let _busy = busy;
            panics::catch(answer).await.unwrap_or_else(|place| {
                vitals.panicked(&place);
                Err(Failure::internal(hop))
            })
        })
    }

    /// Drops all work under way; what it was for is left as it is.
    pub(crate) fn drop_work(&self) -> impl Future<Output = ()> + use<> {
        self.closing.cancel();
        self.tasks.close();
        let tasks = self.tasks.clone();
        async move { tasks.wait().await }
    }

    /// Lets the work under way end by itself for as long as `stop` grants.
    pub(crate) fn finish_work(&self, stop: &Stop) -> impl Future<Output = ()> + use<> {
        self.tasks.close();
        let (tasks, closing, grace) = (self.tasks.clone(), self.closing.clone(), stop.grace);
        async move {
            if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
                closing.cancel();
                tasks.wait().await;
            }
        }
    }
}
