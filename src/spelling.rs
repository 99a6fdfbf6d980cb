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

/// The fault of a name that is none of `known`: with what was meant, if that can be told, and with all there are.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("unknown {what} `{name}`; did you mean `{meant}`? Known: {all}"),
        None => format!("unknown {what} `{name}`; known: {all}"),
    }
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
