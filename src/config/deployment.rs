use garde::Validate;
use serde::Deserialize;

/// What kind of instance this is.
#[derive(Clone, Copy, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct DeploymentConfig {
    #[garde(skip)]
    pub mode: DeploymentMode,
    #[garde(skip)]
    pub experiment_features_enabled: bool,
    #[garde(skip)]
    pub duo_features: DuoFeatures,
    #[garde(skip)]
    pub unlisted_features: UnlistedFeatures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum DeploymentMode {
    Saas,
    SelfManaged,
    Dedicated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum DuoFeatures {
    OnByDefault,
    OffByDefault,
    AlwaysOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum UnlistedFeatures {
    Allow,
    Refuse,
}

impl DeploymentMode {
    /// What `gitlab_realm` of a JWT and `X-Gitlab-Realm` call it.
    #[must_use]
    pub fn realm(self) -> &'static str {
        match self {
            Self::Saas => "saas",
            Self::SelfManaged | Self::Dedicated => "self-managed",
        }
    }
}

impl DeploymentConfig {
    /// Whether experimental and beta features are consented to in a top-level group that says `own`.
    #[must_use]
    pub fn experiments(&self, own: bool) -> bool {
        match self.mode {
            DeploymentMode::Saas => own,
            DeploymentMode::SelfManaged | DeploymentMode::Dedicated => self.experiment_features_enabled,
        }
    }

    /// What stands above every top-level group.
    #[must_use]
    pub fn duo_features(&self) -> DuoFeatures {
        match self.mode {
            DeploymentMode::Saas => DuoFeatures::OnByDefault,
            DeploymentMode::SelfManaged | DeploymentMode::Dedicated => self.duo_features,
        }
    }
}
