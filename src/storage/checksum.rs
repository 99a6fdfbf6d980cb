//! A checksum in every row that somebody is to be shown again. SQLite notices when the structure of its file is
//! damaged; a bit that has turned over inside a text it would hand out as it is.
//!
//! `row_checksum(…)` is a function of SQL, on every connection of the store: CRC-32 over its arguments, each with
//! its type and length, so that no two rows run into one another.

use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};

/// A table whose rows have a checksum, and what it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    pub table: &'static str,
    /// Every column but `checksum`, and but the place of a message, which the index keeps.
    pub columns: &'static str,
}

pub(super) const ACCEPTED: Checked = Checked {
    table: "accepted",
    columns: "request_id, owner, action, input, resource_id, project_id, resource, client_subscription_id, \
              platform_origin, thread, accepted_at, deadline, interruptions",
};

pub(super) const TERMINALS: Checked = Checked {
    table: "terminals",
    columns: "request_id, owner, action, resource_id, project_id, client_subscription_id, thread, outcome, \
              model, message_id, ended_at",
};

pub(super) const MESSAGES: Checked = Checked {
    table: "messages",
    columns: "owner, thread, id, request_id, role, content, timestamp, chunk_id, errors",
};

pub(super) const OUTBOX: Checked =
    Checked { table: "outbox", columns: "owner, thread, id, timestamp, message" };

pub(super) const THREADS: Checked = Checked {
    table: "threads",
    columns: "id, owner, conversation_type, is_main, title, created_at, last_message_at",
};

impl Checked {
    /// What the checksum of a row is, in SQL.
    pub fn sum(self) -> String {
        format!("row_checksum({})", self.columns)
    }

    /// Whether a row is as it was written, in SQL.
    pub fn intact(self) -> String {
        format!("checksum IS {}", self.sum())
    }

    /// Writes a row: a named parameter for each column.
    pub fn insert(self) -> String {
        let Self { table, columns } = self;
        let values: Vec<String> =
            columns.split(", ").map(|column| format!(":{column} AS {column}")).collect();
        let (values, sum) = (values.join(", "), self.sum());
        format!("INSERT INTO {table} ({columns}, checksum) SELECT {columns}, {sum} FROM (SELECT {values})")
    }

    /// A row with all its columns and whether it is `intact`.
    pub fn select(self) -> String {
        format!("SELECT *, {} AS intact FROM {}", self.intact(), self.table)
    }
}

/// Gives a connection the function `row_checksum`.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    const ANY_NUMBER: i32 = -1;
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_checksum", ANY_NUMBER, flags, |context| {
        let mut sum = crc32fast::Hasher::new();
        for index in 0..context.len() {
            add(&mut sum, context.get_raw(index));
        }
        Ok(i64::from(sum.finalize()))
    })
}

fn add(sum: &mut crc32fast::Hasher, value: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(number) => (1, &number.to_le_bytes()),
        ValueRef::Real(number) => (2, &number.to_le_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    sum.update(&[kind]);
    sum.update(&(bytes.len() as u64).to_le_bytes());
    sum.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(arguments: &str) -> i64 {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection.query_row(&format!("SELECT row_checksum({arguments})"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_same_row_has_the_same_checksum() {
        assert_eq!(sum("1, 'a', x'00', NULL"), sum("1, 'a', x'00', NULL"));
    }

    #[rstest::rstest]
    #[case::a_number("1, 'a'", "2, 'a'")]
    #[case::a_letter("1, 'a'", "1, 'b'")]
    #[case::a_type("'1'", "1")]
    #[case::text_or_bytes("'a'", "x'61'")]
    #[case::empty_or_none("''", "NULL")]
    #[case::where_one_ends_and_the_next_begins("'ab', 'c'", "'a', 'bc'")]
    #[case::the_order("'a', 'b'", "'b', 'a'")]
    #[case::one_more("'a'", "'a', NULL")]
    fn another_row_has_another(#[case] one: &str, #[case] other: &str) {
        assert_ne!(sum(one), sum(other));
    }
}
