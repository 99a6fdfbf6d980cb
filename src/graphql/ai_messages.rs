//! `aiMessages`: the caller's conversation, oldest first, page by page. Nobody has any but their own.

use std::{ops::Range, sync::Arc};

use async_graphql::{
    Result, Value,
    dynamic::{
        Field, FieldFuture, FieldValue, InputValue, Object, ObjectAccessor, ResolverContext, SchemaBuilder,
        TypeRef,
    },
};
use duologue_actors::protocol::{ChatMessage, RequestId};

use super::{
    ai_message::{self, AI_MESSAGE, AI_MESSAGE_ROLE},
    call, error,
};

const AI_MESSAGE_CONNECTION: &str = "AiMessageConnection";
const AI_MESSAGE_EDGE: &str = "AiMessageEdge";
const PAGE_INFO: &str = "PageInfo";

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema.register(connection()).register(edge()).register(page_info())
}

pub(super) fn field() -> Field {
    Field::new("aiMessages", TypeRef::named_nn(AI_MESSAGE_CONNECTION), |context| {
        FieldFuture::new(async move {
            let page = call::or_no_data(&context, resolve(&context).await, Page::default())?;
            Ok(page.map(FieldValue::owned_any))
        })
    })
    .argument(InputValue::new("requestIds", TypeRef::named_nn_list(TypeRef::ID)))
    .argument(InputValue::new("roles", TypeRef::named_nn_list(AI_MESSAGE_ROLE)))
    .argument(InputValue::new("first", TypeRef::named(TypeRef::INT)))
    .argument(InputValue::new("last", TypeRef::named(TypeRef::INT)))
    .argument(InputValue::new("before", TypeRef::named(TypeRef::STRING)))
    .argument(InputValue::new("after", TypeRef::named(TypeRef::STRING)))
    .description("The caller's conversation, oldest first; empty for an anonymous caller.")
}

/// One page of a conversation.
#[derive(Default)]
struct Page {
    messages: Vec<Arc<ChatMessage>>,
    has_previous: bool,
    has_next: bool,
}

/// Which part of a list is wanted, as Relay's connections say it.
#[derive(Debug, Default)]
struct Window {
    first: Option<usize>,
    last: Option<usize>,
    before: Option<String>,
    after: Option<String>,
}

async fn resolve(context: &ResolverContext<'_>) -> Result<Page> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let window = window(&context.args, parts.config.max_page_size)?;
    let (request_ids, roles) = (request_ids(&context.args), roles(&context.args));
    let messages = match &call.identity {
        Some(identity) => {
            identity.scope.may_read().map_err(|failure| error::from_failure(&failure, None))?;
            let messages = parts.entrance.messages(identity.user.id).await;
            messages.map_err(|failure| error::from_failure(&failure, None))?
        }
        None => Vec::new(),
    };
    let wanted: Vec<_> = messages
        .into_iter()
        .filter(|message| request_ids.as_ref().is_none_or(|ids| ids.contains(&message.request_id)))
        .filter(|message| {
            roles
                .as_ref()
                .is_none_or(|roles| roles.iter().any(|role| role == ai_message::role_name(message.role)))
        })
        .map(Arc::new)
        .collect();
    let cursors: Vec<_> = wanted.iter().map(|message| cursor(message)).collect();
    let range = range(&cursors, &window, parts.config.max_page_size)?;
    let (has_previous, has_next) = (range.start > 0, range.end < wanted.len());
    let messages = wanted.into_iter().take(range.end).skip(range.start).collect();
    Ok(Page { messages, has_previous, has_next })
}

fn cursor(message: &ChatMessage) -> String {
    message.id.0.to_string()
}

fn window(arguments: &ObjectAccessor<'_>, max_page_size: usize) -> Result<Window> {
    let count = |name: &str| match arguments.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => usize::try_from(value.i64()?)
            .map(|count| Some(count.min(max_page_size)))
            .map_err(|_| error::invalid_input(format!("{name} can't be negative"))),
    };
    let cursor = |name: &str| {
        arguments
            .get(name)
            .filter(|value| !value.is_null())
            .map(|value| value.string().map(str::to_owned))
            .transpose()
    };
    Ok(Window {
        first: count("first")?,
        last: count("last")?,
        before: cursor("before")?,
        after: cursor("after")?,
    })
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

/// Applies cursors, then `first`, then `last`, as Relay's specification orders them.
fn range(cursors: &[String], window: &Window, max_page_size: usize) -> Result<Range<usize>> {
    let place = |name: &str, cursor: &Option<String>| match cursor {
        None => Ok(None),
        Some(cursor) => cursors.iter().position(|known| known == cursor).map(Some).ok_or_else(|| {
            error::invalid_input(format!("{name} is not a cursor of this conversation any more"))
        }),
    };
    let mut start = place("after", &window.after)?.map_or(0, |place| place + 1);
    let mut end = place("before", &window.before)?.unwrap_or(cursors.len()).max(start);
    if let Some(first) = window.first {
        end = end.min(start + first);
    }
    if let Some(last) = window.last {
        start = start.max(end.saturating_sub(last));
    }
    Ok(start..end.min(start + max_page_size))
}

