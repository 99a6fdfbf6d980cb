//! `embedded/extractive`: answers without a model, by quoting.
//!
//! It takes the last user turn of a call, keeps apart what stands between tags (the material) and what
//! does not (the question), and quotes the sentences that fit: from the material, or from the bundled
//! documentation. The same call always gets the same answer, at once, and the answer says what it is.

use std::sync::Arc;

use duologue_actors::{
    ports::{ModelCall, ModelError, ModelEvent, Retry, StopReason},
    protocol::{Code, Role},
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

mod bm25;
mod code;
mod dates;
mod discussion;
mod documentation;
mod extract;
mod material;
mod overview;
mod passages;
mod sentences;
mod terms;
mod vectors;

use passages::Library;

use super::{NoSuchModel, Provider, kinds::Kind};
use crate::{builtin, config::ModelConfig};

/// Where the documentation it answers from lies inside the binary.
const DOCUMENTATION: &str = "docs";

/// The provider's only model.
pub const MODEL: &str = "extractive";

/// It needs nothing and nobody, so nobody is refused.
pub(super) const KIND: Kind = Kind {
    conventional_name: "embedded",
    set_up: |_| Arc::new(Extractive::with_documentation()),
    missing: |_, _| None,
    mend: |_, _| None,
    keeps_prompts: false,
    has_embeddings: false,
};

/// How many words one delta carries.
const WORDS_PER_DELTA: usize = 4;

/// The provider with the documentation it may quote from.
#[derive(Clone, Debug)]
pub struct Extractive {
    library: Arc<Library>,
}

impl Extractive {
    /// `pages` are Markdown files, each with the path by which it is quoted.
    #[must_use]
    pub fn new(pages: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { library: Arc::new(Library::new(pages)) }
    }

    /// The provider with the documentation inside the binary.
    #[must_use]
    pub fn with_documentation() -> Self {
        let pages = builtin::list(DOCUMENTATION).into_iter();
        Self::new(pages.filter_map(|path| builtin::read(&path).map(|text| (path, text))))
    }

    /// The whole answer to a rendered prompt.
    #[must_use]
    pub fn answer(&self, prompt: &str) -> String {
        extract::answer(&self.library, &material::parse(prompt))
    }
}

impl Provider for Extractive {
    fn check(&self, model: &str) -> Result<(), NoSuchModel> {
        if model == MODEL {
            return Ok(());
        }
        Err(NoSuchModel { model: model.to_owned(), known: MODEL })
    }

    fn stream(
        &self,
        _: &ModelConfig,
        call: Arc<ModelCall>,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let provider = self.clone();
        // A long discussion takes some milliseconds to rank, which the pipeline's thread has not got.
        let answer = tokio::task::spawn_blocking(move || {
            let prompt = call.turns.iter().rev().find(|turn| turn.role == Role::User);
            provider.answer(prompt.map_or("", |turn| turn.content.as_str()))
        });
        stream::once(answer).flat_map(|answer| stream::iter(events(answer.ok()))).boxed()
    }
}

/// The answer as a model would stream it; without one, what broke.
fn events(answer: Option<String>) -> Vec<Result<ModelEvent, ModelError>> {
    let Some(answer) = answer else {
        return vec![Err(ModelError::new(Code::UpstreamUnavailable, Retry::Elsewhere, "it panicked"))];
    };
    let deltas = deltas(&answer).into_iter().map(ModelEvent::Content);
    deltas.chain([ModelEvent::Finished(StopReason::Complete)]).map(Ok).collect()
}

/// The answer in pieces of a few words, white space included, so that together they are the answer.
fn deltas(answer: &str) -> Vec<String> {
    let words: Vec<&str> = answer.split_inclusive(char::is_whitespace).collect();
    words.chunks(WORDS_PER_DELTA).map(<[&str]>::concat).collect()
}

#[cfg(test)]
mod tests;
