//! The statements of the journal. A request is in `accepted` until it ends, then in `terminals`; never in both.
//!
//! A row that is not as it was written is as if it were not there, and is reported: one of them must not hold up
//! all the others.

use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use duologue_actors::{
    ports::{AcceptedRecord, Resource, TerminalRecord},
    protocol::{MessageId, RequestId, ThreadId},
};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    checksum::{ACCEPTED, TERMINALS},
    columns::{Global, Id, Json, Nanoseconds, Number, Owner, check_intact, count, readable},
};

static INSERT_ACCEPTED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE NOT EXISTS (SELECT 1 FROM terminals WHERE request_id = :request_id)
         ON CONFLICT (request_id) DO NOTHING",
        ACCEPTED.insert()
    )
});

/// Only rows that are as they were written: a sum over what is not would make it so.
static RAISE_INTERRUPTIONS: LazyLock<String> = LazyLock::new(|| {
    let raised = ACCEPTED.columns.replace("interruptions", "interruptions + 1");
    format!(
        "UPDATE accepted SET interruptions = interruptions + 1, checksum = row_checksum({raised}) WHERE {}",
        ACCEPTED.intact()
    )
});

static INSERT_TERMINAL: LazyLock<String> = LazyLock::new(|| TERMINALS.insert());
static TERMINAL: LazyLock<String> = LazyLock::new(|| format!("{} WHERE request_id = ?1", TERMINALS.select()));
static TERMINALS_SINCE: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE ended_at >= ?1 ORDER BY ended_at, request_id", TERMINALS.select()));
static UNFINISHED: LazyLock<String> =
    LazyLock::new(|| format!("{} ORDER BY accepted_at, request_id", ACCEPTED.select()));

/// Writes an accepted request. One that is there already, or has ended, stays as it is.
pub(super) fn accept(connection: &Connection, record: &AcceptedRecord) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&INSERT_ACCEPTED)?;
    statement.execute(named_params! {
        ":request_id": Id::from(record.request_id),
        ":owner": Owner(record.owner),
        ":action": record.action,
        ":input": Json(&record.input),
        ":resource_id": record.resource_id.clone().map(Global),
        ":project_id": record.project_id.clone().map(Global),
        ":resource": record.resource.as_deref().map(Json),
        ":client_subscription_id": record.client_subscription_id,
        ":platform_origin": record.platform_origin,
        ":thread": record.thread_id.map(Number),
        ":accepted_at": Nanoseconds(record.accepted_at),
        ":deadline": Nanoseconds(record.deadline),
        ":interruptions": record.interruptions,
    })?;
    Ok(())
}

/// Writes how a request ended, unless it has ended before; returns the terminal that stands.
pub(super) fn end(connection: &Connection, mut offered: TerminalRecord) -> rusqlite::Result<TerminalRecord> {
    if let Some(standing) = terminal(connection, offered.request_id)? {
        return Ok(standing);
    }
    // Whoever ends a request before its acceptance is known does not know its thread.
    if offered.thread_id.is_none() {
        offered.thread_id = accepted_thread(connection, offered.request_id)?;
    }
    let mut statement = connection.prepare_cached(&INSERT_TERMINAL)?;
    statement.execute(named_params! {
        ":request_id": Id::from(offered.request_id),
        ":owner": Owner(offered.owner),
        ":action": offered.action,
        ":resource_id": offered.resource_id.clone().map(Global),
        ":project_id": offered.project_id.clone().map(Global),
        ":client_subscription_id": offered.client_subscription_id,
        ":thread": offered.thread_id.map(Number),
        ":outcome": Json(&offered.outcome),
        ":model": offered.model,
        ":message_id": Id::from(offered.message_id),
        ":ended_at": Nanoseconds(offered.ended_at),
    })?;
    connection
        .prepare_cached("DELETE FROM accepted WHERE request_id = ?1")?
        .execute([Id::from(offered.request_id)])?;
    Ok(offered)
}