fn connection() -> Object {
    Object::new(AI_MESSAGE_CONNECTION)
        .field(Field::new("nodes", TypeRef::named_list(AI_MESSAGE), |context| {
            list(&context, ai_message::value)
        }))
        .field(Field::new("edges", TypeRef::named_list(AI_MESSAGE_EDGE), |context| {
            list(&context, FieldValue::owned_any)
        }))
        .field(Field::new("pageInfo", TypeRef::named_nn(PAGE_INFO), |context| {
            let page = context.parent_value.downcast_ref::<Page>();
            FieldFuture::Value(page.map(|page| FieldValue::borrowed_any(page)))
        }))
}

fn list<'a>(context: &ResolverContext<'a>, value: fn(Arc<ChatMessage>) -> FieldValue<'a>) -> FieldFuture<'a> {
    let page = context.parent_value.downcast_ref::<Page>();
    FieldFuture::Value(page.map(|page| FieldValue::list(page.messages.iter().cloned().map(value))))
}

fn edge() -> Object {
    Object::new(AI_MESSAGE_EDGE)
        .field(Field::new("cursor", TypeRef::named_nn(TypeRef::STRING), |context| {
            let message = context.parent_value.downcast_ref::<Arc<ChatMessage>>();
            FieldFuture::from_value(message.map(|message| cursor(message).into()))
        }))
        .field(Field::new("node", TypeRef::named(AI_MESSAGE), |context| {
            let message = context.parent_value.downcast_ref::<Arc<ChatMessage>>();
            FieldFuture::Value(message.cloned().map(ai_message::value))
        }))
}

fn page_info() -> Object {
    let field = |name, type_ref, read: fn(&Page) -> Option<Value>| {
        Field::new(name, type_ref, move |context| {
            FieldFuture::from_value(context.parent_value.downcast_ref::<Page>().and_then(read))
        })
    };
    Object::new(PAGE_INFO)
        .field(field("hasNextPage", TypeRef::named_nn(TypeRef::BOOLEAN), |page| Some(page.has_next.into())))
        .field(field("hasPreviousPage", TypeRef::named_nn(TypeRef::BOOLEAN), |page| {
            Some(page.has_previous.into())
        }))
        .field(field("startCursor", TypeRef::named(TypeRef::STRING), |page| {
            page.messages.first().map(|message| cursor(message).into())
        }))
        .field(field("endCursor", TypeRef::named(TypeRef::STRING), |page| {
            page.messages.last().map(|message| cursor(message).into())
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors() -> Vec<String> {
        ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()
    }

    fn page(window: Window) -> Range<usize> {
        range(&cursors(), &window, 100).unwrap()
    }

    fn at(cursor: &str) -> Option<String> {
        Some(cursor.to_owned())
    }

    #[test]
    fn without_arguments_everything_is_on_the_page() {
        assert_eq!(page(Window::default()), 0..5);
    }

    #[test]
    fn first_and_after_go_forwards() {
        assert_eq!(page(Window { first: Some(2), ..Window::default() }), 0..2);
        assert_eq!(page(Window { first: Some(2), after: at("b"), ..Window::default() }), 2..4);
        assert_eq!(page(Window { first: Some(2), after: at("e"), ..Window::default() }), 5..5);
    }

    #[test]
    fn last_and_before_go_backwards() {
        assert_eq!(page(Window { last: Some(2), ..Window::default() }), 3..5);
        assert_eq!(page(Window { last: Some(2), before: at("c"), ..Window::default() }), 0..2);
        assert_eq!(page(Window { last: Some(2), before: at("a"), ..Window::default() }), 0..0);
    }

    #[test]
    fn first_is_applied_before_last() {
        assert_eq!(page(Window { first: Some(3), last: Some(1), ..Window::default() }), 2..3);
    }

    #[test]
    fn cursors_that_cross_leave_nothing() {
        assert_eq!(page(Window { after: at("d"), before: at("b"), ..Window::default() }), 4..4);
    }

    #[test]
    fn a_page_is_never_larger_than_the_limit() {
        assert_eq!(range(&cursors(), &Window::default(), 3).unwrap(), 0..3);
    }

    #[test]
    fn a_cursor_that_has_left_the_conversation_is_named() {
        let refused = range(&cursors(), &Window { after: at("z"), ..Window::default() }, 100).unwrap_err();
        assert_eq!(refused.message, "after is not a cursor of this conversation any more");
    }
}
