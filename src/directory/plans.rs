//! What each plan's licence contains.

use duologue_actors::ports::{LicenceSource, RootNamespace};

/// The features of each plan, by the names actions give as `licensed_feature`. A plan that is not here
/// contains none of them, and neither does a group without a plan.
const FEATURES: &[(&str, &[&str])] = &[
    ("premium", &["ai_chat", "explain_code"]),
    ("ultimate", &["ai_features", "ai_chat", "summarize_comments", "explain_code", "generate_description"]),
];

/// The table above as a source of licences.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plans;

impl LicenceSource for Plans {
    fn licensed(&self, namespace: &RootNamespace, feature: &str) -> bool {
        let features = FEATURES.iter().find(|(plan, _)| Some(*plan) == namespace.plan.as_deref());
        features.is_some_and(|(_, features)| features.contains(&feature))
    }
}

/// The plans a directory may name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FEATURES.iter().map(|(plan, _)| *plan)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use duologue_actors::protocol::GlobalId;

    use super::*;

    fn group(plan: Option<&str>) -> RootNamespace {
        RootNamespace {
            id: GlobalId::of("Group", 10),
            path: "demo".to_owned(),
            plan: plan.map(str::to_owned),
            experiment_features_enabled: false,
        }
    }

    #[test]
    fn the_highest_plan_contains_what_every_shipped_action_needs() {
        let catalogue = crate::catalogue::load(Path::new("catalogue"), &["default"]).unwrap();
        for action in catalogue.iter() {
            assert!(Plans.licensed(&group(Some("ultimate")), &action.licensed_feature), "{}", action.name);
        }
    }

    #[test]
    fn a_lower_plan_an_unknown_plan_and_no_plan_lack_it() {
        for plan in [Some("premium"), Some("gold"), None] {
            assert!(!Plans.licensed(&group(plan), "summarize_comments"), "{plan:?}");
        }
        assert!(!Plans.licensed(&group(Some("ultimate")), "time_travel"));
    }
}
