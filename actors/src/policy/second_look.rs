//! The second look: whether what was let through may still be had.
//!
//! An answer can take a while, and be read long after. So every event is weighed against the version of what Policy
//! decides by: a request bears the [`Clearance`] of the moment it was let through, and its events go out on it while
//! it holds. When it does not, whoever reads for its owner asks again with [`LookAgain`]: checks 4 to 6 as they would
//! be made now. Flags are left alone: a request keeps the snapshot that it began with to its end.

use std::{sync::Arc, time::Duration};

use actix::{Handler, Message, ResponseFuture};
use tokio::time::Instant;

use super::{
    Policy, ask,
    checks::{self, Ground, Inquiry},
    no_answer,
};
use crate::{
    action::Action,
    ports::{Caller, DirectoryError, Flags, LicenceSource, ResourceName, User},
    protocol::{Failure, GlobalId, Origin},
};

/// When something was last found to be allowed, and by which version of the licences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearance {
    pub(crate) version: u64,
    pub(crate) at: Instant,
}

impl Clearance {
    /// What is decided from here on is as good as this clearance says.
    pub(crate) fn now(licences: &dyn LicenceSource) -> Self {
        Self { version: licences.version(), at: Instant::now() }
    }

    /// Whether it still counts at `now`, which has the version and the time of that moment. A directory does not say
    /// when somebody leaves a group, and a licence ends without a change: nothing is believed for longer than
    /// `lifetime`.
    pub(crate) fn holds(&self, now: &Self, lifetime: Duration) -> bool {
        self.version == now.version && now.at.duration_since(self.at) < lifetime
    }
}

/// Asks whether `caller` may still have what a request about `resource` brings.
#[derive(Debug, Message)]
#[rtype(result = "Result<Standing, Failure>")]
pub struct LookAgain {
    pub caller: Caller,
    /// The action's name.
    pub action: String,
    pub resource: Option<ResourceName>,
}

/// What a second look finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Allowed,
    Refused(Failure),
    /// Nobody can tell now. A directory that is down takes nothing from those who have been let through.
    Unknown,
}

impl Handler<LookAgain> for Policy {
    type Result = ResponseFuture<Result<Standing, Failure>>;

    fn handle(&mut self, asked: LookAgain, _: &mut Self::Context) -> Self::Result {
        self.desk.take("LookAgain", None);
        let (directory, licences) = (self.directory.clone(), self.licences.clone());
        let action = self.catalogue.get(&asked.action);
        self.desk.clear();
        self.desk.answer(async move {
            let LookAgain { caller, resource, .. } = asked;
            Ok(match ask(&*directory, &caller, resource.as_ref()).await {
                Ok(ground) => standing(action.as_ref(), &caller.user, &*licences, ground),
                Err(DirectoryError::Unavailable) => Standing::Unknown,
                Err(error) => Standing::Refused(no_answer(&error, &Origin::Asked)),
            })
        })
    }
}

fn standing(
    action: Option<&Arc<Action>>,
    user: &User,
    licences: &dyn LicenceSource,
    ground: Ground,
) -> Standing {
    let verdict = match action {
        Some(action) => {
            checks::decide(Inquiry { action, user, flags: &Settled, licences }, ground).verdict.map(|_| ())
        }
        None => checks::is_open(user, &ground),
    };
    verdict.map_or_else(Standing::Refused, |()| Standing::Allowed)
}

/// The flags of a request that has begun: they have had their say.
#[derive(Debug)]
struct Settled;

impl Flags for Settled {
    fn enabled(&self, _: &str, _: bool, _: &[GlobalId]) -> bool {
        true
    }

    fn depends_on_container(&self, _: &str) -> bool {
        false
    }

    fn describe(&self, _: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(30);

    #[rstest]
    #[case::at_once(1, 0, true)]
    #[case::to_the_end(1, 29_999, true)]
    #[case::too_old(1, 30_000, false)]
    #[case::another_licence(2, 0, false)]
    fn a_clearance_counts_for_a_while_and_under_the_same_licences(
        #[case] version: u64,
        #[case] age_milliseconds: u64,
        #[case] holds: bool,
    ) {
        let at = Instant::now();
        let now = Clearance { version, at: at + Duration::from_millis(age_milliseconds) };
        assert_eq!(Clearance { version: 1, at }.holds(&now, LIFETIME), holds);
    }
}
