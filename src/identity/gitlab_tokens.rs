//! Tokens of a GitLab instance, which judges them itself: personal access tokens and OAuth tokens.
//!
//! | what is asked | what it says |
//! |---|---|
//! | `GET /api/v4/personal_access_tokens/self` | `scopes`, `expires_at`, `active`, `revoked` of a personal access token |
//! | `GET /oauth/token/info` | `scope`, `expires_in` of an OAuth token |
//! | `GET /api/v4/user` | whose it is: `id`, `username`, `name`, `state`, and `is_admin` for administrators |
//!
//! The first says of an OAuth token, with 400, that it is no personal access token; then the second is asked.
//! It takes the scope `api`, `read_api` or `read_user` for GitLab to say whose a token is: one with
//! `ai_features` alone is refused. `read_user` beside it will do with `directory.source: file`; a directory
//! that is GitLab takes `read_api` or `api`, for it is read with this token.
//!
//! With `directory.source: file` a caller is the user with `identities: {<gitlab.url>: "<id>"}` there, the id
//! being the number of their account at GitLab: usernames change hands, numbers do not.
//!
//! The answers are kept for `auth.gitlab_token_seconds` under the
//! hash of the token, and no longer: while GitLab does not answer, nobody new is let in, and nobody known
//! stays in beyond that time.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use duologue_actors::{
    clock::Clock,
    ports::{Credentials, Identity, Scope, TokenVerifier, User, VerifyError},
    protocol::UserId,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::TokenHash;
use crate::{
    calendar,
    config::AuthConfig,
    directory::{AccountKey, Accounts, issuer_name},
    gitlab::{CallError, Fresh, Gitlab, Shared},
};

/// Longer tokens are not shown to GitLab.
const MAX_TOKEN_BYTES: usize = 1_024;

/// How long a refusal is remembered at most. Long enough that a flood of one bad token costs GitLab little,
/// short enough that a token is not refused long after it was made good.
const REFUSED: Duration = Duration::from_secs(10);

/// Tokens that GitLab is asked about at once. Whoever comes with one more is sent away for a moment: a flood
/// of made-up tokens is not passed on.
const MAX_ASKED: usize = 32;

/// Scopes with which GitLab says whose a token is, by its REST API documentation of scopes.
const SHOWING_THE_HOLDER: [&str; 3] = ["api", "read_api", "read_user"];

pub struct GitlabTokens {
    gitlab: Gitlab,
    /// How GitLab is named in the identities of users.
    issuer: String,
    clock: Clock,
    asking: Semaphore,
    /// Whose users the callers are; `None` for GitLab's own.
    accounts: Option<Arc<dyn Accounts>>,
    lifetime: Duration,
    verified: Shared<TokenHash, Result<Arc<Known>, VerifyError>>,
}

/// What GitLab said of a token.
#[derive(Debug, PartialEq)]
struct Known {
    user: User,
    scopes: Arc<BTreeSet<String>>,
    expires_at: Option<SystemTime>,
}

impl GitlabTokens {
    /// With `accounts` a caller is the user with that identity there, and refused when there is none; else
    /// whoever GitLab says.
    #[must_use]
    pub fn new(
        gitlab: Gitlab,
        config: &AuthConfig,
        clock: Clock,
        accounts: Option<Arc<dyn Accounts>>,
    ) -> Self {
        let lifetime = config.gitlab_token_lifetime();
        let verified = Shared::new(config.verified_tokens, lifetime, |_| 1);
        let issuer = issuer_name(gitlab.base()).to_owned();
        Self { gitlab, issuer, clock, asking: Semaphore::new(MAX_ASKED), accounts, lifetime, verified }
    }

    /// GitLab has refused a token it had said was good: it is asked again when the token comes back.
    pub(crate) async fn forget(&self, token: TokenHash) {
        self.verified.forget(&token).await;
    }

    async fn known(&self, token: &SecretString) -> Result<Arc<Known>, VerifyError> {
        let fetch = async {
            let answer = match self.asking.try_acquire() {
                Ok(_one_of_few) => self.ask(token).await,
                Err(_) => {
                    tracing::warn!(MAX_ASKED, "gitlab is asked about too many tokens at once");
                    Err(VerifyError::Unavailable)
                }
            };
            let lifetime = match &answer {
                Ok(_) => self.lifetime,
                Err(VerifyError::Invalid) => self.lifetime.min(REFUSED),
                Err(VerifyError::Unavailable) => Duration::ZERO,
            };
            Fresh { answer: answer.map(Arc::new), lifetime }
        };
        self.verified.get(&TokenHash::of(token.expose_secret()), fetch).await
    }

