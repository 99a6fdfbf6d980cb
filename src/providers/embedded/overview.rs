//! Which sentences of a discussion carry it: those most like the others, those that decide, assign or
//! leave open, and of two that say the same only one.

use super::{
    terms::{terms, words},
    vectors::Vectors,
};

/// Words of decisions, duties, dates and open questions.
const CUES: &[&str] = &[
    "decision",
    "decided",
    "agreed",
    "agree",
    "approved",
    "blocking",
    "blocked",
    "open",
    "propose",
    "must",
    "deadline",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "review",
    "because",
    "take",
    "prefer",
];

/// Those that settle or stop something, which count for three.
const DECISIVE: &[&str] = &["decision", "decided", "agreed", "approved", "blocking", "open"];

/// What one cue adds, next to a likeness that is rarely above 0.3.
const CUE_WEIGHT: f64 = 0.06;
const MOST_CUES: usize = 3;

/// What the first sentence of all gains: a description begins with what the matter is.
const OPENING_WEIGHT: f64 = 0.18;

/// What a sentence weighs that is like no other and has no cue: it may still fill an empty place.
const LEAST_WEIGHT: f64 = 0.01;

/// How much likeness to what has been chosen already counts against a sentence.
const REPETITION_WEIGHT: f64 = 0.5;
/// What each sentence already chosen from the same source costs the next one from it.
const SAME_SOURCE_COST: f64 = 0.05;

/// Sentences shorter than this many words ("Done.", "Agreed!") stand for nothing by themselves.
const SHORTEST: usize = 5;

/// A sentence and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub source: String,
    pub text: String,
}

impl Sentence {
    /// The terms of the sentence and of its source's name, so that "what did Grace say" finds hers.
    pub(super) fn terms(&self) -> Vec<String> {
        let mut all = terms(&self.text);
        all.extend(terms(&self.source));
        all
    }
}

/// The indexes of the `limit` sentences that carry most, in the order of the text.
pub(super) fn choose(sentences: &[Sentence], limit: usize) -> Vec<usize> {
    let vectors = Vectors::new(sentences.iter().map(|sentence| terms(&sentence.text)).collect());
    let weights: Vec<f64> = sentences
        .iter()
        .enumerate()
        .map(|(at, sentence)| weight(at, sentence, vectors.centrality(at)))
        .collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < limit {
        let cost = |at: usize| repetition(at, &chosen, sentences, &vectors);
        let open = weights.iter().enumerate().filter(|(at, weight)| **weight > 0.0 && !chosen.contains(at));
        let best = open
            .map(|(at, weight)| (at, weight - cost(at)))
            // Of equally good ones the earlier: `max_by` would take the later.
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((at, _)) = best else { break };
        chosen.push(at);
    }
    chosen.sort_unstable();
    chosen
}

fn weight(at: usize, sentence: &Sentence, centrality: f64) -> f64 {
    let words = words(&sentence.text);
    if words.len() < SHORTEST {
        return 0.0;
    }
    let opening = if at == 0 { OPENING_WEIGHT } else { 0.0 };
    // "Open the page" opens no question.
    let said = || words.iter().skip_while(|word| *word == "open").map(String::as_str);
    let count = |cues: &[&str]| said().filter(|word| cues.contains(word)).count();
    let cues = (count(CUES) + 2 * count(DECISIVE)).min(MOST_CUES);
    LEAST_WEIGHT + opening + centrality + cues as f64 * CUE_WEIGHT
}

fn repetition(at: usize, chosen: &[usize], sentences: &[Sentence], vectors: &Vectors) -> f64 {
    let source = |at: usize| sentences.get(at).map(|sentence| &sentence.source);
    let nearest = chosen.iter().map(|other| vectors.likeness(at, *other)).fold(0.0, f64::max);
    let same_source = chosen.iter().filter(|other| source(**other) == source(at)).count();
    nearest * REPETITION_WEIGHT + same_source as f64 * SAME_SOURCE_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(texts: &[(&str, &str)]) -> Vec<Sentence> {
        let sentence =
            |(source, text): &(&str, &str)| Sentence { source: (*source).into(), text: (*text).into() };
        texts.iter().map(sentence).collect()
    }

    #[test]
    fn the_decision_is_chosen_before_the_aside_and_what_is_said_twice_is_chosen_once() {
        let discussion = sentences(&[
            ("Ada", "The export of large reports times out on production every day."),
            ("Ben", "The export of large reports times out on production every week."),
            ("Ben", "My cat likes the new office chair a lot."),
            ("Cy", "Agreed, the decision is a background job for large reports."),
            ("Cy", "Done."),
        ]);
        assert_eq!(choose(&discussion, 2), [0, 3]);
    }

    #[test]
    fn the_opening_sentence_says_what_the_matter_is_and_an_instruction_to_open_something_does_not() {
        let plain = "Somebody mentioned the weather of last week.";
        let instruction = "Open the usage page of one account.";
        let discussion = sentences(&[("description", plain), ("Ada", instruction), ("Ben", plain)]);
        assert_eq!(choose(&discussion, 1), [0]);
        let question = "What to call it is still open.";
        let discussion = sentences(&[("description", plain), ("Ada", instruction), ("Ben", question)]);
        assert_eq!(choose(&discussion, 2), [0, 2]);
    }

    #[test]
    fn a_discussion_without_sentences_has_nothing_to_choose() {
        assert!(choose(&[], 3).is_empty());
        assert!(choose(&sentences(&[("Ada", "Done.")]), 3).is_empty());
    }
}
