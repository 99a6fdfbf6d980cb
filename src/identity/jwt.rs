//! JWTs of the configured OIDC issuers.
//!
//! A token is verified once and remembered by the SHA-256 of all of it, so no two tokens are ever taken
//! for each other, however much they share. What can change is looked at on every use: the time, whether
//! the issuer still has the key, the headers beside the token, and whether the directory knows the user.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use duologue_actors::{
    clock::Clock,
    ports::{Credentials, Identity, Scope, TokenVerifier, VerifyError},
};
use jsonwebtoken::{Validation, decode};
use moka::{Expiry, future::Cache};
use secrecy::ExposeSecret;

use super::{
    TokenHash,
    claims::{Claims, Payload, Rules, Speaks},
    discovery::Discovery,
    issuer::{Intervals, Issuer},
    jwks::{Key, KeyId},
    presented::Presented,
    refusal::Refusal,
};
use crate::{
    bounded_http,
    config::{self, AuthConfig, DeploymentMode},
    directory::{Accounts, issuer_name},
};

/// What a remembered token may have to count as one. GitLab's, with all unit primitives, have less.
const PIECE: usize = 4_096;
/// A token that lives longer is verified again then.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Verifies JWTs.
pub struct JwtVerifier {
    issuers: Vec<Arc<Issuer>>,
    algorithms: Vec<jsonwebtoken::Algorithm>,
    audience: String,
    rules: Rules,
    accounts: Arc<dyn Accounts>,
    verified: Cache<TokenHash, Arc<Verified>>,
    clock: Clock,
}

/// A token whose signature was good, and the key that said so.
struct Verified {
    issuer: Arc<Issuer>,
    key: KeyId,
    claims: Claims,
}

impl JwtVerifier {
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub fn new(
        auth: &AuthConfig,
        mode: DeploymentMode,
        accounts: Arc<dyn Accounts>,
        clock: Clock,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            issuers: issuers(auth)?,
            algorithms: auth.algorithms.iter().copied().map(Into::into).collect(),
            audience: auth.audience.clone(),
            rules: Rules {
                realm: mode.realm(),
                leeway: auth.leeway(),
                instances: auth.instance_ids.iter().cloned().collect(),
            },
            accounts,
            verified: cache(auth.verified_tokens, clock.clone()),
            clock,
        })
    }

    /// The issuers whose tokens are taken.
    pub fn issuer_names(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|issuer| issuer.name())
    }

    /// Whether the tokens of this issuer may be those of an instance that we know.
    pub(super) fn speaks_for_instances(&self, issuer: &str) -> bool {
        let mut known = self.issuers.iter().filter(|known| known.name() == issuer);
        !self.rules.instances.is_empty() && known.any(|known| known.speaks() == Speaks::ForInstances)
    }

    /// Asks for the keys that are not known or old, in the background. Must be called inside a runtime.
    pub fn refresh_keys(&self) {
        self.issuers.iter().for_each(Issuer::refresh);
    }

    /// Which issuer is not as it should be, and how.
    #[must_use]
    pub fn concern(&self) -> Option<String> {
        let concerns: Vec<String> = self
            .issuers
            .iter()
            .filter_map(|issuer| issuer.concern().map(|concern| format!("{} {concern}", issuer.name())))
            .collect();
        (!concerns.is_empty()).then(|| concerns.join("; "))
    }

    async fn identify(&self, credentials: &Credentials) -> Result<Identity, Refusal> {
        let token = credentials.token.as_ref().ok_or(Refusal::NoToken)?.expose_secret();
        let verified = self.verified(token).await?;
        let Verified { issuer, claims, .. } = &*verified;
        claims.check_time(self.clock.now())?;
        let instances = &self.rules.instances;
        let key = claims.account(issuer.name(), issuer.speaks(), instances, &credentials.stated)?;
        let user = self.accounts.account(key).ok_or(Refusal::UnknownUser)?;
        let scope = Scope::UnitPrimitives(claims.scopes());
        Ok(Identity { user, expires_at: Some(claims.good_until()), scope })
    }

    async fn verified(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        let hash = TokenHash::of(token);
        if let Some(known) = self.verified.get(&hash).await {
            let has_expired = known.claims.check_time(self.clock.now()) == Err(Refusal::Expired);
            if !has_expired && known.issuer.has(&known.key) {
                return Ok(known);
            }
            self.verified.invalidate(&hash).await;
            if has_expired {
                return Err(Refusal::Expired);
            }
        }
        let verified = Arc::new(self.check(token).await?);
        self.verified.insert(hash, Arc::clone(&verified)).await;
        Ok(verified)
    }

    async fn check(&self, token: &str) -> Result<Verified, Refusal> {
        let presented = Presented::read(token, &self.algorithms)?;
        let claimed = issuer_name(&presented.issuer);
        let issuer = self.issuers.iter().find(|issuer| issuer.name() == claimed);
        let issuer = issuer.ok_or(Refusal::UnknownIssuer)?;
        let key = issuer.key(presented.key_id.as_deref(), presented.algorithm).await?;
        let (key, claims) = match self.signed_claims(token, &presented, &key) {
            Err(Refusal::BadSignature) => {
                let (name, algorithm) = (presented.key_id.as_deref(), presented.algorithm);
                let key = issuer.key_instead_of(key.id(), name, algorithm).await?;
                let claims = self.signed_claims(token, &presented, &key)?;
                (key, claims)
            }
            claims => (key, claims?),
        };
        // What has expired is not worth a place among the remembered.
        claims.check_time(self.clock.now())?;
        Ok(Verified { issuer: Arc::clone(issuer), key: key.id().clone(), claims })
    }

    fn signed_claims(&self, token: &str, presented: &Presented, key: &Key) -> Result<Claims, Refusal> {
        use jsonwebtoken::errors::ErrorKind;
        let decoded = decode::<Payload>(token, &key.decoding, &self.validation(presented));
        let decoded = decoded.map_err(|error| match error.kind() {
            // The other two parts have been decoded before.
            ErrorKind::InvalidSignature | ErrorKind::Base64(_) => Refusal::BadSignature,
            _ => Refusal::BadClaims,
        })?;
        Claims::new(decoded.claims, &self.rules)
    }

    /// The library's own checks. Time is left to [`Claims`], which asks our clock.
    fn validation(&self, presented: &Presented) -> Validation {
        let mut validation = Validation::new(presented.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&presented.issuer]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }
}

