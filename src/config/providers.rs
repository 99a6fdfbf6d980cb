use std::{fmt, path::PathBuf};

use garde::Validate;
use secrecy::SecretString;
use serde::Deserialize;

use crate::vetted;

/// Where models are asked, and as whom.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    #[garde(skip)]
    pub kind: ProviderKind,
    #[garde(inner(length(min = 1)))]
    pub base_url: Option<String>,
    #[garde(inner(length(min = 1)))]
    pub api_key_variable: Option<String>,
    #[garde(inner(custom(super::is_not_empty)))]
    pub api_key_file: Option<PathBuf>,
    #[garde(inner(length(min = 1)))]
    pub project: Option<String>,
    #[garde(custom(is_location))]
    pub location: String,
    #[garde(inner(custom(super::is_not_empty)))]
    pub credentials_file: Option<PathBuf>,
    #[garde(inner(length(min = 1)))]
    pub embedding_model: Option<String>,
    #[garde(inner(length(min = 1)))]
    pub instance_id: Option<String>,
    /// What the variable named `api_key_variable` holds.
    #[garde(skip)]
    #[serde(skip)]
    pub api_key: Option<SecretString>,
}

impl ProviderConfig {
    /// Whether its base URL names this machine.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        let url = self.base_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
        url.is_some_and(|url| url.host().is_some_and(|host| vetted::stays_here(&host)))
    }

    /// The address of `path` in its API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.as_deref().unwrap_or_default().trim_end_matches('/'))
    }
}

/// It becomes part of the name of the host that a token is sent to.
fn is_location(text: &str, _context: &()) -> garde::Result {
    let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_one.then_some(()).ok_or_else(|| garde::Error::new("must be a location such as global or europe-west1"))
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// No model and no network: it quotes what fits the question.
    Embedded,
    Anthropic,
    VertexAi,
    /// Any endpoint that is compatible with OpenAI's chat completions.
    Openai,
    /// GitLab's AI Gateway.
    AiGateway,
}

impl ProviderKind {
    pub const ALL: [Self; 5] =
        [Self::Embedded, Self::Anthropic, Self::VertexAi, Self::Openai, Self::AiGateway];

    /// As the configuration and `prompt.for` have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Anthropic => "anthropic",
            Self::VertexAi => "vertex_ai",
            Self::Openai => "openai",
            Self::AiGateway => "ai_gateway",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
