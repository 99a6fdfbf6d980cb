//! The statements of the idempotency keys: which request of its owner's a key stands for.

use std::time::SystemTime;

use duologue_actors::{
    ports::{AcceptedRecord, IdempotencyKey, Taken},
    protocol::{RequestId, UserId},
};
use rusqlite::{Connection, OptionalExtension};

use super::columns::{Id, Nanoseconds, Number, Owner, count};

/// What becomes of a request of `owner` by its key alone; `None` when the key is new.
pub(super) fn look_up(
    connection: &Connection,
    owner: UserId,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<Taken>> {
    let used: Option<(Vec<u8>, Id, Option<Number>)> = connection
        .prepare_cached(
            "SELECT fingerprint, request_id, thread FROM idempotency_keys WHERE owner = ?1 AND key = ?2",
        )?
        .query_row((Owner(owner), &key.key), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(used.map(|(fingerprint, Id(id), thread)| {
        let (request_id, thread_id) = (RequestId::from(id), thread.map(|number| number.0));
        if fingerprint == key.fingerprint {
            Taken::Repeats { request_id, thread_id }
        } else {
            Taken::Conflicts
        }
    }))
}

/// From now on the key stands for this request.
pub(super) fn take(
    connection: &Connection,
    record: &AcceptedRecord,
    key: &IdempotencyKey,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_keys (owner, key, fingerprint, request_id, thread, used_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            Owner(record.owner),
            &key.key,
            key.fingerprint,
            Id::from(record.request_id),
            record.thread_id.map(Number),
            Nanoseconds(record.accepted_at),
        ))?;
    Ok(())
}

/// Forgets the keys that were used before `before`, at most so many; returns how many.
pub(super) fn forget_used_before(
    connection: &Connection,
    before: SystemTime,
    most: usize,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE (owner, key) IN (
                 SELECT owner, key FROM idempotency_keys WHERE used_at < ?1 ORDER BY used_at LIMIT ?2)",
        )?
        .execute((Nanoseconds(before), count(most)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{
        journal::{an_accepted, at},
        schema::in_memory,
    };

    /// What a request comes to that has a key.
    fn use_key(
        connection: &Connection,
        record: &AcceptedRecord,
        key: &IdempotencyKey,
    ) -> rusqlite::Result<Option<Taken>> {
        let known = look_up(connection, record.owner, key)?;
        if known.is_none() {
            take(connection, record, key)?;
        }
        Ok(known)
    }

    fn repeats(record: &AcceptedRecord) -> Option<Taken> {
        Some(Taken::Repeats { request_id: record.request_id, thread_id: record.thread_id })
    }

    fn key(name: &str, body: u8) -> IdempotencyKey {
        IdempotencyKey { key: name.to_owned(), fingerprint: [body; 32] }
    }

    #[test]
    fn the_same_key_with_the_same_body_is_the_first_request_in_its_thread() {
        let connection = in_memory();
        let [first, second] = [1, 2].map(an_accepted);
        assert_eq!(use_key(&connection, &first, &key("k", 1)).unwrap(), None);
        assert_eq!(use_key(&connection, &second, &key("k", 1)).unwrap(), repeats(&first));
        assert_eq!(use_key(&connection, &second, &key("other", 1)).unwrap(), None);
    }

    #[test]
    fn the_same_key_with_another_body_conflicts_and_changes_nothing() {
        let connection = in_memory();
        let [first, second] = [1, 2].map(an_accepted);
        use_key(&connection, &first, &key("k", 1)).unwrap();
        assert_eq!(use_key(&connection, &second, &key("k", 2)).unwrap(), Some(Taken::Conflicts));
        assert_eq!(use_key(&connection, &second, &key("k", 1)).unwrap(), repeats(&first));
    }

    #[test]
    fn another_users_key_of_the_same_name_is_another_key() {
        let connection = in_memory();
        let hers = an_accepted(1);
        let his = AcceptedRecord { owner: UserId(9), ..an_accepted(2) };
        use_key(&connection, &hers, &key("k", 1)).unwrap();
        assert_eq!(use_key(&connection, &his, &key("k", 2)).unwrap(), None);
    }

    #[test]
    fn old_keys_are_forgotten_and_can_be_used_anew() {
        let connection = in_memory();
        let [old, new, again] = [1, 10, 20].map(an_accepted);
        use_key(&connection, &old, &key("old", 1)).unwrap();
        use_key(&connection, &new, &key("new", 1)).unwrap();
        assert_eq!(forget_used_before(&connection, at(5), 10).unwrap(), 1);
        assert_eq!(use_key(&connection, &again, &key("old", 2)).unwrap(), None);
        assert_eq!(use_key(&connection, &again, &key("new", 1)).unwrap(), repeats(&new));
    }
}
