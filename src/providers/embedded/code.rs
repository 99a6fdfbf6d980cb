//! What a piece of code says about itself without being understood: its comments, and the names it
//! defines or calls.

/// Words that stand before a bracket without being a name.
const KEYWORDS: &[&str] = &[
    "if", "for", "while", "switch", "match", "return", "catch", "function", "fn", "def", "and", "or", "not",
    "in",
];

/// Words of programming languages that say nothing about what one piece of code is for.
const SYNTAX: &[&str] = &[
    "async", "await", "begin", "bool", "break", "case", "catch", "class", "const", "continue", "def", "end",
    "enum", "false", "fn", "function", "impl", "import", "int", "let", "loop", "match", "module", "mut",
    "new", "nil", "none", "null", "package", "private", "pub", "public", "raise", "require", "return",
    "self", "static", "str", "string", "struct", "super", "switch", "this", "throw", "true", "try", "type",
    "use", "val", "var", "void", "while", "yield",
];

/// At most this many names and comments are listed.
const MOST_NAMES: usize = 12;
const MOST_COMMENTS: usize = 8;

/// Whether a word in lower case is one of the language's own.
pub(super) fn is_syntax(word: &str) -> bool {
    SYNTAX.contains(&word)
}

/// The comments of the code, a line each, without their marks.
pub(super) fn comments(code: &str) -> Vec<String> {
    code.lines()
        .filter_map(comment)
        .filter(|text| text.split_whitespace().count() > 1)
        .take(MOST_COMMENTS)
        .map(str::to_owned)
        .collect()
}

fn comment(line: &str) -> Option<&str> {
    let line = line.trim();
    let text = ["//", "#", "--", "/*", "*"].iter().find_map(|mark| line.strip_prefix(mark))?;
    Some(text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '/' | '*' | '!' | '#' | '-')))
}

/// The names before an opening bracket, in order, each once: `foo`, `console.log`.
pub(super) fn names(code: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let lines = code.lines().filter(|line| comment(line).is_none());
    for (at, line) in lines.flat_map(|line| line.match_indices('(').map(move |(at, _)| (at, line))) {
        let before = line.get(..at).unwrap_or_default();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '$');
        let start = before.rfind(|c| !is_part(c)).map_or(0, |end| end + before_width(before, end));
        let name = before.get(start..).unwrap_or_default().trim_matches(|c| matches!(c, '.' | ':'));
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$'));
        if names.len() == MOST_NAMES {
            break;
        }
        if is_name && !KEYWORDS.contains(&name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// How many bytes the letter at `at` has.
fn before_width(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_names_before_brackets_are_found_once_each_without_keywords() {
        assert_eq!(names("foo() { console.log() }"), ["foo", "console.log"]);
        assert_eq!(names("if (a) { b(c(1), b(2)) } // see d()"), ["b", "c", "d"]);
        assert_eq!(names("# see x()\nUsageRow.each_after(cursor)"), ["UsageRow.each_after"]);
    }

    #[test]
    fn words_of_the_language_are_told_from_those_of_the_program() {
        assert!(is_syntax("return") && !is_syntax("export"));
    }

    #[test]
    fn comments_lose_their_marks_and_single_words_are_none() {
        assert_eq!(
            comments("// keeps the order\nlet a = 1;\n# TODO\n/* all of it */"),
            ["keeps the order", "all of it"]
        );
    }

    proptest! {
        #[test]
        fn any_code_can_be_looked_at(code in "(é|\\(|\\.|a|\\PC|\n){0,80}") {
            names(&code);
            comments(&code);
        }
    }
}