/// Shows no token and nobody's name.
impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<&str> = self.issuer_names().collect();
        f.debug_struct("JwtVerifier").field("issuers", &issuers).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenVerifier for JwtVerifier {
    async fn verify(&self, credentials: &Credentials) -> Result<Identity, VerifyError> {
        self.identify(credentials).await.map_err(|refusal| {
            tracing::debug!(reason = %refusal, "jwt refused");
            refusal.into()
        })
    }
}

/// Tokens remembered until they expire, but not for longer than a day at a time. One with many claims counts
/// as one for every [`PIECE`] of them.
fn cache(capacity: u64, clock: Clock) -> Cache<TokenHash, Arc<Verified>> {
    Cache::builder()
        .max_capacity(capacity)
        .weigher(|_, verified: &Arc<Verified>| verified.weight())
        .expire_after(UntilExpiry(clock))
        .build()
}

struct UntilExpiry(Clock);

impl Expiry<TokenHash, Arc<Verified>> for UntilExpiry {
    fn expire_after_create(
        &self,
        _: &TokenHash,
        verified: &Arc<Verified>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        let left = verified.claims.good_until().duration_since(self.0.now()).unwrap_or_default();
        Some(left.min(LONGEST))
    }
}

impl Verified {
    fn weight(&self) -> u32 {
        u32::try_from(self.claims.bytes().div_ceil(PIECE)).unwrap_or(u32::MAX).max(1)
    }
}

/// The issuers of the configuration. One that is there twice has the powers of its first mention.
fn issuers(auth: &AuthConfig) -> Result<Vec<Arc<Issuer>>, reqwest::Error> {
    let http = bounded_http::client(auth.jwks_timeout()).build()?;
    let intervals = Intervals {
        refresh: auth.jwks_refresh(),
        unknown_key: auth.jwks_unknown_key(),
        max_stale: auth.jwks_max_stale(),
    };
    let of_instances = [&auth.gitlab_url, &auth.customer_portal_url].into_iter().flatten();
    let named = of_instances
        .map(|url| (url, Speaks::ForInstances))
        .chain(auth.issuers.iter().map(|url| (url, Speaks::ForItsUsers)));
    let mut issuers: Vec<Arc<Issuer>> = Vec::new();
    for (url, speaks) in named {
        if issuers.iter().all(|known| known.name() != issuer_name(url)) {
            let discovery = Discovery::new(url, http.clone(), auth.max_jwks_bytes);
            issuers.push(Arc::new(Issuer::new(discovery, speaks, intervals)));
        }
    }
    Ok(issuers)
}

impl From<config::Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: config::Algorithm) -> Self {
        match algorithm {
            config::Algorithm::RS256 => Self::RS256,
            config::Algorithm::RS384 => Self::RS384,
            config::Algorithm::RS512 => Self::RS512,
            config::Algorithm::PS256 => Self::PS256,
            config::Algorithm::PS384 => Self::PS384,
            config::Algorithm::PS512 => Self::PS512,
            config::Algorithm::ES256 => Self::ES256,
            config::Algorithm::ES384 => Self::ES384,
            config::Algorithm::EdDSA => Self::EdDSA,
        }
    }
}

#[cfg(test)]
mod tests;
