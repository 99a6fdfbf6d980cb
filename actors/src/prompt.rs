//! The prompt of an action: its versions, which of them a user gets, and its texts.
//!
//! Everything is checked and every template compiled when the catalogue is read. What is here can be used
//! without asking whether it exists: the version users get and the versions flags select are kept, not looked up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use minijinja::Value;
use semver::Version;

use crate::{
    ports::{KeptPrompt, Turn},
    protocol::Role,
};

mod template;
mod turns;

use template::{Templates, tags_of};

pub use template::PromptError;
pub use turns::{Turns, TurnsError, turns_of};

/// The versions of an action's prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptTemplate {
    /// All of them, the lowest first.
    pub versions: Vec<Arc<PromptVersion>>,
    /// The one for whom no flag selects another.
    pub default: Arc<PromptVersion>,
    /// In the order in which they are asked: the first flag that is on wins.
    pub selections: Vec<Selection>,
}

/// A version for those for whom a flag is on.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Off unless switched on.
    pub flag: String,
    pub prompt: Arc<PromptVersion>,
}

/// One version of a prompt; minijinja, strict: a name that does not exist is an error, not a blank.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptVersion {
    pub version: Version,
    pub text: PromptText,
    /// Another text for a provider that needs one, by the provider's name, else by what is spoken there.
    pub for_provider: BTreeMap<String, PromptText>,
}

/// Where the text of a prompt is.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptText {
    Written(WrittenPrompt),
    /// The provider has the text and is given what belongs into it.
    Kept(KeptTemplate),
}

impl PromptTemplate {
    /// A prompt in one version.
    #[must_use]
    pub fn only(version: PromptVersion) -> Self {
        let only = Arc::new(version);
        Self { versions: vec![only.clone()], default: only, selections: Vec::new() }
    }

    /// The version for somebody for whom these flags are on.
    pub fn chosen(&self, is_on: impl Fn(&str) -> bool) -> &PromptVersion {
        self.selected(is_on).map_or(&self.default, |selection| &selection.prompt)
    }

    /// The selection that gives somebody another version than the default, if one does.
    pub fn selected(&self, is_on: impl Fn(&str) -> bool) -> Option<&Selection> {
        self.selections.iter().find(|selection| is_on(&selection.flag))
    }
}

impl PromptVersion {
    /// The text for a provider called `provider`, which is of this `kind`.
    #[must_use]
    pub fn text_for(&self, provider: &str, kind: &str) -> &PromptText {
        let own = self.for_provider.get(provider).or_else(|| self.for_provider.get(kind));
        own.unwrap_or(&self.text)
    }
}

/// A system and a user text, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenPrompt {
    system: String,
    user: String,
    /// Whether the templates have the conversation in their own words.
    quotes_history: bool,
    /// Whether `user` holds `\n\nHuman:` and `\n\nAssistant:` turns rather than one text of the user.
    has_turns: bool,
    templates: Templates,
}

impl WrittenPrompt {
    /// # Errors
    /// When one of them is no template.
    pub fn new(system: impl Into<String>, user: impl Into<String>) -> Result<Self, PromptError> {
        let (system, user) = (system.into(), user.into());
        let marked = turns::marked(&user);
        let has_turns = marked.is_some();
        // One set for both: what the system text says of a tag must hold in the user's text.
        let tags: BTreeSet<String> = tags_of(&system).chain(tags_of(&user)).collect();
        let sources = BTreeMap::from([
            ("system".to_owned(), system.clone()),
            ("user".to_owned(), marked.unwrap_or_else(|| user.clone())),
        ]);
        let templates = Templates::compile(sources, tags)?;
        Ok(Self { system, user, quotes_history: templates.mention("history"), has_turns, templates })
    }

    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether it says `history`. A prompt that does not is sent after the conversation's turns.
    #[must_use]
    pub fn quotes_history(&self) -> bool {
        self.quotes_history
    }

    /// The system text and the turns it makes of `values`.
    ///
    /// # Errors
    /// When a name does not exist, or the turns are no conversation that ends with a question.
    pub fn render(&self, values: &Value) -> Result<Turns, PromptError> {
        let system = self.templates.render("system", values)?;
        let user = self.templates.render("user", values)?;
        if !self.has_turns {
            return Ok(Turns { system, turns: vec![Turn { role: Role::User, content: user }] });
        }
        let Turns { system: preface, turns } = turns::taken_apart(&user)?;
        let parts: Vec<String> = [system, preface].into_iter().filter(|part| !part.is_empty()).collect();
        Ok(Turns { system: parts.join("\n\n"), turns })
    }
}

/// A prompt the provider keeps, by the name it has there, and the templates of what belongs into it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTemplate {
    id: String,
    version: String,
    inputs: Templates,
}

impl KeptTemplate {
    /// # Errors
    /// When one of the inputs is no template.
    pub fn new(id: String, version: String, inputs: BTreeMap<String, String>) -> Result<Self, PromptError> {
        let tags = inputs.values().flat_map(|input| tags_of(input)).collect();
        Ok(Self { id, version, inputs: Templates::compile(inputs, tags)? })
    }

    /// Whether one of the inputs says `history`. One that does not forgets the conversation.
    #[must_use]
    pub fn quotes_history(&self) -> bool {
        self.inputs.mention("history")
    }

    /// # Errors
    /// When a name does not exist.
    pub fn render(&self, values: &Value) -> Result<KeptPrompt, PromptError> {
        let mut inputs = BTreeMap::new();
        for name in self.inputs.names() {
            inputs.insert(name.to_owned(), self.inputs.render(name, values)?);
        }
        Ok(KeptPrompt { id: self.id.clone(), version: self.version.clone(), inputs })
    }
}

#[cfg(test)]
mod tests;
