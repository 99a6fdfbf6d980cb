//! `aiMessages`: one thread of the caller's, oldest message first, page by page. Nobody has any but their own.

use std::time::SystemTime;

use async_graphql::{
    Result, Value,
    dynamic::{
        Field, FieldFuture, FieldValue, InputValue, ObjectAccessor, ResolverContext, SchemaBuilder, TypeRef,
    },
};
use duologue_actors::{
    protocol::{ChatMessage, RequestId},
    slash_command,
};
use uuid::Uuid;

use super::{
    ai_message::{self, AI_MESSAGE, AI_MESSAGE_ROLE},
    call, error,
    page::{self, Entry, Order, Page, Window},
    thread_choice,
};

const AI_MESSAGES: &str = "aiMessages";
const AI_MESSAGE_CONNECTION: &str = "AiMessageConnection";
const AI_MESSAGE_EDGE: &str = "AiMessageEdge";

impl Entry for ChatMessage {
    type Id = Uuid;
    const ORDER: Order = Order::OldestFirst;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn moment(&self) -> SystemTime {
        self.timestamp
    }
}

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema
        .register(page::connection::<ChatMessage>(AI_MESSAGE_CONNECTION, AI_MESSAGE, AI_MESSAGE_EDGE))
        .register(page::edge::<ChatMessage>(AI_MESSAGE_EDGE, AI_MESSAGE))
}

pub(super) fn field() -> Field {
    let field = Field::new(AI_MESSAGES, TypeRef::named_nn(AI_MESSAGE_CONNECTION), |context| {
        FieldFuture::new(async move {
            let page = call::or_no_data(&context, resolve(&context).await, Page::empty())?;
            Ok(page.map(FieldValue::owned_any))
        })
    })
    .argument(InputValue::new("requestIds", TypeRef::named_nn_list(TypeRef::ID)))
    .argument(InputValue::new("roles", TypeRef::named_nn_list(AI_MESSAGE_ROLE)));
    page::with_arguments(thread_choice::with_arguments(field)).description(
        "A thread of the caller's, oldest message first: the one that is named, or the last one of the type, which is \
         DUO_CHAT_LEGACY unless another is said. Empty for an anonymous caller.",
    )
}

async fn resolve(context: &ResolverContext<'_>) -> Result<Page<ChatMessage>> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let window = Window::of(&context.args, parts.config.max_page_size, AI_MESSAGES)?;
    let (request_ids, roles) = (request_ids(&context.args), roles(&context.args));
    let thread = thread_choice::of_arguments(&context.args)?;
    let messages = match &call.identity {
        Some(identity) => {
            identity.scope.may_read().map_err(|failure| error::from_failure(&failure, None))?;
            let messages = parts.entrance.messages(identity.user.id, thread).await;
            messages.map_err(|failure| error::from_failure(&failure, None))?
        }
        None => Vec::new(),
    };
    // What is asked for by its request is found as long as it is kept: a client may poll for any answer.
    let messages = if request_ids.is_some() { messages } else { slash_command::shown(messages) };
    let wanted: Vec<_> = messages
        .into_iter()
        .filter(|message| request_ids.as_ref().is_none_or(|ids| ids.contains(&message.request_id)))
        .filter(|message| {
            roles
                .as_ref()
                .is_none_or(|roles| roles.iter().any(|role| role == ai_message::role_name(message.role)))
        })
        .collect();
    Ok(Page::of(wanted, &window, parts.config.max_page_size))
}

/// The ids asked for. What is no id of a request matches none.
fn request_ids(arguments: &ObjectAccessor<'_>) -> Option<Vec<RequestId>> {
    let texts = texts(arguments, "requestIds")?;
    Some(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

fn roles(arguments: &ObjectAccessor<'_>) -> Option<Vec<String>> {
    texts(arguments, "roles")
}

/// A list of texts or names; a single one stands for a list of one.
fn texts(arguments: &ObjectAccessor<'_>, name: &str) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Enum(name) => Some(name.to_string()),
        _ => None,
    };
    match arguments.get(name)?.as_value() {
        Value::Null => None,
        Value::List(items) => Some(items.iter().filter_map(text).collect()),
        one => Some(text(one).into_iter().collect()),
    }
}
