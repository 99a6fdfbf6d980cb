//! The policy against an oracle: thirty lines that say, for any world, whether a request is let through
//! and what is heard otherwise. Whoever changes the checks changes them here too, knowingly.

use std::collections::{HashMap, HashSet};

use futures::executor::block_on;
use proptest::prelude::*;

use super::*;
use crate::{
    action::{Action, Maturity, ResourceRule},
    feature_flag::{CHAT_SWITCH, FLAG_DISABLED, GLOBAL_SWITCH},
    ports::{Entitlement, ResourceFacts, RootNamespace, User},
    protocol::{GlobalId, UserId},
    testing::{a_user, an_action, an_issue},
};

/// All that a decision can depend on.
#[derive(Clone, Debug)]
struct World {
    is_chat: bool,
    maturity: Maturity,
    rule: ResourceRule,
    takes_issues: bool,
    flag_default: bool,
    /// Flags that are on or off for everybody.
    flags: HashMap<&'static str, bool>,
    /// For whom the action's own flag is on besides.
    opened_for: HashSet<GlobalId>,
    admin: bool,
    /// The caller's top-level groups.
    groups: Vec<Group>,
    /// The request names the caller's own page, which is as good as none.
    own_page: bool,
    /// The resource the request names; the outer `None` names none, the inner one does not exist.
    resource: Option<Option<Place>>,
}

#[derive(Clone, Debug)]
struct Group {
    id: u64,
    licensed: bool,
    consents: bool,
    duo: bool,
}

#[derive(Clone, Debug)]
struct Place {
    readable: bool,
    member: bool,
    duo: bool,
    root: Group,
}

const OWN_FLAG: &str = "an_action_flag";

/// What the client hears; `None` when the request is let through.
fn oracle(world: &World) -> Option<&'static str> {
    let flag = |name: &str, default: bool| world.flags.get(name).copied().unwrap_or(default);
    let user = GlobalId::of("User", 2);
    let open = |actors: &[GlobalId]| {
        actors.iter().any(|actor| world.opened_for.contains(actor)) || flag(OWN_FLAG, world.flag_default)
    };
    let for_some_group = world.opened_for.iter().any(|actor| actor.model() != "User");
    let switch = if world.is_chat { CHAT_SWITCH } else { GLOBAL_SWITCH };
    if !flag(switch, true) || !(open(std::slice::from_ref(&user)) || for_some_group) {
        return Some(FLAG_DISABLED);
    }
    let consents = |group: &Group| match world.maturity {
        Maturity::Ga => true,
        Maturity::Beta | Maturity::Experimental => group.consents,
        Maturity::Unlisted => false,
    };
    match world.resource.as_ref().filter(|_| !world.own_page) {
        None if world.rule == ResourceRule::Required => Some(checks::NOT_FOUND),
        None => {
            let fit = |group: &&Group| group.licensed && group.duo && consents(group);
            let mut fitting = world.groups.iter().filter(fit).peekable();
            if fitting.peek().is_none() {
                return Some(checks::NO_ACCESS);
            }
            let is_open = |group: &Group| open(&[user.clone(), GlobalId::of("Group", group.id)]);
            (!fitting.any(is_open)).then_some(FLAG_DISABLED)
        }
        Some(Some(it)) if world.takes_issues && it.readable && (it.member || world.admin) => {
            let containers = [user.clone(), GlobalId::of("Project", 20), GlobalId::of("Group", it.root.id)];
            if !it.root.licensed {
                Some(checks::NOT_ALLOWED)
            } else if !it.duo {
                Some(checks::DUO_OFF)
            } else if !consents(&it.root) {
                Some(checks::NOT_ALLOWED)
            } else {
                (!open(&containers)).then_some(FLAG_DISABLED)
            }
        }
        Some(_) => Some(checks::NOT_FOUND),
    }
}

// === The same world, given to the policy ===

impl World {
    fn action(&self) -> Action {
        let mut action = Action::clone(&an_action("an_action"));
        if self.is_chat {
            action.name = "chat".to_owned();
        }
        action.maturity = self.maturity;
        action.resource = self.rule;
        action.flag_default = self.flag_default;
        action.resource_types = vec![if self.takes_issues { "Issue" } else { "Epic" }.to_owned()];
        action
    }

    fn user(&self) -> User {
        User { admin: self.admin, ..a_user(2, "alice") }
    }

    fn name(&self) -> Option<ResourceName> {
        let named = if self.own_page { GlobalId::of("User", 2) } else { an_issue().id };
        self.resource.as_ref().map(|_| named.into())
    }
}

