//! Whether there is room for one more request. The last part of the database (`storage.reserve_bytes`) is for what
//! is accepted already: when no new request fits, those must still be able to end.

use std::fmt;

use rusqlite::Connection;

/// What must fit for the store to count as writable: a request with its resource, generously.
const REQUEST_BYTES: i32 = 256 * 1024;

/// No new request fits; the ends of those that are accepted do.
#[derive(Debug)]
pub(super) struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("storage.max_bytes is reached, but for the reserve")
    }
}

impl std::error::Error for NoRoom {}

impl From<NoRoom> for rusqlite::Error {
    fn from(error: NoRoom) -> Self {
        Self::UserFunctionError(Box::new(error))
    }
}

/// Whether more than the reserve is left.
pub(super) fn is_there(connection: &Connection, reserve_bytes: u64) -> rusqlite::Result<bool> {
    Ok(free_bytes(connection)? >= reserve_bytes)
}

/// What the database may still take, of its own free pages and of its growth.
fn free_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map(u64::from);
    let (most, used, free) = (pragma("max_page_count")?, pragma("page_count")?, pragma("freelist_count")?);
    Ok((most.saturating_sub(used) + free) * pragma("page_size")?)
}

/// Writes something of a request's size and takes it away again: fails when a request would fail.
pub(super) fn try_out(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO room VALUES (zeroblob(?1))")?.execute([REQUEST_BYTES])?;
    connection.prepare_cached("DELETE FROM room")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::schema::in_memory;

    #[test]
    fn the_reserve_is_kept_back_and_what_is_deleted_is_room_again() {
        let connection = in_memory();
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).unwrap();
        let (pages, free_pages) = (pragma("page_count"), u64::from(pragma("freelist_count")));
        let most = i64::from(pages) + 100;
        connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(())).unwrap();
        let free = free_bytes(&connection).unwrap();
        assert_eq!(free, (100 + free_pages) * 4096);
        assert!(is_there(&connection, free).unwrap());
        assert!(!is_there(&connection, free + 1).unwrap());

        connection.execute("INSERT INTO room VALUES (zeroblob(100000))", []).unwrap();
        assert!(!is_there(&connection, free).unwrap());
        connection.execute("DELETE FROM room", []).unwrap();
        assert!(is_there(&connection, free).unwrap());
    }
}
