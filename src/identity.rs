//! Who is behind the credentials a client shows: [`Verifier`], the one verifier of the process.
//!
//! It asks, in this order:
//!
//! 1. With `auth.bypass_external`, nobody: every caller is `auth.bypass_user`.
//! 2. [`DevelopmentTokens`], if `auth.development_tokens` is on.
//! 3. [`JwtVerifier`], if the token looks like a JWT and an issuer is configured.
//! 4. The verifier of GitLab tokens, if there is one.
//!
//! Whoever is not found is refused in one uniform way; the log of level debug says why, in one word.
//!
//! # For whom a JWT speaks
//!
//! | issuer | claims | speaks for |
//! |---|---|---|
//! | `gitlab_url`, `customer_portal_url` | `gitlab_realm` or `gitlab_instance_id`: an instance's token | if `sub`, and `gitlab_instance_id` where it is there, are in `instance_ids`: the user whose `global_user_id` is in X-Gitlab-Global-User-Id; without that header nobody |
//! | the same | neither | the user with `identities: {<iss>: <sub>}` |
//! | one of `issuers` | any | the user with `identities: {<iss>: <sub>}` |
//!
//! What a header states must agree with what the token claims, wherever both are there:
//!
//! | header | claim |
//! |---|---|
//! | X-Gitlab-Realm | `gitlab_realm`, which must be the deployment's in any case |
//! | X-Gitlab-Instance-Id | `gitlab_instance_id`, and `sub` of an instance's token |
//! | X-Gitlab-Global-User-Id | `gitlab_global_user_id`; if it is absent, `sub` of a token that is not an instance's |
//!
//! Its `scopes` are the unit primitives it may be used for; without any it is good for none.

use std::sync::Arc;

use async_trait::async_trait;
use duologue_actors::{
    clock::Clock,
    ports::{Credentials, Identity, TokenVerifier, VerifyError},
};
use secrecy::ExposeSecret;

use crate::{config::Config, directory::FileDirectory};

mod bypass;
mod claims;
mod development_tokens;
mod discovery;
mod gitlab_tokens;
mod issuer;
mod jwks;
mod jwt;
mod presented;
mod refusal;
mod token_hash;

pub use bypass::Bypass;
pub use development_tokens::DevelopmentTokens;
pub use gitlab_tokens::GitlabTokens;
pub use jwt::JwtVerifier;
pub(crate) use token_hash::TokenHash;

/// Why nobody can be identified with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(
        "auth.bypass_user is {0:?}, and nobody in the directory has that username; name one of its users, \
         or set auth.bypass_external: false"
    )]
    UnknownBypassUser(String),
    #[error("auth.bypass_external and JWTs need `directory.source: file`, which knows users by name")]
    NoAccounts,
    #[error("an HTTP client for the keys of issuers cannot be made")]
    HttpClient(#[from] reqwest::Error),
}

/// Identifies callers in the ways the configuration allows.
#[derive(Debug)]
pub enum Verifier {
    Bypassed(Bypass),
    Asking(Box<Tokens>),
}

/// The kinds of tokens that are taken.
pub struct Tokens {
    development: DevelopmentTokens,
    jwts: Option<JwtVerifier>,
    gitlab: Option<Arc<dyn TokenVerifier>>,
}

impl Verifier {
    /// The verifier that the settings describe. `users` is the directory's file where it has one;
    /// `gitlab_tokens` is asked about what is neither a development token nor a JWT.
    ///
    /// # Errors
    /// When the bypass user is nobody, or users are needed and there is no file of them.
    pub fn new(
        config: &Config,
        users: Option<&Arc<FileDirectory>>,
        gitlab_tokens: Option<Arc<dyn TokenVerifier>>,
        clock: Clock,
    ) -> Result<Self, SetupError> {
        if config.auth.bypass_external {
            let bypass =
                Bypass::new(&config.auth.bypass_user, users.ok_or(SetupError::NoAccounts)?.as_ref())?;
            tracing::warn!(
                user = config.auth.bypass_user,
                "auth.bypass_external is on: every caller is this user"
            );
            return Ok(Self::Bypassed(bypass));
        }
        let tokens = Tokens {
            development: development_tokens(config, users),
            jwts: jwts(config, users, clock)?,
            gitlab: gitlab_tokens,
        };
        if tokens.are_none() {
            tracing::warn!(
                "nobody can authenticate: turn on auth.development_tokens or auth.gitlab_tokens, or name an \
                 issuer of JWTs in auth.gitlab_url, auth.customer_portal_url or auth.issuers"
            );
        }
        Ok(Self::Asking(Box::new(tokens)))
    }
}

