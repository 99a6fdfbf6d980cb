//! What a misspelt name was meant to be.

/// Similarity by Jaro and Winkler, from 0 to 1. One slip in a short name has about 0.9; two names for
/// different things that begin alike seldom have this much.
const CLOSE_ENOUGH: f64 = 0.85;

/// The candidate closest to `name`, if any is close enough to have been meant.
pub fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= CLOSE_ENOUGH)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_what_was_meant_and_another_name_finds_nothing() {
        let names = ["duo_chat", "explain_code", "ask_issue"];
        let nearest = |name| nearest(name, names.into_iter());
        assert_eq!(nearest("duo_chatt"), Some("duo_chat"));
        assert_eq!(nearest("ask_isue"), Some("ask_issue"));
        assert_eq!(nearest("brew_coffee"), None);
        // Alike to 0.84, by their beginnings only.
        assert_eq!(nearest("ask_epic"), None);
    }
}
