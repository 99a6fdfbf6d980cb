//! The statements of the conversations. The owner is part of every key: no statement reaches a message
//! without naming whose it is.

use std::{sync::LazyLock, time::SystemTime};

use duologue_actors::{
    ports::ConversationLimits,
    protocol::{ChatMessage, MessageId, RequestId, UserId},
};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    checksum::MESSAGES,
    columns::{Id, Json, Nanoseconds, Owner, Speaker, check_intact, count, readable},
};

static INSERT: LazyLock<String> = LazyLock::new(|| MESSAGES.insert());
static NEWEST_FIRST: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE owner = ?1 ORDER BY position DESC LIMIT ?2", MESSAGES.select()));

/// Adds a message and restarts the expiry; a message that is there already changes nothing.
pub(super) fn append(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    message: &ChatMessage,
) -> rusqlite::Result<()> {
    if is_there(connection, owner, message.id)? {
        return Ok(());
    }
    // Whoever comes back after the expiry starts anew, also when nothing has cleared the old messages yet.
    if expired(connection, limits, owner, message.timestamp)? {
        forget(connection, owner)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO conversations (owner, last_message_at) VALUES (?1, ?2)
             ON CONFLICT (owner) DO UPDATE
             SET last_message_at = max(last_message_at, excluded.last_message_at)",
        )?
        .execute((Owner(owner), Nanoseconds(message.timestamp)))?;
    insert(connection, limits, owner, message)?;
    trim(connection, limits, owner)
}

/// The owner's newest messages, oldest first; none after the expiry.
pub(super) fn messages(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    now: SystemTime,
) -> rusqlite::Result<Vec<ChatMessage>> {
    if expired(connection, limits, owner, now)? {
        return Ok(Vec::new());
    }
    let mut newest_first =
        readable(connection, &NEWEST_FIRST, (Owner(owner), count(limits.messages)), chat_message)?;
    newest_first.reverse();
    Ok(newest_first)
}

/// Forgets conversations that have expired, at most so many; returns how many.
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
            "DELETE FROM conversations WHERE owner IN (
                 SELECT owner FROM conversations WHERE last_message_at < ?1 ORDER BY last_message_at LIMIT ?2)",
        )?
        .execute((Nanoseconds(oldest_kept), count(most)))
}

fn is_there(connection: &Connection, owner: UserId, id: MessageId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM messages WHERE owner = ?1 AND id = ?2")?
        .exists((Owner(owner), Id::from(id)))
}

fn expired(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    now: SystemTime,
) -> rusqlite::Result<bool> {
    let last: Option<Nanoseconds> = connection
        .prepare_cached("SELECT last_message_at FROM conversations WHERE owner = ?1")?
        .query_row([Owner(owner)], |row| row.get(0))
        .optional()?;
    // A clock that was set back makes no message older than it is.
    Ok(last.is_some_and(|last| now.duration_since(last.0).is_ok_and(|age| age > limits.expiry)))
}

fn forget(connection: &Connection, owner: UserId) -> rusqlite::Result<()> {
    // Its messages go with it.
    connection.prepare_cached("DELETE FROM conversations WHERE owner = ?1")?.execute([Owner(owner)])?;
    Ok(())
}

fn insert(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    message: &ChatMessage,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&INSERT)?;
    statement.execute(named_params! {
        ":owner": Owner(owner),
        ":id": Id::from(message.id),
        ":request_id": Id::from(message.request_id),
        ":role": Speaker(message.role),
        ":content": first_characters(&message.content, limits.content_characters),
        ":timestamp": Nanoseconds(message.timestamp),
        ":chunk_id": message.chunk_id,
        ":errors": Json(&message.errors),
    })?;
    Ok(())
}

