//! `aiMessages`: the caller's conversation, oldest first, page by page. Nobody has any but their own.

use std::{
    fmt::{self, Display},
    ops::Range,
    sync::Arc,
    time::SystemTime,
};

use async_graphql::{
    Result, Value,
    dynamic::{
        Field, FieldFuture, FieldValue, InputValue, Object, ObjectAccessor, ResolverContext, SchemaBuilder,
        TypeRef,
    },
};
use duologue_actors::protocol::{ChatMessage, RequestId};
use uuid::Uuid;

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
    before: Option<Cursor>,
    after: Option<Cursor>,
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
    let cursors: Vec<_> = wanted.iter().map(|message| Cursor::of(message)).collect();
    let range = range(&cursors, &window, parts.config.max_page_size);
    let (has_previous, has_next) = (range.start > 0, range.end < wanted.len());
    let messages = wanted.into_iter().take(range.end).skip(range.start).collect();
    Ok(Page { messages, has_previous, has_next })
}

/// The place of a message. It outlives the message: of a conversation the oldest go first, and whoever holds the
/// cursor of one that has gone goes on with those that came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    id: Uuid,
    /// Since 1970.
    nanoseconds: u128,
}

impl Cursor {
    fn of(message: &ChatMessage) -> Self {
        let since = message.timestamp.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { id: message.id.0, nanoseconds: since.as_nanos() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (nanoseconds, id) = text.split_once('.')?;
        Some(Self { id: id.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
    }
}

impl Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.nanoseconds, self.id)
    }
}

fn window(arguments: &ObjectAccessor<'_>, max_page_size: usize) -> Result<Window> {
    let count = |name: &str| match arguments.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => usize::try_from(value.i64()?)
            .map(|count| Some(count.min(max_page_size)))
            .map_err(|_| error::invalid_input(format!("{name} can't be negative"))),
    };
    let cursor = |name: &str| {
        let Some(value) = arguments.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let cursor = Cursor::parse(value.string()?);
        cursor.map(Some).ok_or_else(|| error::invalid_input(format!("{name} is not a cursor of aiMessages")))
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
fn range(cursors: &[Cursor], window: &Window, max_page_size: usize) -> Range<usize> {
    let mut start = window.after.map_or(0, |after| match place(cursors, after) {
        Ok(place) => place + 1,
        Err(next) => next,
    });
    let before = window.before.map(|before| place(cursors, before).unwrap_or_else(|next| next));
    let mut end = before.unwrap_or(cursors.len()).max(start);
    if let Some(first) = window.first {
        end = end.min(start + first);
    }
    if let Some(last) = window.last {
        start = start.max(end.saturating_sub(last));
    }
    start..end.min(start + max_page_size)
}

/// Where the message is, or else the first one that came after it.
fn place(cursors: &[Cursor], cursor: Cursor) -> std::result::Result<usize, usize> {
    let known = cursors.iter().position(|known| known.id == cursor.id);
    let next = || cursors.iter().position(|known| known.nanoseconds > cursor.nanoseconds);
    known.ok_or_else(|| next().unwrap_or(cursors.len()))
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
            FieldFuture::from_value(message.map(|message| Cursor::of(message).to_string().into()))
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
            page.messages.first().map(|message| Cursor::of(message).to_string().into())
        }))
        .field(field("endCursor", TypeRef::named(TypeRef::STRING), |page| {
            page.messages.last().map(|message| Cursor::of(message).to_string().into())
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of that second; they have the ids 1, 2, 3 ...
    fn message(second: u8) -> Cursor {
        Cursor { id: Uuid::from_u128(second.into()), nanoseconds: u128::from(second) * 1_000_000_000 }
    }

    fn at(second: u8) -> Option<Cursor> {
        Some(message(second))
    }

    fn page(window: Window) -> Range<usize> {
        range(&[1, 2, 3, 4, 5].map(message), &window, 100)
    }

    #[test]
    fn without_arguments_everything_is_on_the_page() {
        assert_eq!(page(Window::default()), 0..5);
    }

    #[test]
    fn first_and_after_go_forwards() {
        assert_eq!(page(Window { first: Some(2), ..Window::default() }), 0..2);
        assert_eq!(page(Window { first: Some(2), after: at(2), ..Window::default() }), 2..4);
        assert_eq!(page(Window { first: Some(2), after: at(5), ..Window::default() }), 5..5);
    }

    #[test]
    fn last_and_before_go_backwards() {
        assert_eq!(page(Window { last: Some(2), ..Window::default() }), 3..5);
        assert_eq!(page(Window { last: Some(2), before: at(3), ..Window::default() }), 0..2);
        assert_eq!(page(Window { last: Some(2), before: at(1), ..Window::default() }), 0..0);
    }

    #[test]
    fn first_is_applied_before_last() {
        assert_eq!(page(Window { first: Some(3), last: Some(1), ..Window::default() }), 2..3);
    }

    #[test]
    fn cursors_that_cross_leave_nothing() {
        assert_eq!(page(Window { after: at(4), before: at(2), ..Window::default() }), 4..4);
    }

    #[test]
    fn a_page_is_never_larger_than_the_limit() {
        assert_eq!(range(&[1, 2, 3, 4, 5].map(message), &Window::default(), 3), 0..3);
    }

    #[test]
    fn whoever_holds_the_cursor_of_a_message_that_is_gone_misses_none_that_is_there() {
        let left = [4, 5, 6].map(message);
        let page = |window| range(&left, &window, 100);
        assert_eq!(page(Window { after: at(2), ..Window::default() }), 0..3);
        assert_eq!(page(Window { first: Some(2), after: at(2), ..Window::default() }), 0..2);
        assert_eq!(page(Window { before: at(2), ..Window::default() }), 0..0);
        assert_eq!(page(Window { after: at(9), ..Window::default() }), 3..3);
    }

    #[test]
    fn of_messages_of_one_moment_a_cursor_names_one() {
        let twin = |id: u128| Cursor { id: Uuid::from_u128(id), nanoseconds: 7 };
        let twins = [1, 2, 3].map(twin);
        let window = Window { after: Some(twin(2)), ..Window::default() };
        assert_eq!(range(&twins, &window, 100), 2..3);
    }

    #[rstest::rstest]
    #[case("")]
    #[case("7")]
    #[case("7.x")]
    #[case("x.00000000-0000-0000-0000-000000000001")]
    fn what_is_no_cursor_is_none(#[case] text: &str) {
        assert_eq!(Cursor::parse(text), None);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        assert_eq!(Cursor::parse(&message(3).to_string()), at(3));
    }
}
