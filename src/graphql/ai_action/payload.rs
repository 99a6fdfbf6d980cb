//! `AiActionPayload`: what a client hears of its request at once.

use async_graphql::{
    Value,
    dynamic::{Field, FieldFuture, Object, TypeRef},
};
use duologue_actors::{
    broadcaster::Cursor,
    protocol::{RequestId, ThreadId},
};

use crate::graphql::{inline_answer::InlineAnswer, scalars};

pub(super) const AI_ACTION_PAYLOAD: &str = "AiActionPayload";

pub(super) struct Payload {
    pub request_id: RequestId,
    pub thread_id: Option<ThreadId>,
    pub cursor: Option<Cursor>,
    /// Only of a client that waits for it.
    pub answer: Option<InlineAnswer>,
    pub client_mutation_id: Option<String>,
}

pub(super) fn object() -> Object {
    Object::new(AI_ACTION_PAYLOAD)
        .field(field("requestId", TypeRef::named(TypeRef::STRING), |payload| {
            Some(payload.request_id.to_string().into())
        }))
        .field(
            field("threadId", TypeRef::named(scalars::AI_CONVERSATION_THREAD_ID), |payload| {
                payload.thread_id.map(|id| id.global_id().to_string().into())
            })
            .description(
                "The thread of the question and its answer; null for an action that keeps no conversation.",
            ),
        )
        .field(field("errors", TypeRef::named_nn_list_nn(TypeRef::STRING), |payload| {
            let errors = payload.answer.iter().flat_map(|answer| &answer.errors);
            Some(Value::List(errors.map(Value::from).collect()))
        }))
        .field(
            field("content", TypeRef::named(TypeRef::STRING), |payload| {
                payload.answer.as_ref()?.content.as_deref().map(Value::from)
            })
            .description("The whole answer, for who asked `inline`; null otherwise."),
        )
        .field(
            field("cursor", TypeRef::named(TypeRef::STRING), |payload| {
                payload.cursor.map(|cursor| cursor.to_string().into())
            })
            .description(
                "The place before everything of this request: subscribe `after` it and nothing is missed.",
            ),
        )
        .field(field("clientMutationId", TypeRef::named(TypeRef::STRING), |payload| {
            payload.client_mutation_id.as_deref().map(Value::from)
        }))
}

fn field(name: &str, type_ref: TypeRef, read: fn(&Payload) -> Option<Value>) -> Field {
    Field::new(name, type_ref, move |context| {
        FieldFuture::from_value(context.parent_value.downcast_ref::<Payload>().and_then(read))
    })
}
