//! Turns the deltas of a model into chunks: each delta at once, until an answer has so many that they
//! are gathered for a moment, and never more than an answer may have.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;

#[derive(Debug)]
pub(super) struct Chunker {
    gather_after: u32,
    gather: Duration,
    max_chunks: u32,
    max_bytes: usize,
    /// Chunks made so far; the next one has this number plus one.
    made: u32,
    answer: String,
    /// Where in `answer` the text begins that is not in a chunk yet.
    gathered_from: usize,
    flush_at: Option<Instant>,
}

/// One numbered piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// From 1, without gaps.
    pub(super) id: u32,
    pub(super) content: String,
}

/// The answer has more chunks or bytes than an answer may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Chunker {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            gather_after: limits.gather_after_chunks,
            gather: limits.gather,
            max_chunks: limits.max_chunks,
            max_bytes: limits.max_answer_bytes,
            made: 0,
            answer: String::new(),
            gathered_from: 0,
            flush_at: None,
        }
    }

    /// Takes a delta; gives a chunk unless it is being gathered.
    pub(super) fn push(&mut self, delta: &str, now: Instant) -> Result<Option<Chunk>, TooLong> {
        if self.answer.len() + delta.len() > self.max_bytes {
            return Err(TooLong);
        }
        self.answer.push_str(delta);
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
        let content = self.answer.get(self.gathered_from..).unwrap_or_default().to_owned();
        if content.is_empty() {
            return Ok(None);
        }
        if self.made >= self.max_chunks {
            return Err(TooLong);
        }
        self.made += 1;
        self.gathered_from = self.answer.len();
        Ok(Some(Chunk { id: self.made, content }))
    }

    pub(super) fn has_content(&self) -> bool {
        !self.answer.is_empty()
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
        Chunker::new(&Limits { gather_after_chunks, max_chunks, max_answer_bytes, ..Limits::default() })
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
    async fn an_answer_of_too_many_chunks_or_bytes_is_too_long_and_its_text_is_kept() {
        let now = Instant::now();
        let mut chunks = chunker(10, 2, 1_000);
        chunks.push("a", now).unwrap();
        chunks.push("b", now).unwrap();
        assert_eq!(chunks.push("c", now), Err(TooLong));
        let mut bytes = chunker(10, 10, 3);
        bytes.push("ab", now).unwrap();
        assert_eq!(bytes.push("cd", now), Err(TooLong));
        assert_eq!(bytes.into_answer(), "ab");
    }

    proptest! {
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
