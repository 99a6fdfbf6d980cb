//! Rows that cannot be shown again: their checksum says that they are not as they were written, or they hold what
//! this server never writes.

use std::fmt;

use rusqlite::{Connection, Row};

use super::{
    checksum::{self, Checked},
    copy, journal,
};
use crate::storage::{conversation, outbox, threads};

/// A row that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Unreadable {
    table: &'static str,
    row: i64,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of {} is not as it was written", self.row, self.table)
    }
}

/// Every row that cannot be shown again.
pub(in crate::storage) fn unreadable(connection: &Connection) -> rusqlite::Result<Vec<Unreadable>> {
    let mut found = of_table(connection, checksum::ACCEPTED, |row| journal::accepted_record(row).map(drop))?;
    found.extend(of_table(connection, checksum::TERMINALS, |row| journal::terminal_record(row).map(drop))?);
    found.extend(of_table(connection, checksum::MESSAGES, |row| conversation::chat_message(row).map(drop))?);
    found.extend(of_table(connection, checksum::OUTBOX, |row| outbox::message(row).map(drop))?);
    found.extend(of_table(connection, checksum::THREADS, |row| threads::kept(row).map(drop))?);
    Ok(found)
}

fn of_table(
    connection: &Connection,
    checked: Checked,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Vec<Unreadable>> {
    let sql = format!("SELECT *, rowid AS place, {} AS intact FROM {}", checked.intact(), checked.table);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if read(row).is_err() {
            found.push(Unreadable { table: checked.table, row: row.get("place")? });
        }
    }
    Ok(found)
}

/// Takes them out. What belonged to one of them stays: the messages of a thread are not damaged with its row.
pub(super) fn remove(connection: &mut Connection, found: &[Unreadable]) -> rusqlite::Result<()> {
    copy::without_references(connection)?;
    let transaction = connection.transaction()?;
    for Unreadable { table, row } in found {
        transaction.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [row])?;
    }
    copy::complete(&transaction)?;
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)
}
