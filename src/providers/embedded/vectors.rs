//! How alike texts are: the cosine of their term vectors, rare terms weighing more.

use std::collections::{BTreeMap, BTreeSet};

/// Each text as a vector of length 1 (or 0, for a text without terms).
pub(super) struct Vectors {
    texts: Vec<BTreeMap<String, f64>>,
    /// The sum of all of them: likeness to all others costs one product instead of one for each.
    sum: BTreeMap<String, f64>,
}

impl Vectors {
    pub(super) fn new(texts: Vec<Vec<String>>) -> Self {
        let texts: Vec<BTreeSet<String>> =
            texts.into_iter().map(|terms| terms.into_iter().collect()).collect();
        let mut occurrences: BTreeMap<String, f64> = BTreeMap::new();
        for term in texts.iter().flatten() {
            *occurrences.entry(term.clone()).or_insert(0.0) += 1.0;
        }
        let all = texts.len() as f64;
        let rarity = |term: &String| (1.0 + all / occurrences.get(term).copied().unwrap_or(1.0)).ln();
        let texts: Vec<_> = texts.iter().map(|terms| unit_vector(terms, &rarity)).collect();
        let mut sum = BTreeMap::new();
        for (term, weight) in texts.iter().flatten() {
            *sum.entry(term.clone()).or_insert(0.0) += weight;
        }
        Self { texts, sum }
    }

    /// From 0 (no term in common) to 1.
    pub(super) fn likeness(&self, one: usize, other: usize) -> f64 {
        match (self.texts.get(one), self.texts.get(other)) {
            (Some(one), Some(other)) => product(one, other),
            _ => 0.0,
        }
    }

    /// How like a text is to all others, on average.
    pub(super) fn centrality(&self, at: usize) -> f64 {
        let Some(text) = self.texts.get(at) else {
            return 0.0;
        };
        let itself = product(text, text);
        (product(text, &self.sum) - itself) / self.texts.len() as f64
    }
}

fn unit_vector(terms: &BTreeSet<String>, rarity: &impl Fn(&String) -> f64) -> BTreeMap<String, f64> {
    let length = terms.iter().map(|term| rarity(term).powi(2)).sum::<f64>().sqrt();
    terms.iter().map(|term| (term.clone(), rarity(term) / length)).collect()
}

fn product(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> f64 {
    one.iter().filter_map(|(term, weight)| Some(weight * other.get(term)?)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(texts: &[&str]) -> Vectors {
        Vectors::new(texts.iter().map(|text| text.split_whitespace().map(str::to_owned).collect()).collect())
    }

    #[test]
    fn a_text_is_like_itself_and_unlike_one_without_a_shared_word() {
        let vectors = vectors(&["a b", "a b", "c d", ""]);
        assert!((vectors.likeness(0, 1) - 1.0).abs() < 1e-9);
        assert_eq!(vectors.likeness(0, 2), 0.0);
        assert_eq!(vectors.likeness(0, 3), 0.0);
    }

    #[test]
    fn centrality_is_the_mean_likeness_to_the_others() {
        let vectors = vectors(&["a b", "a c", "d", "b c e"]);
        let pairwise: f64 = [1, 2, 3].iter().map(|other| vectors.likeness(0, *other)).sum();
        assert!((vectors.centrality(0) - pairwise / 4.0).abs() < 1e-9);
        assert!(vectors.centrality(2).abs() < 1e-9);
    }
}
