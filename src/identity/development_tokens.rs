//! Tokens written in the directory's file. They are good only while the server listens on loopback, which
//! the configuration sees to.

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use duologue_actors::ports::{Credentials, Identity, Scope, TokenVerifier, User, VerifyError};
use secrecy::ExposeSecret;

use super::TokenHash;
use crate::directory::FileDirectory;

/// Longer tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 1_024;

/// The development tokens of a directory, by their hashes: how long a lookup takes says nothing about
/// how near a guess was. By default there are none.
#[derive(Default)]
pub struct DevelopmentTokens {
    users: HashMap<TokenHash, User>,
}

impl DevelopmentTokens {
    #[must_use]
    pub fn new(directory: &FileDirectory) -> Self {
        let users = directory
            .development_tokens()
            .map(|(user, token)| (TokenHash::of(token.expose_secret()), user.clone()))
            .collect();
        Self { users }
    }

    /// Whether nobody can use any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// Shows how many there are, never which.
impl fmt::Debug for DevelopmentTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevelopmentTokens").field("count", &self.users.len()).finish()
    }
}

#[async_trait]
impl TokenVerifier for DevelopmentTokens {
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        let token = credentials.token.as_ref().ok_or(VerifyError::Invalid)?.expose_secret();
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::Invalid);
        }
        let user = self.users.get(&TokenHash::of(token)).ok_or(VerifyError::Invalid)?;
        Ok(Identity { user: user.clone(), expires_at: None, scope: Scope::Everything })
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn tokens() -> DevelopmentTokens {
        DevelopmentTokens::new(&FileDirectory::demo())
    }

    #[rstest::rstest]
    #[case("demo-root", 1, true)]
    #[case("demo-alice", 2, false)]
    #[case("demo-mallory", 3, false)]
    #[tokio::test]
    async fn a_development_token_identifies_its_user(
        #[case] token: &str,
        #[case] id: u64,
        #[case] admin: bool,
    ) {
        let identity = tokens().verify(&Credentials::token(token)).await.unwrap();
        assert_eq!((identity.user.id.0, identity.user.admin, identity.expires_at), (id, admin, None));
    }

    #[tokio::test]
    async fn a_token_that_is_absent_empty_unknown_nearly_right_or_endless_identifies_nobody() {
        let endless = "x".repeat(MAX_TOKEN_BYTES + 1);
        for token in ["", "demo", "demo-alice ", "Demo-Alice", "demo-alice\0", endless.as_str()] {
            let verified = tokens().verify(&Credentials::token(token)).await;
            assert_eq!(verified.unwrap_err(), VerifyError::Invalid, "{token:.20}");
        }
        assert_eq!(tokens().verify(&Credentials::default()).await.unwrap_err(), VerifyError::Invalid);
    }

    #[test]
    fn no_token_is_shown_when_printed_for_debugging() {
        assert_eq!(format!("{:?}", tokens()), "DevelopmentTokens { count: 3 }");
    }
}
