//! What to quote, and how the answer reads.

use super::{
    bm25::Index,
    code,
    material::Prompt,
    overview::{self, Sentence},
    passages::{Library, Passage},
    sentences,
    terms::terms,
};

/// At most this many sentences of the material are quoted.
const MOST_SENTENCES: usize = 7;
/// At most this many passages of the documentation are quoted: the best one at length.
const MOST_PASSAGES: usize = 3;
/// The best passage is quoted up to about this many characters, whole blocks only.
const LONGEST_PASSAGE: usize = 1_600;
/// A further passage must be at least this good, compared with the best.
const WORTH_MENTIONING: f64 = 0.45;
/// A sentence of fewer words ("They may use:") says nothing by itself.
const SHORTEST_MENTION: usize = 4;
/// Less of the question than this found in a text, and it is no answer.
const LEAST_COVERAGE: f64 = 0.34;

/// Words that say what to do with the material and nothing about what is sought in it.
const TASK_WORDS: &[&str] = &[
    "summarize",
    "summary",
    "overview",
    "discussion",
    "comments",
    "thread",
    "issue",
    "merge",
    "request",
    "epic",
    "explain",
    "code",
    "write",
    "description",
    "describe",
    "main",
    "key",
    "points",
    "tell",
    "happened",
    "tldr",
];

const NO_MODEL: &str = "_No model is configured: this is an extract, quoted word for word._";

/// The whole answer. Never empty.
pub(super) fn answer(library: &Library, prompt: &Prompt) -> String {
    let query = terms(&prompt.question);
    let sentences = material_sentences(prompt);
    let body = if sentences.is_empty() && prompt.code.is_empty() {
        from_documentation(library, &query)
    } else if only_names_a_task(&query) {
        Some(overview_of(prompt, &sentences))
    } else {
        from_material_or_documentation(library, prompt, &sentences, &query)
    };
    format!("{NO_MODEL}\n\n{}\n", body.unwrap_or_else(nothing_found))
}

fn nothing_found() -> String {
    "Nothing I can quote answers this: I only have the bundled documentation and what the request came \
     with. Ask about Duologue, name an issue or merge request to look into, or configure a model."
        .to_owned()
}

fn material_sentences(prompt: &Prompt) -> Vec<Sentence> {
    let of = |text: &super::material::Text| {
        let source = text.source.clone();
        sentences::split(&text.text).into_iter().map(move |text| Sentence { source: source.clone(), text })
    };
    prompt.texts.iter().flat_map(of).collect()
}

fn only_names_a_task(query: &[String]) -> bool {
    let task: Vec<String> = terms(&TASK_WORDS.join(" "));
    query.iter().all(|term| task.contains(term))
}

fn overview_of(prompt: &Prompt, sentences: &[Sentence]) -> String {
    let mut blocks: Vec<String> = title(prompt).into_iter().chain(code_block(prompt)).collect();
    let chosen = overview::choose(sentences, MOST_SENTENCES);
    if chosen.is_empty() && prompt.code.is_empty() {
        blocks.push("There is no discussion to quote from yet.".to_owned());
    } else if !chosen.is_empty() {
        blocks.push(bullets(chosen.iter().filter_map(|at| sentences.get(*at))));
    }
    blocks.join("\n\n")
}

/// Quotes from whichever holds more of the question; of two equal ones the material, which is nearer.
fn from_material_or_documentation(
    library: &Library,
    prompt: &Prompt,
    sentences: &[Sentence],
    query: &[String],
) -> Option<String> {
    let index = Index::new(sentences.iter().map(Sentence::terms));
    let in_material = index.coverage(query, 0..index.len());
    if library.coverage(query) > in_material
        && let Some(found) = from_documentation(library, query)
    {
        return Some(found);
    }
    let mut chosen: Vec<usize> =
        index.search(query).iter().take(MOST_SENTENCES).map(|hit| hit.index).collect();
    if chosen.is_empty() {
        return (!prompt.code.is_empty()).then(|| overview_of(prompt, sentences));
    }
    chosen.sort_unstable();
    let quotes = bullets(chosen.iter().filter_map(|at| sentences.get(*at)));
    Some(title(prompt).into_iter().chain(code_block(prompt)).chain([quotes]).collect::<Vec<_>>().join("\n\n"))
}

fn title(prompt: &Prompt) -> Option<String> {
    prompt.title.as_ref().map(|title| format!("**{}**", one_line(title)))
}

fn code_block(prompt: &Prompt) -> Option<String> {
    let code = prompt.code.join("\n");
    let names: Vec<String> = code::names(&code).iter().map(|name| format!("`{name}`")).collect();
    let comments = code::comments(&code);
    let mut lines = Vec::new();
    if !names.is_empty() {
        lines.push(format!("The code defines or calls {}.", names.join(", ")));
    }
    if !comments.is_empty() {
        lines.push(format!("Its comments say: {}", comments.join(" ")));
    }
    if lines.is_empty() && !code.is_empty() {
        lines.push("The code has no comments and calls nothing by name.".to_owned());
    }
    (!lines.is_empty()).then(|| lines.join("\n\n"))
}

/// One bullet for each sentence, with its source.
fn bullets<'s>(sentences: impl Iterator<Item = &'s Sentence>) -> String {
    let bullet =
        |sentence: &Sentence| format!("- {} — {}", one_line(&sentence.text), one_line(&sentence.source));
    sentences.map(bullet).collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn from_documentation(library: &Library, query: &[String]) -> Option<String> {
    if library.coverage(query) < LEAST_COVERAGE {
        return None;
    }
    let found = library.find(query, MOST_PASSAGES);
    let ((best, best_score), others) = found.split_first()?;
    let mut blocks =
        vec![format!("**{}** ({})", best.headings.join(" › "), best.source), beginning(&best.body)];
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
