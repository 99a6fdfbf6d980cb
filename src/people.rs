//! Who there is and who says so, built from the settings: the directory and the verifier of tokens, which for
//! GitLab go by the same instance.

use std::sync::Arc;

use duologue_actors::{
    clock::Clock,
    ports::{Directory, TokenVerifier, User},
};

use crate::{
    config::{Config, DirectorySource},
    directory::{AccountKey, Accounts, ActorNames, FileDirectory, GitlabDirectory, Settings},
    document::Faults,
    gitlab::{ClientError, Gitlab},
    identity::{GitlabTokens, SetupError, Verifier},
};

/// Why nobody is known.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error(transparent)]
    Faults(#[from] Faults),
    #[error(transparent)]
    Verifier(#[from] SetupError),
    #[error(transparent)]
    Gitlab(#[from] ClientError),
}

pub struct People {
    pub directory: Arc<dyn Directory>,
    /// The same directory, for names that people use.
    pub names: Arc<dyn ActorNames>,
    pub verifier: Arc<Verifier>,
    /// The directory, if it knows its users without being shown a token.
    accounts: Option<Arc<FileDirectory>>,
}

impl People {
    /// # Errors
    /// Everything wrong with the directory's files, or that there is nobody of whom the settings speak.
    pub fn load(config: &Config) -> Result<Self, PeopleError> {
        match config.directory.source {
            DirectorySource::File => Self::of_file(config),
            DirectorySource::Gitlab => Self::of_gitlab(config),
        }
    }

    fn of_file(config: &Config) -> Result<Self, PeopleError> {
        let file = Arc::new(FileDirectory::load(&config.directory, &config.deployment)?);
        let tokens: Option<Arc<dyn TokenVerifier>> = match config.auth.gitlab_tokens {
            true => Some(gitlab_tokens(config, Gitlab::new(&config.gitlab)?, Some(file.clone()))),
            false => None,
        };
        let verifier = Arc::new(Verifier::new(config, Some(&file), tokens, Clock::system())?);
        Ok(Self { directory: file.clone(), names: file.clone(), verifier, accounts: Some(file) })
    }

    fn of_gitlab(config: &Config) -> Result<Self, PeopleError> {
        let gitlab = Gitlab::new(&config.gitlab)?;
        let tokens = config.auth.gitlab_tokens.then(|| gitlab_tokens(config, gitlab.clone(), None));
        let directory = Arc::new(GitlabDirectory::new(gitlab, Settings::from(config), tokens.clone()));
        let tokens = tokens.map(|tokens| tokens as _);
        let verifier = Arc::new(Verifier::new(config, None, tokens, Clock::system())?);
        Ok(Self { directory: directory.clone(), names: directory, verifier, accounts: None })
    }

    /// The user of this name, where the directory tells without a token.
    #[must_use]
    pub fn user_named(&self, username: &str) -> Option<User> {
        self.accounts.as_ref()?.account(AccountKey::Username(username))
    }
}

/// With `accounts`, a caller is the user with that identity there.
fn gitlab_tokens(config: &Config, gitlab: Gitlab, accounts: Option<Arc<FileDirectory>>) -> Arc<GitlabTokens> {
    let accounts = accounts.map(|accounts| accounts as _);
    Arc::new(GitlabTokens::new(gitlab, &config.auth, Clock::system(), accounts))
}
