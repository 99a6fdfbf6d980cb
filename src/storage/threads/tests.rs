use std::time::Duration;

use duologue_actors::protocol::ConversationType::{DuoChat, DuoChatLegacy, DuoQuickChat};
use proptest::prelude::*;

use super::*;
use crate::storage::{
    conversation::{self, Shelf, a_message},
    journal::at,
    schema::in_memory,
};

const LIMITS: ConversationLimits = ConversationLimits {
    threads: 3,
    messages: 50,
    content_characters: 20_000,
    title_characters: 5,
    expiry: Duration::from_secs(3 * 24 * 60 * 60),
};
const ALICE: UserId = UserId(2);
const MALLORY: UserId = UserId(u64::MAX);
const QUICK: ThreadChoice = ThreadChoice::OfType(DuoQuickChat);

/// Says something at that second; returns the thread.
fn say(connection: &Connection, owner: UserId, choice: ThreadChoice, second: u64) -> Option<ThreadId> {
    let message = a_message(second, &format!("said at {second}"));
    conversation::add(connection, &LIMITS, Shelf::Messages, owner, choice, message).unwrap()
}

fn named(id: ThreadId) -> ThreadChoice {
    ThreadChoice::Named { id, of: None }
}

fn listed(connection: &Connection, owner: UserId, second: u64) -> Vec<ThreadId> {
    list(connection, &LIMITS, owner, at(second)).unwrap().into_iter().map(|thread| thread.id).collect()
}

fn found(connection: &Connection, choice: ThreadChoice, second: u64) -> Option<ThreadId> {
    find(connection, &LIMITS, ALICE, choice, at(second)).unwrap().map(|kept| kept.thread.id)
}

#[test]
fn who_names_none_goes_on_in_the_last_legacy_thread_and_a_type_alone_begins_one() {
    let connection = in_memory();
    let main = say(&connection, ALICE, ThreadChoice::Legacy, 1).unwrap();
    assert_eq!(say(&connection, ALICE, ThreadChoice::Legacy, 2), Some(main));
    let first = say(&connection, ALICE, QUICK, 3).unwrap();
    let second = say(&connection, ALICE, QUICK, 4).unwrap();
    assert_eq!(say(&connection, ALICE, named(first), 5), Some(first));
    assert_eq!(listed(&connection, ALICE, 5), [first, second, main]);
    assert_eq!(found(&connection, QUICK, 5), Some(first), "the one that was used last");
    assert_eq!(found(&connection, ThreadChoice::OfType(DuoChat), 5), None);
    let legacy = say(&connection, ALICE, ThreadChoice::OfType(DuoChatLegacy), 6).unwrap();
    assert_ne!(legacy, main);
    assert_eq!(say(&connection, ALICE, ThreadChoice::Legacy, 7), Some(legacy));
    let kept = |id| find(&connection, &LIMITS, ALICE, named(id), at(7)).unwrap().unwrap();
    assert_eq!((kept(main).is_main, kept(legacy).is_main), (true, false));
}

#[test]
fn a_thread_is_its_owners_of_its_type_and_there_until_it_expires() {
    let connection = in_memory();
    let quick = say(&connection, ALICE, QUICK, 1).unwrap();
    assert_eq!(say(&connection, MALLORY, named(quick), 2), None);
    assert_eq!(listed(&connection, MALLORY, 2), []);
    let of = |of| ThreadChoice::Named { id: quick, of: Some(of) };
    assert_eq!(
        (found(&connection, of(DuoQuickChat), 2), found(&connection, of(DuoChat), 2)),
        (Some(quick), None)
    );
    let days = LIMITS.expiry.as_secs();
    assert_eq!(found(&connection, named(quick), days + 1), Some(quick));
    assert_eq!(found(&connection, named(quick), days + 2), None);
    assert_eq!(say(&connection, ALICE, named(quick), days + 2), None);
    assert_eq!(listed(&connection, ALICE, days + 2), []);
    assert_eq!(found(&connection, named(ThreadId(u64::MAX)), 2), None);
}

