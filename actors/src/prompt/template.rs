//! Templates, compiled once. What comes from users and resources is data: it cannot close or open the tags
//! with which a template's author marks it, nor begin a turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use minijinja::{Environment, UndefinedBehavior, Value};

use super::turns::{self, TurnsError};

/// Why a prompt cannot be rendered. The text names the place, never the values.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("prompt template is faulty: {kind} in line {line}")]
    Template { kind: minijinja::ErrorKind, line: usize },
    #[error(transparent)]
    Turns(#[from] TurnsError),
}

impl From<minijinja::Error> for PromptError {
    fn from(error: minijinja::Error) -> Self {
        Self::Template { kind: error.kind(), line: error.line().unwrap_or_default() }
    }
}

/// Templates by name, and what they were compiled from.
#[derive(Clone)]
pub(super) struct Templates {
    sources: BTreeMap<String, String>,
    environment: Arc<Environment<'static>>,
}

impl PartialEq for Templates {
    fn eq(&self, other: &Self) -> bool {
        self.sources == other.sources
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sources.fmt(f)
    }
}

impl Templates {
    /// Values will not be able to make any of `tags`.
    pub(super) fn compile(
        sources: BTreeMap<String, String>,
        tags: BTreeSet<String>,
    ) -> Result<Self, PromptError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_formatter(move |out, _, value| {
            let text = if value.is_none() { String::new() } else { value.to_string() };
            out.write_str(&without_tags(&turns::unmarked(&text), &tags))?;
            Ok(())
        });
        for (name, source) in &sources {
            environment.add_template_owned(name.clone(), source.clone())?;
        }
        Ok(Self { sources, environment: Arc::new(environment) })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Whether any of them says `variable`.
    pub(super) fn mention(&self, variable: &str) -> bool {
        self.environment
            .templates()
            .any(|(_, template)| template.undeclared_variables(false).contains(variable))
    }

    pub(super) fn render(&self, name: &str, values: &Value) -> Result<String, PromptError> {
        Ok(self.environment.get_template(name)?.render(values)?)
    }
}

/// The names of the tags the template itself uses: `<resource>`, `</comment>` ...
pub(super) fn tags_of(template: &str) -> impl Iterator<Item = String> {
    template.split('<').skip(1).map(tag_name).filter(|name| !name.is_empty())
}

/// The tag name a text that follows `<` begins with, in lower case; empty when it is no tag.
pub(super) fn tag_name(after_bracket: &str) -> String {
    at_name(after_bracket).chars().take_while(is_of_a_name).collect::<String>().to_ascii_lowercase()
}

/// Whether a value that ends with this text after its last `<` could be made a tag by the value that
/// stands next to it.
fn may_become_a_tag(after_bracket: &str, tags: &BTreeSet<String>) -> bool {
    let begun = at_name(after_bracket).to_ascii_lowercase();
    begun.chars().all(|c| is_of_a_name(&c)) && tags.iter().any(|tag| tag.starts_with(&begun))
}

fn at_name(after_bracket: &str) -> &str {
    after_bracket.trim_start().trim_start_matches('/').trim_start()
}

fn is_of_a_name(c: &char) -> bool {
    c.is_ascii_alphanumeric() || *c == '_' || *c == '-'
}

/// The text with the `<` of each of `tags` written as `&lt;`; all other markup stays as it is, because
/// code and discussions are full of it.
fn without_tags(text: &str, tags: &BTreeSet<String>) -> String {
    let mut pieces = text.split('<').peekable();
    let mut safe = pieces.next().unwrap_or_default().to_owned();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let is_tag = tags.contains(&tag_name(piece)) || (is_last && may_become_a_tag(piece, tags));
        safe.push_str(if is_tag { "&lt;" } else { "<" });
        safe.push_str(piece);
    }
    safe
}