fn root(group: &Group) -> RootNamespace {
    RootNamespace {
        id: GlobalId::of("Group", group.id),
        path: format!("group-{}", group.id),
        plan: group.licensed.then(|| "ultimate".to_owned()),
        add_ons: Vec::new(),
        experiment_features_enabled: group.consents,
        duo_features_enabled: group.duo,
    }
}

impl std::ops::Deref for Place {
    type Target = Group;
    fn deref(&self) -> &Group {
        &self.root
    }
}

impl Flags for World {
    fn enabled(&self, flag: &str, default: bool, actors: &[GlobalId]) -> bool {
        let for_an_actor = flag == OWN_FLAG && actors.iter().any(|actor| self.opened_for.contains(actor));
        for_an_actor || self.flags.get(flag).copied().unwrap_or(default)
    }

    fn depends_on_container(&self, flag: &str) -> bool {
        flag == OWN_FLAG && self.opened_for.iter().any(|actor| actor.model() != "User")
    }

    fn describe(&self, _: &str) -> Option<String> {
        None
    }
}

impl LicenceSource for World {
    fn entitlement(&self, namespace: &RootNamespace, _: &Action) -> Entitlement {
        Entitlement { granted: namespace.plan.is_some(), because: String::new() }
    }

    fn version(&self) -> u64 {
        0
    }
}

#[async_trait::async_trait]
impl Directory for World {
    async fn user(&self, _: UserId) -> Result<Option<User>, DirectoryError> {
        Ok(None)
    }

    async fn resource(&self, _: &Caller, _: &ResourceName) -> Result<Option<ResourceFacts>, DirectoryError> {
        Ok(self.resource.clone().flatten().map(|place| ResourceFacts {
            resource: Arc::new(an_issue()),
            readable: place.readable,
            member: place.member,
            containers: vec![GlobalId::of("Project", 20), GlobalId::of("Group", place.root.id)],
            duo_features_enabled: place.duo,
            root: root(&place.root),
        }))
    }

    async fn root_namespaces(&self, _: &Caller) -> Result<Vec<RootNamespace>, DirectoryError> {
        Ok(self.groups.iter().map(root).collect())
    }
}

fn a_group() -> impl Strategy<Value = Group> {
    // Most things are as they should be, or no request would get far.
    let mostly = || prop::bool::weighted(0.8);
    (10_u64..13, mostly(), mostly(), mostly()).prop_map(|(id, licensed, consents, duo)| Group {
        id,
        licensed,
        consents,
        duo,
    })
}

fn a_place() -> impl Strategy<Value = Place> {
    let mostly = || prop::bool::weighted(0.8);
    (mostly(), mostly(), mostly(), a_group()).prop_map(|(readable, member, duo, root)| Place {
        readable,
        member,
        duo,
        root,
    })
}

fn an_actor() -> impl Strategy<Value = GlobalId> {
    prop::sample::select(vec![
        GlobalId::of("User", 2),
        GlobalId::of("User", 3),
        GlobalId::of("Project", 20),
        GlobalId::of("Group", 10),
        GlobalId::of("Group", 11),
    ])
}

prop_compose! {
    fn a_world()(
        (is_chat, takes_issues, flag_default, admin) in
            (any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.7), any::<bool>()),
        maturity in prop::sample::select(vec![Maturity::Ga, Maturity::Beta, Maturity::Experimental, Maturity::Unlisted]),
        rule in prop::sample::select(vec![ResourceRule::Required, ResourceRule::Optional, ResourceRule::None]),
        flags in prop::collection::hash_map(
            prop::sample::select(vec![CHAT_SWITCH, GLOBAL_SWITCH, OWN_FLAG]), prop::bool::weighted(0.6), 0..3),
        opened_for in prop::collection::hash_set(an_actor(), 0..3),
        groups in prop::collection::vec(a_group(), 0..4),
        own_page in prop::bool::weighted(0.1),
        resource in prop::option::of(prop::option::weighted(0.9, a_place())),
    ) -> World {
        World {
            is_chat, maturity, rule, takes_issues, flag_default, flags, opened_for, admin, groups, own_page, resource
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn the_policy_says_what_the_oracle_says(world in a_world()) {
        let (action, user) = (world.action(), world.user());
        let caller = Caller { user: user.clone(), credentials: None };
        let inquiry = Inquiry { action: &action, user: &user, flags: &world, licences: &world };
        let name = world.name();
        let explanation = block_on(explain(inquiry, &world, &caller, name.as_ref())).unwrap();
        let heard = explanation.refusal.as_ref().map(|refusal| refusal.text.as_str());
        prop_assert_eq!(heard, oracle(&world));
        // Who is let through was refused by no check.
        prop_assert!(heard.is_some() || explanation.steps.iter().all(Step::passed));
        prop_assert_eq!(explanation.steps.len(), 7);
    }
}
