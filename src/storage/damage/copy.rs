//! Copying what can be read of a damaged database. A page that is damaged hides the rows on it and ends every walk
//! that comes to it: so each table is walked from both ends, and what lies between is asked for one by one.

use rusqlite::{Connection, Row, Statement, params_from_iter, types::Value};

/// As many rows as are asked for one by one between the two ends of a table.
const MOST_PROBES: i64 = 1_000_000;

/// Copies every row that can be read, of every table; returns what could not be.
pub(super) fn readable(source: &Connection, target: &Connection) -> Vec<String> {
    let tables = match tables(target) {
        Ok(tables) => tables,
        Err(error) => return vec![error.to_string()],
    };
    // Which thread a message belongs to is seen to at the end.
    let mut findings: Vec<String> =
        without_references(target).err().into_iter().map(|e| e.to_string()).collect();
    findings.extend(tables.iter().filter_map(|table| Table::of(source, target, table).copy().err()));
    findings.extend(complete(target).err().map(|error| error.to_string()));
    findings
}

pub(super) fn without_references(target: &Connection) -> rusqlite::Result<()> {
    target.pragma_update(None, "foreign_keys", false)
}

/// Those of the new database: the list in the damaged one may be damaged too.
fn tables(target: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    target.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Messages whose thread was lost get it back: of a lost thread no more is known than when its messages were, so it is
/// what threads are that nobody asked to be anything else. The oldest of an owner who has no main thread is that.
pub(super) fn complete(target: &Connection) -> rusqlite::Result<()> {
    if target.prepare("SELECT id FROM threads").is_err() {
        // Of an older version, which has one conversation for each user.
        return target.execute_batch(
            "INSERT OR IGNORE INTO conversations (owner, last_message_at)
             SELECT owner, max(timestamp) FROM messages GROUP BY owner",
        );
    }
    for table in ["messages", "outbox"] {
        target.execute_batch(&format!(
            "INSERT INTO threads (id, owner, conversation_type, is_main, title, created_at, last_message_at, checksum)
             SELECT *, row_checksum(id, owner, conversation_type, is_main, title, created_at, last_message_at)
             FROM (SELECT id, owner, 'duo_chat_legacy' AS conversation_type,
                 id = min(id) OVER (PARTITION BY owner)
                     AND NOT EXISTS (SELECT 1 FROM threads WHERE owner = lost.owner AND is_main) AS is_main,
                 NULL AS title, created_at, last_message_at
                 FROM (SELECT thread AS id, owner, min(timestamp) AS created_at, max(timestamp) AS last_message_at
                     FROM {table} WHERE thread NOT IN (SELECT id FROM threads) GROUP BY thread) AS lost)"
        ))?;
    }
    Ok(())
}

/// One table on its way.
struct Table<'c> {
    source: &'c Connection,
    target: &'c Connection,
    name: &'c str,
    /// Whether its rows have numbers, by which they can be asked for.
    is_numbered: bool,
    kept: usize,
    /// Rows that were read and are none of ours.
    strange: usize,
}

/// How far a walk has come, and why no further.
struct Walk {
    last: Option<i64>,
    end: rusqlite::Result<()>,
}

impl<'c> Table<'c> {
    fn of(source: &'c Connection, target: &'c Connection, name: &'c str) -> Self {
        let is_numbered = target.prepare(&format!("SELECT rowid FROM {name}")).is_ok();
        Self { source, target, name, is_numbered, kept: 0, strange: 0 }
    }

    fn copy(mut self) -> Result<(), String> {
        let forwards = self.walk("ASC");
        if forwards.end.is_err() {
            let backwards = self.walk("DESC");
            if let (Some(first), Some(last)) = (forwards.last, backwards.last) {
                self.probe(first, last);
            }
        }
        let (name, kept, strange) = (self.name, self.kept, self.strange);
        match forwards.end {
            Err(error) => Err(format!("{name}: not all of it can be read ({error}), {kept} rows were kept")),
            Ok(()) if strange > 0 => Err(format!("{name}: {strange} rows hold what is never written")),
            Ok(()) => Ok(()),
        }
    }

    fn walk(&mut self, direction: &str) -> Walk {
        let mut last = None;
        let end = self.try_walk(direction, &mut last);
        Walk { last, end }
    }

    fn try_walk(&mut self, direction: &str, last: &mut Option<i64>) -> rusqlite::Result<()> {
        let (number, order) = match self.is_numbered {
            true => ("rowid", format!("rowid {direction}")),
            // The table is its own key, of two columns.
            false => ("NULL", format!("2 {direction}, 3 {direction}")),
        };
        let sql = format!("SELECT {number}, * FROM {} NOT INDEXED ORDER BY {order}", self.name);
        let mut statement = self.source.prepare(&sql)?;
        let columns = columns(&statement);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            *last = row.get(0)?;
            self.put(&columns, row);
        }
        Ok(())
    }

    /// Asks for the rows between the last ones that two walks have come to.
    fn probe(&mut self, first: i64, last: i64) {
        for number in first.saturating_add(1)..last.min(first.saturating_add(MOST_PROBES)) {
            // One that is not there, or cannot be read, is no reason not to ask for the next.
            self.take(number).ok();
        }
    }

    fn take(&mut self, number: i64) -> rusqlite::Result<()> {
        let sql = format!("SELECT rowid, * FROM {} NOT INDEXED WHERE rowid = ?1", self.name);
        let mut statement = self.source.prepare_cached(&sql)?;
        let columns = columns(&statement);
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            self.put(&columns, row);
        }
        Ok(())
    }

    /// One that is there already came from the other end.
    fn put(&mut self, columns: &[String], row: &Row<'_>) {
        match self.try_put(columns, row) {
            Ok(rows) => self.kept += rows,
            Err(_) => self.strange += 1,
        }
    }

    fn try_put(&self, columns: &[String], row: &Row<'_>) -> rusqlite::Result<usize> {
        // The first one is the row's number.
        let values: Vec<Value> =
            (1..=columns.len()).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        let places: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
        let (names, places) = (columns.join(", "), places.join(", "));
        let sql = format!("INSERT INTO {} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING", self.name);
        self.target.prepare_cached(&sql)?.execute(params_from_iter(values))
    }
}

/// The table's own, without the row's number before them.
fn columns(statement: &Statement<'_>) -> Vec<String> {
    statement.column_names().skip(1).map(str::to_owned).collect()
}
