//! How clients name a thread: its id, its type, or both.

use async_graphql::{
    Result, Value,
    dynamic::{Enum, Field, InputValue, ObjectAccessor, TypeRef},
};
use duologue_actors::protocol::{ConversationType, GlobalId, ThreadChoice, ThreadId};

use super::{error, scalars::AI_CONVERSATION_THREAD_ID};

pub(super) const CONVERSATION_TYPE: &str = "AiConversationsThreadsConversationType";
pub(super) const THREAD_ID: &str = "threadId";
pub(super) const OF_TYPE: &str = "conversationType";

pub(super) fn conversation_types() -> Enum {
    Enum::new(CONVERSATION_TYPE)
        .description("What a thread is for. It changes nothing of how it is kept.")
        .items(ConversationType::ALL.map(enum_name))
}

/// `DUO_CHAT` as in [`CONVERSATION_TYPE`].
pub(super) fn enum_name(of: ConversationType) -> String {
    of.name().to_ascii_uppercase()
}

/// Gives a field the arguments that name a thread.
pub(super) fn with_arguments(field: Field) -> Field {
    field
        .argument(InputValue::new(OF_TYPE, TypeRef::named(CONVERSATION_TYPE)))
        .argument(InputValue::new(THREAD_ID, TypeRef::named(AI_CONVERSATION_THREAD_ID)))
}

/// # Errors
/// When one of the arguments cannot be one.
pub(super) fn of_arguments(arguments: &ObjectAccessor<'_>) -> Result<ThreadChoice> {
    let given = |name: &str| arguments.get(name).map(|value| value.as_value().clone());
    Ok(ThreadChoice::new(
        thread_id(given(THREAD_ID).as_ref(), THREAD_ID)?,
        conversation_type(given(OF_TYPE).as_ref(), OF_TYPE)?,
    ))
}

/// The thread of a value that stands at `path`, if there is one.
///
/// # Errors
/// When it is none.
pub(super) fn thread_id(value: Option<&Value>, path: &str) -> Result<Option<ThreadId>> {
    let id = match value.unwrap_or(&Value::Null) {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse::<GlobalId>().ok().and_then(|id| ThreadId::of(&id)),
        _ => None,
    };
    id.map(Some).ok_or_else(|| error::unfit_argument(path, AI_CONVERSATION_THREAD_ID))
}

/// The type of a value that stands at `path`, if there is one.
///
/// # Errors
/// When it is none.
pub(super) fn conversation_type(value: Option<&Value>, path: &str) -> Result<Option<ConversationType>> {
    let name = match value.unwrap_or(&Value::Null) {
        Value::Null => return Ok(None),
        Value::Enum(name) => name.as_str(),
        Value::String(name) => name,
        _ => "",
    };
    let known = ConversationType::ALL.into_iter().find(|known| enum_name(*known) == name);
    known.map(Some).ok_or_else(|| error::unfit_argument(path, CONVERSATION_TYPE))
}
