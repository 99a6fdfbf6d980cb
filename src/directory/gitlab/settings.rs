//! What governs everything below a top-level group.

use duologue_actors::ports::{DirectoryError, RootNamespace};
use serde::Deserialize;

use super::{Reader, found, places::Place, resources::WITHOUT_PROJECTS};
use crate::{config::DeploymentMode, licence::plans};

/// The part of a top-level group's settings that GitLab shows to few or to nobody, or what counts instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RootSettings {
    plan: Option<String>,
    experiment_features_enabled: bool,
}

/// By GitLab's REST API documentation of namespaces: `plan` is there for those who may administer it.
#[derive(Deserialize)]
struct Namespace {
    #[serde(default)]
    plan: Option<String>,
}

/// By GitLab's REST API documentation of groups `experiment_features_enabled` is an attribute of Premium and
/// Ultimate. Many versions take it in `PUT /groups/:id` and leave it out of every answer
/// (gitlab-org/gitlab#594075); where it is shown, it is to owners.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    experiment_features_enabled: Option<bool>,
}

impl Reader<'_> {
    pub(super) async fn root(&self, place: &Place) -> Result<RootNamespace, DirectoryError> {
        let key = (self.who, place.full_path.clone());
        let fetch = async { self.directory.kept(self.root_settings(&place.full_path).await) };
        let RootSettings { plan, experiment_features_enabled } =
            self.directory.roots.get(&key, fetch).await?;
        Ok(RootNamespace {
            id: place.global_id()?,
            path: place.full_path.clone(),
            plan,
            add_ons: Vec::new(),
            experiment_features_enabled,
            duo_features_enabled: self.settings().duo_features(place.duo_features_enabled),
        })
    }

    async fn root_settings(&self, path: &str) -> Result<RootSettings, DirectoryError> {
        let settings = self.settings();
        if settings.deployment.mode != DeploymentMode::Saas {
            // One licence and one setting govern the whole instance; a group's own say nothing.
            let experiment_features_enabled = settings.deployment.experiments(false);
            return Ok(RootSettings { plan: None, experiment_features_enabled });
        }
        let (namespace, group) = (["api", "v4", "namespaces", path], ["api", "v4", "groups", path]);
        let (namespace, group) = tokio::join!(
            self.gitlab().get::<Namespace>(self.token, &namespace, &[]),
            self.gitlab().get::<Group>(self.token, &group, WITHOUT_PROJECTS),
        );
        let plan = found(namespace)?.and_then(|namespace| namespace.plan);
        let experiments = found(group)?.and_then(|group| group.experiment_features_enabled);
        let own = experiments.unwrap_or_else(|| self.experiments_when_hidden());
        // A trial is the plan that is tried. A plan nobody has heard of keeps its name: it contains nothing.
        let plan = plan.map(|plan| plans::find(&plan).map_or(plan, |known| known.name.to_owned()));
        Ok(RootSettings {
            plan: plan.or_else(|| settings.plan_when_hidden.clone()),
            experiment_features_enabled: settings.deployment.experiments(own),
        })
    }

    fn experiments_when_hidden(&self) -> bool {
        let counts = self.settings().experiment_features_when_hidden;
        self.directory.hidden_experiments.call_once(|| {
            tracing::info!(
                gitlab.experiment_features_when_hidden = counts,
                "gitlab does not show experiment_features_enabled of a top-level group to this caller; the setting counts"
            );
        });
        counts
    }
}
