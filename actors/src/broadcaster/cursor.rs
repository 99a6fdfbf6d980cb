//! A place in a user's log that outlives the connection over which it was told. Clients hold it as a text and
//! give it back: what they had by then is not sent again, and what came since is.

use std::{fmt, str::FromStr};

/// Behind every event of one log up to an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
}

/// One incarnation of a log, by a random number: offsets begin anew with each, and mean nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this server")]
pub struct NotACursor;

/// Hexadecimal digits of a cursor: 16 of its epoch, 16 of its offset.
const DIGITS: usize = 32;

impl Cursor {
    /// The place before the event that it is behind.
    pub(super) fn before(self) -> Self {
        Self { offset: self.offset.saturating_sub(1), ..self }
    }
}

impl Epoch {
    pub(super) fn new() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.epoch.0, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A sign would be a number too.
        let is_canonical =
            text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (epoch, offset) = text.split_at_checked(DIGITS / 2).filter(|_| is_canonical).ok_or(NotACursor)?;
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| NotACursor);
        Ok(Self { epoch: Epoch(number(epoch)?), offset: number(offset)? })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    proptest::proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_printed(epoch: u64, offset: u64) {
            let cursor = Cursor { epoch: Epoch(epoch), offset };
            proptest::prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn whatever_is_read_as_a_cursor_prints_as_it_was(text in "\\PC{0,40}|[+0-9a-fA-F]{31,33}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                proptest::prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[rstest]
    #[case::nothing("")]
    #[case::too_short("0000000000000001000000000000002")]
    #[case::too_long("000000000000000100000000000000020")]
    #[case::capitals("000000000000000A0000000000000002")]
    #[case::a_sign("+0000000000000010000000000000002")]
    #[case::half_a_character_in_the_middle("000000000000000ü000000000000000")]
    fn anything_else_is_no_cursor(#[case] text: &str) {
        assert_eq!(text.parse::<Cursor>(), Err(NotACursor));
    }
}
