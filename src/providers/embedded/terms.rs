//! Words as they are compared: lower case, without endings, without the words that say nothing.

/// Words too common to tell one sentence from another.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "but", "by", "can", "could", "did", "do", "does", "doing", "each", "else", "for",
    "from", "get", "had", "has", "have", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "let", "like", "may", "me", "more", "most", "must", "my", "no", "not",
    "now", "of", "on", "one", "only", "or", "other", "our", "out", "over", "please", "s", "same", "she",
    "should", "so", "some", "such", "t", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "too", "us", "very", "was", "we", "were", "what", "when", "where",
    "which", "who", "why", "will", "with", "would", "you", "your",
];

/// The shortest a word may become by losing an ending.
const SHORTEST_STEM: usize = 3;

/// Endings that make one word of another, longest first, and how much must remain without them.
const DERIVED: &[(&str, usize)] = &[
    ("ization", SHORTEST_STEM),
    ("ation", SHORTEST_STEM),
    ("ize", SHORTEST_STEM),
    ("ate", SHORTEST_STEM + 2),
    ("ion", SHORTEST_STEM + 2),
    ("er", SHORTEST_STEM + 2),
];

/// Words that change more than their ending: how their stems begin, and the stem of the family.
const IRREGULAR: &[(&str, &str)] = &[("decis", "decid")];

/// The content words of a text, in order, as stems.
pub(super) fn terms(text: &str) -> Vec<String> {
    words(text)
        .into_iter()
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

/// All words of a text in lower case; `snake_case` and `camelCase` are several.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut after_lower_case = false;
    for letter in text.chars() {
        let begins_new_word = after_lower_case && letter.is_uppercase();
        if (begins_new_word || !letter.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        after_lower_case = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word without its usual English endings. Rough on purpose: it only has to do the same to the word in
/// the question and to the word in the text.
pub(super) fn stem(word: &str) -> String {
    if word.chars().any(|c| !c.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let singular = without_plural(word);
    let inflected = ["ing", "ed"].iter().find_map(|ending| shortened(&singular, ending, SHORTEST_STEM));
    // `summarizing` lost the `e` by which `summarize` is known.
    let base = inflected.map_or(singular.clone(), |rest| format!("{rest}e"));
    let base = base.strip_suffix("ise").map_or(base.clone(), |rest| format!("{rest}ize"));
    let base = base.replace("isation", "ization");
    let derived = DERIVED.iter().find_map(|(ending, shortest)| shortened(&base, ending, *shortest));
    of_family(without_echo(derived.unwrap_or(&base)))
}

fn of_family(stem: String) -> String {
    let family = IRREGULAR.iter().find(|(beginning, _)| stem.starts_with(beginning));
    family.map_or(stem, |(_, family)| (*family).to_owned())
}

fn shortened<'w>(word: &'w str, ending: &str, shortest: usize) -> Option<&'w str> {
    word.strip_suffix(ending).filter(|rest| rest.len() >= shortest)
}

fn without_plural(word: &str) -> String {
    if let Some(rest) = word.strip_suffix("ies")
        && rest.len() >= 2
    {
        return format!("{rest}y");
    }
    for ending in ["sses", "xes", "zes", "ches", "shes"] {
        if word.ends_with(ending) {
            return word.strip_suffix("es").unwrap_or(word).to_owned();
        }
    }
    let is_plural = word.len() > SHORTEST_STEM && !["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    word.strip_suffix('s').filter(|_| is_plural).unwrap_or(word).to_owned()
}

/// `cache` and `cach`, `runn` and `run` are one: a final `e` goes, and the second of two last letters.
fn without_echo(stem: &str) -> String {
    let mut stem = stem.strip_suffix('e').filter(|rest| rest.len() >= 2).unwrap_or(stem).to_owned();
    let mut last = stem.chars().rev();
    if stem.len() > 2 && last.next() == last.next() {
        stem.pop();
    }
    stem
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rstest::rstest]
    #[case("add", "adding")]
    #[case("add", "added")]
    #[case("action", "actions")]
    #[case("summarize", "summarise")]
    #[case("summarize", "summarizing")]
    #[case("paginate", "paginated")]
    #[case("import", "importing")]
    #[case("paginate", "pagination")]
    #[case("configure", "configuration")]
    #[case("generate", "generation")]
    #[case("cache", "caching")]
    #[case("query", "queries")]
    #[case("run", "running")]
    #[case("pass", "passes")]
    #[case("export", "exporter")]
    #[case("decided", "decision")]
    #[case("decide", "decisions")]
    #[case("deciding", "decisive")]
    fn words_of_one_family_have_one_stem(#[case] one: &str, #[case] other: &str) {
        assert_eq!(stem(one), stem(other));
    }

    #[rstest::rstest]
    #[case("action", "actor")]
    #[case("user", "use")]
    #[case("policy", "police")]
    #[case("decision", "decimal")]
    fn words_of_different_families_keep_apart(#[case] one: &str, #[case] other: &str) {
        assert_ne!(stem(one), stem(other));
    }

    #[test]
    fn only_content_words_remain_and_names_in_code_are_several_words() {
        assert_eq!(terms("How do I add a new AI action?"), ["ad", "new", "ai", "action"]);
        assert_eq!(
            words("summarizeComments of feature_flag 52"),
            ["summarize", "comments", "of", "feature", "flag", "52"]
        );
    }

    proptest! {
        #[test]
        fn any_text_has_terms_without_a_panic(text in ".{0,200}") {
            prop_assert!(terms(&text).iter().all(|term| !term.is_empty()));
        }
    }
}
