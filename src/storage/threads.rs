//! The statements of the threads. The owner is part of every one that reads or writes a thread for somebody: none reaches a thread without naming whose it is.
//!
//! What a thread holds goes with it: its messages, and those of it that wait in the outbox.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use duologue_actors::{
    ports::ConversationLimits,
    protocol::{ChatMessage, ConversationType, Role, Thread, ThreadChoice, ThreadId, UserId},
    slash_command::SlashCommand,
};
use rusqlite::{Connection, Row, named_params};

use super::{
    checksum::THREADS,
    columns::{Kind, Nanoseconds, Number, Owner, check_intact, count, first_characters, readable},
};

static INSERT: LazyLock<String> = LazyLock::new(|| THREADS.insert());
static FRESH: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE owner = ?1 AND last_message_at >= ?2", THREADS.select()));
static NEWEST_FIRST: LazyLock<String> =
    LazyLock::new(|| format!("{} ORDER BY last_message_at DESC, id DESC", *FRESH));
static OF_TYPE: LazyLock<String> =
    LazyLock::new(|| format!("{} AND conversation_type = ?3 ORDER BY last_message_at DESC, id DESC", *FRESH));
static NAMED: LazyLock<String> = LazyLock::new(|| format!("{} AND id = ?3", *FRESH));

/// Only a row that is as it was written: a sum over what is not would make it so.
static NOTE: LazyLock<String> = LazyLock::new(|| {
    let (title, last) = ("coalesce(title, :title)", "max(last_message_at, :timestamp)");
    let noted = THREADS.columns.replace("title", title).replace("last_message_at", last);
    format!(
        "UPDATE threads SET title = {title}, last_message_at = {last}, checksum = row_checksum({noted})
         WHERE owner = :owner AND id = :id AND {}",
        THREADS.intact()
    )
});

/// A thread, and where its messages go when they are kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub thread: Thread,
    /// The one that was begun for who named none: it has its owner's own stream, and is not counted.
    pub is_main: bool,
}

/// The thread that a new message of `owner` is for, which is begun if need be; `None` when the named one is not there.
pub(super) fn choose(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    choice: ThreadChoice,
    now: SystemTime,
) -> rusqlite::Result<Option<ThreadId>> {
    let begun = |of, is_main| begin(connection, limits, owner, of, is_main, now).map(Some);
    match choice {
        ThreadChoice::OfType(of) => begun(of, false),
        ThreadChoice::Named { .. } | ThreadChoice::Legacy => {
            match (find(connection, limits, owner, choice, now)?, choice) {
                (Some(kept), _) => Ok(Some(kept.thread.id)),
                (None, ThreadChoice::Legacy) => begun(ConversationType::DuoChatLegacy, true),
                (None, _) => Ok(None),
            }
        }
    }
}

/// The thread of `owner` that a reader means, if there is one.
pub(super) fn find(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    choice: ThreadChoice,
    now: SystemTime,
) -> rusqlite::Result<Option<Kept>> {
    let (owner, oldest) = (Owner(owner), Nanoseconds(oldest_fresh(limits, now)));
    let last_of = |of| readable(connection, &OF_TYPE, (owner, oldest, Kind(of)), kept);
    let found = match choice {
        ThreadChoice::Legacy => last_of(ConversationType::DuoChatLegacy)?,
        ThreadChoice::OfType(of) => last_of(of)?,
        ThreadChoice::Named { id, of } => {
            let mut named = readable(connection, &NAMED, (owner, oldest, Number(id)), kept)?;
            named.retain(|kept| of.is_none_or(|of| of == kept.thread.conversation_type));
            named
        }
    };
    Ok(found.into_iter().next())
}

/// The threads of `owner`, the one with the newest message first.
pub(super) fn list(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    now: SystemTime,
) -> rusqlite::Result<Vec<Thread>> {
    let oldest = Nanoseconds(oldest_fresh(limits, now));
    let kept = readable(connection, &NEWEST_FIRST, (Owner(owner), oldest), kept)?;
    Ok(kept.into_iter().map(|kept| kept.thread).collect())
}

/// Notes a message that was added: it restarts the expiry, and the first question gives the thread its title.
pub(super) fn note(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    id: ThreadId,
    message: &ChatMessage,
) -> rusqlite::Result<()> {
    let is_question = message.role == Role::User && SlashCommand::of(&message.content).is_none();
    let title = is_question.then(|| first_characters(message.content.trim(), limits.title_characters));
    connection.prepare_cached(&NOTE)?.execute(named_params! {
        ":owner": Owner(owner),
        ":id": Number(id),
        ":title": title,
        ":timestamp": Nanoseconds(message.timestamp),
    })?;
    Ok(())
}

/// Forgets threads that have expired, at most so many; returns how many.
pub(super) fn forget_expired(
    connection: &Connection,
    limits: &ConversationLimits,
    now: SystemTime,
    most: usize,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM threads WHERE id IN (
                 SELECT id FROM threads WHERE last_message_at < ?1 ORDER BY last_message_at LIMIT ?2)",
        )?
        .execute((Nanoseconds(oldest_fresh(limits, now)), count(most)))
}

fn begin(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    of: ConversationType,
    is_main: bool,
    now: SystemTime,
) -> rusqlite::Result<ThreadId> {
    let id = new_id(connection, now)?;
    connection.prepare_cached(&INSERT)?.execute(named_params! {
        ":id": Number(id),
        ":owner": Owner(owner),
        ":conversation_type": Kind(of),
        ":is_main": is_main,
        ":title": Option::<&str>::None,
        ":created_at": Nanoseconds(now),
        ":last_message_at": Nanoseconds(now),
    })?;
    // Whoever comes back after the expiry starts anew, also when nothing has cleared the old threads yet.
    connection
        .prepare_cached("DELETE FROM threads WHERE owner = ?1 AND last_message_at < ?2")?
        .execute((Owner(owner), Nanoseconds(oldest_fresh(limits, now))))?;
    forget_surplus(connection, limits, owner, id)?;
    Ok(id)
}

/// The microseconds since 1970, or the next number: no id is given twice, also when the database was lost or brought
/// back from a copy, and a client that reads it as a number of JavaScript reads it whole.
fn new_id(connection: &Connection, now: SystemTime) -> rusqlite::Result<ThreadId> {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let microseconds = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT max(?1, coalesce((SELECT max(id) FROM threads), 0) + 1)")?
        .query_row([microseconds], |row| row.get::<_, Number>(0))
        .map(|number| number.0)
}

/// Of each owner the newest are kept, `begun` among them.
fn forget_surplus(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    begun: ThreadId,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM threads WHERE id IN (
                 SELECT id FROM threads WHERE owner = ?1 AND NOT is_main
                 ORDER BY id = ?2 DESC, last_message_at DESC, id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute((Owner(owner), Number(begun), count(limits.threads)))?;
    Ok(())
}

/// A clock that was set back makes no message older than it is.
fn oldest_fresh(limits: &ConversationLimits, now: SystemTime) -> SystemTime {
    now.checked_sub(limits.expiry).unwrap_or(UNIX_EPOCH)
}

pub(super) fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    check_intact(row)?;
    let thread = Thread {
        id: row.get::<_, Number>("id")?.0,
        conversation_type: row.get::<_, Kind>("conversation_type")?.0,
        title: row.get("title")?,
        created_at: row.get::<_, Nanoseconds>("created_at")?.0,
        last_message_at: row.get::<_, Nanoseconds>("last_message_at")?.0,
    };
    Ok(Kept { thread, is_main: row.get("is_main")? })
}

#[cfg(test)]
mod tests;
