//! What others wrote is data: nothing of it is taken out, but what no text has is not passed on.

use crate::hidden::hides;

/// Characters of GitLab's own words that are logged.
const MAX_SHOWN: usize = 200;

/// The text with `\n` for every line end and a visible mark for every character that could hide text from
/// people, or end a string where it does not end.
pub(crate) fn clean(text: &str) -> String {
    let lines = text.replace("\r\n", "\n");
    lines.chars().map(|c| if hides(c) { '\u{FFFD}' } else { c }).collect()
}

/// The beginning of a message of GitLab's, on one line, for the log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_replaced_and_lines_and_tabs_stay() {
        assert_eq!(clean("a\r\nb\tc\0d\u{1b}[2Je\r\u{85}"), "a\nb\tc\u{FFFD}d\u{FFFD}[2Je\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn what_people_would_read_otherwise_than_a_model_is_marked() {
        assert_eq!(
            clean("a\u{202E}b\u{2066}c\u{2069}\u{E0041}\u{E007F}"),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}\u{FFFD}\u{FFFD}"
        );
        // Right-to-left text, and the joiners of scripts and emoji, are what they are.
        for text in
            ["\u{5E9}\u{5DC}\u{5D5}\u{5DD}", "\u{645}\u{6CC}\u{200C}\u{62E}", "\u{1F469}\u{200D}\u{1F4BB}"]
        {
            assert_eq!(clean(text), text);
        }
    }

    proptest! {
        #[test]
        fn every_other_character_stays(text in any::<String>()) {
            let lines = text.replace("\r\n", "\n");
            prop_assert!(lines.chars().zip(clean(&text).chars()).all(|(c, shown)| shown == c || hides(c)));
            prop_assert_eq!(clean(&text).chars().count(), lines.chars().count());
        }

        #[test]
        fn a_logged_message_is_one_short_line(text in any::<String>()) {
            let shown = shown(&text);
            prop_assert!(shown.chars().count() <= MAX_SHOWN && !shown.chars().any(char::is_control));
        }
    }
}
