//! One execution of a document: who asks, and what the transport has to do when the answer is written.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_graphql::{Context, Error, Result, ServerError, dynamic::ResolverContext};
use duologue_actors::{
    auth::INVALID_TOKEN,
    entrance::Gate,
    ports::{Caller, Credentials, Identity},
    protocol::{Code, Failure, Hop, RequestId},
};

use super::{GraphqlParts, error};

/// Why the whole request, not just one field of it, has failed. Each transport has its own word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No credentials where some are needed, or credentials that are good for nothing.
    Unauthenticated,
    /// The server has no room now.
    Overloaded,
    /// What the server needs in order to promise anything is not there now.
    Unavailable,
    /// It contradicts an earlier one.
    Conflict,
}

impl Rejection {
    pub(super) fn of(code: Code) -> Option<Self> {
        match code {
            Code::Unauthenticated => Some(Self::Unauthenticated),
            Code::Overloaded => Some(Self::Overloaded),
            Code::StorageUnavailable => Some(Self::Unavailable),
            Code::Conflict => Some(Self::Conflict),
            _ => None,
        }
    }
}

/// What an execution leaves behind for the transport.
#[derive(Default)]
pub(super) struct Effects {
    pub opens: Option<Gate>,
    pub retry_after: Option<Duration>,
    pub rejected: Option<Rejection>,
    pub errors: Vec<ServerError>,
    /// A field that may not be null failed, and there is nothing above it that may.
    pub no_data: bool,
}

pub(super) struct Call {
    pub credentials: Credentials,
    /// `None` for an anonymous caller.
    pub identity: Option<Identity>,
    /// Under which the client may ask again.
    pub idempotency_key: Option<String>,
    /// Whether the client waits for the answers of its actions.
    pub inline: bool,
    effects: Mutex<Effects>,
}

impl Call {
    pub(super) fn new(
        credentials: Credentials,
        identity: Option<Identity>,
        idempotency_key: Option<String>,
        inline: bool,
    ) -> Self {
        Self { credentials, identity, idempotency_key, inline, effects: Mutex::default() }
    }

    /// # Errors
    /// `unauthenticated` for an anonymous caller.
    pub(super) fn identity(&self) -> Result<&Identity> {
        self.identity
            .as_ref()
            .ok_or_else(|| self.refuse(&Failure::new(Code::Unauthenticated, Hop::Edge, INVALID_TOKEN), None))
    }

    pub(super) fn caller(&self, identity: &Identity) -> Caller {
        Caller { user: identity.user.clone(), credentials: Some(self.credentials.clone()) }
    }

    /// Turns the failure of a mutation into its error and notes what it means for the whole request.
    pub(super) fn refuse(&self, failure: &Failure, request_id: Option<RequestId>) -> Error {
        let mut effects = self.effects();
        effects.rejected = effects.rejected.or(Rejection::of(failure.code));
        effects.retry_after = effects.retry_after.or(failure.retry_after);
        error::from_failure(failure, request_id)
    }

    pub(super) fn opens(&self, gate: Gate) {
        self.effects().opens = Some(gate);
    }

    /// Notes that the field of `context` failed; the engine itself would leave the field out of the data,
    /// and its path out of the error.
    fn fail(&self, context: &Context<'_>, error: Error) {
        let error = context.set_error_path(error.into_server_error(context.item.pos));
        self.effects().errors.push(error);
    }

    pub(super) fn take_effects(&self) -> Effects {
        std::mem::take(&mut *self.effects())
    }

    fn effects(&self) -> MutexGuard<'_, Effects> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a field that may be null: null, with an error beside the data, when it failed.
pub(super) fn or_null<T>(context: &ResolverContext<'_>, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            call(context)?.fail(context.ctx, error);
            Ok(None)
        }
    }
}

/// The value of a field of the root that may not be null. When it failed the response has no data, and
/// `otherwise` is not seen by anyone.
pub(super) fn or_no_data<T>(
    context: &ResolverContext<'_>,
    outcome: Result<T>,
    otherwise: T,
) -> Result<Option<T>> {
    let value = or_null(context, outcome)?;
    if value.is_none() {
        call(context)?.effects().no_data = true;
    }
    Ok(Some(value.unwrap_or(otherwise)))
}

/// The parts of the server a resolver works with.
pub(super) fn parts<'a>(context: &ResolverContext<'a>) -> Result<&'a GraphqlParts> {
    context.ctx.data::<std::sync::Arc<GraphqlParts>>().map(AsRef::as_ref)
}

/// The call a resolver works for.
pub(super) fn call<'a>(context: &ResolverContext<'a>) -> Result<&'a std::sync::Arc<Call>> {
    context.ctx.data::<std::sync::Arc<Call>>()
}