fn trim(connection: &Connection, limits: &ConversationLimits, owner: UserId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM messages WHERE owner = ?1 AND position <= (
                 SELECT position FROM messages WHERE owner = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute((Owner(owner), count(limits.messages)))?;
    Ok(())
}

pub(super) fn first_characters(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

pub(super) fn chat_message(row: &Row<'_>) -> rusqlite::Result<ChatMessage> {
    check_intact(row)?;
    Ok(ChatMessage {
        id: MessageId(row.get::<_, Id>("id")?.0),
        request_id: RequestId::from(row.get::<_, Id>("request_id")?.0),
        role: row.get::<_, Speaker>("role")?.0,
        content: row.get("content")?,
        timestamp: row.get::<_, Nanoseconds>("timestamp")?.0,
        chunk_id: row.get("chunk_id")?,
        errors: row.get::<_, Json<_>>("errors")?.0,
    })
}

#[cfg(test)]
pub(super) use self::tests::a_message;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::protocol::Role;
    use rusqlite::Connection;

    use super::*;
    use crate::storage::{journal::at, schema::in_memory};

    const LIMITS: ConversationLimits = ConversationLimits {
        messages: 50,
        content_characters: 20_000,
        expiry: Duration::from_secs(3 * 24 * 60 * 60),
    };
    const ALICE: UserId = UserId(2);
    const MALLORY: UserId = UserId(3);

    /// A message of that second.
    pub fn a_message(second: u64, content: &str) -> ChatMessage {
        ChatMessage {
            id: MessageId::new(),
            request_id: RequestId::new(),
            role: Role::User,
            content: content.to_owned(),
            timestamp: at(second),
            chunk_id: None,
            errors: Vec::new(),
        }
    }

    fn add(connection: &Connection, owner: UserId, message: &ChatMessage) {
        append(connection, &LIMITS, owner, message).unwrap();
    }

    fn contents(connection: &Connection, owner: UserId, now: SystemTime) -> Vec<String> {
        let found = messages(connection, &LIMITS, owner, now).unwrap();
        found.into_iter().map(|message| message.content).collect()
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_field_of_a_message_comes_back() {
        let connection = in_memory();
        let question = a_message(1, "why?");
        let answer = ChatMessage { role: Role::Assistant, chunk_id: Some(u32::MAX), ..a_message(2, "42") };
        let failed = ChatMessage {
            role: Role::System,
            errors: vec!["sorry \"alice\"".to_owned(), "A1000".to_owned()],
            ..a_message(3, "")
        };
        for message in [&question, &answer, &failed] {
            add(&connection, ALICE, message);
        }
        assert_eq!(messages(&connection, &LIMITS, ALICE, at(3)).unwrap(), [question, answer, failed]);
    }

    #[test]
    fn of_fifty_one_messages_the_last_fifty_are_kept() {
        let connection = in_memory();
        add(&connection, MALLORY, &a_message(0, "someone else's"));
        for number in 1..=51 {
            add(&connection, ALICE, &a_message(number, &number.to_string()));
        }
        let expected: Vec<_> = (2..=51).map(|number| number.to_string()).collect();
        assert_eq!(contents(&connection, ALICE, at(51)), expected);
        assert_eq!(rows(&connection), 51, "the fifty and the other user's one");
    }

    #[test]
    fn content_is_cut_at_twenty_thousand_characters_not_bytes() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(1, &"ß👍".repeat(15_000)));
        assert_eq!(contents(&connection, ALICE, at(1)), ["ß👍".repeat(10_000)]);
    }

    #[test]
    fn the_same_message_twice_is_there_once_and_restarts_nothing() {
        let connection = in_memory();
        let message = a_message(1, "first");
        add(&connection, ALICE, &message);
        let again = ChatMessage { content: "second".to_owned(), timestamp: at(1_000), ..message };
        add(&connection, ALICE, &again);
        assert_eq!(contents(&connection, ALICE, at(1)), ["first"]);
        assert_eq!(contents(&connection, ALICE, at(2) + LIMITS.expiry), [""; 0]);
    }

    #[test]
    fn a_conversation_ends_three_days_after_its_last_message() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(0, "old"));
        add(&connection, ALICE, &a_message(100, "new"));
        assert_eq!(contents(&connection, ALICE, at(100) + LIMITS.expiry), ["old", "new"]);
        assert_eq!(contents(&connection, ALICE, at(101) + LIMITS.expiry), [""; 0]);
    }

    #[test]
    fn who_comes_back_after_the_expiry_starts_anew() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(0, "old"));
        let later = at(1) + LIMITS.expiry;
        add(&connection, ALICE, &ChatMessage { timestamp: later, ..a_message(0, "new") });
        assert_eq!(contents(&connection, ALICE, later), ["new"]);
    }

    #[test]
    fn expired_conversations_are_forgotten_and_others_are_not() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(0, "old"));
        add(&connection, ALICE, &a_message(1, "old too"));
        add(&connection, MALLORY, &a_message(2, "newer"));
        assert_eq!(forget_expired(&connection, &LIMITS, at(1) + LIMITS.expiry, 10).unwrap(), 0);
        assert_eq!(forget_expired(&connection, &LIMITS, at(2) + LIMITS.expiry, 10).unwrap(), 1);
        assert_eq!(rows(&connection), 1);
        assert_eq!(contents(&connection, MALLORY, at(2)), ["newer"]);
    }

    #[test]
    fn another_owners_messages_never_appear_even_under_the_same_id() {
        let connection = in_memory();
        let hers = a_message(1, "alice's");
        let his = ChatMessage { content: "mallory's".to_owned(), ..hers.clone() };
        add(&connection, ALICE, &hers);
        add(&connection, MALLORY, &his);
        assert_eq!(contents(&connection, ALICE, at(1)), ["alice's"]);
        assert_eq!(contents(&connection, MALLORY, at(1)), ["mallory's"]);
        assert_eq!(contents(&connection, UserId(4), at(1)), [""; 0]);
    }

    #[test]
    fn a_lowered_limit_counts_for_what_is_there_already() {
        let connection = in_memory();
        for number in 1..=5 {
            add(&connection, ALICE, &a_message(number, &number.to_string()));
        }
        let two = ConversationLimits { messages: 2, ..LIMITS };
        let found = messages(&connection, &two, ALICE, at(5)).unwrap();
        assert_eq!(found.iter().map(|message| &*message.content).collect::<Vec<_>>(), ["4", "5"]);
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
}
