//! What to quote, and how the answer reads.

use std::collections::BTreeSet;

use super::{
    code, discussion, documentation,
    material::Prompt,
    overview::{self, Sentence},
    passages::Library,
    sentences,
    terms::terms,
};

/// At most this many sentences of the material are quoted, notes not counted.
const MOST_SENTENCES: usize = 7;
/// At most this many sentences of the notes a text is to be written from.
const MOST_NOTES: usize = 20;
/// At most this many sentences beside a piece of code, which share a word with it.
const MOST_BESIDE_CODE: usize = 4;

/// How `material` names the source of what stands between `<notes>`.
const NOTES: &str = "notes";

/// Words that say what to do with the material and nothing about what is sought in it.
const TASK_WORDS: &str = "summarize summary overview discussion comments thread issue merge request epic explain \
                          code write description describe main key points tell happened tldr";

/// Those of them that ask for what people said, even where code is selected.
const DISCUSSION_WORDS: &str = "summarize summary overview discussion comments thread points happened tldr";

const NO_MODEL: &str = "_No model is configured: this is an extract, quoted word for word._";
const NOT_HERE: &str = "Nothing here uses these words; what the discussion says:";
const NOT_HERE_BUT_DOCUMENTED: &str = "Nothing here uses these words; Duologue's own documentation does:";
const NOT_BESIDE_CODE: &str = "Nothing here uses these words.";
const NO_EXPLANATION: &str = "Explaining what code does takes a model.";

/// The whole answer. Never empty.
pub(super) fn answer(library: &Library, prompt: &Prompt) -> String {
    let query = terms(&prompt.question);
    let body = if prompt.has_material() {
        from_material(library, prompt, &query)
    } else {
        documentation::quote(library, &query)
    };
    format!("{NO_MODEL}\n\n{}\n", body.unwrap_or_else(nothing_found))
}

fn nothing_found() -> String {
    "Nothing I can quote answers this: I only have the bundled documentation and what the request came \
     with. Ask about Duologue, name an issue or merge request to look into, or configure a model."
        .to_owned()
}

/// What the question is about comes with it, so the documentation is asked only where that has nothing.
fn from_material(library: &Library, prompt: &Prompt, query: &[String]) -> Option<String> {
    let sentences = material_sentences(prompt);
    let task = terms(TASK_WORDS);
    let sought: Vec<String> = query.iter().filter(|term| !task.contains(term)).cloned().collect();
    let chosen = discussion::for_question(&sentences, &prompt.question, &sought, MOST_SENTENCES);
    let own = documentation::is_named_by(&sought, &terms_of(prompt, &sentences));
    if !chosen.is_empty() {
        let quotes = quoted(&sentences, &chosen);
        let reference = documentation::reference(library, query).filter(|_| own);
        return Some(joined(
            title(prompt).into_iter().chain(code_block(prompt)).chain(quotes).chain(reference),
        ));
    }
    if sought.is_empty() {
        return Some(overview_of(prompt, &sentences, query));
    }
    if own && let Some(found) = documentation::quote(library, query) {
        return Some(joined([NOT_HERE_BUT_DOCUMENTED.to_owned(), found]));
    }
    let honest = match (prompt.code.is_empty(), sentences.is_empty()) {
        (true, true) => return None,
        (true, false) => NOT_HERE,
        (false, _) => NOT_BESIDE_CODE,
    };
    Some(joined([honest.to_owned(), overview_of(prompt, &sentences, query)]))
}

fn material_sentences(prompt: &Prompt) -> Vec<Sentence> {
    let of = |text: &super::material::Text| {
        let source = text.source.clone();
        sentences::split(&text.text).into_iter().map(move |text| Sentence { source: source.clone(), text })
    };
    prompt.texts.iter().flat_map(of).collect()
}

fn terms_of(prompt: &Prompt, sentences: &[Sentence]) -> BTreeSet<String> {
    let others = prompt.title.iter().chain(&prompt.code);
    sentences.iter().flat_map(Sentence::terms).chain(others.flat_map(|text| terms(text))).collect()
}

/// What the material comes to, without a question to it.
fn overview_of(prompt: &Prompt, sentences: &[Sentence], query: &[String]) -> String {
    let discussion = terms(DISCUSSION_WORDS);
    if !prompt.code.is_empty() && !query.iter().any(|term| discussion.contains(term)) {
        return about_code(prompt, sentences);
    }
    let (notes, others): (Vec<Sentence>, Vec<Sentence>) =
        sentences.iter().cloned().partition(|sentence| sentence.source == NOTES);
    let notes_quoted = quoted(&notes, &(0..notes.len().min(MOST_NOTES)).collect::<Vec<_>>());
    let mut chosen = overview::choose(&others, MOST_SENTENCES);
    if chosen.is_empty() {
        // A few words are little, and all there is.
        chosen = (0..others.len().min(MOST_SENTENCES)).collect();
    }
    if sentences.is_empty() {
        return joined(
            title(prompt).into_iter().chain(["There is no discussion to quote from yet.".to_owned()]),
        );
    }
    let blocks = title(prompt).into_iter().chain(code_block(prompt)).chain(notes_quoted);
    joined(blocks.chain(quoted(&others, &chosen)))
}

/// What can be said of code without understanding it, and what the text beside it says in the same words.
fn about_code(prompt: &Prompt, sentences: &[Sentence]) -> String {
    let beside = discussion::for_code(sentences, &prompt.code.join("\n"), MOST_BESIDE_CODE);
    let quotes = quoted(sentences, &beside);
    let title = title(prompt).filter(|_| quotes.is_some());
    joined(code_block(prompt).into_iter().chain([NO_EXPLANATION.to_owned()]).chain(title).chain(quotes))
}

fn joined(blocks: impl IntoIterator<Item = String>) -> String {
    blocks.into_iter().collect::<Vec<_>>().join("\n\n")
}

/// One bullet for each of the sentences, with its source.
fn quoted(sentences: &[Sentence], chosen: &[usize]) -> Option<String> {
    let bullet =
        |sentence: &Sentence| format!("- {} — {}", one_line(&sentence.text), one_line(&sentence.source));
    let bullets: Vec<String> = chosen.iter().filter_map(|at| sentences.get(*at)).map(bullet).collect();
    (!bullets.is_empty()).then(|| bullets.join("\n"))
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
