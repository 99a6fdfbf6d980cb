//! 21: an answer that would not fit into memory.

use std::fs;

use duologue_harness::{
    fake_provider::{FakeProvider, Script},
    server::TestServer,
};
use rstest::rstest;

use super::{
    ANSWER, Dialect, PIECES, Setup,
    place::{Told, assert_called},
};

const MEBIBYTE: u64 = 1 << 20;

/// What an answer of any size may add to the server's memory.
const MOST_GROWTH: u64 = 16 * MEBIBYTE;

/// A field of `/proc/<pid>/status`, which are in kibibytes.
fn memory(server: &TestServer, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// Makes the highest mark what is in use now.
fn forget_the_highest_mark(server: &TestServer) {
    fs::write(format!("/proc/{}/clear_refs", server.pid().unwrap()), "5").unwrap();
}

/// Plays `script` in a server that has answered before; what was told, and by how much memory grew at its most.
pub async fn played(dialect: Dialect, script: Script) -> (Told, u64) {
    let a = FakeProvider::start(dialect.answer(&PIECES)).await.unwrap();
    // Long enough that nothing ends because a slow machine has not read far enough; and without the lines of
    // a trace, which would be what is measured.
    let setup = Setup::new(dialect).calls("idle_content_seconds", 60).with("logging", "level", "info");
    let mut place = setup.with("pipeline", "deadline_seconds", 90).serve(&a.url()).await;
    for _ in 0..5 {
        place.ask().await.is_answer(ANSWER);
    }
    forget_the_highest_mark(&place.server);
    let before = memory(&place.server, "VmHWM");
    a.enqueue(script);
    let told = place.ask().await;
    let growth = memory(&place.server, "VmHWM") - before;
    assert_called(&a, dialect, 6);
    // What is small on the wire may have been taken by the kernel before it is unpacked.
    a.until(|calls| calls[5].played || calls[5].caller_closed.is_some()).await.unwrap();
    place.b_was_called(0);
    assert_eq!(place.log().await.outcomes().last(), Some(&"upstream_malformed"));
    (told, growth)
}

#[track_caller]
pub fn assert_bounded(growth: u64) {
    assert!(growth <= MOST_GROWTH, "memory grew by {} KiB", growth / 1_024);
}

#[rstest]
#[tokio::test]
async fn case_21_a_line_of_a_gibibyte_is_cut(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let script = Script::event_stream().send("data: ").send_times([b'x'; 1_024], MEBIBYTE);
    let (told, growth) = played(dialect, script).await;
    told.is_failure("upstream_malformed", "");
    assert_bounded(growth);
}

#[rstest]
#[tokio::test]
async fn case_21_of_a_million_events_those_that_fit_are_shown(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let script = dialect.begun("One ").send_times(dialect.delta("."), 1_000_000);
    let (told, growth) = played(dialect, script).await;
    assert_eq!(told.failure["code"], "upstream_malformed");
    // The last pieces were gathered when the end came: they are in the final message only.
    assert!(told.content.starts_with(&told.shown) && told.shown.starts_with("One ..."));
    let shown = told.content.len();
    assert!((200_000..=250_004).contains(&shown), "{shown} bytes");
    assert_bounded(growth);
}

#[rstest]
#[tokio::test]
async fn case_21_a_million_events_that_say_nothing_are_cut(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
) {
    let script = Script::events(dialect.opening()).send_times(dialect.keep_alive(), 1_000_000);
    let (told, growth) = played(dialect, script).await;
    told.is_failure("upstream_malformed", "");
    assert_bounded(growth);
}

#[rstest]
#[tokio::test]
async fn case_21_an_answer_of_100_megabytes_is_cut_at_one(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini, Dialect::Gateway)] dialect: Dialect,
) {
    let script = dialect.begun("One ").send_times(dialect.delta(&"clementine".repeat(100)), 100_000);
    let (told, growth) = played(dialect, script).await;
    told.is_failure("upstream_malformed", &told.shown);
    let shown = told.shown.len() as u64;
    assert!(shown <= MEBIBYTE && shown > MEBIBYTE - 65_536, "{shown} bytes");
    assert_bounded(growth);
}

#[rstest]
#[tokio::test]
async fn case_21_what_unpacks_to_a_gibibyte_is_cut(
    #[values(Dialect::Anthropic, Dialect::Openai, Dialect::Gemini)] dialect: Dialect,
    #[values(true, false)] is_one_line: bool,
) {
    let line =
        if is_one_line { vec![b'x'; 65_536] } else { [b": ", vec![b'x'; 65_533].as_slice(), b"\n"].concat() };
    let (told, growth) = played(dialect, Script::event_stream().send_gzip(&[(&line, 16_384)])).await;
    told.is_failure("upstream_malformed", "");
    assert_bounded(growth);
}
