//! The edge's way into the pipeline: every entrance, whatever the protocol, goes through here and so
//! through the actors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{MailboxError, Recipient};
use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    action::Action,
    auth::Identify,
    broadcaster::{Acknowledge, Await, Cancel, Cursor, Granted, Opened, Subscribe},
    cache::{ReadConversation, ReadThreads},
    clock::{Clock, Deadline},
    feature_flag::WhichEnabled,
    permits::Permit,
    policy::{LookAgain, WhichAllowed},
    ports::{Caller, Credentials, IdempotencyKey, Identity, LicenceSource},
    protocol::{
        ChatMessage, Failure, GlobalId, Hop, Origin, Request, RequestId, Submitted, Thread, ThreadChoice,
        ThreadId, UserId, deliver, forward,
    },
    supervisor::{Inspect, TreeState, heartbeat::Heart},
};

mod direct_stream;
mod reader;

pub use direct_stream::DirectStream;
pub use reader::Reader;

/// How long the supervisor may take to say how the tree is.
const INSPECTION: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Entrance {
    pub(crate) submitted: Recipient<Submitted>,
    pub(crate) identify: Recipient<Identify>,
    pub(crate) which_enabled: Recipient<WhichEnabled>,
    pub(crate) which_allowed: Recipient<WhichAllowed>,
    pub(crate) look_again: Recipient<LookAgain>,
    pub(crate) read_conversation: Recipient<ReadConversation>,
    pub(crate) read_threads: Recipient<ReadThreads>,
    pub(crate) awaits: Recipient<Await>,
    pub(crate) opened: Recipient<Opened>,
    pub(crate) subscribe: Recipient<Subscribe>,
    pub(crate) acknowledge: Recipient<Acknowledge>,
    pub(crate) cancel: Recipient<Cancel>,
    pub(crate) inspect: Recipient<Inspect>,
    pub(crate) has_room: Arc<AtomicBool>,
    pub(crate) heart: Arc<Heart>,
    pub(crate) clock: Clock,
    pub(crate) licences: Arc<dyn LicenceSource>,
    pub(crate) deadline: Duration,
    pub(crate) clearance_lifetime: Duration,
}

/// What a client wants done.
#[derive(Debug)]
pub struct Ask {
    pub credentials: Credentials,
    pub action: Arc<Action>,
    /// The action's input fields by their names in the catalogue.
    pub input: Map<String, Value>,
    pub resource_id: Option<GlobalId>,
    pub project_id: Option<GlobalId>,
    pub client_subscription_id: Option<String>,
    pub platform_origin: Option<String>,
    /// Which thread it continues or begins; counts for actions that keep a conversation.
    pub thread: ThreadChoice,
    /// Under which the client may ask again; whoever waits for the answer itself has none.
    pub idempotency_key: Option<IdempotencyKey>,
    pub permit: Permit,
}

/// A request that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub request_id: RequestId,
    pub failure: Failure,
}

/// Keeps a request's messages back until its client has the `requestId`. Drop it when the response has
/// been written; a client that vanishes drops it too.
#[derive(Debug)]
#[must_use = "dropping the gate lets the request's messages out"]
pub struct Gate {
    request_id: RequestId,
    thread_id: Option<ThreadId>,
    cursor: Option<Cursor>,
    /// `None` for a request that was accepted before: whoever asked first has its gate.
    opened: Option<Recipient<Opened>>,
}

impl Gate {
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The thread it is in; `None` for an action that keeps no conversation.
    #[must_use]
    pub fn thread_id(&self) -> Option<ThreadId> {
        self.thread_id
    }

    /// Before everything that will be published of the request: whoever subscribes after it gets all of it.
    /// `None` for a request that was accepted before, and of which nothing is kept any more.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let Some(opened) = self.opened.take() else { return };
        let request_id = self.request_id;
        let open = move || deliver(&opened, Opened { request_id });
        // An HTTP server drops a response's body just before it flushes the last of it: a task runs
        // only after that.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { open() })),
            Err(_) => open(),
        }
    }
}

impl Entrance {
    /// Who holds these credentials.
    ///
    /// # Errors
    /// `unauthenticated` when nobody does.
    pub async fn identify(&self, credentials: Credentials) -> Result<Identity, Failure> {
        self.identify.send(Identify { credentials }).await.map_err(lost(Hop::Auth))?
    }

