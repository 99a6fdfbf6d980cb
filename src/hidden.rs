//! Characters that hide text from people, or make a terminal do something: no text needs them.

/// The text with a visible mark for each of them, as it may be shown in a page or on a terminal. A carriage return is
/// left out: a terminal would write what follows over what is there, and a piece of a stream can end inside a line end
/// of two.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|&c| c != '\r').map(|c| if hides(c) { '\u{FFFD}' } else { c }).collect()
}

/// Control characters but the line feed and the tab, those that turn the direction of text around, and tags, which
/// nobody sees and a model reads.
pub(crate) fn hides(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{E0000}'..='\u{E007F}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::text(
        "a\tb\n\u{5E9}\u{5DC} \u{1F469}\u{200D}\u{1F4BB}",
        "a\tb\n\u{5E9}\u{5DC} \u{1F469}\u{200D}\u{1F4BB}"
    )]
    #[case::a_line_end_of_two("a\r\nb", "a\nb")]
    #[case::a_line_written_over("all is lost\rall is well", "all is lostall is well")]
    #[case::a_command_to_the_terminal("\u{1b}]0;title\u{7}\u{9b}2J", "\u{FFFD}]0;title\u{FFFD}\u{FFFD}2J")]
    #[case::text_turned_around("a\u{202E}b", "a\u{FFFD}b")]
    #[case::text_nobody_sees("a\u{E0041}", "a\u{FFFD}")]
    fn what_is_shown_is_text_and_nothing_else(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(shown(text), expected);
    }
}
