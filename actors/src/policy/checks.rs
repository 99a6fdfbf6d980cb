//! Checks 4 to 6 of the six, and the flag's gates for groups and projects: plain functions over facts
//! that were fetched before.
//!
//! | # | check | refused with |
//! |---|---|---|
//! | 4 | the root namespace's licence contains the feature | `forbidden`, [`NOT_ALLOWED`] |
//! | 5 | the user is a member of the resource's group or project | `not_found`, [`NOT_FOUND`] |
//! | 6 | an experimental or beta feature is consented to by the root namespace | `forbidden`, [`NOT_ALLOWED`] |
//!
//! They are numbered as GitLab numbers them, but whoever is not a member hears `not_found` before
//! anything else about the resource is decided: a refusal must not say that something exists.

use std::sync::Arc;

use crate::{
    action::{Action, Maturity, ResourceRule},
    feature_flag::disabled,
    ports::{Flags, LicenceSource, Resource, ResourceFacts, RootNamespace, User},
    protocol::{Code, Failure, GlobalId, Hop},
};

/// GitLab's text for a resource that is missing, unreadable or none of the caller's business.
pub const NOT_FOUND: &str = "The resource that you are attempting to access does not exist or you don't have permission to perform this action";
/// GitLab's text for a member whose group may not use the feature.
pub const NOT_ALLOWED: &str = "AI features are not enabled or resource is not permitted to be sent.";
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

/// Decides checks 4 to 6. The resource to work on comes back with a yes.
pub(super) fn decide(
    action: &Action,
    user: &User,
    flags: &dyn Flags,
    licences: &dyn LicenceSource,
    ground: Ground,
) -> Result<Option<Arc<Resource>>, Failure> {
    match ground {
        Ground::Resource(facts) => on_resource(action, user, flags, licences, facts).map(Some),
        Ground::Groups(groups) if action.resource == ResourceRule::Required => {
            tracing::debug!(action = action.name, groups = groups.len(), "no resource was named");
            Err(not_found())
        }
        Ground::Groups(groups) => in_some_group(action, user, flags, licences, &groups).map(|()| None),
    }
}

fn on_resource(
    action: &Action,
    user: &User,
    flags: &dyn Flags,
    licences: &dyn LicenceSource,
    facts: Option<ResourceFacts>,
) -> Result<Arc<Resource>, Failure> {
    let facts = facts.ok_or_else(not_found)?;
    let takes_it = action.resource_types.iter().any(|model| model == facts.resource.id.model());
    let is_member = facts.member || user.admin;
    if !takes_it || !facts.readable || !is_member {
        return Err(not_found());
    }
    if !licensed_and_consented(action, licences, &facts.root) {
        return Err(Failure::new(Code::Forbidden, Hop::Policy, NOT_ALLOWED));
    }
    if !flag_is_open(action, user, flags, &facts.containers) {
        return Err(disabled(Hop::Policy));
    }
    Ok(facts.resource)
}

/// Without a resource, everything must hold in one and the same group.
fn in_some_group(
    action: &Action,
    user: &User,
    flags: &dyn Flags,
    licences: &dyn LicenceSource,
    groups: &[RootNamespace],
) -> Result<(), Failure> {
    let allowing: Vec<&RootNamespace> =
        groups.iter().filter(|group| licensed_and_consented(action, licences, group)).collect();
    if allowing.is_empty() {
        return Err(Failure::new(Code::Forbidden, Hop::Policy, NO_ACCESS));
    }
    let open =
        allowing.iter().any(|group| flag_is_open(action, user, flags, std::slice::from_ref(&group.id)));
    if open { Ok(()) } else { Err(disabled(Hop::Policy)) }
}

/// Check 4 and check 6.
fn licensed_and_consented(action: &Action, licences: &dyn LicenceSource, root: &RootNamespace) -> bool {
    licences.licensed(root, &action.licensed_feature) && stage_allows(action.maturity, root)
}

/// Check 6, the seed's `StageCheck`: what is in no list of unfinished features is allowed.
fn stage_allows(maturity: Maturity, root: &RootNamespace) -> bool {
    match maturity {
        Maturity::Ga => true,
        Maturity::Experimental | Maturity::Beta => root.experiment_features_enabled,
    }
}

/// Check 3 once more, now that the groups and projects are known.
fn flag_is_open(action: &Action, user: &User, flags: &dyn Flags, containers: &[GlobalId]) -> bool {
    let actors: Vec<GlobalId> =
        std::iter::once(user.id.global_id()).chain(containers.iter().cloned()).collect();
    flags.enabled(&action.feature_flag, action.flag_default, &actors)
}

fn not_found() -> Failure {
    Failure::new(Code::NotFound, Hop::Policy, NOT_FOUND)
}

#[cfg(test)]
mod tests;
