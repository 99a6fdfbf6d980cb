//! The statements of the conversations: what is in the threads, or waits to be brought to where they are kept. The
//! owner is part of every key: no statement reaches a message without naming whose it is.

use std::{sync::LazyLock, time::SystemTime};

use duologue_actors::{
    ports::ConversationLimits,
    protocol::{ChatMessage, MessageId, RequestId, ThreadChoice, ThreadId, UserId},
};
use rusqlite::{Connection, Row, named_params};

use super::{
    checksum::MESSAGES,
    columns::{
        Id, Json, Nanoseconds, Number, Owner, Speaker, check_intact, count, first_characters, readable,
    },
    outbox, threads,
};

// Without a condition, ON CONFLICT would be taken for that of a join.
static INSERT: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE true ON CONFLICT (owner, id) DO NOTHING", MESSAGES.insert()));
static NEWEST_FIRST: LazyLock<String> = LazyLock::new(|| {
    format!("{} WHERE owner = ?1 AND thread = ?2 ORDER BY position DESC LIMIT ?3", MESSAGES.select())
});

/// Where new messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// They stay here.
    Messages,
    /// They are on their way to another store.
    Outbox,
}

impl Shelf {
    fn insert(
        self,
        connection: &Connection,
        owner: UserId,
        thread_id: ThreadId,
        message: &ChatMessage,
    ) -> rusqlite::Result<bool> {
        match self {
            Self::Messages => insert(connection, owner, thread_id, message),
            Self::Outbox => outbox::insert(connection, owner, thread_id, message),
        }
    }

    /// Of each thread only as many stay as a conversation keeps: the older ones would be trimmed elsewhere all the
    /// same.
    fn trim(self) -> &'static str {
        match self {
            Self::Messages => {
                "DELETE FROM messages WHERE owner = ?1 AND thread = ?2 AND position <= (
                     SELECT position FROM messages WHERE thread = ?2 ORDER BY position DESC LIMIT 1 OFFSET ?3)"
            }
            Self::Outbox => {
                "DELETE FROM outbox WHERE owner = ?1 AND thread = ?2 AND position <= (
                     SELECT position FROM outbox WHERE thread = ?2 ORDER BY position DESC LIMIT 1 OFFSET ?3)"
            }
        }
    }
}

/// Adds a message to the thread that is chosen and restarts its expiry; a message that is there already changes
/// nothing. Returns the thread, `None` when the named one is not there.
pub(super) fn add(
    connection: &Connection,
    limits: &ConversationLimits,
    shelf: Shelf,
    owner: UserId,
    choice: ThreadChoice,
    mut message: ChatMessage,
) -> rusqlite::Result<Option<ThreadId>> {
    let Some(thread_id) = threads::choose(connection, limits, owner, choice, message.timestamp)? else {
        return Ok(None);
    };
    let kept = first_characters(&message.content, limits.content_characters).len();
    message.content.truncate(kept);
    if shelf.insert(connection, owner, thread_id, &message)? {
        threads::note(connection, limits, owner, thread_id, &message)?;
        let trimmed = (Owner(owner), Number(thread_id), count(limits.messages));
        connection.prepare_cached(shelf.trim())?.execute(trimmed)?;
    }
    Ok(Some(thread_id))
}

/// The newest messages of the thread that is meant, oldest first; `None` when there is no such thread.
pub(super) fn messages(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    choice: ThreadChoice,
    now: SystemTime,
) -> rusqlite::Result<Option<Vec<ChatMessage>>> {
    let Some(kept) = threads::find(connection, limits, owner, choice, now)? else {
        return Ok(None);
    };
    let meant = (Owner(owner), Number(kept.thread.id), count(limits.messages));
    let mut newest_first = readable(connection, &NEWEST_FIRST, meant, chat_message)?;
    newest_first.reverse();
    Ok(Some(newest_first))
}

fn insert(
    connection: &Connection,
    owner: UserId,
    thread_id: ThreadId,
    message: &ChatMessage,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&INSERT)?;
    let inserted = statement.execute(named_params! {
        ":owner": Owner(owner),
        ":thread": Number(thread_id),
        ":id": Id::from(message.id),
        ":request_id": Id::from(message.request_id),
        ":role": Speaker(message.role),
        ":content": message.content,
        ":timestamp": Nanoseconds(message.timestamp),
        ":chunk_id": message.chunk_id,
        ":errors": Json(&message.errors),
    })?;
    Ok(inserted > 0)
}