    /// Sends a request down the pipeline. Returns when it is accepted, and then it is durable.
    ///
    /// # Errors
    /// The refusal of whichever actor refused it.
    pub async fn ask(&self, ask: Ask) -> Result<Gate, Refusal> {
        self.submit(ask, CancellationToken::new(), Origin::Asked).await
    }

    /// Sends a request down the pipeline, to be cancelled by `cancel`.
    async fn submit(&self, ask: Ask, cancel: CancellationToken, origin: Origin) -> Result<Gate, Refusal> {
        let request_id = RequestId::new();
        let deadline = Deadline::after(&self.clock, self.deadline);
        let (reply, accepted) = oneshot::channel();
        deliver(&self.awaits, Await { request_id, deadline, reply });
        let request = Request {
            id: request_id,
            action: ask.action,
            input: ask.input,
            resource_id: ask.resource_id,
            project_id: ask.project_id,
            client_subscription_id: ask.client_subscription_id,
            platform_origin: ask.platform_origin,
            thread: ask.thread,
            idempotency_key: ask.idempotency_key,
            deadline,
            cancel: cancel.clone(),
            permit: ask.permit,
            origin,
        };
        forward(&self.submitted, Submitted { request, credentials: ask.credentials });
        match accepted.await {
            Ok(Ok(Granted { request_id: granted, thread_id, cursor })) => {
                let opened = (granted == request_id).then(|| self.opened.clone());
                Ok(Gate { request_id: granted, thread_id, cursor, opened })
            }
            Ok(Err(failure)) => Err(Refusal { request_id, failure }),
            Err(_) => {
                // The Broadcaster lost the waiter: what is refused here must not run later.
                cancel.cancel();
                Err(Refusal { request_id, failure: Failure::internal(Hop::Broadcaster) })
            }
        }
    }

    /// `owner` has received the finals of these requests.
    pub fn acknowledge(&self, owner: UserId, finals: Vec<RequestId>) {
        deliver(&self.acknowledge, Acknowledge { owner, finals });
    }

    /// Stops the work on a request. One that has ended already is left as it is.
    ///
    /// # Errors
    /// `not_found` unless `owner` asked it.
    pub async fn cancel(&self, owner: UserId, request_id: RequestId) -> Result<(), Failure> {
        self.cancel.send(Cancel { owner, request_id }).await.map_err(lost(Hop::Broadcaster))?
    }

    /// A thread of the owner's, oldest message first; nothing when there is none that was not named.
    ///
    /// # Errors
    /// `not_found` when the named one is not there, `storage_unavailable` when it cannot be read.
    pub async fn messages(&self, owner: UserId, thread: ThreadChoice) -> Result<Vec<ChatMessage>, Failure> {
        self.read_conversation.send(ReadConversation { owner, thread }).await.map_err(lost(Hop::Cache))?
    }

    /// The owner's threads, the one with the newest message first.
    ///
    /// # Errors
    /// `storage_unavailable` when they cannot be read.
    pub async fn threads(&self, owner: UserId) -> Result<Vec<Thread>, Failure> {
        self.read_threads.send(ReadThreads { owner }).await.map_err(lost(Hop::Cache))?
    }

    /// Those of `actions` that pass all six checks for this caller where no resource is named.
    ///
    /// # Errors
    /// When the directory does not answer.
    pub async fn available_actions(
        &self,
        caller: Caller,
        actions: Vec<Arc<Action>>,
    ) -> Result<Vec<Arc<Action>>, Failure> {
        let asked = WhichEnabled { caller: caller.clone(), actions };
        let enabled = self.which_enabled.send(asked).await.map_err(lost(Hop::FeatureFlag))?;
        let asked = WhichAllowed { caller, flags: enabled.flags, actions: enabled.actions };
        self.which_allowed.send(asked).await.map_err(lost(Hop::Policy))?
    }

    /// How the actors are; `None` when their thread does not answer in time. When that has been so for
    /// long, at least this is known of them.
    pub async fn tree(&self) -> Option<TreeState> {
        if let Ok(Ok(state)) = timeout(INSPECTION, self.inspect.send(Inspect)).await {
            return Some(state);
        }
        let stuck_for = Some(self.heart.stuck_for()?);
        Some(TreeState { stuck_for, recovered: false, actors: Vec::new() })
    }

    /// Whether there is memory for the events of one more request.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room.load(Relaxed)
    }
}

/// A message was lost to a panic of the actor it was for.
fn lost(hop: Hop) -> impl Fn(MailboxError) -> Failure {
    move |_| Failure::internal(hop)
}
