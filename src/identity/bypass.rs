//! Nobody is asked for credentials: every caller is one user of the directory. For development on
//! loopback, which the configuration sees to.

use async_trait::async_trait;
use duologue_actors::ports::{Credentials, Identity, Scope, TokenVerifier, User, VerifyError};

use super::SetupError;
use crate::directory::{AccountKey, Accounts};

/// Takes any credentials, also none.
#[derive(Clone, Debug)]
pub struct Bypass {
    user: User,
}

impl Bypass {
    /// # Errors
    /// When nobody has that username.
    pub fn new(username: &str, accounts: &dyn Accounts) -> Result<Self, SetupError> {
        let user = accounts.account(AccountKey::Username(username));
        let user = user.ok_or_else(|| SetupError::UnknownBypassUser(username.to_owned()))?;
        Ok(Self { user })
    }
}

#[async_trait]
impl TokenVerifier for Bypass {
    async fn verify(&self, _: &Credentials) -> Result<Identity, VerifyError> {
        Ok(Identity { user: self.user.clone(), expires_at: None, scope: Scope::Everything })
    }
}
