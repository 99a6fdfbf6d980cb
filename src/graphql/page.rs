//! Lists page by page, as Relay's specification of connections has them.

use std::{
    fmt::{self, Display},
    ops::Range,
    str::FromStr,
    sync::Arc,
    time::SystemTime,
};

use async_graphql::{
    Result, Value,
    dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, ObjectAccessor, ResolverContext, TypeRef},
};

use super::error;

const PAGE_INFO: &str = "PageInfo";

/// What a list is of.
pub(super) trait Entry: Send + Sync + 'static {
    type Id: Copy + PartialEq + Display + FromStr;
    const ORDER: Order;

    fn id(&self) -> Self::Id;
    /// What the list is sorted by.
    fn moment(&self) -> SystemTime;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// One page of a list.
pub(super) struct Page<T> {
    entries: Vec<Arc<T>>,
    info: Info,
}

#[derive(Clone, Default)]
struct Info {
    has_previous: bool,
    has_next: bool,
    start: Option<String>,
    end: Option<String>,
}

impl<T: Entry> Page<T> {
    pub(super) fn empty() -> Self {
        Self { entries: Vec::new(), info: Info::default() }
    }

    /// The part of `list` that is wanted.
    pub(super) fn of(list: Vec<T>, window: &Window<T::Id>, max_page_size: usize) -> Self {
        let cursors: Vec<_> = list.iter().map(Cursor::of).collect();
        let range = range(&cursors, window, max_page_size, T::ORDER);
        let (has_previous, has_next) = (range.start > 0, range.end < list.len());
        let shown = cursors.get(range.clone()).unwrap_or_default();
        let (start, end) = (shown.first().map(Cursor::to_string), shown.last().map(Cursor::to_string));
        let entries = list.into_iter().take(range.end).skip(range.start).map(Arc::new).collect();
        Self { entries, info: Info { has_previous, has_next, start, end } }
    }
}

/// The place of an entry. It outlives the entry: whoever holds the cursor of one that has gone goes on with those that
/// come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor<I> {
    id: I,
    /// Since 1970.
    nanoseconds: u128,
}

impl<I: FromStr> Cursor<I> {
    fn of<T: Entry<Id = I>>(entry: &T) -> Self {
        let since = entry.moment().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { id: entry.id(), nanoseconds: since.as_nanos() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (nanoseconds, id) = text.split_once('.')?;
        Some(Self { id: id.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
    }
}

impl<I: Display> Display for Cursor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.nanoseconds, self.id)
    }
}

/// Which part of a list is wanted.
#[derive(Debug)]
pub(super) struct Window<I> {
    first: Option<usize>,
    last: Option<usize>,
    before: Option<Cursor<I>>,
    after: Option<Cursor<I>>,
}

impl<I: FromStr> Window<I> {
    /// What the arguments of `field` say.
    ///
    /// # Errors
    /// When one of them cannot be one.
    pub(super) fn of(arguments: &ObjectAccessor<'_>, max_page_size: usize, field: &str) -> Result<Self> {
        let count = |name: &str| match arguments.get(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => usize::try_from(value.i64()?)
                .map(|count| Some(count.min(max_page_size)))
                .map_err(|_| error::invalid_input(format!("{name} can't be negative"))),
        };
        let cursor = |name: &str| {
            let Some(value) = arguments.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
            let cursor = Cursor::parse(value.string()?);
            cursor.map(Some).ok_or_else(|| error::invalid_input(format!("{name} is not a cursor of {field}")))
        };
        Ok(Self {
            first: count("first")?,
            last: count("last")?,
            before: cursor("before")?,
            after: cursor("after")?,
        })
    }
}

/// Gives a field the arguments of a list.
pub(super) fn with_arguments(field: Field) -> Field {
    field
        .argument(InputValue::new("first", TypeRef::named(TypeRef::INT)))
        .argument(InputValue::new("last", TypeRef::named(TypeRef::INT)))
        .argument(InputValue::new("before", TypeRef::named(TypeRef::STRING)))
        .argument(InputValue::new("after", TypeRef::named(TypeRef::STRING)))
}

