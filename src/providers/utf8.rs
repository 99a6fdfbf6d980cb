//! Bytes to text, a piece at a time. What is no UTF-8 becomes U+FFFD in place and the rest stays intact; a
//! character that is split between two pieces stays whole.

/// What stands for bytes that are no text.
const REPLACEMENT: &str = "\u{FFFD}";

/// The text of a stream of bytes, the same for every way to cut the stream into pieces.
#[derive(Debug, Default)]
pub(crate) struct LossyUtf8 {
    /// The beginning of a character whose end has not arrived: three bytes at most.
    held: Vec<u8>,
}

impl LossyUtf8 {
    /// The text of the next piece, as far as its characters are complete.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut text = String::with_capacity(self.held.len() + piece.len());
        self.decode(piece, |part| text.push_str(part));
        text
    }

    /// Gives the text of the next piece to `take`, in order, without gathering it first.
    pub(crate) fn decode(&mut self, piece: &[u8], mut take: impl FnMut(&str)) {
        let rest = self.complete(piece, &mut take);
        let mut chunks = rest.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            if !chunk.valid().is_empty() {
                take(chunk.valid());
            }
            if chunks.peek().is_none() && may_go_on(chunk.invalid()) {
                self.held.extend_from_slice(chunk.invalid());
            } else if !chunk.invalid().is_empty() {
                take(REPLACEMENT);
            }
        }
    }

    /// The end of the stream: the text that a character without an end leaves behind, mostly none.
    pub(crate) fn finish(&mut self) -> &'static str {
        let dangling = !self.held.is_empty();
        self.held.clear();
        if dangling { REPLACEMENT } else { "" }
    }

    /// How many bytes wait for the rest of their character.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Completes the held character with the first bytes of `piece`; what is left of the piece.
    fn complete<'a>(&mut self, piece: &'a [u8], take: &mut impl FnMut(&str)) -> &'a [u8] {
        let mut rest = piece;
        while !self.held.is_empty()
            && let Some((byte, after)) = rest.split_first()
        {
            self.held.push(*byte);
            match str::from_utf8(&self.held) {
                Ok(character) => take(character),
                Err(error) if error.error_len().is_none() => {
                    rest = after;
                    continue;
                }
                // The byte belongs to what follows: it may begin a character of its own.
                Err(_) => {
                    take(REPLACEMENT);
                    self.held.clear();
                    return rest;
                }
            }
            self.held.clear();
            rest = after;
        }
        rest
    }
}

/// Whether more bytes could make a character of these.
fn may_go_on(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut utf8 = LossyUtf8::default();
        let mut text = String::new();
        for piece in pieces {
            text.push_str(&utf8.push(piece));
            assert!(utf8.held() <= 3);
        }
        text + utf8.finish()
    }

    #[test]
    fn a_character_split_between_pieces_stays_whole() {
        let mut utf8 = LossyUtf8::default();
        let (first, second) = "Größe".as_bytes().split_at(3);
        assert_eq!(utf8.push(first), "Gr");
        assert_eq!(utf8.push(second), "öße");
        assert_eq!(utf8.finish(), "");
    }

    #[test]
    fn what_is_no_text_is_replaced_in_place_and_the_rest_stays_intact() {
        assert_eq!(decoded([b"a\xFFb".as_slice(), b"\xE2\x82", b"c"]), "a\u{FFFD}b\u{FFFD}c");
    }

    #[test]
    fn a_broken_character_does_not_swallow_the_one_that_breaks_it() {
        assert_eq!(decoded([b"\xF0\x9F".as_slice(), "é".as_bytes()]), "\u{FFFD}é");
    }

    #[test]
    fn a_character_without_an_end_is_told_once() {
        let mut utf8 = LossyUtf8::default();
        assert_eq!(utf8.push(b"x\xF0\x9F\x98"), "x");
        assert_eq!((utf8.finish(), utf8.finish()), ("\u{FFFD}", ""));
    }

    proptest! {
        #[test]
        fn every_split_gives_the_text_of_the_whole(
            parts in proptest::collection::vec(
                prop_oneof![any::<Vec<u8>>(), any::<String>().prop_map(String::into_bytes)],
                0..8,
            ),
            length in 1_usize..9,
        ) {
            let bytes = parts.concat();
            prop_assert_eq!(decoded(bytes.chunks(length)), String::from_utf8_lossy(&bytes));
        }
    }
}