impl Verifier {
    /// Asks issuers of JWTs for keys that are not known or old, in the background. Must be called inside a
    /// runtime.
    pub fn refresh_keys(&self) {
        self.jwts().iter().for_each(|jwts| jwts.refresh_keys());
    }

    /// Which issuer of JWTs is not as it should be, and how.
    #[must_use]
    pub fn concern(&self) -> Option<String> {
        self.jwts().and_then(JwtVerifier::concern)
    }

    fn jwts(&self) -> Option<&JwtVerifier> {
        match self {
            Self::Bypassed(_) => None,
            Self::Asking(tokens) => tokens.jwts.as_ref(),
        }
    }
}

fn development_tokens(config: &Config, users: Option<&Arc<FileDirectory>>) -> DevelopmentTokens {
    match users {
        Some(users) if config.auth.development_tokens => {
            tracing::warn!("development tokens are accepted; they are for trying things out");
            DevelopmentTokens::new(users)
        }
        _ => DevelopmentTokens::default(),
    }
}

fn jwts(
    config: &Config,
    users: Option<&Arc<FileDirectory>>,
    clock: Clock,
) -> Result<Option<JwtVerifier>, SetupError> {
    if !config.auth.takes_jwts() {
        return Ok(None);
    }
    let users = Arc::clone(users.ok_or(SetupError::NoAccounts)?);
    let verifier = JwtVerifier::new(&config.auth, config.deployment.mode, Arc::clone(&users) as _, clock)?;
    for issuer in verifier.issuer_names() {
        tracing::info!(issuer, "jwts are accepted");
        if !users.has_users_of(issuer, verifier.speaks_for_instances(issuer)) {
            tracing::warn!(
                issuer,
                "no jwt of this issuer is anybody's: give users of the directory an identity there (`identities`)"
            );
        }
    }
    if config.auth.may_be_an_instances() && config.auth.instance_ids.is_empty() {
        tracing::info!("no instance may speak for its users: auth.instance_ids is empty");
    }
    Ok(Some(verifier))
}

#[async_trait]
impl TokenVerifier for Verifier {
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        match self {
            Self::Bypassed(bypass) => bypass.verify(credentials).await,
            Self::Asking(tokens) => tokens.verify(credentials).await,
        }
    }
}