/// What a page of entries of the type `node` looks like.
pub(super) fn connection<T: Entry>(name: &str, node: &str, edge: &str) -> Object {
    Object::new(name)
        .field(Field::new("nodes", TypeRef::named_list(node), list::<T>))
        .field(Field::new("edges", TypeRef::named_list(edge), list::<T>))
        .field(Field::new("pageInfo", TypeRef::named_nn(PAGE_INFO), |context| {
            let page = context.parent_value.downcast_ref::<Page<T>>();
            FieldFuture::Value(page.map(|page| FieldValue::owned_any(page.info.clone())))
        }))
}

fn list<'a, T: Entry>(context: ResolverContext<'a>) -> FieldFuture<'a> {
    let page = context.parent_value.downcast_ref::<Page<T>>();
    FieldFuture::Value(
        page.map(|page| FieldValue::list(page.entries.iter().cloned().map(FieldValue::owned_any))),
    )
}

/// An entry with its cursor.
pub(super) fn edge<T: Entry>(name: &str, node: &str) -> Object {
    Object::new(name)
        .field(Field::new("cursor", TypeRef::named_nn(TypeRef::STRING), |context| {
            let entry = context.parent_value.downcast_ref::<Arc<T>>();
            FieldFuture::from_value(entry.map(|entry| Cursor::of(entry.as_ref()).to_string().into()))
        }))
        .field(Field::new("node", TypeRef::named(node), |context| {
            let entry = context.parent_value.downcast_ref::<Arc<T>>();
            FieldFuture::Value(entry.cloned().map(FieldValue::owned_any))
        }))
}

pub(super) fn info() -> Object {
    let field = |name, type_ref, read: fn(&Info) -> Option<Value>| {
        Field::new(name, type_ref, move |context| {
            FieldFuture::from_value(context.parent_value.downcast_ref::<Info>().and_then(read))
        })
    };
    let (boolean, string) = (TypeRef::named_nn(TypeRef::BOOLEAN), TypeRef::named(TypeRef::STRING));
    Object::new(PAGE_INFO)
        .field(field("hasNextPage", boolean.clone(), |info| Some(info.has_next.into())))
        .field(field("hasPreviousPage", boolean, |info| Some(info.has_previous.into())))
        .field(field("startCursor", string.clone(), |info| info.start.as_deref().map(Value::from)))
        .field(field("endCursor", string, |info| info.end.as_deref().map(Value::from)))
}

/// Applies cursors, then `first`, then `last`, as Relay's specification orders them.
fn range<I: Copy + PartialEq>(
    cursors: &[Cursor<I>],
    window: &Window<I>,
    max_page_size: usize,
    order: Order,
) -> Range<usize> {
    let mut start = window.after.map_or(0, |after| match place(cursors, after, order) {
        Ok(place) => place + 1,
        Err(next) => next,
    });
    let before = window.before.map(|before| place(cursors, before, order).unwrap_or_else(|next| next));
    let mut end = before.unwrap_or(cursors.len()).max(start);
    if let Some(first) = window.first {
        end = end.min(start + first);
    }
    if let Some(last) = window.last {
        start = start.max(end.saturating_sub(last));
    }
    start..end.min(start + max_page_size)
}

/// Where the entry is, or else the first one that comes after it.
fn place<I: Copy + PartialEq>(
    cursors: &[Cursor<I>],
    cursor: Cursor<I>,
    order: Order,
) -> std::result::Result<usize, usize> {
    // An entry that has moved since is somewhere else: what comes after its old place goes on from there.
    let known = cursors.iter().position(|known| *known == cursor);
    let comes_after = |known: &Cursor<I>| match order {
        Order::OldestFirst => known.nanoseconds > cursor.nanoseconds,
        Order::NewestFirst => known.nanoseconds < cursor.nanoseconds,
    };
    known.ok_or_else(|| cursors.iter().position(comes_after).unwrap_or(cursors.len()))
}

#[cfg(test)]
mod tests;
