//! The statements of the outbox: messages of conversations that are kept elsewhere, on their way there. The owner
//! is part of every key, as in the conversations.
//!
//! A message is put here in the commit that accepts its request, and taken out when the other store has it. How many
//! wait of each thread, and for how long, is as for those that stay (`conversation`, `threads`).

use std::{sync::LazyLock, time::SystemTime};

use async_trait::async_trait;
use duologue_actors::{
    ports::{ConversationLimits, ConversationStore, StoreError},
    protocol::{ChatMessage, MessageId, Thread, ThreadChoice, ThreadId, UserId},
};
use rusqlite::{Connection, Row, named_params};

use super::{
    Storage,
    checksum::OUTBOX,
    columns::{Id, Json, Nanoseconds, Number, Owner, check_intact, count, readable},
    conversation::Shelf,
    threads::{self, Kept},
    writer::Wanted,
};
use crate::conversation::outbox::{OnTheirWay, Outbox, Page, StreamName, Waiting};

// Without a condition, ON CONFLICT would be taken for that of a join.
static INSERT: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE true ON CONFLICT (owner, id) DO NOTHING", OUTBOX.insert()));
static PAGE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT *, {} AS intact, (SELECT is_main FROM threads WHERE threads.id = outbox.thread) AS is_main
         FROM outbox WHERE position > ?1 ORDER BY position LIMIT ?2",
        OUTBOX.intact()
    )
});
static OF_THREAD: LazyLock<String> =
    LazyLock::new(|| format!("{} WHERE owner = ?1 AND thread = ?2 ORDER BY position", OUTBOX.select()));

/// Bytes of messages that are read at a time: no more than one transaction in Redis can take in its time.
const PAGE_BYTES: usize = 1_048_576;

#[async_trait]
impl Outbox for Storage {
    async fn put(
        &self,
        owner: UserId,
        thread_id: Option<ThreadId>,
        message: ChatMessage,
    ) -> Result<Option<ThreadId>, StoreError> {
        self.add(Shelf::Outbox, owner, thread_id, message).await
    }

    async fn arrived(&self) {
        self.arrivals.notified().await;
    }

    async fn page(&self, after: i64, most: usize) -> Result<Page, StoreError> {
        self.read(move |connection| page(connection, after, most)).await
    }

    async fn waiting(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
    ) -> Result<Option<OnTheirWay>, StoreError> {
        let limits = self.limits;
        self.read(move |connection| of(connection, &limits, owner, thread, now)).await
    }

    async fn take(&self, written: Vec<(UserId, MessageId)>) -> Result<(), StoreError> {
        self.write(Wanted::Always, move |connection| take(connection, &written)).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.read(size).await
    }

    async fn threads(&self, owner: UserId, now: SystemTime) -> Result<Vec<Thread>, StoreError> {
        ConversationStore::threads(self, owner, now).await
    }

    async fn forget_expired(&self, now: SystemTime) -> Result<u64, StoreError> {
        ConversationStore::forget_expired(self, now).await
    }
}

/// Adds a message; one that waits already changes nothing. Returns whether it was added.
pub(super) fn insert(
    connection: &Connection,
    owner: UserId,
    thread_id: ThreadId,
    message: &ChatMessage,
) -> rusqlite::Result<bool> {
    let inserted = connection.prepare_cached(&INSERT)?.execute(named_params! {
        ":owner": Owner(owner),
        ":thread": Number(thread_id),
        ":id": Id::from(message.id),
        ":timestamp": Nanoseconds(message.timestamp),
        ":message": Json(message),
    })?;
    Ok(inserted > 0)
}

/// The next messages of all owners, in the order they came.
fn page(connection: &Connection, after: i64, most: usize) -> rusqlite::Result<Page> {
    let mut statement = connection.prepare_cached(&PAGE)?;
    let mut rows = statement.query((after, count(most)))?;
    let mut page = Page::default();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        bytes += row.get_ref("message")?.as_str().map_or(0, str::len);
        page.last = Some(row.get("position")?);
        match waiting(row) {
            Ok(waiting) => page.waiting.push(waiting),
            // It must not keep the others from going on.
            Err(_) => page.unreadable += 1,
        }
    }
    Ok(page)
}