impl Tokens {
    fn are_none(&self) -> bool {
        self.development.is_empty() && self.jwts.is_none() && self.gitlab.is_none()
    }

    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        let token = credentials.token.as_ref().ok_or(VerifyError::Invalid)?.expose_secret();
        if token.is_empty() {
            return Err(VerifyError::Invalid);
        }
        match self.development.verify(credentials).await {
            Err(VerifyError::Invalid) => {}
            known => return known,
        }
        match (&self.jwts, &self.gitlab) {
            (Some(jwts), _) if presented::looks_like_a_jwt(token) => jwts.verify(credentials).await,
            (_, Some(gitlab)) => gitlab.verify(credentials).await,
            _ => Err(VerifyError::Invalid),
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("development", &self.development)
            .field("jwts", &self.jwts)
            .field("gitlab", &self.gitlab.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use duologue_actors::ports::{Scope, User};

    use super::*;
    use crate::env_file::Environment;

    fn demo() -> Arc<FileDirectory> {
        Arc::new(FileDirectory::demo())
    }

    fn config(variables: &[(&str, &str)]) -> Config {
        Config::from_layers(None, &variables.iter().copied().collect::<Environment>()).unwrap()
    }

    fn verifier(variables: &[(&str, &str)]) -> Verifier {
        Verifier::new(&config(variables), Some(&demo()), Some(Arc::new(Gitlab)), Clock::system()).unwrap()
    }

    /// Knows everybody as one user, so that it shows what it was asked.
    struct Gitlab;

    #[async_trait]
    impl TokenVerifier for Gitlab {
        async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
            let username = credentials.token.as_ref().unwrap().expose_secret().to_owned();
            let user = User {
                id: duologue_actors::protocol::UserId(9),
                name: username.clone(),
                username,
                admin: false,
            };
            Ok(Identity { user, expires_at: None, scope: Scope::Gitlab(Arc::default()) })
        }
    }

    async fn username(verifier: &Verifier, token: &str) -> Result<String, VerifyError> {
        verifier.verify(&Credentials::token(token)).await.map(|identity| identity.user.username)
    }

    #[tokio::test]
    async fn with_the_bypass_everybody_is_the_same_user() {
        let bypassed = verifier(&[("AIGW_AUTH__BYPASS_EXTERNAL", "true")]);
        for credentials in [Credentials::default(), Credentials::token("x"), Credentials::token("demo-root")]
        {
            let identity = bypassed.verify(&credentials).await.unwrap();
            assert_eq!((identity.user.username.as_str(), identity.scope), ("alice", Scope::Everything));
        }
    }

    #[test]
    fn a_bypass_user_who_is_nobody_is_a_fault_that_names_the_setting() {
        let config =
            config(&[("DUOLOGUE__AUTH__BYPASS_EXTERNAL", "true"), ("DUOLOGUE__AUTH__BYPASS_USER", "bob")]);
        let fault = Verifier::new(&config, Some(&demo()), None, Clock::system()).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "auth.bypass_user is \"bob\", and nobody in the directory has that username; name one of its users, \
             or set auth.bypass_external: false"
        );
        assert!(matches!(Verifier::new(&config, None, None, Clock::system()), Err(SetupError::NoAccounts)));
    }

    #[tokio::test]
    async fn each_kind_of_token_goes_to_its_own_verifier() {
        let all = verifier(&[("AIGW_GITLAB_URL", "http://127.0.0.1:1")]);
        assert_eq!(username(&all, "demo-alice").await, Ok("alice".to_owned()));
        for of_gitlab in ["glpat-x", "ey.with.parts"] {
            assert_eq!(username(&all, of_gitlab).await, Ok(of_gitlab.to_owned()));
        }
        assert_eq!(username(&all, "eyJhbGciOiJub25lIn0.a.b").await, Err(VerifyError::Invalid));
        assert_eq!(username(&all, "").await, Err(VerifyError::Invalid));
        assert_eq!(all.verify(&Credentials::default()).await.unwrap_err(), VerifyError::Invalid);
    }

    #[tokio::test]
    async fn what_is_turned_off_is_not_asked() {
        let off = [("DUOLOGUE__AUTH__DEVELOPMENT_TOKENS", "false")];
        assert_eq!(username(&verifier(&off), "demo-alice").await, Ok("demo-alice".to_owned()));
        assert_eq!(username(&verifier(&off), "eyJ.a.b").await, Ok("eyJ.a.b".to_owned()));
        let nobody = Verifier::new(&config(&off), Some(&demo()), None, Clock::system()).unwrap();
        assert_eq!(username(&nobody, "demo-alice").await, Err(VerifyError::Invalid));
    }

    #[test]
    fn no_token_is_shown_when_printed_for_debugging() {
        let shown = format!("{:?}", verifier(&[("AIGW_GITLAB_URL", "http://127.0.0.1:1")]));
        assert_eq!(
            shown,
            "Asking(Tokens { development: DevelopmentTokens { count: 3 }, \
             jwts: Some(JwtVerifier { issuers: [\"http://127.0.0.1:1\"], .. }), gitlab: true })"
        );
    }
}
