//! Cutting Markdown into sentences. Code blocks and headings are not sentences.

/// Abbreviations whose point ends no sentence.
const ABBREVIATIONS: &[&str] = &["e.g.", "i.e.", "etc.", "vs.", "cf.", "approx."];

/// The sentences of a text in order, each on one line.
pub(super) fn split(text: &str) -> Vec<String> {
    paragraphs(text).iter().flat_map(|paragraph| sentences(paragraph)).collect()
}

/// Paragraphs and list items, their lines joined.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = Vec::new();
    let mut current: Vec<&str> = Vec::new();
    let mut in_code = false;
    for line in text.lines().map(str::trim) {
        let is_fence = line.starts_with("```") || line.starts_with("~~~");
        let ends_paragraph = line.is_empty() || is_fence || in_code || line.starts_with(['#', '|']);
        let item = list_item(line);
        if (ends_paragraph || item.is_some()) && !current.is_empty() {
            paragraphs.push(current.join(" "));
            current.clear();
        }
        in_code ^= is_fence;
        if !ends_paragraph {
            current.push(item.unwrap_or(line));
        }
    }
    if !current.is_empty() {
        paragraphs.push(current.join(" "));
    }
    paragraphs
}

/// The text of a list item, without its mark.
fn list_item(line: &str) -> Option<&str> {
    if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some(item);
    }
    let (number, item) = line.split_once(". ")?;
    (number.len() <= 2 && number.chars().all(|c| c.is_ascii_digit())).then_some(item)
}

fn sentences(paragraph: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    let mut words = paragraph.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(word);
        if ends_sentence(word) && words.peek().is_none_or(|next| begins_sentence(next)) {
            sentences.push(std::mem::take(&mut sentence));
        }
    }
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    sentences
}

fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches(['"', '\'', ')', '*', '_', '`']);
    bare.ends_with(['.', '!', '?'])
        && !ABBREVIATIONS.contains(&word.trim_start_matches('(').to_lowercase().as_str())
}

fn begins_sentence(word: &str) -> bool {
    let first = word.chars().find(|c| !matches!(c, '"' | '\'' | '(' | '*' | '_' | '`' | '['));
    first.is_none_or(|c| !c.is_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_the_next_one_begins() {
        let text = "It takes 6.5 s, e.g. on staging. Is that fine? Yes! See\n`a.b` for more.";
        let expected = ["It takes 6.5 s, e.g. on staging.", "Is that fine?", "Yes!", "See `a.b` for more."];
        assert_eq!(split(text), expected);
    }

    #[test]
    fn list_items_are_sentences_and_headings_and_code_are_none() {
        let text = "# Title\n\nFirst:\n\n- one\n  goes on\n2. two\n\n```rust\nlet a = 1. B;\n```\nLast.";
        assert_eq!(split(text), ["First:", "one goes on", "two", "Last."]);
    }
}
