//! BM25: which of many texts fit a query best, counting rare words for more and long texts for less.

use std::collections::{BTreeMap, BTreeSet};

/// How soon repetition of a word stops counting; the usual value.
const SATURATION: f64 = 1.2;
/// How much a text's length counts against it; the usual value.
const LENGTH_WEIGHT: f64 = 0.75;

/// The texts as bags of terms.
#[derive(Debug, Default)]
pub(super) struct Index {
    documents: Vec<Document>,
    /// In how many texts a term occurs.
    occurrences: BTreeMap<String, usize>,
    average_length: f64,
}

#[derive(Debug)]
struct Document {
    counts: BTreeMap<String, usize>,
    length: usize,
}

/// A text that has at least one term of the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    pub index: usize,
    pub score: f64,
}

impl Index {
    pub(super) fn new(texts: impl IntoIterator<Item = Vec<String>>) -> Self {
        let mut index = Self::default();
        for terms in texts {
            let length = terms.len();
            let mut counts = BTreeMap::new();
            for term in terms {
                *counts.entry(term).or_insert(0) += 1;
            }
            for term in counts.keys() {
                *index.occurrences.entry(term.clone()).or_insert(0) += 1;
            }
            index.documents.push(Document { counts, length });
        }
        let total: usize = index.documents.iter().map(|document| document.length).sum();
        index.average_length = total as f64 / index.documents.len().max(1) as f64;
        index
    }

    /// The texts that fit, best first; of equally good ones the earlier first.
    pub(super) fn search(&self, query: &[String]) -> Vec<Hit> {
        let query: BTreeSet<&String> = query.iter().collect();
        let mut hits: Vec<Hit> = self
            .documents
            .iter()
            .enumerate()
            .map(|(index, document)| Hit { index, score: self.score(&query, document) })
            .filter(|hit| hit.score > 0.0)
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        hits
    }

    /// How much of the query occurs in one of the texts, from 0 to 1.
    pub(super) fn coverage(&self, query: &[String], indexes: impl IntoIterator<Item = usize>) -> f64 {
        let query: BTreeSet<&String> = query.iter().collect();
        let documents: Vec<&Document> =
            indexes.into_iter().filter_map(|index| self.documents.get(index)).collect();
        let found = query.iter().filter(|term| documents.iter().any(|text| text.counts.contains_key(**term)));
        found.count() as f64 / query.len().max(1) as f64
    }

    fn score(&self, query: &BTreeSet<&String>, document: &Document) -> f64 {
        let length = document.length as f64 / self.average_length.max(1.0);
        let damping = SATURATION * (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length);
        let found = query.iter().filter_map(|term| Some((term, *document.counts.get(*term)? as f64)));
        found.map(|(term, count)| self.rarity(term) * count * (SATURATION + 1.0) / (count + damping)).sum()
    }

    fn rarity(&self, term: &str) -> f64 {
        let with = self.occurrences.get(term).copied().unwrap_or(0) as f64;
        let all = self.documents.len() as f64;
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[&str]) -> Index {
        Index::new(texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()))
    }

    fn query(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_rare_word_counts_more_than_a_common_one() {
        let index = index(&["a b", "a c", "a d"]);
        let order: Vec<usize> = index.search(&query("a d")).iter().map(|hit| hit.index).collect();
        assert_eq!(order, [2, 0, 1]);
    }

    #[test]
    fn of_two_texts_with_the_word_the_shorter_one_comes_first_and_others_not_at_all() {
        let index = index(&["x y z w v u", "x y", "q"]);
        let order: Vec<usize> = index.search(&query("x")).iter().map(|hit| hit.index).collect();
        assert_eq!(order, [1, 0]);
    }

    #[test]
    fn an_empty_index_and_an_empty_query_find_nothing() {
        assert!(index(&[]).search(&query("x")).is_empty());
        assert!(index(&["x"]).search(&[]).is_empty());
        assert!(Index::new(Vec::new()).search(&query("x")).is_empty());
    }

    #[test]
    fn coverage_is_the_share_of_the_query_that_occurs() {
        let index = index(&["a b", "c"]);
        assert_eq!(index.coverage(&query("a c e f"), [0, 1]), 0.5);
        assert_eq!(index.coverage(&[], [0]), 0.0);
    }
}
