//! The statements of the outbox: messages of conversations that are kept elsewhere, on their way there. The owner
//! is part of every key, as in the conversations.
//!
//! A message is put here in the commit that accepts its request, and taken out when the other store has it. Of each
//! owner only as many wait as a conversation keeps: the older ones would be trimmed there all the same.

use std::{sync::LazyLock, time::SystemTime};

use async_trait::async_trait;
use duologue_actors::{
    ports::{ConversationLimits, ConversationStore, StoreError},
    protocol::{ChatMessage, MessageId, UserId},
};
use rusqlite::{Connection, Row, named_params};

use super::{
    Storage,
    checksum::OUTBOX,
    columns::{Id, Json, Nanoseconds, Owner, check_intact, count, readable},
    conversation,
    writer::Wanted,
};
use crate::conversation::outbox::{Outbox, Page, Waiting};

// Without a condition, ON CONFLICT would be taken for that of a join.
static INSERT: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE true ON CONFLICT (owner, id) DO NOTHING", OUTBOX.insert()));
static PAGE: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE position > ?1 ORDER BY position LIMIT ?2", OUTBOX.select()));
static OF_OWNER: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE owner = ?1 ORDER BY position", OUTBOX.select()));

#[async_trait]
impl Outbox for Storage {
    async fn put(&self, owner: UserId, message: ChatMessage) -> Result<(), StoreError> {
        let limits = self.limits;
        self.write(Wanted::Always, move |connection| put(connection, &limits, owner, message)).await
    }

    async fn page(&self, after: i64, most: usize) -> Result<Page, StoreError> {
        self.read(move |connection| page(connection, after, most)).await
    }

    async fn of(&self, owner: UserId) -> Result<Vec<ChatMessage>, StoreError> {
        self.read(move |connection| of(connection, owner)).await
    }

    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError> {
        self.write(Wanted::Always, move |connection| take(connection, &written)).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.read(size).await
    }

    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError> {
        ConversationStore::forget_expired(self, now).await
    }
}

/// Adds a message; one that waits already changes nothing.
fn put(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    mut message: ChatMessage,
) -> rusqlite::Result<()> {
    let kept = conversation::first_characters(&message.content, limits.content_characters).len();
    message.content.truncate(kept);
    connection.prepare_cached(&INSERT)?.execute(named_params! {
        ":owner": Owner(owner),
        ":id": Id::from(message.id),
        ":timestamp": Nanoseconds(message.timestamp),
        ":message": Json(&message),
    })?;
    connection
        .prepare_cached(
            "DELETE FROM outbox WHERE owner = ?1 AND position <= (
                 SELECT position FROM outbox WHERE owner = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute((Owner(owner), count(limits.messages)))?;
    Ok(())
}

/// The next messages of all owners, in the order they came.
fn page(connection: &Connection, after: i64, most: usize) -> rusqlite::Result<Page> {
    let mut statement = connection.prepare_cached(&PAGE)?;
    let mut rows = statement.query((after, count(most)))?;
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        page.last = Some(row.get("position")?);
        match waiting(row) {
            Ok(waiting) => page.waiting.push(waiting),
            // It must not keep the others from going on.
            Err(_) => page.unreadable += 1,
        }
    }
    Ok(page)
}

/// The owner's messages, in the order they came.
pub(super) fn of(connection: &Connection, owner: UserId) -> rusqlite::Result<Vec<ChatMessage>> {
    let waiting = readable(connection, &OF_OWNER, [Owner(owner)], waiting)?;
    Ok(waiting.into_iter().map(|waiting| waiting.message).collect())
}

/// By owner and id: a position can be given to another message once its row is gone.
fn take(connection: &Connection, written: &[(UserId, MessageId)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE owner = ?1 AND id = ?2")?;
    for (owner, id) in written {
        statement.execute((Owner(*owner), Id::from(*id)))?;
    }
    Ok(())
}

fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let size: i64 =
        connection.prepare_cached("SELECT count(*) FROM outbox")?.query_row([], |row| row.get(0))?;
    Ok(size.unsigned_abs())
}

/// Forgets what waits of conversations that have expired, at most of so many; returns how many messages.
pub(super) fn forget_expired(
    connection: &Connection,
    limits: &ConversationLimits,
    now: SystemTime,
    most: usize,
) -> rusqlite::Result<usize> {
    let Some(oldest_kept) = now.checked_sub(limits.expiry) else {
        return Ok(0);
    };
    connection
        .prepare_cached(
            "DELETE FROM outbox WHERE owner IN (
                 SELECT owner FROM outbox GROUP BY owner HAVING max(timestamp) < ?1 LIMIT ?2)",
        )?
        .execute((Nanoseconds(oldest_kept), count(most)))
}

