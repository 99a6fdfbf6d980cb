//! Quoting the bundled documentation, and telling whether a question is about Duologue at all.

use std::collections::BTreeSet;

use super::{
    bm25::Index,
    passages::{Library, Passage},
    sentences,
    terms::terms,
};

/// At most this many passages are quoted: the best one at length.
const MOST_PASSAGES: usize = 3;
/// The best passage is quoted up to about this many characters, whole blocks only.
const LONGEST_PASSAGE: usize = 1_600;
/// A further passage must be at least this good, compared with the best.
const WORTH_MENTIONING: f64 = 0.45;
/// A sentence of fewer words ("They may use:") says nothing by itself.
const SHORTEST_MENTION: usize = 4;
/// Less of the question than this found in the documentation, and it is no answer.
const LEAST_COVERAGE: f64 = 0.34;

/// What Duologue calls its own things. Without one of these a question asked on a page is about the page.
const OWN_WORDS: &str = "duologue ai action catalogue chat prompt provider model token feature flag setting \
                         configure graphql websocket mutation subscribe subscription journal replay cancel";

/// Whether the question names something of Duologue's that `elsewhere` does not speak of.
pub(super) fn is_named_by(query: &[String], elsewhere: &BTreeSet<String>) -> bool {
    let own = terms(OWN_WORDS);
    query.iter().any(|term| own.contains(term) && !elsewhere.contains(term))
}

/// The passage that answers the question, and further ones in a sentence each.
pub(super) fn quote(library: &Library, query: &[String]) -> Option<String> {
    let found = fitting(library, query);
    let ((best, best_score), others) = found.split_first()?;
    let mut blocks = vec![format!("**{}** ({})", path_of(best), best.source), beginning(&best.body)];
    let others: Vec<String> = others
        .iter()
        .filter(|(_, score)| *score >= best_score * WORTH_MENTIONING)
        .filter_map(|(passage, _)| mention(passage, query))
        .collect();
    if !others.is_empty() {
        blocks.push(format!("See also:\n\n{}", others.join("\n")));
    }
    Some(blocks.join("\n\n"))
}

/// Where the documentation answers the question, in one line.
pub(super) fn reference(library: &Library, query: &[String]) -> Option<String> {
    let (best, _) = fitting(library, query).into_iter().next()?;
    Some(format!("Duologue's own documentation has: {} ({})", path_of(best), best.source))
}

fn fitting<'l>(library: &'l Library, query: &[String]) -> Vec<(&'l Passage, f64)> {
    if library.coverage(query) < LEAST_COVERAGE {
        return Vec::new();
    }
    library.find(query, MOST_PASSAGES)
}

fn path_of(passage: &Passage) -> String {
    passage.headings.join(" › ")
}

/// The passage's first blocks (paragraphs, lists, code), whole, as far as they fit; at least one.
fn beginning(body: &str) -> String {
    let mut text = String::new();
    for block in blocks(body) {
        if !text.is_empty() && text.chars().count() + block.chars().count() > LONGEST_PASSAGE {
            text.push_str("\n\n…");
            break;
        }
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&block);
    }
    text
}

/// Splits Markdown at blank lines, but not inside code.
fn blocks(body: &str) -> Vec<String> {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    let mut in_code = false;
    for line in body.lines() {
        in_code ^= line.trim_start().starts_with("```");
        match blocks.last_mut() {
            Some(block) if !line.trim().is_empty() || in_code => block.push(line),
            _ => blocks.push(Vec::new()),
        }
    }
    blocks.iter().filter(|block| !block.is_empty()).map(|block| block.join("\n")).collect()
}

/// The sentence of a passage that fits best, with its source.
fn mention(passage: &Passage, query: &[String]) -> Option<String> {
    let mut sentences = sentences::split(&passage.body);
    sentences.retain(|sentence| sentence.split_whitespace().count() >= SHORTEST_MENTION);
    let index = Index::new(sentences.iter().map(|sentence| terms(sentence)));
    let best = index.search(query).first().map_or(0, |hit| hit.index);
    sentences.get(best).map(|sentence| format!("- {sentence} — {}", passage.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_about_duologue_when_it_names_a_thing_of_its_that_the_page_does_not() {
        let about = |question: &str, page: &str| {
            is_named_by(&terms(question), &terms(page).into_iter().collect::<BTreeSet<_>>())
        };
        assert!(about("How do I remove an action?", "Exports time out."));
        assert!(about("What is clientSubscriptionId for?", ""));
        assert!(!about("Which flag is it behind?", "The flag is `cursor_export`."));
        assert!(!about("What was decided, and when will it be done?", ""));
    }
}
