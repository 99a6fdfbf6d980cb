//! Inline answers: `aiAction` waits for the end of its request, and its payload has the whole answer. For trying
//! things out with one command; whoever leaves meanwhile finds the answer where it always is.

use async_graphql::{Name, Result, Value, dynamic::TypeRef, dynamic::indexmap::IndexMap};
use duologue_actors::{
    entrance::{Entrance, Gate},
    ports::Caller,
};

use super::{GraphqlParts, call::Call, error};

pub(super) const INLINE: &str = "inline";

const NOT_ALLOWED: &str = "inline answers are for development, and this server gives none: subscribe to \
                           aiCompletionResponse, or set graphql.inline: always";

/// What a request came to.
pub(super) struct InlineAnswer {
    pub content: Option<String>,
    pub errors: Vec<String>,
}

/// Whether the client waits for the answer. What the input says counts more than the address.
///
/// # Errors
/// When this server lets nobody wait.
pub(super) fn wanted(parts: &GraphqlParts, call: &Call, input: &IndexMap<Name, Value>) -> Result<bool> {
    let wanted = match input.get(INLINE).unwrap_or(&Value::Null) {
        Value::Null => call.inline,
        Value::Boolean(inline) => *inline,
        _ => return Err(error::unfit_argument("input.inline", TypeRef::BOOLEAN)),
    };
    if wanted && !parts.allows_inline {
        return Err(error::invalid_input(NOT_ALLOWED));
    }
    Ok(wanted)
}

/// Lets an accepted request out, and waits for its end.
pub(super) async fn wait(entrance: &Entrance, caller: Caller, gate: Gate) -> InlineAnswer {
    let followed = entrance.follow(caller, gate.request_id()).await;
    drop(gate);
    let last = match followed {
        Ok(stream) => stream.last().await,
        Err(failure) => Err(failure),
    };
    match last {
        Ok(event) => InlineAnswer {
            content: Some(event.message.content.clone()),
            errors: event.message.errors.clone(),
        },
        // It is accepted, and its answer is told to subscribers: only this one cannot have it.
        Err(failure) => InlineAnswer { content: None, errors: vec![failure.text] },
    }
}