pub(super) fn chat_message(row: &Row<'_>) -> rusqlite::Result<ChatMessage> {
    check_intact(row)?;
    Ok(ChatMessage {
        id: MessageId(row.get::<_, Id>("id")?.0),
        request_id: RequestId::from(row.get::<_, Id>("request_id")?.0),
        thread_id: Some(row.get::<_, Number>("thread")?.0),
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
        threads: 100,
        messages: 50,
        content_characters: 20_000,
        title_characters: 100,
        expiry: Duration::from_secs(3 * 24 * 60 * 60),
    };
    const ALICE: UserId = UserId(2);
    const MALLORY: UserId = UserId(3);

    /// A message of that second.
    pub fn a_message(second: u64, content: &str) -> ChatMessage {
        ChatMessage {
            id: MessageId::new(),
            request_id: RequestId::new(),
            thread_id: None,
            role: Role::User,
            content: content.to_owned(),
            timestamp: at(second),
            chunk_id: None,
            errors: Vec::new(),
        }
    }

    fn add_to(
        connection: &Connection,
        owner: UserId,
        choice: ThreadChoice,
        message: &ChatMessage,
    ) -> Option<ThreadId> {
        super::add(connection, &LIMITS, Shelf::Messages, owner, choice, message.clone()).unwrap()
    }

    fn add(connection: &Connection, owner: UserId, message: &ChatMessage) {
        add_to(connection, owner, ThreadChoice::Legacy, message).unwrap();
    }

    fn read(connection: &Connection, owner: UserId, now: SystemTime) -> Vec<ChatMessage> {
        messages(connection, &LIMITS, owner, ThreadChoice::Legacy, now).unwrap().unwrap_or_default()
    }

    fn contents(connection: &Connection, owner: UserId, now: SystemTime) -> Vec<String> {
        read(connection, owner, now).into_iter().map(|message| message.content).collect()
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_field_of_a_message_comes_back_with_its_thread() {
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
        let thread_id = threads::list(&connection, &LIMITS, ALICE, at(3)).unwrap()[0].id;
        let kept = [question, answer, failed].map(|it| ChatMessage { thread_id: Some(thread_id), ..it });
        assert_eq!(read(&connection, ALICE, at(3)), kept);
    }

    #[test]
    fn of_fifty_one_messages_of_a_thread_the_last_fifty_are_kept() {
        let connection = in_memory();
        let quick = ThreadChoice::OfType(duologue_actors::protocol::ConversationType::DuoQuickChat);
        add(&connection, MALLORY, &a_message(0, "someone else's"));
        add_to(&connection, ALICE, quick, &a_message(0, "of another thread")).unwrap();
        for number in 1..=51 {
            add(&connection, ALICE, &a_message(number, &number.to_string()));
        }
        let expected: Vec<_> = (2..=51).map(|number| number.to_string()).collect();
        assert_eq!(contents(&connection, ALICE, at(51)), expected);
        assert_eq!(rows(&connection), 52, "the fifty, the other user's one and the other thread's");
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
        assert_eq!(rows(&connection), 1);
    }

    #[test]
    fn expired_conversations_are_forgotten_and_others_are_not() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(0, "old"));
        add(&connection, ALICE, &a_message(1, "old too"));
        add(&connection, MALLORY, &a_message(2, "newer"));
        let forget = |now| threads::forget_expired(&connection, &LIMITS, now, 10).unwrap();
        assert_eq!((forget(at(1) + LIMITS.expiry), forget(at(2) + LIMITS.expiry)), (0, 1));
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
    fn a_message_for_a_thread_that_is_gone_or_somebody_elses_is_added_nowhere() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(1, "alice's"));
        let hers = threads::list(&connection, &LIMITS, ALICE, at(1)).unwrap()[0].id;
        let named = |id| ThreadChoice::of(Some(id));
        assert_eq!(add_to(&connection, MALLORY, named(hers), &a_message(2, "a guess")), None);
        assert_eq!(add_to(&connection, ALICE, named(ThreadId(1)), &a_message(2, "late")), None);
        assert_eq!(messages(&connection, &LIMITS, MALLORY, named(hers), at(2)).unwrap(), None);
        assert_eq!(rows(&connection), 1);
    }

    #[test]
    fn a_lowered_limit_counts_for_what_is_there_already() {
        let connection = in_memory();
        for number in 1..=5 {
            add(&connection, ALICE, &a_message(number, &number.to_string()));
        }
        let two = ConversationLimits { messages: 2, ..LIMITS };
        let found = messages(&connection, &two, ALICE, ThreadChoice::Legacy, at(5)).unwrap().unwrap();
        assert_eq!(found.iter().map(|message| &*message.content).collect::<Vec<_>>(), ["4", "5"]);
    }
}
