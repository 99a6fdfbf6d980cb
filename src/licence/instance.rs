//! The licence of a whole instance: the file at `licence.path`, looked at again every second.
//!
//! It is polled rather than watched: the file is small, its folder may not exist yet when the server starts,
//! and its end comes without any change on the disk.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use duologue_actors::clock::Clock;
use tokio::time::MissedTickBehavior;

use super::{KeyError, Licence, PublicKey, Refusal, calendar, store, verify};
use crate::config::{Config, DeploymentMode, LicenceConfig};

/// Days before its end from which on a licence is said to end soon: time enough to buy the next one.
pub const SOON_DAYS: u64 = 30;

/// A new licence is promised to be seen within two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why nothing is licensed on this instance. The message says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    #[error("there is no licence at {path}; put one there with `duologue licence upload FILE`")]
    Nowhere { path: String },
    #[error(
        "{path}: the licence cannot be read: {why}; put it there with `duologue licence upload FILE`, as the user \
         who runs the server"
    )]
    Unreadable { path: String, why: String },
    #[error(
        "licence.public_key is not set, so no licence can be verified; set it to the public key (a PEM file) \
         of whoever issues licences"
    )]
    NoKey,
    #[error("no licence can be verified: licence.public_key: {path} {error}")]
    Key { path: String, error: KeyError },
    #[error("{path}: {refusal}; replace it with `duologue licence upload FILE`")]
    Refused { path: String, refusal: Refusal },
}

impl Absence {
    /// Whether the disk gave no answer, which says nothing of what is on it: too many open files, a mount that is
    /// away.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Key { error: KeyError::Unreadable(_), .. })
    }
}

/// How an instance stands with its licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `deployment.mode: saas`: each top-level group has its own plan, and no licence is looked at.
    ByGroup,
    InForce {
        licence: Arc<Licence>,
        days_left: u64,
        /// Why it is the one that was read before: the licence or the key cannot be read now.
        fault: Option<Absence>,
    },
    /// Nothing is licensed.
    Nothing(Absence),
}

impl Status {
    /// What somebody should do something about, if there is anything.
    #[must_use]
    pub fn concern(&self) -> Option<String> {
        match self {
            Self::InForce { fault: Some(fault), .. } => {
                Some(format!("the licence that was read before stays in force until its end: {fault}"))
            }
            Self::InForce { licence, days_left, .. } if *days_left < SOON_DAYS => Some(format!(
                "the licence ends in {days_left} days, at {}; get the next one, and put it there with `duologue \
                 licence upload FILE` on the day it begins or later",
                calendar::show(licence.terms.ends_at)
            )),
            Self::Nothing(absence) => Some(format!("nothing is licensed: {absence}")),
            Self::ByGroup | Self::InForce { .. } => None,
        }
    }
}

/// How the instance of these settings stands at `now`.
#[must_use]
pub fn status(config: &Config, now: SystemTime) -> Status {
    match config.deployment.mode {
        DeploymentMode::Saas => Status::ByGroup,
        DeploymentMode::SelfManaged | DeploymentMode::Dedicated => {
            Instance::load(config.licence.clone()).status(now)
        }
    }
}

/// The file and what it says.
#[derive(Debug)]
pub(super) struct Instance {
    config: LicenceConfig,
    current: ArcSwap<Reading>,
    /// How often that has become another one.
    changes: AtomicU64,
}

/// What was found on the disk and what it is worth, apart from the time.
#[derive(Debug)]
struct Reading {
    found: Found,
    verdict: Result<Arc<Licence>, Absence>,
    /// Why the verdict is the one of before.
    fault: Option<Absence>,
}

#[derive(Debug, PartialEq)]
struct Found {
    key: Option<Result<PublicKey, KeyError>>,
    text: Text,
}

#[derive(Debug, PartialEq)]
enum Text {
    There(String),
    Nowhere,
    /// It is no text, or far too long.
    Unsound,
    Unreadable(String),
}

impl Instance {
    pub fn load(config: LicenceConfig) -> Self {
        let reading = judged(&config, look(&config), None);
        Self { config, current: ArcSwap::from_pointee(reading), changes: AtomicU64::new(0) }
    }

    /// Another number whenever the file says something else.
    pub fn version(&self) -> u64 {
        self.changes.load(Acquire)
    }

    /// The licence, if one is good at `now`.
    pub fn in_force(&self, now: SystemTime) -> Result<Arc<Licence>, Absence> {
        self.good(&self.current.load(), now)
    }

    pub fn status(&self, now: SystemTime) -> Status {
        let reading = self.current.load();
        match self.good(&reading, now) {
            Ok(licence) => {
                let (days_left, fault) = (licence.days_left(now), reading.fault.clone());
                Status::InForce { licence, days_left, fault }
            }
            Err(absence) => Status::Nothing(absence),
        }
    }

