//! Checks 4 to 6 of the six, and the flag's gates for groups and projects: plain functions over facts
//! that were fetched before.
//!
//! | # | check | refused with |
//! |---|---|---|
//! | 4 | the root namespace's licence contains the feature | `forbidden`, [`NOT_ALLOWED`] |
//! | 5 | the user is a member of the resource's group or project | `not_found`, [`NOT_FOUND`] |
//! | 6 | AI features are on where the resource is | `forbidden`, [`DUO_OFF`] |
//! | 6 | an experimental or beta feature is consented to by the root namespace | `forbidden`, [`NOT_ALLOWED`] |
//!
//! They are numbered as GitLab numbers them, but whoever is not a member hears `not_found` before
//! anything else about the resource is decided: a refusal must not say that something exists.

use std::sync::Arc;

use crate::{
    action::{Action, Maturity, ResourceRule},
    feature_flag::{self, disabled},
    ports::{Entitlement, Flags, LicenceSource, Resource, ResourceFacts, RootNamespace, User},
    protocol::{Code, Failure, GlobalId, Hop},
    trace::{Check, Finding, Step},
};

/// GitLab's text for a resource that is missing, unreadable or none of the caller's business.
pub const NOT_FOUND: &str = "The resource that you are attempting to access does not exist or you don't have permission to perform this action";
/// GitLab's text for a member whose group may not use the feature.
pub const NOT_ALLOWED: &str = "AI features are not enabled or resource is not permitted to be sent.";
/// GitLab's text, code M3002, for a member of a group or project in which AI features are off.
pub const DUO_OFF: &str = "I am sorry, I cannot access the information you are asking about. A group or project owner has turned off Duo features in this group or project. Error code: M3002";
/// GitLab's text, code M3004, for a caller none of whose groups allows the feature.
pub const NO_ACCESS: &str =
    "I'm sorry, I can't generate a response. You do not have access to GitLab Duo Chat. Error code: M3004";

/// What a request is decided on.
#[derive(Clone, Debug)]
pub enum Ground {
    /// The resource it names, as the directory knows it; `None` when there is no such thing.
    Resource(Option<ResourceFacts>),
    /// It names no resource: the caller's top-level groups.
    Groups(Vec<RootNamespace>),
}

/// What is found when checks 4 to 6 are made, and what it comes to.
#[derive(Debug)]
pub struct Decision {
    /// Checks 4, 5 and 6, then the action's flag in the resource's project and groups.
    pub steps: [Step; 4],
    /// The resource to work on comes back with a yes.
    pub verdict: Result<Option<Arc<Resource>>, Failure>,
    /// Where the request is, as flag actors: the project and groups of its resource, nearest first, or the
    /// top-level groups that allow it without one.
    pub containers: Vec<GlobalId>,
}

/// What a request is decided on, besides its ground.
#[derive(Clone, Copy)]
pub struct Inquiry<'a> {
    pub action: &'a Action,
    pub user: &'a User,
    pub flags: &'a dyn Flags,
    pub licences: &'a dyn LicenceSource,
}

/// Makes checks 4 to 6. All of them are made, whatever the first one finds.
#[must_use]
pub fn decide(inquiry: Inquiry<'_>, ground: Ground) -> Decision {
    match ground {
        Ground::Resource(Some(facts)) => on_resource(inquiry, facts),
        Ground::Resource(None) => on_nothing("there is no such resource, or the caller may not read it"),
        Ground::Groups(_) if inquiry.action.resource == ResourceRule::Required => {
            on_nothing("the action needs a resource and none was named")
        }
        Ground::Groups(groups) => in_some_group(inquiry, &groups),
    }
}

/// Check 5 alone, for an action that nothing is known of any more.
///
/// # Errors
/// `not_found` when the user has no business there.
pub(super) fn is_open(user: &User, ground: &Ground) -> Result<(), Failure> {
    let is_open = match ground {
        Ground::Resource(facts) => {
            facts.as_ref().is_some_and(|facts| facts.readable && (facts.member || user.admin))
        }
        Ground::Groups(groups) => !groups.is_empty(),
    };
    if is_open { Ok(()) } else { Err(not_found()) }
}

/// There is nothing to look at: the same as what a stranger hears.
fn on_nothing(why: &str) -> Decision {
    let undecided = |check| Step::new(check, Finding::NotApplicable, why);
    Decision {
        steps: [
            undecided(Check::Licence),
            Step::new(Check::Membership, Finding::Refused, why),
            undecided(Check::NamespaceSettings),
            undecided(Check::FlagOfTheGroup),
        ],
        verdict: Err(not_found()),
        containers: Vec::new(),
    }
}

fn on_resource(inquiry: Inquiry<'_>, facts: ResourceFacts) -> Decision {
    let licence = licence(inquiry, &facts.root);
    let membership = membership(inquiry, &facts);
    let consent = consent(inquiry.action.maturity, &facts.root);
    let place = match facts.containers.first() {
        Some(nearest) if *nearest != facts.root.id => format!("{nearest} in {}", facts.root.path),
        _ => facts.root.path.clone(),
    };
    let settings = settings(facts.duo_features_enabled, consent, &place);
    let flag = flag(inquiry, &facts.containers);
    let verdict = if !membership.passed() {
        Err(not_found())
    } else if !licence.passed() {
        Err(forbidden(NOT_ALLOWED))
    } else if !facts.duo_features_enabled {
        Err(forbidden(DUO_OFF))
    } else if !settings.passed() {
        Err(forbidden(NOT_ALLOWED))
    } else if !flag.passed() {
        Err(disabled(Hop::Policy))
    } else {
        Ok(Some(facts.resource))
    };
    Decision { steps: [licence, membership, settings, flag], verdict, containers: facts.containers }
}