fn accepted_thread(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<ThreadId>> {
    let thread: Option<Option<Number>> = connection
        .prepare_cached("SELECT thread FROM accepted WHERE request_id = ?1")?
        .query_row([Id::from(id)], |row| row.get(0))
        .optional()?;
    Ok(thread.flatten().map(|number| number.0))
}

pub(super) fn terminal(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<TerminalRecord>> {
    connection.prepare_cached(&TERMINAL)?.query_row([Id::from(id)], terminal_record).optional()
}

/// Raises every unfinished request's `interruptions` and returns them all, oldest first.
pub(super) fn take_unfinished(connection: &Connection) -> rusqlite::Result<Vec<AcceptedRecord>> {
    connection.prepare_cached(&RAISE_INTERRUPTIONS)?.execute([])?;
    unfinished(connection)
}

/// The requests that have not ended, oldest first.
pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<AcceptedRecord>> {
    readable(connection, &UNFINISHED, [], accepted_record)
}

/// The terminals written at or after `since`, oldest first.
pub(super) fn terminals_since(
    connection: &Connection,
    since: SystemTime,
) -> rusqlite::Result<Vec<TerminalRecord>> {
    readable(connection, &TERMINALS_SINCE, [Nanoseconds(since)], terminal_record)
}

/// Forgets the requests that ended before `before`, at most so many; returns how many.
pub(super) fn forget_ended_before(
    connection: &Connection,
    before: SystemTime,
    most: usize,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM terminals WHERE rowid IN (
                 SELECT rowid FROM terminals WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
        )?
        .execute((Nanoseconds(before), count(most)))
}

pub(super) fn accepted_record(row: &Row<'_>) -> rusqlite::Result<AcceptedRecord> {
    check_intact(row)?;
    Ok(AcceptedRecord {
        request_id: request_id(row)?,
        owner: row.get::<_, Owner>("owner")?.0,
        action: row.get("action")?,
        input: row.get::<_, Json<_>>("input")?.0,
        resource_id: row.get::<_, Option<Global>>("resource_id")?.map(|id| id.0),
        project_id: row.get::<_, Option<Global>>("project_id")?.map(|id| id.0),
        resource: row.get::<_, Option<Json<Resource>>>("resource")?.map(|json| Arc::new(json.0)),
        client_subscription_id: row.get("client_subscription_id")?,
        platform_origin: row.get("platform_origin")?,
        thread_id: thread_id(row)?,
        accepted_at: row.get::<_, Nanoseconds>("accepted_at")?.0,
        deadline: row.get::<_, Nanoseconds>("deadline")?.0,
        interruptions: row.get("interruptions")?,
    })
}

pub(super) fn terminal_record(row: &Row<'_>) -> rusqlite::Result<TerminalRecord> {
    check_intact(row)?;
    Ok(TerminalRecord {
        request_id: request_id(row)?,
        owner: row.get::<_, Owner>("owner")?.0,
        action: row.get("action")?,
        resource_id: row.get::<_, Option<Global>>("resource_id")?.map(|id| id.0),
        project_id: row.get::<_, Option<Global>>("project_id")?.map(|id| id.0),
        client_subscription_id: row.get("client_subscription_id")?,
        thread_id: thread_id(row)?,
        outcome: row.get::<_, Json<_>>("outcome")?.0,
        model: row.get("model")?,
        message_id: MessageId(row.get::<_, Id>("message_id")?.0),
        ended_at: row.get::<_, Nanoseconds>("ended_at")?.0,
    })
}

fn thread_id(row: &Row<'_>) -> rusqlite::Result<Option<ThreadId>> {
    Ok(row.get::<_, Option<Number>>("thread")?.map(|number| number.0))
}

fn request_id(row: &Row<'_>) -> rusqlite::Result<RequestId> {
    Ok(RequestId::from(row.get::<_, Id>("request_id")?.0))
}

#[cfg(test)]
pub(super) use self::tests::{a_terminal, an_accepted, at, plain};

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use duologue_actors::{
        ports::{Acceptance, Comment, IdempotencyKey},
        protocol::{Failure, GlobalId, Hop, Outcome, UserId},
    };
    use rusqlite::Connection;

    use super::*;
    use crate::storage::schema::in_memory;

    /// So many seconds into the test.
    pub fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::new(1_787_000_000 + second, 123_456_789)
    }

    /// A request accepted at that second, with every field filled.
    pub fn an_accepted(second: u64) -> AcceptedRecord {
        AcceptedRecord {
            request_id: RequestId::new(),
            owner: UserId(1),
            action: "chat".to_owned(),
            input: serde_json::from_str(r#"{"content": "why?", "nested": {"n": [1, null, true]}}"#).unwrap(),
            resource_id: Some(GlobalId::of("Issue", 52)),
            project_id: Some(GlobalId::of("Project", 20)),
            resource: Some(Arc::new(Resource {
                id: GlobalId::of("Issue", 52),
                title: "Slow \"pipeline\"".to_owned(),
                description: "Zeile eins\nLinie zwei".to_owned(),
                comments: vec![Comment { author: "bob".to_owned(), text: "👍".to_owned() }],
            })),
            client_subscription_id: Some("randomId".to_owned()),
            platform_origin: Some("vs_code_extension".to_owned()),
            thread_id: Some(ThreadId(1_787_000_000_000_000 + second)),
            accepted_at: at(second),
            deadline: at(second + 120),
            interruptions: 0,
        }
    }

    /// A request that keeps no conversation, to be accepted.
    pub fn plain(record: AcceptedRecord, key: Option<IdempotencyKey>) -> Acceptance {
        Acceptance { record: AcceptedRecord { thread_id: None, ..record }, key, question: None }
    }

    /// A completed end of the request, two seconds after it was accepted.
    pub fn a_terminal(record: &AcceptedRecord, content: &str) -> TerminalRecord {
        TerminalRecord {
            request_id: record.request_id,
            owner: record.owner,
            action: record.action.clone(),
            resource_id: record.resource_id.clone(),
            project_id: record.project_id.clone(),
            client_subscription_id: record.client_subscription_id.clone(),
            thread_id: record.thread_id,
            outcome: Outcome::Completed { content: content.to_owned() },
            model: Some("embedded/extractive".to_owned()),
            message_id: MessageId::new(),
            ended_at: record.accepted_at + Duration::from_secs(2),
        }
    }

    fn unfinished(connection: &Connection) -> Vec<RequestId> {
        super::unfinished(connection).unwrap().iter().map(|record| record.request_id).collect()
    }

    #[test]
    fn every_field_of_a_request_comes_back() {
        let connection = in_memory();
        let full = an_accepted(1);
        let bare = AcceptedRecord {
            input: serde_json::Map::new(),
            resource_id: None,
            resource: None,
            client_subscription_id: None,
            platform_origin: None,
            thread_id: None,
            ..an_accepted(2)
        };
        accept(&connection, &full).unwrap();
        accept(&connection, &bare).unwrap();
        let taken = take_unfinished(&connection).unwrap();
        let raised = |record| AcceptedRecord { interruptions: 1, ..record };
        assert_eq!(taken, [raised(full), raised(bare)]);
    }

    #[test]
    fn unfinished_requests_come_oldest_first_and_finished_ones_do_not() {
        let connection = in_memory();
        let (late, early, done) = (an_accepted(9), an_accepted(1), an_accepted(5));
        for record in [&late, &done, &early] {
            accept(&connection, record).unwrap();
        }
        end(&connection, a_terminal(&done, "42")).unwrap();
        assert_eq!(unfinished(&connection), [early.request_id, late.request_id]);
    }

    #[test]
    fn the_first_terminal_stands_whatever_comes_later() {
        let connection = in_memory();
        let record = an_accepted(1);
        accept(&connection, &record).unwrap();
        let first = a_terminal(&record, "42");
        let mut second = a_terminal(&record, "");
        second.outcome = Outcome::Failed { failure: Failure::internal(Hop::Cache), partial: String::new() };
        assert_eq!(end(&connection, first.clone()).unwrap(), first);
        assert_eq!(end(&connection, second).unwrap(), first);
        assert_eq!(terminal(&connection, record.request_id).unwrap(), Some(first));
    }

    #[test]
    fn the_end_of_a_request_is_in_its_thread_also_when_whoever_ends_it_does_not_know_which() {
        let connection = in_memory();
        let record = an_accepted(1);
        accept(&connection, &record).unwrap();
        let unaware = TerminalRecord { thread_id: None, ..a_terminal(&record, "42") };
        assert_eq!(end(&connection, unaware).unwrap().thread_id, record.thread_id);
        assert_eq!(terminal(&connection, record.request_id).unwrap().unwrap().thread_id, record.thread_id);
    }

    #[test]
    fn accepting_twice_is_accepting_once_and_what_has_ended_stays_ended() {
        let connection = in_memory();
        let record = an_accepted(1);
        accept(&connection, &record).unwrap();
        accept(&connection, &record).unwrap();
        assert_eq!(unfinished(&connection), [record.request_id]);
        end(&connection, a_terminal(&record, "42")).unwrap();
        accept(&connection, &record).unwrap();
        assert_eq!(unfinished(&connection), []);
    }

    #[test]
    fn terminals_are_listed_from_a_moment_on_oldest_first() {
        let connection = in_memory();
        let [first, second, third] =
            [1, 2, 3].map(|second| a_terminal(&an_accepted(second), &second.to_string()));
        for terminal in [&third, &first, &second] {
            end(&connection, terminal.clone()).unwrap();
        }
        assert_eq!(terminals_since(&connection, second.ended_at).unwrap(), [second, third]);
    }

    #[test]
    fn only_requests_that_ended_before_the_moment_are_forgotten() {
        let connection = in_memory();
        let [gone, kept] = [1, 2].map(|second| a_terminal(&an_accepted(second), "42"));
        let running = an_accepted(0);
        accept(&connection, &running).unwrap();
        for terminal in [&gone, &kept] {
            end(&connection, terminal.clone()).unwrap();
        }
        assert_eq!(forget_ended_before(&connection, kept.ended_at, 10).unwrap(), 1);
        assert_eq!(terminals_since(&connection, at(0)).unwrap(), [kept]);
        assert_eq!(unfinished(&connection), [running.request_id]);
    }

    #[test]
    fn a_row_that_was_altered_is_as_if_it_were_not_there_and_stays_so() {
        let connection = in_memory();
        let [altered, sound] = [1, 2].map(an_accepted);
        let [altered_end, sound_end] = [3, 4].map(|second| a_terminal(&an_accepted(second), "42"));
        for record in [&altered, &sound] {
            accept(&connection, record).unwrap();
        }
        for terminal in [&altered_end, &sound_end] {
            end(&connection, terminal.clone()).unwrap();
        }
        let id = Id::from(altered.request_id);
        connection.execute("UPDATE accepted SET owner = 3 WHERE request_id = ?1", [id]).unwrap();
        let id = Id::from(altered_end.request_id);
        connection.execute("UPDATE terminals SET owner = 3 WHERE request_id = ?1", [id]).unwrap();

        for interruptions in 1..=2 {
            let taken = take_unfinished(&connection).unwrap();
            assert_eq!(taken, [AcceptedRecord { interruptions, ..sound.clone() }]);
        }
        assert_eq!(terminals_since(&connection, at(0)).unwrap(), [sound_end]);
        assert!(terminal(&connection, altered_end.request_id).is_err());
    }

    #[test]
    fn no_more_are_forgotten_at_a_time_than_asked_oldest_first() {
        let connection = in_memory();
        let ends = [1, 2, 3].map(|second| a_terminal(&an_accepted(second), "42"));
        for terminal in &ends {
            end(&connection, terminal.clone()).unwrap();
        }
        assert_eq!(forget_ended_before(&connection, at(100), 2).unwrap(), 2);
        assert_eq!(terminals_since(&connection, at(0)).unwrap(), ends[2..]);
    }
}
