//! `aiConversationThreads`: the caller's threads, the one with the newest message first, page by page.

use std::{sync::Arc, time::SystemTime};

use async_graphql::{
    Name, Result, Value,
    dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};
use duologue_actors::protocol::Thread;

use super::{
    call, error,
    page::{self, Entry, Order, Page, Window},
    scalars::{self, AI_CONVERSATION_THREAD_ID},
    thread_choice::{self, CONVERSATION_TYPE, OF_TYPE},
    timestamp,
};

const AI_CONVERSATION_THREADS: &str = "aiConversationThreads";
const THREAD: &str = "AiConversationsThread";
const THREAD_CONNECTION: &str = "AiConversationsThreadConnection";
const THREAD_EDGE: &str = "AiConversationsThreadEdge";
const ID: &str = "id";

impl Entry for Thread {
    type Id = u64;
    const ORDER: Order = Order::NewestFirst;

    fn id(&self) -> u64 {
        self.id.0
    }

    fn moment(&self) -> SystemTime {
        self.last_message_at
    }
}

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema
        .register(thread_choice::conversation_types())
        .register(thread())
        .register(page::connection::<Thread>(THREAD_CONNECTION, THREAD, THREAD_EDGE))
        .register(page::edge::<Thread>(THREAD_EDGE, THREAD))
}

pub(super) fn field() -> Field {
    let field = Field::new(AI_CONVERSATION_THREADS, TypeRef::named_nn(THREAD_CONNECTION), |context| {
        FieldFuture::new(async move {
            let page = call::or_no_data(&context, resolve(&context).await, Page::empty())?;
            Ok(page.map(FieldValue::owned_any))
        })
    })
    .argument(InputValue::new(ID, TypeRef::named(AI_CONVERSATION_THREAD_ID)))
    .argument(InputValue::new(OF_TYPE, TypeRef::named(CONVERSATION_TYPE)));
    page::with_arguments(field).description(
        "The caller's threads that have not expired, the one with the newest message first; empty for an anonymous \
         caller.",
    )
}

async fn resolve(context: &ResolverContext<'_>) -> Result<Page<Thread>> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let window = Window::of(&context.args, parts.config.max_page_size, AI_CONVERSATION_THREADS)?;
    let given = |name: &str| context.args.get(name).map(|value| value.as_value().clone());
    let wanted_id = thread_choice::thread_id(given(ID).as_ref(), ID)?;
    let wanted_type = thread_choice::conversation_type(given(OF_TYPE).as_ref(), OF_TYPE)?;
    let Some(identity) = &call.identity else { return Ok(Page::empty()) };
    identity.scope.may_read().map_err(|failure| error::from_failure(&failure, None))?;
    let threads = parts.entrance.threads(identity.user.id).await;
    let mut threads = threads.map_err(|failure| error::from_failure(&failure, None))?;
    threads.retain(|thread| {
        wanted_id.is_none_or(|id| id == thread.id)
            && wanted_type.is_none_or(|of| of == thread.conversation_type)
    });
    Ok(Page::of(threads, &window, parts.config.max_page_size))
}

fn thread() -> Object {
    let field = |name, type_ref, read: fn(&Thread) -> Option<Value>| {
        Field::new(name, type_ref, move |context: ResolverContext<'_>| {
            let thread = context.parent_value.downcast_ref::<Arc<Thread>>();
            FieldFuture::from_value(thread.and_then(|thread| read(thread)))
        })
    };
    let time = TypeRef::named_nn(scalars::TIME);
    Object::new(THREAD)
        .description("A conversation of the caller's.")
        .field(field("id", TypeRef::named_nn(TypeRef::ID), |thread| {
            Some(thread.id.global_id().to_string().into())
        }))
        .field(field("conversationType", TypeRef::named_nn(CONVERSATION_TYPE), |thread| {
            Some(Value::Enum(Name::new(thread_choice::enum_name(thread.conversation_type))))
        }))
        .field(
            field("title", TypeRef::named(TypeRef::STRING), |thread| {
                thread.title.as_deref().map(Value::from)
            })
            .description("The beginning of its first question that is no command."),
        )
        .field(field("createdAt", time.clone(), |thread| Some(timestamp::rfc3339(thread.created_at).into())))
        .field(
            field("lastUpdatedAt", time, |thread| Some(timestamp::rfc3339(thread.last_message_at).into()))
                .description("When its last message was."),
        )
}
