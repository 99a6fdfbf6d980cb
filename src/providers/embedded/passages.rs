//! The documentation, cut at its headings, and finding the passages that fit a question.

use super::{bm25::Index, terms::terms};

/// How often the words of a heading count, compared with those of the text below it.
const HEADING_WEIGHT: usize = 3;

/// The text below one heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Where it stands, e.g. `docs/actions.md#add-an-action`.
    pub source: String,
    /// The headings above it, outermost first.
    pub headings: Vec<String>,
    pub body: String,
}

/// All passages, searchable.
#[derive(Debug)]
pub(super) struct Library {
    passages: Vec<Passage>,
    index: Index,
}

impl Library {
    /// `pages` are Markdown files with their paths.
    pub(super) fn new(pages: impl IntoIterator<Item = (String, String)>) -> Self {
        let passages: Vec<Passage> =
            pages.into_iter().flat_map(|(path, markdown)| cut(&path, &markdown)).collect();
        let index = Index::new(passages.iter().map(Passage::terms));
        Self { passages, index }
    }

    /// The best passages, best first, with their scores.
    pub(super) fn find(&self, query: &[String], limit: usize) -> Vec<(&Passage, f64)> {
        let hits = self.index.search(query).into_iter().take(limit);
        hits.filter_map(|hit| Some((self.passages.get(hit.index)?, hit.score))).collect()
    }

    /// How much of the query occurs in the best passage, from 0 to 1.
    pub(super) fn coverage(&self, query: &[String]) -> f64 {
        let best = self.index.search(query).first().map(|hit| hit.index);
        self.index.coverage(query, best)
    }
}

impl Passage {
    fn terms(&self) -> Vec<String> {
        let heading = terms(self.headings.last().map_or("", String::as_str));
        let mut all = terms(&self.body);
        all.extend(self.headings.iter().flat_map(|heading| terms(heading)));
        for _ in 1..HEADING_WEIGHT {
            all.extend(heading.iter().cloned());
        }
        all
    }
}

/// Cuts a page at its headings. Passages without a text of their own are left out.
fn cut(path: &str, markdown: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut headings: Vec<(usize, String)> = Vec::new();
    let mut body = String::new();
    let mut in_code = false;
    for line in markdown.lines() {
        in_code ^= line.trim_start().starts_with("```");
        match heading(line).filter(|_| !in_code) {
            Some((level, text)) => {
                passages.extend(passage(path, &headings, &std::mem::take(&mut body)));
                headings.retain(|(above, _)| *above < level);
                headings.push((level, text.to_owned()));
            }
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    passages.extend(passage(path, &headings, &body));
    passages
}

fn passage(path: &str, headings: &[(usize, String)], body: &str) -> Option<Passage> {
    let body = body.trim();
    if body.is_empty() {
        return None;
    }
    let source = match headings.last() {
        Some((_, heading)) => format!("{path}#{}", anchor(heading)),
        None => path.to_owned(),
    };
    let headings = headings.iter().map(|(_, text)| text.clone()).collect();
    Some(Passage { source, headings, body: body.to_owned() })
}

/// The level and text of a heading such as `## Text`.
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let text = text.strip_prefix(' ')?.trim();
    ((1..=6).contains(&level) && !text.is_empty()).then_some((level, text))
}

/// The anchor Markdown viewers give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Actions

An action is one file.

## Add an action

Write a file.

```yaml
# not a heading
name: x
```

## Empty

### Change `prompt.system`

Edit it.
";

    #[test]
    fn a_page_is_cut_at_its_headings_and_not_inside_code() {
        let passages = cut("docs/actions.md", PAGE);
        let sources: Vec<&str> = passages.iter().map(|passage| passage.source.as_str()).collect();
        let expected = [
            "docs/actions.md#actions",
            "docs/actions.md#add-an-action",
            "docs/actions.md#change-promptsystem",
        ];
        assert_eq!(sources, expected);
        assert!(passages[1].body.contains("# not a heading"));
        assert_eq!(passages[2].headings, ["Actions", "Empty", "Change `prompt.system`"]);
    }

    #[test]
    fn the_passage_whose_heading_says_it_comes_first() {
        let library = Library::new([("docs/actions.md".to_owned(), PAGE.to_owned())]);
        let query = terms("How do I add a new action?");
        assert_eq!(library.find(&query, 1)[0].0.source, "docs/actions.md#add-an-action");
        assert!(library.coverage(&query) > 0.5);
        assert_eq!(library.coverage(&terms("bananas")), 0.0);
    }
}
