//! Licences: what has been bought, as a signed file and as the answer to "may this be used here".
//!
//! A licence is one line, a compact JWT signed with Ed25519 (RFC 7515, RFC 8037):
//!
//! | part | |
//! |---|---|
//! | header | `alg` EdDSA, `typ` `duologue-licence+jwt`, `kid` the issuer's key ([`PublicKey::fingerprint`]) |
//! | `sub` | whom it is for |
//! | `plan` | one of [`plans::names`] |
//! | `features` | what it contains beyond the plan, by the names of `licensed_feature`; may be absent |
//! | `add_ons` | what was bought beside the plan, e.g. `duo_pro`; may be absent |
//! | `iat` `nbf` `exp` | issued, good from, good until: whole seconds since 1970 |
//! | `jti` | names this licence |
//!
//! [`verify`] says what a text is worth apart from the time, [`Licence::check`] what the time makes of it.
//! [`Entitlements`] answers the policy; [`status`] tells people how an instance stands.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::calendar;

mod entitlements;
mod instance;
mod key;
pub mod plans;
mod store;

pub use entitlements::Entitlements;
pub use instance::{Absence, SOON_DAYS, Status, status};
pub use key::{KeyError, PublicKey, SigningKey};
pub use store::read;

use plans::Plan;

/// Tells a licence from every other JWT, so that nothing else its issuer signs can pass for one (RFC 8725,
/// section 3.11).
const TYPE: &str = "duologue-licence+jwt";

/// Names in a licence, and how many: far more than anyone sells.
const MAX_NAME_CHARACTERS: usize = 200;
const MAX_NAMES: usize = 100;

/// Of what a refusal quotes.
const MAX_SHOWN_CHARACTERS: usize = 200;

/// The end of the year 9999. What lies beyond is no date people can read.
const LAST_SECOND: u64 = 253_402_300_799;

const SECONDS_A_DAY: u64 = 86_400;

/// A licence whose signature is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    pub id: String,
    pub terms: Terms,
    pub issued_at: SystemTime,
}

/// What is agreed between the one who issues a licence and the one it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub licensee: String,
    pub plan: &'static Plan,
    pub add_ons: Vec<String>,
    /// Beyond the plan.
    pub features: Vec<String>,
    pub starts_at: SystemTime,
    /// The first moment at which it is not good any more.
    pub ends_at: SystemTime,
}

/// Why a text is no licence for this instance, or not one now. What is quoted from the text is short, and can be
/// shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is no licence: {0}")]
    NotALicence(&'static str),
    #[error("it is signed with \"{0}\"; licences are signed with EdDSA")]
    Algorithm(String),
    #[error("it was issued by another key ({theirs}); this instance takes licences of {ours}")]
    Foreign { theirs: String, ours: String },
    #[error("it was changed after it was issued: the signature does not fit")]
    Tampered,
    #[error("it is no licence: {0}")]
    Claims(String),
    #[error("its plan `{0}` is unknown; known: {known}", known = known_plans())]
    Plan(String),
    #[error("it is not good before {at}", at = calendar::show(*.0))]
    NotYet(SystemTime),
    #[error("it expired at {at}", at = calendar::show(*.0))]
    Expired(SystemTime),
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("nobody would take it: {0}")]
    Terms(Refusal),
    #[error("the key does not sign")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Reads a licence and makes sure who issued it. Whether it is good *now* is [`Licence::check`]'s to say.
///
/// # Errors
/// [`Refusal`] with the first thing that is wrong.
pub fn verify(text: &str, key: &PublicKey) -> Result<Licence, Refusal> {
    let token = text.trim();
    check_header(token, key)?;
    let mut signature_only = Validation::new(Algorithm::EdDSA);
    signature_only.required_spec_claims.clear();
    // The times are looked at by whoever has a clock, and there is no audience.
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding_key(), &signature_only);
    decoded.map_err(|error| unsound(error.kind()))?.claims.licence()
}

/// Issues a licence.
///
/// # Errors
/// When the terms are none that [`verify`] would take, or the key does not sign.
pub fn issue(terms: Terms, issued_at: SystemTime, key: &SigningKey) -> Result<String, IssueError> {
    let licence = Licence { id: Uuid::new_v4().to_string(), terms, issued_at };
    let claims = Claims::of(&licence);
    claims.clone().licence().map_err(IssueError::Terms)?;
    sign(&claims, key)
}

impl Licence {
    /// Whether it is good at `now`. It ends with the second it names (RFC 7519, section 4.1.4).
    ///
    /// # Errors
    /// [`Refusal::NotYet`] or [`Refusal::Expired`].
    pub fn check(&self, now: SystemTime) -> Result<(), Refusal> {
        let Terms { starts_at, ends_at, .. } = self.terms;
        if now < starts_at {
            Err(Refusal::NotYet(starts_at))
        } else if now >= ends_at {
            Err(Refusal::Expired(ends_at))
        } else {
            Ok(())
        }
    }

