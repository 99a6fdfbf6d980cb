//! The words every actor shares: identifiers, messages of a conversation, ways to fail, and the two
//! ways to hand something on.
//!
//! Facts about one request sit beside the actor that establishes them (`auth::Authenticated`,
//! `feature_flag::Enabled`, `policy::Authorized`, `cache::Accepted` ...). Only what has no single owner
//! is here.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use actix::{Message as ActixMessage, Recipient};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    action::Action, clock::Deadline, permits::Permit, policy::Clearance, slash_command::SlashCommand,
};

mod failure;
mod global_id;
mod message;
mod thread;

pub use failure::{Code, Failure, Hop};
pub(crate) use failure::{TOO_LATE, TRY_AGAIN};
pub use global_id::{GlobalId, MalformedGlobalId};
pub use message::{ChatMessage, Exchange, MessageId, Role};
pub use thread::{ConversationType, Thread, ThreadChoice, ThreadId};

/// Pairs a request with everything said about it. A UUID v7, so ids sort by the time they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl RequestId {
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number in `gid://gitlab/User/1`. Every key under which something is stored or delivered has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u64);

impl UserId {
    #[must_use]
    pub fn global_id(self) -> GlobalId {
        GlobalId::of("User", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a client asked for, before anything about it is known. Travels, unchanged, inside every fact.
#[derive(Debug)]
pub struct Request {
    pub id: RequestId,
    pub action: Arc<Action>,
    /// The action's own input fields, validated against the catalogue at the edge.
    pub input: serde_json::Map<String, serde_json::Value>,
    pub resource_id: Option<GlobalId>,
    /// The project of a resource that is a commit.
    pub project_id: Option<GlobalId>,
    /// Unique per feature and page; narrows delivery to the page that asked.
    pub client_subscription_id: Option<String>,
    /// Free text such as `vs_code_extension`; kept for logs only.
    pub platform_origin: Option<String>,
    /// Which thread it continues or begins; counts for what keeps a conversation.
    pub thread: ThreadChoice,
    /// Under which its client may ask again without being answered twice.
    pub idempotency_key: Option<crate::ports::IdempotencyKey>,
    pub deadline: Deadline,
    pub cancel: CancellationToken,
    /// The place this request takes among those in flight; given back when the request is dropped.
    pub permit: Permit,
    pub origin: Origin,
}

impl Request {
    /// The command to the conversation that it is, if it is none for a model.
    pub(crate) fn slash_command(&self) -> Option<SlashCommand> {
        self.keeps_conversation().then(|| self.question()).flatten().and_then(SlashCommand::of)
    }

    /// What the user says in it.
    pub(crate) fn question(&self) -> Option<&str> {
        let question = self.action.question().and_then(|field| self.input.get(&field.name));
        question.and_then(serde_json::Value::as_str)
    }

    /// Whether question and answer belong to the conversation that is kept of its owner.
    pub(crate) fn keeps_conversation(&self) -> bool {
        self.action.cache_response && !matches!(self.origin, Origin::Brought(_))
    }

    /// What it is about, as a directory is asked for it.
    pub(crate) fn resource(&self) -> Option<crate::ports::ResourceName> {
        let id = self.resource_id.clone()?;
        Some(crate::ports::ResourceName { id, project: self.project_id.clone() })
    }
}

/// Whose a request is and what it is about: all that decides where its messages go, and whether they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub request_id: RequestId,
    pub owner: UserId,
    /// The action's name.
    pub action: String,
    pub resource_id: Option<GlobalId>,
    /// The project of a resource that is a commit.
    pub project_id: Option<GlobalId>,
    pub client_subscription_id: Option<String>,
    /// Under which it was let through; `None` when that is not known any more.
    pub clearance: Option<Clearance>,
    /// Where its messages are kept; `None` until it is accepted, and for what keeps no conversation.
    pub thread_id: Option<ThreadId>,
}

impl Address {
    /// The address of a request that is not accepted yet.
    #[must_use]
    pub fn of(owner: UserId, request: &Request) -> Self {
        Self {
            request_id: request.id,
            owner,
            action: request.action.name.clone(),
            resource_id: request.resource_id.clone(),
            project_id: request.project_id.clone(),
            client_subscription_id: request.client_subscription_id.clone(),
            clearance: None,
            thread_id: None,
        }
    }

    /// What the request is about, as a directory is asked for it.
    pub(crate) fn resource(&self) -> Option<crate::ports::ResourceName> {
        let id = self.resource_id.clone()?;
        Some(crate::ports::ResourceName { id, project: self.project_id.clone() })
    }
}

/// How a request came to the pipeline.
#[derive(Debug)]
pub enum Origin {
    /// A client waits for its `requestId`; nothing has been written yet.
    Asked,
    /// A client waits for the answer itself, and when it goes, the request goes with it: nothing of it
    /// is promised beyond its connection, so it is not in the journal.
    Streamed,
    /// The same, and what was said before comes with it, oldest first: no conversation is read, and nothing
    /// of it is kept.
    Brought(Vec<Exchange>),
    /// The journal had it unfinished when the process started; it is accepted already.
    Recovered {
        /// The resource as it was when the request was accepted.
        resource: Option<Arc<crate::ports::Resource>>,
    },
}

impl Origin {
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        matches!(self, Self::Recovered { .. })
    }

    /// Whether its end is to be written to the journal.
    #[must_use]
    pub fn is_journalled(&self) -> bool {
        !matches!(self, Self::Streamed | Self::Brought(_))
    }
}

/// A request at the door: credentials not yet looked at.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Submitted {
    pub request: Request,
    pub credentials: crate::ports::Credentials,
}

