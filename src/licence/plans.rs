//! What each plan contains: the one table.

/// A plan and the features in it, by the names actions give as `licensed_feature`.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub name: &'static str,
    /// What GitLab.com also calls a plan with these features.
    also: &'static [&'static str],
    features: &'static [&'static str],
}

/// GitLab.com has more names for plans (GitLab's source, `ee/app/models/ee/plan.rb`): trials, the programme for
/// open source and plans that are not sold any more contain what the plan they stand for does.
const PLANS: &[Plan] = &[
    Plan { name: "free", also: &["default"], features: &[] },
    Plan { name: "premium", also: &["premium_trial", "silver"], features: &["ai_chat", "explain_code"] },
    Plan {
        name: "ultimate",
        also: &["ultimate_trial", "ultimate_trial_paid_customer", "opensource", "gold"],
        features: &["ai_features", "ai_chat", "summarize_comments", "explain_code", "generate_description"],
    },
];

impl Plan {
    #[must_use]
    pub fn contains(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }
}

/// The plan called `name`, also by a name of GitLab.com's.
#[must_use]
pub fn find(name: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.name == name || plan.also.contains(&name))
}

/// The plan of this very name: the ones a licence or a directory may name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.name == name)
}

/// The plans a licence or a directory may name.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLANS.iter().map(|plan| plan.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn ultimate_has_every_feature_of_the_shipped_actions_and_free_has_none() {
        let (free, ultimate) = (named("free").unwrap(), named("ultimate").unwrap());
        for action in catalogue::tests::shipped().iter() {
            assert!(ultimate.contains(&action.licensed_feature), "{}", action.name);
            assert!(!free.contains(&action.licensed_feature), "{}", action.name);
        }
    }

    #[test]
    fn a_higher_plan_has_what_a_lower_one_has() {
        for pair in PLANS.windows(2) {
            let (lower, higher) = (&pair[0], &pair[1]);
            assert!(lower.features.iter().all(|feature| higher.contains(feature)), "{}", higher.name);
        }
    }

    #[test]
    fn the_names_of_gitlab_com_lead_to_a_plan_but_cannot_be_sold() {
        assert_eq!(find("gold").unwrap().name, "ultimate");
        assert_eq!(find("default").unwrap().name, "free");
        assert_eq!(named("gold"), None);
        assert_eq!(find("platinum"), None);
        let names: Vec<&str> = names().collect();
        assert_eq!(names, ["free", "premium", "ultimate"]);
    }
}