    /// Whole days until it ends.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> u64 {
        self.terms.ends_at.duration_since(now).unwrap_or_default().as_secs() / SECONDS_A_DAY
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        let Terms { licensee, plan, add_ons, features, starts_at, ends_at } = &self.terms;
        writeln!(f, "licensee    {licensee}")?;
        writeln!(f, "plan        {}", plan.name)?;
        writeln!(f, "add-ons     {}", listed(add_ons))?;
        writeln!(f, "features    {}", listed(features))?;
        writeln!(f, "good from   {}", calendar::show(*starts_at))?;
        writeln!(f, "good until  {}", calendar::show(*ends_at))?;
        write!(f, "issued      {}, number {}", calendar::show(self.issued_at), self.id)
    }
}

fn known_plans() -> String {
    plans::names().collect::<Vec<_>>().join(", ")
}

/// A header with anything else in it is not one of ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenceHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

/// Everything that can be told before the signature, so that the reason is the exact one.
fn check_header(token: &str, key: &PublicKey) -> Result<(), Refusal> {
    const UNREADABLE: Refusal = Refusal::NotALicence("it has not the form of one");
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(UNREADABLE);
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| UNREADABLE)?;
    let LicenceHeader { alg, typ, kid } = serde_json::from_slice(&header).map_err(|_| UNREADABLE)?;
    if typ.as_deref() != Some(TYPE) {
        return Err(Refusal::NotALicence("it is a token for something else"));
    }
    if alg != "EdDSA" {
        return Err(Refusal::Algorithm(shown(&alg)));
    }
    let theirs = kid.filter(|kid| key::is_fingerprint(kid));
    let theirs = theirs.ok_or(Refusal::NotALicence("it does not say who issued it"))?;
    if theirs != key.fingerprint() {
        return Err(Refusal::Foreign { theirs, ours: key.fingerprint().to_owned() });
    }
    Ok(())
}

fn unsound(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Tampered,
        // Reached with a good signature only, so this is the issuer's mistake.
        ErrorKind::Json(error) => Refusal::Claims(shown(&error.to_string())),
        _ => Refusal::NotALicence("it has not the form of one"),
    }
}

fn sign(claims: &impl Serialize, key: &SigningKey) -> Result<String, IssueError> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.public().fingerprint().to_owned());
    Ok(jsonwebtoken::encode(&header, claims, &key.encoding_key())?)
}

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    plan: String,
    #[serde(default)]
    add_ons: Vec<String>,
    #[serde(default)]
    features: Vec<String>,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
}

impl Claims {
    fn of(licence: &Licence) -> Self {
        let seconds = |moment: SystemTime| moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Licence { id, terms, issued_at } = licence;
        Self {
            sub: terms.licensee.clone(),
            plan: terms.plan.name.to_owned(),
            add_ons: terms.add_ons.clone(),
            features: terms.features.clone(),
            iat: seconds(*issued_at),
            nbf: seconds(terms.starts_at),
            exp: seconds(terms.ends_at),
            jti: id.clone(),
        }
    }

    fn licence(self) -> Result<Licence, Refusal> {
        let Self { sub: licensee, plan, add_ons, features, iat, nbf, exp, jti: id } = self;
        for name in add_ons.iter().chain(&features).chain([&licensee, &id]) {
            check_name(name)?;
        }
        if add_ons.len() > MAX_NAMES || features.len() > MAX_NAMES {
            return Err(Refusal::Claims(format!("it names more than {MAX_NAMES} add-ons or features")));
        }
        if nbf >= exp {
            return Err(Refusal::Claims("it ends before it begins".to_owned()));
        }
        let plan = plans::named(&plan).ok_or_else(|| Refusal::Plan(shown(&plan)))?;
        let (starts_at, ends_at) = (moment(nbf)?, moment(exp)?);
        let terms = Terms { licensee, plan, add_ons, features, starts_at, ends_at };
        Ok(Licence { id, terms, issued_at: moment(iat)? })
    }
}

/// Names are shown on terminals and in logs.
fn check_name(name: &str) -> Result<(), Refusal> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(Refusal::Claims("a name in it is empty or cannot be shown".to_owned()));
    }
    if name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(Refusal::Claims(format!("a name in it has more than {MAX_NAME_CHARACTERS} characters")));
    }
    Ok(())
}

/// What somebody else has written, for a terminal or a log: not too long, and nothing in it that either would obey.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN_CHARACTERS) {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(MAX_SHOWN_CHARACTERS).is_some() {
        shown.push_str("...");
    }
    shown
}

fn moment(second: u64) -> Result<SystemTime, Refusal> {
    if second > LAST_SECOND {
        return Err(Refusal::Claims(format!("{second} is no time in seconds since 1970")));
    }
    Ok(UNIX_EPOCH + Duration::from_secs(second))
}

#[cfg(test)]
mod tests;
