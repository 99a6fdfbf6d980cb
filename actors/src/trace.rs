//! What was found when a request was decided: a line for each check, for the debug log and for
//! `duologue policy explain`. The decision itself is made from the same findings.

use std::fmt;

use crate::protocol::RequestId;

/// The six checks, which have the numbers GitLab's guide gives them, and check 3 once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    ChatSwitch,
    GlobalSwitch,
    FeatureFlag,
    Licence,
    Membership,
    NamespaceSettings,
    /// Check 3, when the groups and projects are known for which the flag may be on.
    FlagOfTheGroup,
}

impl Check {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::ChatSwitch => 1,
            Self::GlobalSwitch => 2,
            Self::FeatureFlag | Self::FlagOfTheGroup => 3,
            Self::Licence => 4,
            Self::Membership => 5,
            Self::NamespaceSettings => 6,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatSwitch => "chat switch",
            Self::GlobalSwitch => "global switch",
            Self::FeatureFlag => "feature flag",
            Self::Licence => "licence",
            Self::Membership => "membership",
            Self::NamespaceSettings => "namespace settings",
            Self::FlagOfTheGroup => "feature flag of the group",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Passed,
    Refused,
    /// The check is about something else, or there is nothing to decide it on.
    NotApplicable,
}

impl Finding {
    #[must_use]
    pub fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Refused }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One check and what it went by. The facts name flags, groups, plans and resources, never a text of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub check: Check,
    pub finding: Finding,
    pub facts: String,
}

impl Step {
    pub(crate) fn new(check: Check, finding: Finding, facts: impl Into<String>) -> Self {
        Self { check, finding, facts: facts.into() }
    }

    pub(crate) fn passed(&self) -> bool {
        self.finding != Finding::Refused
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, name) = (self.check.number(), self.check.name());
        write!(f, "{number} {name}: {} ({})", self.finding.as_str(), self.facts)
    }
}

pub(crate) fn log(request_id: RequestId, steps: &[Step]) {
    for Step { check, finding, facts } in steps {
        tracing::debug!(%request_id, check = check.number(), name = check.name(), finding = finding.as_str(), facts, "check");
    }
}
