//! How values stand in a column, and what a failing statement means to the actors.
//!
//! Times are integer nanoseconds since the Unix epoch, so that a time comes back exactly as it was
//! written; the 64 bits last until the year 2262. Ids are their 16 bytes. Structures are JSON text.

use std::{
    any::type_name,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use duologue_actors::{
    ports::StoreError,
    protocol::{ConversationType, GlobalId, MessageId, RequestId, Role, ThreadId, UserId},
};
use rusqlite::{
    Connection, ErrorCode, Params, Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::room::NoRoom;

/// A time.
#[derive(Clone, Copy)]
pub(super) struct Nanoseconds(pub SystemTime);

/// A request's or a message's id.
#[derive(Clone, Copy)]
pub(super) struct Id(pub Uuid);

/// A user's number. SQLite's integers are signed: the upper half of the numbers is stored as negative.
#[derive(Clone, Copy)]
pub(super) struct Owner(pub UserId);

/// A thread's number.
#[derive(Clone, Copy)]
pub(super) struct Number(pub ThreadId);

/// A type of threads by its name.
pub(super) struct Kind(pub ConversationType);

/// A global id as people write it.
pub(super) struct Global(pub GlobalId);

/// A role by its name.
pub(super) struct Speaker(pub Role);

/// Anything else that has structure.
pub(super) struct Json<T>(pub T);

/// What stands in a column is not what this server writes there. Names the type, never the content.
#[derive(Debug, thiserror::Error)]
#[error("not a {0}")]
struct Unreadable(&'static str);

fn unreadable<T>() -> FromSqlError {
    FromSqlError::other(Unreadable(type_name::<T>()))
}

/// What a failed statement or commit means to the one who asked for it. Never holds a stored value.
pub(super) fn store_error(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, UserFunctionError, Utf8Error,
    };
    match error {
        FromSqlConversionFailure(column, _, why) => StoreError::Corrupt(format!("column {column}: {why}")),
        InvalidColumnType(_, name, found) => StoreError::Corrupt(format!("column {name}: holds {found}")),
        IntegralValueOutOfRange(column, _) => StoreError::Corrupt(format!("column {column}: out of range")),
        Utf8Error(column, why) => StoreError::Corrupt(format!("column {column}: {why}")),
        UserFunctionError(why) if why.is::<NoRoom>() => StoreError::Full(why.to_string()),
        other => match other.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt(other.to_string())
            }
            _ => StoreError::Unavailable(other.to_string()),
        },
    }
}

/// Fails unless the row, which says so as `intact`, is as it was written.
pub(super) fn check_intact(row: &Row<'_>) -> rusqlite::Result<()> {
    if row.get("intact")? {
        return Ok(());
    }
    let altered = Box::new(Unreadable("row as it was written"));
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, altered))
}

/// The rows that are as they were written. One that is not is reported, and holds up no other.
pub(super) fn readable<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(record) => found.push(record),
            Err(error) if is_unreadable(&error) => tracing::error!(%error, "storage.row.unreadable"),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether it is the content of a row that could not be read, and the next row may be.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_none()
}

/// The beginning of a text.
pub(super) fn first_characters(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// A bound, as SQL takes one.
pub(super) fn count(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

impl ToSql for Nanoseconds {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let nanoseconds = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
        Ok(match self.0.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        }
        .into())
    }
}

impl FromSql for Nanoseconds {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let nanoseconds = value.as_i64()?;
        let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
        let time =
            if nanoseconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.map(Self).ok_or(FromSqlError::OutOfRange(nanoseconds))
    }
}

impl From<RequestId> for Id {
    fn from(id: RequestId) -> Self {
        Self(id.as_uuid())
    }
}

impl From<MessageId> for Id {
    fn from(id: MessageId) -> Self {
        Self(id.0)
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::from_slice(value.as_blob()?).map(Self).map_err(|_| unreadable::<Uuid>())
    }
}

impl ToSql for Owner {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.0.cast_signed().into())
    }
}

impl FromSql for Owner {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(UserId(value.as_i64()?.cast_unsigned())))
    }
}

impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.0.cast_signed().into())
    }
}

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(ThreadId(value.as_i64()?.cast_unsigned())))
    }
}

impl ToSql for Kind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.name().into())
    }
}

impl FromSql for Kind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        ConversationType::named(value.as_str()?).map(Self).ok_or_else(unreadable::<ConversationType>)
    }
}

impl ToSql for Global {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for Global {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(|_| unreadable::<GlobalId>())
    }
}

impl ToSql for Speaker {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_str().into())
    }
}

impl FromSql for Speaker {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        [Role::User, Role::Assistant, Role::System]
            .into_iter()
            .find(|role| role.as_str() == name)
            .map(Self)
            .ok_or_else(unreadable::<Role>)
    }
}

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|_| unreadable::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: FromSql>(value: impl ToSql) -> T {
        let connection = Connection::open_in_memory().unwrap();
        connection.query_row("SELECT ?1", [value], |row| row.get(0)).unwrap()
    }

    #[rstest::rstest]
    #[case(UNIX_EPOCH + Duration::new(1_787_000_000, 123_456_789))]
    #[case(UNIX_EPOCH - Duration::from_nanos(1))]
    fn a_time_comes_back_to_the_nanosecond(#[case] time: SystemTime) {
        assert_eq!(there_and_back::<Nanoseconds>(Nanoseconds(time)).0, time);
    }

    #[rstest::rstest]
    #[case(0)]
    #[case(u64::MAX)]
    fn every_user_number_comes_back(#[case] number: u64) {
        assert_eq!(there_and_back::<Owner>(Owner(UserId(number))).0, UserId(number));
    }

    #[rstest::rstest]
    #[case("", 3, "")]
    #[case("abc", 3, "abc")]
    #[case("abcd", 3, "abc")]
    #[case("äöüß", 3, "äöü")]
    #[case("a👍🏽b", 2, "a👍")]
    #[case("abc", 0, "")]
    fn a_text_is_cut_after_so_many_characters(#[case] text: &str, #[case] most: usize, #[case] cut: &str) {
        assert_eq!(first_characters(text, most), cut);
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_and_its_content_is_not_told() {
        let connection = Connection::open_in_memory().unwrap();
        let error = connection
            .query_row(r#"SELECT '{"secret answer":1'"#, [], |row| row.get::<_, Json<Vec<String>>>(0))
            .map(|json| json.0)
            .map_err(store_error)
            .unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_full_disk_is_unavailable_not_corrupt() {
        let full =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        assert!(matches!(store_error(full), StoreError::Unavailable(_)));
    }
}
