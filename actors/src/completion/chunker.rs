//! Turns the deltas of a model into chunks: each delta at once, until an answer has so many that they
//! are gathered for a moment, and never more than an answer may have. An answer that is held back has none.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;

#[derive(Debug)]
pub(super) struct Chunker {
    /// Whether nothing of the answer is to be shown before its end.
    holds_back: bool,
    gather_after: u32,
    gather: Duration,
    max_chunks: u32,
    max_bytes: usize,
    /// Chunks made so far; the next one has this number plus one.
    made: u32,
    answer: String,
    /// Where in `answer` the text begins that is not in a chunk yet.
    gathered_from: usize,
    /// Where the last chunk begins.
    last_from: usize,
    flush_at: Option<Instant>,
}

/// One numbered piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// From 1, without gaps.
    pub(super) id: u32,
    pub(super) content: String,
}

/// The answer has more of something than an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    Chunks,
    Bytes,
}

impl TooLong {
    /// For the log: the bound, by its name in the configuration.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Chunks => "the answer has more chunks than pipeline.max_chunks",
            Self::Bytes => "the answer has more bytes than pipeline.max_answer_bytes",
        }
    }
}

impl Chunker {
    pub(super) fn new(limits: &Limits, holds_back: bool) -> Self {
        Self {
            holds_back,
            gather_after: limits.gather_after_chunks,
            gather: limits.gather,
            max_chunks: limits.max_chunks,
            max_bytes: limits.max_answer_bytes,
            made: 0,
            answer: String::new(),
            gathered_from: 0,
            last_from: 0,
            flush_at: None,
        }
    }

    /// Takes a delta; gives a chunk unless it is being gathered.
    pub(super) fn push(&mut self, delta: &str, now: Instant) -> Result<Option<Chunk>, TooLong> {
        if self.answer.len() + delta.len() > self.max_bytes {
            return Err(TooLong::Bytes);
        }
        self.answer.push_str(delta);
        if self.holds_back {
            return Ok(None);
        }
        if self.made < self.gather_after {
            return self.flush();
        }
        let flush_at = *self.flush_at.get_or_insert(now + self.gather);
        if now >= flush_at { self.flush() } else { Ok(None) }
    }

