//! What a JWT whose signature is good says, and for whom it speaks. Nothing here asks anybody.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use duologue_actors::ports::Stated;
use serde::Deserialize;
use serde_json::Number;

use super::refusal::Refusal;
use crate::directory::AccountKey;

/// The last second of the year 9999. A later `exp` is a mistake, and dates beyond it overflow elsewhere.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What a token must agree with.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// `gitlab_realm` of this deployment.
    pub(super) realm: &'static str,
    /// By how much clocks may differ.
    pub(super) leeway: Duration,
    /// The instances that may speak for our users. An issuer such as CustomersDot signs the tokens of
    /// everybody's instances: that one is an instance's does not make it one of ours.
    pub(super) instances: BTreeSet<String>,
}

/// For whom an issuer may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// For its own users, and for instances, which speak for theirs.
    ForInstances,
    /// For its own users only.
    ForItsUsers,
}

/// The payload, as it is written. RFC 7519 section 4.1 for the first five, GitLab's Cloud Connector for
/// the others.
#[derive(Deserialize)]
pub(super) struct Payload {
    sub: String,
    exp: Number,
    nbf: Option<Number>,
    scopes: Option<BTreeSet<String>>,
    gitlab_realm: Option<String>,
    gitlab_instance_id: Option<String>,
    gitlab_global_user_id: Option<String>,
}

/// The claims that matter. Empty texts are as good as absent ones, as GitLab has it.
pub(super) struct Claims {
    subject: String,
    realm: Option<String>,
    instance_id: Option<String>,
    global_user_id: Option<String>,
    scopes: Arc<BTreeSet<String>>,
    good_from: Option<SystemTime>,
    good_until: SystemTime,
}

impl Claims {
    pub(super) fn new(payload: Payload, rules: &Rules) -> Result<Self, Refusal> {
        let not_before = payload.nbf.as_ref().map(time).transpose()?;
        let claims = Self {
            subject: payload.sub,
            realm: said(payload.gitlab_realm),
            instance_id: said(payload.gitlab_instance_id),
            global_user_id: said(payload.gitlab_global_user_id),
            scopes: Arc::new(payload.scopes.unwrap_or_default()),
            good_from: not_before.and_then(|at| at.checked_sub(rules.leeway)),
            good_until: time(&payload.exp)?.checked_add(rules.leeway).ok_or(Refusal::BadClaims)?,
        };
        if claims.subject.is_empty() {
            return Err(Refusal::BadClaims);
        }
        match &claims.realm {
            Some(realm) if realm != rules.realm => Err(Refusal::WrongRealm),
            _ => Ok(claims),
        }
    }

    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        if now >= self.good_until {
            return Err(Refusal::Expired);
        }
        match self.good_from {
            Some(from) if now < from => Err(Refusal::NotYetGood),
            _ => Ok(()),
        }
    }

    /// When the token stops being taken: `exp` and the leeway.
    pub(super) fn good_until(&self) -> SystemTime {
        self.good_until
    }

    /// How much text is kept.
    pub(super) fn bytes(&self) -> usize {
        let names = [Some(&self.subject), self.realm.as_ref(), self.instance_id.as_ref()];
        let names = names.into_iter().chain([self.global_user_id.as_ref()]).flatten().map(String::len);
        // A scope is a text of its own in a tree.
        let scopes = self.scopes.iter().map(|scope| scope.len() + size_of::<String>());
        names.chain(scopes).sum()
    }

    /// The unit primitives it was issued for.
    pub(super) fn scopes(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.scopes)
    }

    /// For whom the token speaks, which the headers beside it must not contradict.
    ///
    /// Whether it is an instance's is read off the token alone. The headers are the caller's: a token of
    /// a user, or of a CI job, whose `sub` is repeated in X-Gitlab-Instance-Id must not become one that
    /// speaks for everybody.
    pub(super) fn account<'a>(
        &'a self,
        issuer: &'a str,
        speaks: Speaks,
        instances: &BTreeSet<String>,
        stated: &'a Stated,
    ) -> Result<AccountKey<'a>, Refusal> {
        let user = said_of(stated.global_user_id.as_ref());
        let instance = said_of(stated.instance_id.as_ref());
        agree(self.realm.as_deref(), said_of(stated.realm.as_ref()), Refusal::RealmDiffers)?;
        agree(self.instance_id.as_deref(), instance, Refusal::InstanceDiffers)?;
        agree(self.global_user_id.as_deref(), user, Refusal::UserDiffers)?;
        if speaks == Speaks::ForInstances && self.is_of_an_instance() {
            agree(Some(&self.subject), instance, Refusal::InstanceDiffers)?;
            self.is_of_one_of(instances)?;
            return user.map(AccountKey::GlobalUserId).ok_or(Refusal::NoUserStated);
        }
        if self.global_user_id.is_none() {
            agree(Some(&self.subject), user, Refusal::UserDiffers)?;
        }
        Ok(AccountKey::Subject { issuer, subject: &self.subject })
    }

    fn is_of_an_instance(&self) -> bool {
        self.realm.is_some() || self.instance_id.is_some()
    }

    /// Every name the token has for its instance must be one we know.
    fn is_of_one_of(&self, instances: &BTreeSet<String>) -> Result<(), Refusal> {
        let names = [Some(&self.subject), self.instance_id.as_ref()];
        let are_known = names.into_iter().flatten().all(|name| instances.contains(name));
        are_known.then_some(()).ok_or(Refusal::UnknownInstance)
    }
}

/// Who somebody is stays out of logs.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("good_until", &self.good_until).finish_non_exhaustive()
    }
}

fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn said_of(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn agree(claimed: Option<&str>, stated: Option<&str>, otherwise: Refusal) -> Result<(), Refusal> {
    match (claimed, stated) {
        (Some(claimed), Some(stated)) if claimed != stated => Err(otherwise),
        _ => Ok(()),
    }
}

/// NumericDate of RFC 7519 section 2: seconds since 1970, possibly with a fraction.
fn time(number: &Number) -> Result<SystemTime, Refusal> {
    let seconds = number.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).ok_or(Refusal::BadClaims)
}

#[cfg(test)]
mod tests;
