//! Which sentences of the material answer a question about it, and which belong to a piece of code.

use super::{
    bm25::Index,
    code, dates,
    overview::Sentence,
    terms::{terms, words},
};

/// At most this many of them are there for their date, where the question is for a time.
const MOST_DATED: usize = 4;

/// Terms of code shorter than this (`id`, `i`) are in any text.
const SHORTEST_TERM: usize = 3;

/// What a question may call a thing, and what a discussion calls it.
const RELATED: &[(&str, &str)] = &[("decision", "agreed approved"), ("deadline", "due")];

/// The indexes of at most `limit` sentences, in the order of the text.
pub(super) fn for_question(
    sentences: &[Sentence],
    question: &str,
    query: &[String],
    limit: usize,
) -> Vec<usize> {
    let index = Index::new(sentences.iter().map(Sentence::terms));
    let found: Vec<usize> = index.search(&with_related(query)).iter().map(|hit| hit.index).collect();
    let mut chosen = if dates::asks_when(question) { dated(sentences, &found) } else { Vec::new() };
    for at in found {
        if !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    in_order(chosen, limit)
}

/// The indexes of at most `limit` sentences that share a term with the code, in the order of the text.
pub(super) fn for_code(sentences: &[Sentence], code: &str, limit: usize) -> Vec<usize> {
    // Not the source's name: code may well have a `description`.
    let index = Index::new(sentences.iter().map(|sentence| terms(&sentence.text)));
    let spoken: String = words(code)
        .into_iter()
        .filter(|word| !code::is_syntax(word) && word.chars().any(char::is_alphabetic))
        .collect::<Vec<_>>()
        .join(" ");
    let query: Vec<String> =
        terms(&spoken).into_iter().filter(|term| term.chars().count() >= SHORTEST_TERM).collect();
    in_order(index.search(&query).iter().map(|hit| hit.index).collect(), limit)
}

/// The sentences that name a date: first those that fit the question otherwise too, best first.
fn dated(sentences: &[Sentence], found: &[usize]) -> Vec<usize> {
    let all: Vec<usize> = sentences
        .iter()
        .enumerate()
        .filter(|(_, sentence)| dates::names_a_date(&sentence.text))
        .map(|(at, _)| at)
        .collect();
    let fitting = found.iter().filter(|at| all.contains(at));
    let others = all.iter().filter(|at| !found.contains(at));
    fitting.chain(others).take(MOST_DATED).copied().collect()
}

fn with_related(query: &[String]) -> Vec<String> {
    let named = |word: &str| terms(word).iter().any(|term| query.contains(term));
    let related = RELATED.iter().filter(|(word, _)| named(word)).flat_map(|(_, others)| terms(others));
    query.iter().cloned().chain(related).collect()
}

fn in_order(mut best_first: Vec<usize>, limit: usize) -> Vec<usize> {
    best_first.truncate(limit);
    best_first.sort_unstable();
    best_first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences() -> Vec<Sentence> {
        let texts = [
            "The export loads every row with one query.",
            "Cursor pagination it is, agreed.",
            "The pagination is in review by Thursday.",
            "The rest is out by 29 May.",
            "I had a nice lunch.",
        ];
        texts.iter().map(|text| Sentence { source: "Ada".to_owned(), text: (*text).to_owned() }).collect()
    }

    fn answer(question: &str, limit: usize) -> Vec<usize> {
        for_question(&sentences(), question, &terms(question), limit)
    }

    #[test]
    fn a_decision_is_found_by_the_word_people_use_for_it() {
        assert_eq!(answer("What was decided?", 5), [1]);
    }

    #[test]
    fn a_question_for_a_time_is_answered_by_the_sentences_with_a_date() {
        assert_eq!(answer("When will it be done?", 5), [2, 3]);
        assert_eq!(answer("When is the pagination out?", 5), [1, 2, 3]);
        assert_eq!(answer("When is the pagination out?", 1), [2]);
        assert!(answer("What happens when it fails?", 5).is_empty());
    }

    #[test]
    fn only_sentences_with_a_term_of_the_code_belong_to_it() {
        let about = |code: &str| for_code(&sentences(), code, 5);
        assert_eq!(about("return rows.export(1) if a"), [0]);
        assert!(about("foo() { console.log() }").is_empty());
    }
}