    async fn ask(&self, token: &SecretString) -> Result<Known, VerifyError> {
        let grant = self.grant(token).await?;
        if !SHOWING_THE_HOLDER.iter().any(|scope| grant.scopes.contains(*scope)) {
            return Err(invalid("holder_not_shown_without_the_scope_read_user"));
        }
        let holder: Holder = self
            .gitlab
            .get(token, &["api", "v4", "user"], &[])
            .await
            .map_err(|e| no_word(e, "holder_not_shown"))?;
        if holder.state != "active" {
            return Err(invalid("holder_not_active"));
        }
        Ok(Known { user: holder.into(), scopes: Arc::new(grant.scopes), expires_at: grant.expires_at })
    }

    /// What the token is good for. Only a token that GitLab knows gets to the second question: it says 401
    /// about any other.
    async fn grant(&self, token: &SecretString) -> Result<Grant, VerifyError> {
        let path = ["api", "v4", "personal_access_tokens", "self"];
        let personal = match self.gitlab.get::<PersonalToken>(token, &path, &[]).await {
            Ok(token) => return token.grant(),
            Err(CallError::Refused) => return Err(invalid("unknown_token")),
            Err(error) => error,
        };
        let path = ["oauth", "token", "info"];
        match self.gitlab.get::<OauthToken>(token, &path, &[]).await {
            Ok(token) => Ok(token.grant(self.clock.now())),
            // No word about a personal access token is none against it.
            Err(CallError::Refused) => Err(no_word(personal, "unknown_token")),
            Err(error) => Err(no_word(error, "unknown_token")),
        }
    }

    fn identity(&self, known: &Known) -> Result<Identity, VerifyError> {
        if known.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Err(invalid("expired"));
        }
        let user = match &self.accounts {
            None => known.user.clone(),
            Some(accounts) => accounts
                .account(AccountKey::Subject { issuer: &self.issuer, subject: &known.user.id.to_string() })
                .ok_or_else(|| invalid("not_in_the_directory"))?,
        };
        Ok(Identity { user, expires_at: known.expires_at, scope: Scope::Gitlab(known.scopes.clone()) })
    }
}

#[async_trait]
impl TokenVerifier for GitlabTokens {
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        let token = credentials.token.as_ref().ok_or(VerifyError::Invalid)?;
        if token.expose_secret().is_empty() || token.expose_secret().len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::Invalid);
        }
        self.identity(&*self.known(token).await?)
    }
}

/// The client hears no reason; whoever runs the server may want it.
fn invalid(reason: &'static str) -> VerifyError {
    tracing::debug!(reason, "gitlab token refused");
    VerifyError::Invalid
}

/// What it means that GitLab did not say what it was asked: `reason`, or that it cannot be told now.
fn no_word(error: CallError, reason: &'static str) -> VerifyError {
    match error {
        CallError::Refused | CallError::NotFound | CallError::Forbidden | CallError::Rejected => {
            invalid(reason)
        }
        CallError::Barred | CallError::TooLong | CallError::Unavailable => VerifyError::Unavailable,
    }
}

/// What a token is good for, and until when.
struct Grant {
    scopes: BTreeSet<String>,
    expires_at: Option<SystemTime>,
}

/// By GitLab's REST API documentation of personal access tokens, `GET /personal_access_tokens/self`.
#[derive(Deserialize)]
struct PersonalToken {
    scopes: BTreeSet<String>,
    expires_at: Option<String>,
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    revoked: Option<bool>,
}

impl PersonalToken {
    /// GitLab's documentation of personal access tokens: one with the date 2024-01-01 expires at 00:00:00
    /// UTC on 2024-01-01.
    fn grant(self) -> Result<Grant, VerifyError> {
        if self.active == Some(false) || self.revoked == Some(true) {
            return Err(invalid("revoked"));
        }
        let expires_at = match self.expires_at {
            None => None,
            Some(date) => Some(calendar::parse(&date).ok_or_else(|| invalid("unreadable_expiry"))?),
        };
        Ok(Grant { scopes: self.scopes, expires_at })
    }
}

/// Doorkeeper's token information. GitLab adds `scopes` and `expires_in_seconds`, which say the same as the
/// fields here under their earlier names.
#[derive(Deserialize)]
struct OauthToken {
    scope: BTreeSet<String>,
    /// `null` for a token that does not expire.
    expires_in: Option<u64>,
}

impl OauthToken {
    fn grant(self, now: SystemTime) -> Grant {
        let expires_at = self.expires_in.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)));
        Grant { scopes: self.scope, expires_at }
    }
}

/// By GitLab's REST API documentation of users, `GET /user`.
#[derive(Deserialize)]
struct Holder {
    id: u64,
    username: String,
    name: String,
    state: String,
    #[serde(default)]
    is_admin: bool,
}

impl From<Holder> for User {
    fn from(holder: Holder) -> Self {
        let Holder { id, username, name, is_admin, .. } = holder;
        Self { id: UserId(id), username, name, admin: is_admin }
    }
}

#[cfg(test)]
mod tests;