    fn good(&self, reading: &Reading, now: SystemTime) -> Result<Arc<Licence>, Absence> {
        let licence = reading.verdict.clone()?;
        match licence.check(now) {
            Ok(()) => Ok(licence),
            Err(refusal) => Err(Absence::Refused { path: self.config.path.display().to_string(), refusal }),
        }
    }

    /// Takes the file as it is now; one that cannot be read for the moment leaves things as they were.
    pub fn reload(&self) {
        let found = look(&self.config);
        let before = self.current.load();
        if found != before.found {
            let reading = judged(&self.config, found, before.verdict.as_ref().ok());
            self.current.store(Arc::new(reading));
            // Whoever sees the number sees what it stands for.
            self.changes.fetch_add(1, Release);
        }
    }

    /// Looks at the file again and again, and logs each time its standing has become another one.
    pub async fn follow(self: Arc<Self>, clock: Clock) {
        let mut told = None;
        self.tell(&mut told, clock.now());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let instance = self.clone();
            // A disk that hangs must not hold up the pipeline.
            if tokio::task::spawn_blocking(move || instance.reload()).await.is_err() {
                tracing::error!("the licence could not be looked at");
            }
            self.tell(&mut told, clock.now());
        }
    }

    fn tell(&self, told: &mut Option<Standing>, now: SystemTime) {
        let status = self.status(now);
        let standing = Standing::of(&status);
        if told.as_ref() == Some(&standing) {
            return;
        }
        match (&status, status.concern()) {
            (Status::InForce { licence, .. }, concern) => {
                let (plan, ends_at) = (licence.terms.plan.name, calendar::show(licence.terms.ends_at));
                tracing::info!(licence = licence.id, plan, ends_at, "licence in force");
                if let Some(concern) = concern {
                    tracing::warn!(concern, "the licence needs attention");
                }
            }
            (_, Some(concern)) => tracing::error!(concern, "no AI feature is licensed"),
            (_, None) => {}
        }
        *told = Some(standing);
    }
}

/// What is worth a line in the log when it changes.
#[derive(Debug, PartialEq)]
struct Standing {
    /// The licence's number.
    in_force: Option<String>,
    soon: bool,
    /// Of any licence, or of the one on the disk.
    absence: Option<Absence>,
}

impl Standing {
    fn of(status: &Status) -> Self {
        match status {
            Status::ByGroup => Self { in_force: None, soon: false, absence: None },
            Status::InForce { licence, days_left, fault } => Self {
                in_force: Some(licence.id.clone()),
                soon: *days_left < SOON_DAYS,
                absence: fault.clone(),
            },
            Status::Nothing(absence) => Self { in_force: None, soon: false, absence: Some(absence.clone()) },
        }
    }
}

fn look(config: &LicenceConfig) -> Found {
    let text = match store::read(&config.path) {
        Ok(text) => Text::There(text),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Text::Nowhere,
            ErrorKind::InvalidData => Text::Unsound,
            _ => Text::Unreadable(error.to_string()),
        },
    };
    Found { key: config.public_key.as_deref().map(PublicKey::read), text }
}

/// `before` is the licence that was read last.
fn judged(config: &LicenceConfig, found: Found, before: Option<&Arc<Licence>>) -> Reading {
    let (verdict, fault) = match (verdict(config, &found), before) {
        (Err(absence), Some(before)) if absence.may_pass() => (Ok(before.clone()), Some(absence)),
        (verdict, _) => (verdict.map(Arc::new), None),
    };
    Reading { found, verdict, fault }
}

fn verdict(config: &LicenceConfig, found: &Found) -> Result<Licence, Absence> {
    let path = || config.path.display().to_string();
    let refused = |refusal| Absence::Refused { path: path(), refusal };
    match (&found.text, usable_key(config, found)) {
        (Text::Nowhere, _) => Err(Absence::Nowhere { path: path() }),
        // What is known to be wrong with the key counts also while the text cannot be read.
        (_, Err(absence)) => Err(absence),
        (Text::There(text), Ok(key)) => verify(text, key).map_err(refused),
        (Text::Unsound, Ok(_)) => Err(refused(Refusal::NotALicence("it is no text, or far too long"))),
        (Text::Unreadable(why), Ok(_)) => Err(Absence::Unreadable { path: path(), why: why.clone() }),
    }
}

fn usable_key<'f>(config: &LicenceConfig, found: &'f Found) -> Result<&'f PublicKey, Absence> {
    match (&found.key, &config.public_key) {
        (Some(Ok(key)), _) => Ok(key),
        (Some(Err(error)), Some(file)) => {
            Err(Absence::Key { path: file.display().to_string(), error: error.clone() })
        }
        (Some(Err(_)) | None, _) => Err(Absence::NoKey),
    }
}

#[cfg(test)]
mod tests;