/// The messages of the thread that is meant, in the order they came, and its stream; `None` when there is no such
/// thread.
pub(super) fn of(
    connection: &Connection,
    limits: &ConversationLimits,
    owner: UserId,
    choice: ThreadChoice,
    now: SystemTime,
) -> rusqlite::Result<Option<OnTheirWay>> {
    let Some(Kept { thread, is_main }) = threads::find(connection, limits, owner, choice, now)? else {
        return Ok(None);
    };
    let meant = (Owner(owner), Number(thread.id));
    let messages = readable(connection, &OF_THREAD, meant, message)?;
    let stream = StreamName { owner, thread_id: (!is_main).then_some(thread.id) };
    Ok(Some(OnTheirWay { thread_id: thread.id, stream, messages }))
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

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<ChatMessage> {
    check_intact(row)?;
    let message: ChatMessage = row.get::<_, Json<_>>("message")?.0;
    Ok(ChatMessage { thread_id: Some(row.get::<_, Number>("thread")?.0), ..message })
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let message = message(row)?;
    let thread_id = if row.get("is_main")? { None } else { message.thread_id };
    let stream = StreamName { owner: row.get::<_, Owner>("owner")?.0, thread_id };
    Ok(Waiting { stream, message })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::protocol::ConversationType;

    use super::*;
    use crate::storage::{
        conversation::{self, a_message},
        journal::at,
        schema::in_memory,
    };

    const ALICE: UserId = UserId(2);
    const MALLORY: UserId = UserId(u64::MAX);

    const LIMITS: ConversationLimits = ConversationLimits {
        threads: 100,
        messages: 3,
        content_characters: 5,
        title_characters: 5,
        expiry: Duration::from_secs(3 * 24 * 60 * 60),
    };

    fn put(
        connection: &Connection,
        limits: &ConversationLimits,
        owner: UserId,
        choice: ThreadChoice,
        message: &ChatMessage,
    ) -> ThreadId {
        let message = message.clone();
        conversation::add(connection, limits, Shelf::Outbox, owner, choice, message).unwrap().unwrap()
    }

    fn add(connection: &Connection, owner: UserId, message: &ChatMessage) {
        put(connection, &LIMITS, owner, ThreadChoice::Legacy, message);
    }

    fn messages(connection: &Connection, owner: UserId) -> Vec<ChatMessage> {
        let waiting = of(connection, &LIMITS, owner, ThreadChoice::Legacy, at(10)).unwrap();
        waiting.map(|it| it.messages).unwrap_or_default()
    }

    fn contents(connection: &Connection, owner: UserId) -> Vec<String> {
        messages(connection, owner).into_iter().map(|message| message.content).collect()
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let connection = in_memory();
        let message = ChatMessage {
            errors: vec!["sorry \"alice\"".to_owned()],
            timestamp: at(1) + Duration::from_nanos(123_456_789),
            ..a_message(1, "why?")
        };
        let thread_id = Some(put(&connection, &LIMITS, MALLORY, ThreadChoice::Legacy, &message));
        let message = ChatMessage { thread_id, ..message };
        assert_eq!(messages(&connection, MALLORY), std::slice::from_ref(&message));
        let page = page(&connection, 0, 10).unwrap();
        let stream = StreamName { owner: MALLORY, thread_id: None };
        assert_eq!(page.waiting, [Waiting { stream, message }]);
        assert_eq!(contents(&connection, ALICE), [""; 0]);
    }

    #[test]
    fn long_messages_come_few_at_a_time_and_none_is_left_out() {
        let connection = in_memory();
        let limits = ConversationLimits { messages: 10, content_characters: PAGE_BYTES, ..LIMITS };
        for number in 1..=5 {
            let long = a_message(number, &"x".repeat(PAGE_BYTES * 2 / 5));
            put(&connection, &limits, ALICE, ThreadChoice::Legacy, &long);
        }
        let (mut after, mut sizes) = (0, Vec::new());
        while let Page { waiting, last: Some(last), .. } = page(&connection, after, 100).unwrap() {
            (after, sizes) = (last, [sizes, vec![waiting.len()]].concat());
        }
        assert_eq!(sizes, [3, 2]);
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
    fn the_messages_of_each_thread_wait_for_a_stream_of_their_own() {
        let connection = in_memory();
        let quick = ThreadChoice::OfType(ConversationType::DuoQuickChat);
        let thread_id = put(&connection, &LIMITS, ALICE, quick, &a_message(1, "quick"));
        for number in 2..=5 {
            add(&connection, ALICE, &a_message(number, &number.to_string()));
        }
        assert_eq!(contents(&connection, ALICE), ["3", "4", "5"]);
        let named = ThreadChoice::of(Some(thread_id));
        let waiting = of(&connection, &LIMITS, ALICE, named, at(5)).unwrap().unwrap();
        assert_eq!(waiting.stream, StreamName { owner: ALICE, thread_id: Some(thread_id) });
        assert_eq!(waiting.messages[0].content, "quick");
        assert_eq!(of(&connection, &LIMITS, MALLORY, named, at(5)).unwrap(), None);
        let streams: Vec<_> =
            page(&connection, 0, 2).unwrap().waiting.into_iter().map(|it| it.stream.thread_id).collect();
        assert_eq!(streams, [Some(thread_id), None]);
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
    fn what_waits_expires_with_its_thread() {
        let connection = in_memory();
        add(&connection, ALICE, &a_message(1, "old"));
        add(&connection, ALICE, &a_message(3, "new"));
        add(&connection, MALLORY, &a_message(1, "old"));
        assert_eq!(threads::forget_expired(&connection, &LIMITS, at(1) + LIMITS.expiry, 10).unwrap(), 0);
        assert_eq!(threads::forget_expired(&connection, &LIMITS, at(2) + LIMITS.expiry, 10).unwrap(), 1);
        assert_eq!((contents(&connection, ALICE).len(), contents(&connection, MALLORY).len()), (2, 0));
    }
}
