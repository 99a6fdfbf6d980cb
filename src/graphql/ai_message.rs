//! `AiMessage`: a question, a chunk of an answer or a whole answer, as clients read it.

use std::sync::Arc;

use async_graphql::{
    Value,
    dynamic::{Enum, Field, FieldFuture, FieldValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};
use duologue_actors::protocol::{ChatMessage, Role};

use super::{markdown, scalars, timestamp};

pub const AI_MESSAGE: &str = "AiMessage";
pub const AI_MESSAGE_ROLE: &str = "AiMessageRole";
const AI_MESSAGE_TYPE: &str = "AiMessageType";
const AI_MESSAGE_EXTRAS: &str = "AiMessageExtras";
const AI_ADDITIONAL_CONTEXT: &str = "AiAdditionalContext";

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema
        .register(message())
        .register(extras())
        .register(additional_context())
        .register(Enum::new(AI_MESSAGE_ROLE).items(["USER", "ASSISTANT", "SYSTEM"]))
        .register(
            Enum::new(AI_MESSAGE_TYPE)
                .description("What a message is besides a question or an answer.")
                .item("TOOL"),
        )
}

/// The value behind an `AiMessage`.
pub(super) fn value<'a>(message: Arc<ChatMessage>) -> FieldValue<'a> {
    FieldValue::owned_any(message)
}

/// `USER` and the like, as in GraphQL.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "USER",
        Role::Assistant => "ASSISTANT",
        Role::System => "SYSTEM",
    }
}

fn message() -> Object {
    Object::new(AI_MESSAGE)
        .field(field("id", TypeRef::named(TypeRef::ID), |message| Some(message.id.0.to_string().into())))
        .field(
            field("requestId", TypeRef::named(TypeRef::STRING), |message| {
                Some(message.request_id.to_string().into())
            })
            .description("Shared by a question and its answer."),
        )
        .field(
            field("threadId", TypeRef::named(scalars::AI_CONVERSATION_THREAD_ID), |message| {
                message.thread_id.map(|id| id.global_id().to_string().into())
            })
            .description("The thread it is kept in; null for an action that keeps no conversation."),
        )
        .field(
            field("content", TypeRef::named(TypeRef::STRING), |message| {
                Some(message.content.as_str().into())
            })
            .description("Markdown, as the model wrote it: not safe to show without sanitising it."),
        )
        .field(field("contentHtml", TypeRef::named(TypeRef::STRING), content_html).description(
            "The content rendered and sanitised. Null for a chunk and for a message with errors.",
        ))
        .field(field("role", TypeRef::named_nn(AI_MESSAGE_ROLE), |message| {
            Some(Value::Enum(async_graphql::Name::new(role_name(message.role))))
        }))
        .field(field("timestamp", TypeRef::named_nn(scalars::TIME), |message| {
            Some(timestamp::rfc3339(message.timestamp).into())
        }))
        .field(
            field("chunkId", TypeRef::named(TypeRef::INT), |message| message.chunk_id.map(Value::from))
                .description("The chunk's place in the answer, from 1. Null for a whole message."),
        )
        .field(field("errors", TypeRef::named_nn_list(TypeRef::STRING), |message| {
            Some(message.errors.iter().map(String::as_str).map(Value::from).collect::<Vec<_>>().into())
        }))
        .field(field("type", TypeRef::named(AI_MESSAGE_TYPE), |_| None))
        .field(Field::new("extras", TypeRef::named(AI_MESSAGE_EXTRAS), |_| {
            FieldFuture::Value(Some(FieldValue::owned_any(())))
        }))
}

/// What GitLab keeps beside a message. This server keeps none of it, so all of it is empty.
fn extras() -> Object {
    Object::new(AI_MESSAGE_EXTRAS)
        .field(Field::new("sources", TypeRef::named_nn_list(scalars::JSON), |_| empty_list()))
        .field(Field::new("hasFeedback", TypeRef::named(TypeRef::BOOLEAN), |_| {
            FieldFuture::from_value(Some(Value::Boolean(false)))
        }))
        .field(Field::new("additionalContext", TypeRef::named_nn_list(AI_ADDITIONAL_CONTEXT), |_| {
            empty_list()
        }))
}

fn additional_context() -> Object {
    Object::new(AI_ADDITIONAL_CONTEXT)
        .field(Field::new("id", TypeRef::named_nn(TypeRef::ID), |_| FieldFuture::from_value(None)))
        .field(Field::new("category", TypeRef::named_nn("AiAdditionalContextCategory"), |_| {
            FieldFuture::from_value(None)
        }))
        .field(Field::new("metadata", TypeRef::named(scalars::JSON), |_| FieldFuture::from_value(None)))
}

fn empty_list<'a>() -> FieldFuture<'a> {
    FieldFuture::Value(Some(FieldValue::list(Vec::<FieldValue<'_>>::new())))
}

fn content_html(message: &ChatMessage) -> Option<Value> {
    let is_whole = message.chunk_id.is_none() && message.errors.is_empty();
    is_whole.then(|| markdown::to_safe_html(&message.content).into())
}

fn field(name: &str, type_ref: TypeRef, read: fn(&ChatMessage) -> Option<Value>) -> Field {
    Field::new(name, type_ref, move |context: ResolverContext<'_>| {
        FieldFuture::Value(message_of(&context).and_then(|message| read(message)).map(FieldValue::from))
    })
}

fn message_of<'a>(context: &'a ResolverContext<'_>) -> Option<&'a Arc<ChatMessage>> {
    context.parent_value.downcast_ref::<Arc<ChatMessage>>()
}
