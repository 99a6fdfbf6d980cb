//! Fakes of the ports and probes in place of neighbours, for tests and benches.

use std::{collections::BTreeMap, sync::Arc};

use semver::Version;

use crate::action::{Action, Maturity, PromptTemplate, PromptText, ResourceRule};

/// A GA action called `name` that takes an optional resource and any input.
#[must_use]
pub fn an_action(name: &str) -> Arc<Action> {
    Arc::new(Action {
        name: name.to_owned(),
        description: "an action for tests".to_owned(),
        feature_flag: format!("{name}_flag"),
        flag_default: true,
        licensed_feature: "ai_features".to_owned(),
        unit_primitive: name.to_owned(),
        maturity: Maturity::Ga,
        resource: ResourceRule::Optional,
        resource_types: vec!["Issue".to_owned(), "MergeRequest".to_owned()],
        input: Vec::new(),
        cache_response: name == "chat",
        model: "default".to_owned(),
        prompt: PromptTemplate {
            version: Version::new(1, 0, 0),
            text: PromptText { system: "Answer.".to_owned(), user: "{{ input.content }}".to_owned() },
            for_provider: BTreeMap::new(),
        },
    })
}