#[test]
fn a_title_is_the_beginning_of_the_first_question_that_is_no_command() {
    let connection = in_memory();
    let mut message = a_message(1, "/help");
    for (content, role) in
        [("/help", Role::User), ("Ask!", Role::Assistant), ("  äöüßxyz?", Role::User), ("no", Role::User)]
    {
        message = ChatMessage { content: content.to_owned(), role, ..a_message(1, "") };
        conversation::add(
            &connection,
            &LIMITS,
            Shelf::Messages,
            ALICE,
            ThreadChoice::Legacy,
            message.clone(),
        )
        .unwrap();
    }
    assert_eq!(message.content, "no");
    let threads = list(&connection, &LIMITS, ALICE, at(1)).unwrap();
    assert_eq!(threads[0].title.as_deref(), Some("äöüßx"));
}

#[test]
fn beside_the_main_one_only_the_newest_threads_of_an_owner_are_kept() {
    let connection = in_memory();
    let main = say(&connection, ALICE, ThreadChoice::Legacy, 0).unwrap();
    let others = say(&connection, MALLORY, QUICK, 0).unwrap();
    let begun: Vec<_> = (1..=3).map(|second| say(&connection, ALICE, QUICK, second).unwrap()).collect();
    say(&connection, ALICE, named(begun[0]), 4);
    let last = say(&connection, ALICE, QUICK, 5).unwrap();
    assert_eq!(listed(&connection, ALICE, 5), [last, begun[0], begun[2], main]);
    assert_eq!(listed(&connection, MALLORY, 5), [others]);
    let left: i64 = connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 6, "its messages went with it");
    // A clock that was set back does not make the new one the oldest.
    let early = say(&connection, ALICE, QUICK, 1).unwrap();
    assert!(listed(&connection, ALICE, 5).contains(&early));
}

#[test]
fn a_number_is_the_moment_or_the_next_one_and_whole_in_javascript() {
    let connection = in_memory();
    let first = say(&connection, ALICE, QUICK, 1).unwrap();
    let twin = say(&connection, MALLORY, QUICK, 1).unwrap();
    assert_eq!(first, ThreadId(1_787_000_001_123_456));
    assert_eq!(twin.0, first.0 + 1);
    assert!(twin.0 < 1 << 53);
}

#[test]
fn a_thread_whose_row_was_altered_is_as_if_it_were_not_there() {
    let connection = in_memory();
    let (altered, sound) =
        (say(&connection, ALICE, QUICK, 1).unwrap(), say(&connection, ALICE, QUICK, 2).unwrap());
    connection.execute("UPDATE threads SET title = 'x' WHERE id = ?1", [Number(altered)]).unwrap();
    assert_eq!(listed(&connection, ALICE, 2), [sound]);
    assert_eq!(say(&connection, ALICE, named(altered), 3), None);
}

#[test]
fn choosing_a_thread_looks_at_its_owners_rows_only() {
    let connection = in_memory();
    for sql in [&*OF_TYPE, &*NAMED, &*NEWEST_FIRST] {
        let plan = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = connection.prepare(&plan).unwrap();
        let parameters = vec![0_i64; statement.parameter_count()];
        let steps =
            statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>("detail"));
        let steps: Vec<String> = steps.unwrap().collect::<Result<_, _>>().unwrap();
        assert!(steps.iter().all(|step| !step.contains("SCAN")), "{steps:?}");
    }
}

proptest! {
    /// Whatever is said where and when: nobody sees a thread of somebody else's, and no bound is passed.
    #[test]
    fn threads_stay_their_owners_and_within_their_bounds(
        said in prop::collection::vec((0..2_u64, 0..5_usize, 0..400_000_u64), 1..60),
    ) {
        let connection = in_memory();
        let mut begun: Vec<(UserId, ThreadId)> = Vec::new();
        for (owner, choice, second) in said {
            let owner = UserId(owner);
            let choice = match choice {
                0 => ThreadChoice::Legacy,
                1 => QUICK,
                2 => ThreadChoice::OfType(DuoChatLegacy),
                place => begun.get(place).map_or(ThreadChoice::Legacy, |(_, id)| named(*id)),
            };
            if let Some(id) = say(&connection, owner, choice, second) {
                if let Some((known, _)) = begun.iter().find(|(_, known)| *known == id) {
                    prop_assert_eq!(*known, owner);
                } else {
                    begun.push((owner, id));
                }
            }
            for owner in [UserId(0), UserId(1)] {
                let listed = listed(&connection, owner, second);
                prop_assert!(listed.len() <= LIMITS.threads + 1);
                prop_assert!(listed.iter().all(|id| begun.contains(&(owner, *id))));
            }
        }
    }
}
