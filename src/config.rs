//! The settings: one file of defaults (`config.yaml`, compiled in), one struct for each of its sections.
//!
//! Three layers, the later one wins: the defaults, the user's file, `DUOLOGUE__SECTION__KEY` variables.
//! A layer gives only what it changes. Every mistake of every layer is reported at once, each at its
//! file, line and column, or with the name of its variable.
//!
//! `config.yaml` explains each setting; the structs here do not repeat it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use garde::Validate;
use serde::Deserialize;

use crate::{
    document::{self, Faults},
    env_file::Environment,
    vetted,
};

mod auth;
mod catalogue;
mod conversation;
mod cross_checks;
mod deployment;
mod directory;
mod flags;
mod from_environment;
mod from_file;
mod gateway;
mod gitlab;
mod graphql;
mod layers;
mod licence;
mod logging;
mod model_calls;
mod model_checks;
mod models;
mod paths;
mod pipeline;
mod providers;
mod rate_limits;
mod redis;
mod rest;
mod server;
mod shape;
mod storage;
mod unit_primitives;
mod websocket;

pub use auth::{Algorithm, AuthConfig};
pub use catalogue::CatalogueConfig;
pub use conversation::{ConversationConfig, ConversationKind};
pub use deployment::{DeploymentConfig, DeploymentMode, DuoFeatures, UnlistedFeatures};
pub use directory::{DirectoryConfig, DirectorySource};
pub use flags::{FlagsConfig, FlagsSource};
pub use gateway::GatewayConfig;
pub use gitlab::GitlabConfig;
pub use graphql::{GraphqlConfig, InlineAnswers};
pub use licence::LicenceConfig;
pub use logging::{Level, LogFormat, LoggingConfig};
pub use model_calls::ModelCallsConfig;
pub use models::{ModelConfig, ModelLimits, ModelPrice};
pub use pipeline::PipelineConfig;
pub use providers::{ProviderConfig, ProviderKind};
pub use rate_limits::RateLimitsConfig;
pub use redis::RedisConfig;
pub use rest::RestConfig;
pub use server::ServerConfig;
pub use storage::{Durability, StorageConfig};
pub use unit_primitives::UnitPrimitivesConfig;
pub use websocket::WebsocketConfig;

/// The defaults, with their explanations.
pub const DEFAULTS: &str = include_str!("../config.yaml");

/// Read when no other file is named.
const USUAL_FILE: &str = "config.yaml";

/// All settings, checked.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[garde(dive)]
    pub server: ServerConfig,
    #[garde(dive)]
    pub logging: LoggingConfig,
    #[garde(dive)]
    pub graphql: GraphqlConfig,
    #[garde(dive)]
    pub websocket: WebsocketConfig,
    #[garde(dive)]
    pub rest: RestConfig,
    #[garde(dive)]
    pub gateway: GatewayConfig,
    #[garde(dive)]
    pub pipeline: PipelineConfig,
    #[garde(dive)]
    pub conversation: ConversationConfig,
    #[garde(dive)]
    pub storage: StorageConfig,
    #[garde(dive)]
    pub deployment: DeploymentConfig,
    #[garde(dive)]
    pub auth: AuthConfig,
    #[garde(dive)]
    pub gitlab: GitlabConfig,
    #[garde(dive)]
    pub rate_limits: RateLimitsConfig,
    #[garde(dive)]
    pub licence: LicenceConfig,
    #[garde(dive)]
    pub directory: DirectoryConfig,
    #[garde(dive)]
    pub flags: FlagsConfig,
    #[garde(dive)]
    pub unit_primitives: UnitPrimitivesConfig,
    #[garde(dive)]
    pub catalogue: CatalogueConfig,
    #[garde(dive)]
    pub providers: BTreeMap<String, ProviderConfig>,
    #[garde(dive)]
    pub models: BTreeMap<String, ModelConfig>,
    /// Names for models: the first that is set up.
    #[garde(skip)]
    pub feature_settings: BTreeMap<String, Vec<String>>,
    #[garde(dive)]
    pub model_calls: ModelCallsConfig,
}

/// A user's configuration file, read.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'a> {
    /// As it is named in faults.
    pub path: &'a Path,
    pub text: &'a str,
}

/// The settings and where they are from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read; `None` when the compiled-in defaults stand alone.
    pub file: Option<PathBuf>,
}

impl Config {
    /// The settings of a process: the named file, else `./config.yaml` if there is one.
    ///
    /// # Errors
    /// Everything that is wrong in the file and in the environment.
    pub fn load(named: Option<&Path>, environment: &Environment) -> Result<Loaded, Faults> {
        let usual = Path::new(USUAL_FILE);
        let Some(path) = named.or_else(|| usual.exists().then_some(usual)) else {
            return Ok(Loaded { config: Self::from_layers(None, environment)?, file: None });
        };
        let text = document::read_file(path)?;
        let config = Self::from_layers(Some(ConfigFile { path, text: &text }), environment)?;
        Ok(Loaded { config, file: Some(path.to_owned()) })
    }

    /// The settings that `file` and `environment` make of the defaults. Touches no disk.
    ///
    /// # Errors
    /// Everything that is wrong in either.
    pub fn from_layers(file: Option<ConfigFile<'_>>, environment: &Environment) -> Result<Self, Faults> {
        layers::settle(file, environment)
    }
}

/// A path that says nothing would silently mean the working directory.
fn is_not_empty(path: &Path, _context: &()) -> garde::Result {
    if path.as_os_str().is_empty() {
        return Err(garde::Error::new("a path is needed"));
    }
    Ok(())
}

/// Credentials and keys travel to these addresses: plain HTTP is for this machine only.
fn is_base_url(text: &str, _context: &()) -> garde::Result {
    let url = reqwest::Url::parse(text).map_err(|error| garde::Error::new(format!("no URL: {error}")))?;
    if !is_guarded(&url) {
        return Err(garde::Error::new(
            "must be an https URL; http is taken for this machine only: localhost, a name such as \
             gdk.localhost, 127.0.0.1",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(garde::Error::new("must be a plain base URL, without credentials, query or fragment"));
    }
    Ok(())
}

/// Whether nobody on the way can read or change what is fetched from there.
pub(crate) fn is_guarded(url: &reqwest::Url) -> bool {
    let stays_here = url.host().is_some_and(|host| vetted::stays_here(&host));
    url.scheme() == "https" || (url.scheme() == "http" && stays_here)
}

#[cfg(test)]
mod tests;