/// How a request ended, whoever ended it. Cache writes the first one it hears and ignores the rest.
#[derive(Clone, Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Ended {
    pub request_id: RequestId,
    pub outcome: Outcome,
    /// `provider/model`, when one was asked.
    pub model: Option<String>,
}

impl Ended {
    /// Cancelled before anything was shown.
    #[must_use]
    pub fn cancelled(request_id: RequestId) -> Self {
        Self { request_id, outcome: Outcome::Cancelled { partial: String::new() }, model: None }
    }

    #[must_use]
    pub fn failed(request_id: RequestId, failure: Failure) -> Self {
        Self { request_id, outcome: Outcome::Failed { failure, partial: String::new() }, model: None }
    }
}

/// The terminal state of a request. `completed | failed{code} | cancelled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Outcome {
    Completed {
        content: String,
    },
    Failed {
        failure: Failure,
        /// What had been shown before the failure; empty when nothing was.
        partial: String,
    },
    Cancelled {
        partial: String,
    },
}

impl Outcome {
    /// For logs and metrics: `completed`, `cancelled`, or the failure's code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed { failure, .. } => failure.code.as_str(),
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// Asks an actor to finish what it holds and stop; sent by the supervisor, first actor to last.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Stop {
    /// How long the actor may go on waiting for its own tasks.
    pub grace: Duration,
}

/// Hands a fact to the next actor. The mailbox's own bound does not apply: the permit inside the
/// request is the bound, so this cannot fail for want of room.
#[allow(clippy::disallowed_methods, reason = "the one place where a fact is forwarded")]
pub fn forward<M>(next: &Recipient<M>, fact: M)
where
    M: ActixMessage + Send,
    M::Result: Send,
{
    next.do_send(fact);
}

/// Tells Cache or the Broadcaster something they must hear, even when they are busy.
#[allow(clippy::disallowed_methods, reason = "the one place where an end or a record is delivered")]
pub fn deliver<M>(to: &Recipient<M>, message: M)
where
    M: ActixMessage + Send,
    M::Result: Send,
{
    to.do_send(message);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn request_ids_sort_by_the_time_they_were_made_even_within_one_millisecond() {
        let ids: Vec<RequestId> = (0..10_000).map(|_| RequestId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 7));
    }

    proptest! {
        #[test]
        fn a_request_id_is_printed_stored_and_sorted_as_its_uuid(a in any::<u128>(), b in any::<u128>()) {
            let (first, second) = (RequestId::from(Uuid::from_u128(a)), RequestId::from(Uuid::from_u128(b)));
            prop_assert_eq!(first.to_string().parse::<RequestId>().unwrap(), first);
            let stored = serde_json::to_string(&first).unwrap();
            prop_assert_eq!(&stored, &format!("\"{first}\""));
            prop_assert_eq!(serde_json::from_str::<RequestId>(&stored).unwrap(), first);
            prop_assert_eq!(first.cmp(&second), first.to_string().cmp(&second.to_string()));
        }

        #[test]
        fn parsing_a_request_id_never_panics(text in ".{0,50}") {
            let _ = text.parse::<RequestId>();
        }
    }

    #[test]
    fn a_user_has_a_global_id() {
        assert_eq!(UserId(1).global_id().to_string(), "gid://gitlab/User/1");
    }
}
