use uuid::Uuid;

use super::*;

type Window = super::Window<Uuid>;

impl Default for Window {
    fn default() -> Self {
        Self { first: None, last: None, before: None, after: None }
    }
}

/// The message of that second; they have the ids 1, 2, 3 ...
fn message(second: u8) -> Cursor<Uuid> {
    Cursor { id: Uuid::from_u128(second.into()), nanoseconds: u128::from(second) * 1_000_000_000 }
}

fn at(second: u8) -> Option<Cursor<Uuid>> {
    Some(message(second))
}

fn page(window: Window) -> Range<usize> {
    range(&[1, 2, 3, 4, 5].map(message), &window, 100, Order::OldestFirst)
}

#[test]
fn without_arguments_everything_is_on_the_page() {
    assert_eq!(page(Window::default()), 0..5);
}

#[test]
fn first_and_after_go_forwards() {
    assert_eq!(page(Window { first: Some(2), ..Window::default() }), 0..2);
    assert_eq!(page(Window { first: Some(2), after: at(2), ..Window::default() }), 2..4);
    assert_eq!(page(Window { first: Some(2), after: at(5), ..Window::default() }), 5..5);
}

#[test]
fn last_and_before_go_backwards() {
    assert_eq!(page(Window { last: Some(2), ..Window::default() }), 3..5);
    assert_eq!(page(Window { last: Some(2), before: at(3), ..Window::default() }), 0..2);
    assert_eq!(page(Window { last: Some(2), before: at(1), ..Window::default() }), 0..0);
}

#[test]
fn first_is_applied_before_last() {
    assert_eq!(page(Window { first: Some(3), last: Some(1), ..Window::default() }), 2..3);
}

#[test]
fn cursors_that_cross_leave_nothing() {
    assert_eq!(page(Window { after: at(4), before: at(2), ..Window::default() }), 4..4);
}

#[test]
fn a_page_is_never_larger_than_the_limit() {
    assert_eq!(range(&[1, 2, 3, 4, 5].map(message), &Window::default(), 3, Order::OldestFirst), 0..3);
}

#[test]
fn whoever_holds_the_cursor_of_a_message_that_is_gone_misses_none_that_is_there() {
    let left = [4, 5, 6].map(message);
    let page = |window| range(&left, &window, 100, Order::OldestFirst);
    assert_eq!(page(Window { after: at(2), ..Window::default() }), 0..3);
    assert_eq!(page(Window { first: Some(2), after: at(2), ..Window::default() }), 0..2);
    assert_eq!(page(Window { before: at(2), ..Window::default() }), 0..0);
    assert_eq!(page(Window { after: at(9), ..Window::default() }), 3..3);
}

#[test]
fn where_the_newest_come_first_a_cursor_that_is_gone_goes_on_with_the_older_ones() {
    let left = [6, 5, 3, 2].map(message);
    let page = |window| range(&left, &window, 100, Order::NewestFirst);
    assert_eq!(page(Window { first: Some(2), after: at(5), ..Window::default() }), 2..4);
    assert_eq!(page(Window { after: at(4), ..Window::default() }), 2..4);
    assert_eq!(page(Window { after: at(1), ..Window::default() }), 4..4);
    assert_eq!(page(Window { before: at(4), ..Window::default() }), 0..2);
}

#[test]
fn of_messages_of_one_moment_a_cursor_names_one() {
    let twin = |id: u128| Cursor { id: Uuid::from_u128(id), nanoseconds: 7 };
    let twins = [1, 2, 3].map(twin);
    let window = Window { after: Some(twin(2)), ..Window::default() };
    assert_eq!(range(&twins, &window, 100, Order::OldestFirst), 2..3);
}

#[rstest::rstest]
#[case("")]
#[case("7")]
#[case("7.x")]
#[case("x.00000000-0000-0000-0000-000000000001")]
fn what_is_no_cursor_is_none(#[case] text: &str) {
    assert_eq!(Cursor::<Uuid>::parse(text), None);
}

#[test]
fn a_cursor_is_read_as_it_was_written() {
    assert_eq!(Cursor::parse(&message(3).to_string()), at(3));
}

/// A thread is at another place when something was said in it between two pages.
#[test]
fn an_entry_that_has_moved_brings_nothing_twice() {
    let moved = Cursor { id: message(3).id, ..message(6) };
    let threads = [moved, message(5), message(2), message(1)];
    let window = Window { first: Some(2), after: at(3), ..Window::default() };
    assert_eq!(range(&threads, &window, 100, Order::NewestFirst), 2..4);
    let window = Window { last: Some(2), before: at(3), ..Window::default() };
    assert_eq!(range(&threads, &window, 100, Order::NewestFirst), 0..2);
}
