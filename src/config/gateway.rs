use std::sync::Arc;

use duologue_actors::action::{Action, Catalogue};
use garde::Validate;
use serde::Deserialize;

/// The actions behind the paths of GitLab's AI gateway.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct GatewayConfig {
    pub agent: Option<String>,
    pub explain_code: Option<String>,
    pub explain_vulnerability: Option<String>,
    pub refactor_code: Option<String>,
    pub summarize_comments: Option<String>,
    pub troubleshoot_job: Option<String>,
    pub write_tests: Option<String>,
}

impl GatewayConfig {
    /// The paths and the names of their actions.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("agent", &self.agent),
            ("explain_code", &self.explain_code),
            ("explain_vulnerability", &self.explain_vulnerability),
            ("refactor_code", &self.refactor_code),
            ("summarize_comments", &self.summarize_comments),
            ("troubleshoot_job", &self.troubleshoot_job),
            ("write_tests", &self.write_tests),
        ];
        all.into_iter().filter_map(|(path, action)| Some((path, action.as_deref()?)))
    }

    /// The action behind a path.
    #[must_use]
    pub fn action(&self, catalogue: &Catalogue, path: &str) -> Option<Arc<Action>> {
        let (_, action) = self.named().find(|(known, _)| *known == path)?;
        catalogue.get(action)
    }
}