pub(super) fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    check_intact(row)?;
    Ok(Waiting { owner: row.get::<_, Owner>("owner")?.0, message: row.get::<_, Json<_>>("message")?.0 })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::{conversation::a_message, journal::at, schema::in_memory};

    const ALICE: UserId = UserId(2);
    const MALLORY: UserId = UserId(u64::MAX);

    const LIMITS: ConversationLimits = ConversationLimits {
        messages: 3,
        content_characters: 5,
        expiry: Duration::from_secs(3 * 24 * 60 * 60),
    };

    fn add(connection: &Connection, owner: UserId, message: &ChatMessage) {
        put(connection, &LIMITS, owner, message.clone()).unwrap();
    }

    fn contents(connection: &Connection, owner: UserId) -> Vec<String> {
        of(connection, owner).unwrap().into_iter().map(|message| message.content).collect()
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let connection = in_memory();
        let message = ChatMessage {
            errors: vec!["sorry \"alice\"".to_owned()],
            timestamp: at(1) + Duration::from_nanos(123_456_789),
            ..a_message(1, "why?")
        };
        add(&connection, MALLORY, &message);
        assert_eq!(of(&connection, MALLORY).unwrap(), std::slice::from_ref(&message));
        let page = page(&connection, 0, 10).unwrap();
        assert_eq!((page.waiting[0].owner, &page.waiting[0].message), (MALLORY, &message));
        assert_eq!(contents(&connection, ALICE), [""; 0]);
    }

    #[test]
    fn a_message_that_waits_already_is_not_added_again() {
        let connection = in_memory();
        let message = a_message(1, "once");
        add(&connection, ALICE, &message);
        add(&connection, ALICE, &message);
        assert_eq!(contents(&connection, ALICE), ["once"]);
    }

    #[test]
    fn the_newest_messages_of_an_owner_wait_and_nobody_elses_go_for_them() {
        let connection = in_memory();
        add(&connection, MALLORY, &a_message(0, "his"));
        for number in 1..=5 {
            add(&connection, ALICE, &a_message(number, &format!("{number}äöüßx")));
        }
        assert_eq!(contents(&connection, ALICE), ["3äöüß", "4äöüß", "5äöüß"]);
        assert_eq!(contents(&connection, MALLORY), ["his"]);
    }

    #[test]
    fn pages_follow_each_other_in_the_order_the_messages_came() {
        let connection = in_memory();
        for (number, owner) in [(1, ALICE), (2, MALLORY), (3, ALICE)] {
            add(&connection, owner, &a_message(number, &number.to_string()));
        }
        let first = page(&connection, 0, 2).unwrap();
        let second = page(&connection, first.last.unwrap(), 2).unwrap();
        let contents =
            |page: &Page| page.waiting.iter().map(|it| it.message.content.clone()).collect::<Vec<_>>();
        assert_eq!((contents(&first), contents(&second)), (vec!["1".into(), "2".into()], vec!["3".into()]));
        assert_eq!(page(&connection, second.last.unwrap(), 2).unwrap().last, None);
    }

    #[test]
    fn what_is_taken_is_taken_of_its_owner_only() {
        let connection = in_memory();
        let message = a_message(1, "same");
        add(&connection, ALICE, &message);
        add(&connection, MALLORY, &message);
        take(&connection, &[(ALICE, message.id)]).unwrap();
        assert_eq!((contents(&connection, ALICE).len(), contents(&connection, MALLORY).len()), (0, 1));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_counted_and_holds_up_no_other() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(1, "bad"));
        connection.execute("UPDATE outbox SET message = replace(message, 'bad', 'sad')", []).unwrap();
        add(&connection, ALICE, &a_message(2, "good"));
        let page = page(&connection, 0, 10).unwrap();
        assert_eq!((page.unreadable, page.waiting.len(), &*page.waiting[0].message.content), (1, 1, "good"));
    }

    #[test]
    fn what_waits_expires_with_the_last_message_of_its_owner() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(1, "old"));
        add(&connection, ALICE, &a_message(3, "new"));
        add(&connection, MALLORY, &a_message(1, "old"));
        assert_eq!(forget_expired(&connection, &LIMITS, at(1) + LIMITS.expiry, 10).unwrap(), 0);
        assert_eq!(forget_expired(&connection, &LIMITS, at(2) + LIMITS.expiry, 10).unwrap(), 1);
        assert_eq!((contents(&connection, ALICE).len(), contents(&connection, MALLORY).len()), (2, 0));
    }
}