/// Without a resource, everything must hold in one and the same group.
fn in_some_group(inquiry: Inquiry<'_>, groups: &[RootNamespace]) -> Decision {
    let found: Vec<[Step; 3]> = groups.iter().map(|group| in_group(inquiry, group)).collect();
    let allows = |[licence, settings, _]: &&[Step; 3]| licence.passed() && settings.passed();
    let open = found.iter().filter(allows).find(|[.., flag]| flag.passed());
    let allowing = open.or_else(|| found.iter().find(allows));
    let are_open = |(_, steps): &(&RootNamespace, &[Step; 3])| steps.iter().all(Step::passed);
    let containers = groups.iter().zip(&found).filter(are_open).map(|(group, _)| group.id.clone()).collect();
    let verdict = match (open, allowing) {
        (Some(_), _) => Ok(None),
        (None, Some(_)) => Err(disabled(Hop::Policy)),
        (None, None) => Err(forbidden(NO_ACCESS)),
    };
    let facts = match groups {
        [only] => format!("{} belongs to one top-level group, {}", inquiry.user.username, only.path),
        _ => format!("{} belongs to {} top-level groups", inquiry.user.username, groups.len()),
    };
    let membership = Step::new(Check::Membership, Finding::of(!groups.is_empty()), facts);
    // What is shown is the group that came furthest.
    let furthest = || found.iter().min_by_key(|steps| steps.iter().filter(|step| !step.passed()).count());
    let [licence, settings, flag] = match allowing.or_else(furthest) {
        Some(steps) => steps.clone(),
        None => [Check::Licence, Check::NamespaceSettings, Check::FlagOfTheGroup]
            .map(|check| Step::new(check, Finding::NotApplicable, "there is no group to look at")),
    };
    Decision { steps: [licence, membership, settings, flag], verdict, containers }
}

fn in_group(inquiry: Inquiry<'_>, group: &RootNamespace) -> [Step; 3] {
    let consent = consent(inquiry.action.maturity, group);
    [
        licence(inquiry, group),
        settings(group.duo_features_enabled, consent, &group.path),
        flag(inquiry, std::slice::from_ref(&group.id)),
    ]
}

/// Check 4.
fn licence(inquiry: Inquiry<'_>, root: &RootNamespace) -> Step {
    let Entitlement { granted, because } = inquiry.licences.entitlement(root, inquiry.action);
    Step::new(Check::Licence, Finding::of(granted), format!("{}: {because}", root.path))
}

/// Check 5, and that there is something the action takes.
fn membership(inquiry: Inquiry<'_>, facts: &ResourceFacts) -> Step {
    let (id, username, root) = (&facts.resource.id, &inquiry.user.username, &facts.root.path);
    let takes_it = inquiry.action.resource_types.iter().any(|model| model == id.model());
    let (passed, why) = if !takes_it {
        (false, format!("{} takes no {}", inquiry.action.name, id.model()))
    } else if !facts.readable {
        (false, format!("{username} may not read {id}"))
    } else if facts.member {
        (true, format!("{username} is a member where {id} is, in {root}"))
    } else if inquiry.user.admin {
        (true, format!("{username} is an admin"))
    } else {
        (false, format!("{username} is no member where {id} is, in {root}"))
    };
    Step::new(Check::Membership, Finding::of(passed), why)
}

/// Check 6: `duo_features_enabled`, and consent to what is not finished.
fn settings(duo_features_enabled: bool, consent: (bool, &str), place: &str) -> Step {
    let (consented, why) = consent;
    let duo = if duo_features_enabled { "on" } else { "off" };
    let facts = format!("{place}: duo_features_enabled is {duo}; {why}");
    Step::new(Check::NamespaceSettings, Finding::of(duo_features_enabled && consented), facts)
}

/// The seed's `StageCheck`.
fn consent(maturity: Maturity, root: &RootNamespace) -> (bool, &'static str) {
    let asked = root.experiment_features_enabled;
    match maturity {
        Maturity::Ga => (true, "what is finished needs no consent"),
        Maturity::Experimental | Maturity::Beta if asked => (true, "experiment_features_enabled is on"),
        Maturity::Experimental | Maturity::Beta => (false, "experiment_features_enabled is off"),
        Maturity::Unlisted => (false, "the feature is in no list of stages"),
    }
}

/// Check 3 once more, now that the groups and projects are known.
fn flag(inquiry: Inquiry<'_>, containers: &[GlobalId]) -> Step {
    let Inquiry { action, user, flags, .. } = inquiry;
    let actors: Vec<GlobalId> =
        std::iter::once(user.id.global_id()).chain(containers.iter().cloned()).collect();
    let is_on = flags.enabled(&action.feature_flag, action.flag_default, &actors);
    let facts = feature_flag::flag_facts(&action.feature_flag, action.flag_default, flags);
    Step::new(Check::FlagOfTheGroup, Finding::of(is_on), facts)
}

fn not_found() -> Failure {
    Failure::new(Code::NotFound, Hop::Policy, NOT_FOUND)
}

fn forbidden(text: &str) -> Failure {
    Failure::new(Code::Forbidden, Hop::Policy, text)
}

#[cfg(test)]
mod tests;
