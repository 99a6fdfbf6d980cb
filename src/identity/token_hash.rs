//! What a token is remembered by: its SHA-256. Two that are alike to the last letter have nothing in common
//! here, how long a lookup takes says nothing about how near a guess was, and what is in memory opens no door.

use std::fmt;

use sha2::{Digest, Sha256};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// Shows nothing of it: whoever could try tokens against it would learn something.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_a_long_common_beginning_have_hashes_of_their_own_and_none_is_shown() {
        let common = "a".repeat(4_096);
        let [one, other] = ["1", "2"].map(|end| TokenHash::of(&format!("{common}{end}")));
        assert!(one != other);
        assert_eq!(format!("{one:?}"), "TokenHash");
    }
}