    /// When gathered text is due, if there is any.
    pub(super) fn due(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Makes a chunk of what has been gathered, if anything has.
    pub(super) fn flush(&mut self) -> Result<Option<Chunk>, TooLong> {
        self.flush_at = None;
        if self.holds_back {
            return Ok(None);
        }
        let content = self.answer.get(self.gathered_from..).unwrap_or_default().to_owned();
        if content.is_empty() {
            return Ok(None);
        }
        if self.made >= self.max_chunks {
            return Err(TooLong::Chunks);
        }
        self.made += 1;
        self.last_from = self.gathered_from;
        self.gathered_from = self.answer.len();
        Ok(Some(Chunk { id: self.made, content }))
    }

    /// The text of all chunks so far. What was gathered, or refused, after the last of them is not in it.
    pub(super) fn into_shown(mut self) -> String {
        self.answer.truncate(self.gathered_from);
        self.answer
    }

    /// The same when the last of them reached nobody.
    pub(super) fn into_shown_but_the_last(mut self) -> String {
        self.answer.truncate(self.last_from);
        self.answer
    }

    /// The whole text so far.
    pub(super) fn into_answer(self) -> String {
        self.answer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunker(gather_after_chunks: u32, max_chunks: u32, max_answer_bytes: usize) -> Chunker {
        let limits = Limits { gather_after_chunks, max_chunks, max_answer_bytes, ..Limits::default() };
        Chunker::new(&limits, false)
    }

    #[tokio::test]
    async fn a_chunk_that_reached_nobody_was_not_shown() {
        let mut chunker = chunker(10, 10, 100);
        for delta in ["one ", "two ", "three"] {
            chunker.push(delta, Instant::now()).unwrap();
        }
        assert_eq!(chunker.into_shown_but_the_last(), "one two ");
    }

    #[tokio::test]
    async fn the_first_deltas_are_chunks_of_their_own_and_count_from_one() {
        let (mut chunker, now) = (chunker(2_048, 4_096, 1_000), Instant::now());
        let first = chunker.push("a", now).unwrap().unwrap();
        let second = chunker.push("b", now).unwrap().unwrap();
        assert_eq!((first.id, second.id, second.content.as_str()), (1, 2, "b"));
    }

    #[tokio::test]
    async fn later_deltas_are_gathered_for_twenty_milliseconds() {
        let (mut chunker, now) = (chunker(1, 4_096, 1_000), Instant::now());
        assert!(chunker.push("a", now).unwrap().is_some());
        assert_eq!(chunker.push("b", now), Ok(None));
        assert_eq!(chunker.due(), Some(now + Duration::from_millis(20)));
        let gathered = chunker.push("c", now + Duration::from_millis(20)).unwrap().unwrap();
        assert_eq!(gathered.content, "bc");
    }

    #[tokio::test]
    async fn an_answer_of_too_many_chunks_or_bytes_is_too_long_and_what_was_shown_is_kept() {
        let now = Instant::now();
        let mut chunks = chunker(10, 2, 1_000);
        chunks.push("a", now).unwrap();
        chunks.push("b", now).unwrap();
        assert_eq!(chunks.push("c", now), Err(TooLong::Chunks));
        assert_eq!(chunks.into_shown(), "ab");
        let mut bytes = chunker(10, 10, 3);
        bytes.push("ab", now).unwrap();
        assert_eq!(bytes.push("cd", now), Err(TooLong::Bytes));
        assert_eq!(bytes.into_shown(), "ab");
    }

    #[tokio::test]
    async fn an_answer_that_is_held_back_has_no_chunks_and_still_a_bound() {
        let (limits, now) = (Limits { max_answer_bytes: 3, ..Limits::default() }, Instant::now());
        let mut chunker = Chunker::new(&limits, true);
        assert_eq!((chunker.push("ab", now), chunker.due(), chunker.flush()), (Ok(None), None, Ok(None)));
        assert_eq!(chunker.push("cd", now), Err(TooLong::Bytes));
        assert_eq!(chunker.into_shown(), "");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_the_chunks_say_however_the_answer_ends(
            deltas in proptest::collection::vec(".{1,6}", 0..60),
            gather_after in 0_u32..20,
            max_chunks in 1_u32..30,
            max_bytes in 1_usize..200,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let now = runtime.block_on(async { Instant::now() });
            let (mut chunker, mut chunks) = (chunker(gather_after, max_chunks, max_bytes), String::new());
            for (n, delta) in deltas.iter().enumerate() {
                match chunker.push(delta, now + Duration::from_millis(7 * n as u64)) {
                    Ok(chunk) => chunks.extend(chunk.map(|chunk| chunk.content)),
                    Err(_) => break,
                }
            }
            prop_assert_eq!(chunker.into_shown(), chunks);
        }

        #[test]
        fn chunks_are_contiguous_and_concatenate_to_the_answer(
            deltas in proptest::collection::vec(".{1,6}", 0..60),
            gather_after in 0_u32..20,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let now = runtime.block_on(async { Instant::now() });
            let mut chunker = chunker(gather_after, 4_096, 1_000_000);
            let mut chunks = Vec::new();
            for (n, delta) in deltas.iter().enumerate() {
                chunks.extend(chunker.push(delta, now + Duration::from_millis(7 * n as u64)).unwrap());
            }
            chunks.extend(chunker.flush().unwrap());
            let ids: Vec<u32> = chunks.iter().map(|chunk| chunk.id).collect();
            prop_assert_eq!(ids, (1..=chunks.len() as u32).collect::<Vec<_>>());
            let text: String = chunks.into_iter().map(|chunk| chunk.content).collect();
            prop_assert_eq!(text, deltas.concat());
        }
    }
}
