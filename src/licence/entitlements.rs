//! Check 4 of the six: whether the licence that governs a namespace contains what an action needs.
//!
//! | `deployment.mode` | plan, features and add-ons are those of |
//! |---|---|
//! | `saas` | the top-level group |
//! | `self_managed`, `dedicated` | the instance's licence, whatever the group |
//!
//! Two things must hold: the plan, or what the licence names beside it, contains the action's
//! `licensed_feature`; and its unit primitive may be used, by the rules of [`crate::unit_primitives`].

use std::{sync::Arc, time::SystemTime};

use duologue_actors::{
    action::Action,
    clock::Clock,
    ports::{Entitlement, LicenceSource, RootNamespace},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Status, Terms, calendar, instance::Instance, plans};
use crate::{
    config::{Config, DeploymentMode},
    unit_primitives::{GitlabVersion, UnitPrimitive, UnitPrimitives},
};

/// The source of licences of a deployment.
#[derive(Debug)]
pub struct Entitlements {
    source: Source,
    unit_primitives: Arc<UnitPrimitives>,
    /// What this server says it is.
    version: GitlabVersion,
    clock: Clock,
    /// Absent where nothing can change.
    _follower: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum Source {
    Groups,
    Instance(Arc<Instance>),
}

impl Entitlements {
    /// As things stand now. A faulty licence licenses nothing; that is no reason not to start.
    #[must_use]
    pub fn load(config: &Config, unit_primitives: Arc<UnitPrimitives>, clock: Clock) -> Self {
        let source = match config.deployment.mode {
            DeploymentMode::Saas => Source::Groups,
            DeploymentMode::SelfManaged | DeploymentMode::Dedicated => {
                Source::Instance(Arc::new(Instance::load(config.licence.clone())))
            }
        };
        // The settings hold a version, so nothing is lost; what is none would meet no least version.
        let version = config.server.advertised_version.parse().unwrap_or_default();
        Self { source, unit_primitives, version, clock, _follower: None }
    }

    /// The same, with an eye on the licence for as long as this lives. Needs a tokio runtime.
    #[must_use]
    pub fn follow(config: &Config, unit_primitives: Arc<UnitPrimitives>, clock: Clock) -> Self {
        let mut entitlements = Self::load(config, unit_primitives, clock.clone());
        if let Source::Instance(instance) = &entitlements.source {
            let following = tokio::spawn(instance.clone().follow(clock));
            entitlements._follower = Some(AbortOnDropHandle::new(following));
        }
        entitlements
    }

    /// How the instance stands with its licence.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.source {
            Source::Groups => Status::ByGroup,
            Source::Instance(instance) => instance.status(self.clock.now()),
        }
    }
}

impl LicenceSource for Entitlements {
    fn entitlement(&self, namespace: &RootNamespace, action: &Action) -> Entitlement {
        let now = self.clock.now();
        let need = Need {
            feature: &action.licensed_feature,
            unit_primitive: &action.unit_primitive,
            rule: self.unit_primitives.get(&action.unit_primitive),
        };
        match &self.source {
            Source::Groups => decide(&Holding::of_group(namespace), &need, self.version, now),
            Source::Instance(instance) => match instance.in_force(now) {
                Ok(licence) => decide(&Holding::of_licence(&licence.terms), &need, self.version, now),
                Err(absence) => Entitlement { granted: false, because: absence.to_string() },
            },
        }
    }

    fn version(&self) -> u64 {
        match &self.source {
            // What a group has is the directory's to say.
            Source::Groups => 0,
            Source::Instance(instance) => instance.version(),
        }
    }
}

/// What somebody has.
struct Holding<'a> {
    plan: Option<&'a str>,
    features: &'a [String],
    add_ons: &'a [String],
}

impl<'a> Holding<'a> {
    fn of_group(namespace: &'a RootNamespace) -> Self {
        Self { plan: namespace.plan.as_deref(), features: &[], add_ons: &namespace.add_ons }
    }

    fn of_licence(terms: &'a Terms) -> Self {
        Self { plan: Some(terms.plan.name), features: &terms.features, add_ons: &terms.add_ons }
    }
}

/// What an action asks for.
struct Need<'a> {
    feature: &'a str,
    unit_primitive: &'a str,
    /// `None` when it is not registered.
    rule: Option<&'a UnitPrimitive>,
}

fn decide(holding: &Holding<'_>, need: &Need<'_>, version: GitlabVersion, now: SystemTime) -> Entitlement {
    let (contained, plan) = feature(holding, need.feature);
    let (usable, primitive) = unit_primitive(holding, need, version, now);
    Entitlement { granted: contained && usable, because: format!("{plan}; {primitive}") }
}

fn feature(holding: &Holding<'_>, feature: &str) -> (bool, String) {
    let Some(name) = holding.plan else {
        return (false, format!("there is no plan, and so no {feature}"));
    };
    match plans::find(name) {
        Some(plan) if plan.contains(feature) => (true, format!("the plan {name} contains {feature}")),
        _ if holding.features.iter().any(|named| named == feature) => {
            (true, format!("the licence names {feature} beside the plan {name}"))
        }
        Some(_) => (false, format!("the plan {name} does not contain {feature}")),
        None => (false, format!("the plan {name} is unknown, and so does not contain {feature}")),
    }
}

fn unit_primitive(
    holding: &Holding<'_>,
    need: &Need<'_>,
    version: GitlabVersion,
    now: SystemTime,
) -> (bool, String) {
    let name = need.unit_primitive;
    let Some(UnitPrimitive { add_ons, cut_off_date, min_version, .. }) = need.rule else {
        return (false, format!("the unit primitive {name} is not registered"));
    };
    if let Some(least) = min_version.filter(|least| version < *least) {
        return (false, format!("{name} needs GitLab {least}, and server.advertised_version is {version}"));
    }
    let Some(cut_off) = *cut_off_date else {
        return (true, format!("{name} is free"));
    };
    if now < cut_off {
        return (true, format!("{name} is free until {}", calendar::show(cut_off)));
    }
    match add_ons.iter().find(|add_on| holding.add_ons.contains(add_on)) {
        Some(add_on) => (true, format!("{name} comes with {add_on}")),
        None => {
            let since = calendar::show(cut_off);
            (false, format!("{name} needs one of {} since {since}", add_ons.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::{protocol::GlobalId, testing::an_action};

    use super::*;
    use crate::{
        env_file::Environment,
        licence::{SigningKey, issue, tests::terms},
        private_file,
        unit_primitives::tests::registered,
    };

    const PRIMITIVES: &str = "\
chat: {description: C, add_ons: [duo_core, duo_pro], cut_off_date: 2026-03-01}
tests: {description: T, min_version: \"18.7\"}
open: {description: O, add_ons: [duo_pro]}
";

    fn group(plan: Option<&str>, add_ons: &[&str]) -> RootNamespace {
        RootNamespace {
            id: GlobalId::of("Group", 10),
            path: "demo".to_owned(),
            plan: plan.map(str::to_owned),
            add_ons: add_ons.iter().map(|&name| name.to_owned()).collect(),
            experiment_features_enabled: false,
            duo_features_enabled: true,
        }
    }

    fn action(feature: &str, unit_primitive: &str) -> Action {
        let (licensed_feature, unit_primitive) = (feature.to_owned(), unit_primitive.to_owned());
        Action { licensed_feature, unit_primitive, ..Action::clone(&an_action("thing")) }
    }

    fn at(
        moment: &str,
        group: &RootNamespace,
        feature: &str,
        primitive: &str,
        version: &str,
    ) -> (bool, String) {
        let registered = registered(PRIMITIVES);
        let need = Need { feature, unit_primitive: primitive, rule: registered.get(primitive) };
        let now = calendar::parse(moment).unwrap();
        let found = decide(&Holding::of_group(group), &need, version.parse().unwrap(), now);
        (found.granted, found.because)
    }

    #[rstest::rstest]
    #[case(Some("ultimate"), true, "the plan ultimate contains ai_features; open is free")]
    #[case(Some("gold"), true, "the plan gold contains ai_features; open is free")]
    #[case(Some("premium"), false, "the plan premium does not contain ai_features; open is free")]
    #[case(Some("free"), false, "the plan free does not contain ai_features; open is free")]
    #[case(Some("tin"), false, "the plan tin is unknown, and so does not contain ai_features; open is free")]
    #[case(None, false, "there is no plan, and so no ai_features; open is free")]
    fn a_plan_contains_what_the_table_says(
        #[case] plan: Option<&str>,
        #[case] granted: bool,
        #[case] because: &str,
    ) {
        let found = at("2026-01-01", &group(plan, &[]), "ai_features", "open", "18.6.0");
        assert_eq!(found, (granted, because.to_owned()));
    }

    #[rstest::rstest]
    #[case("2026-02-28 23:59:59 UTC", &[], true, "chat is free until 2026-03-01 00:00:00 UTC")]
    #[case("2026-03-01", &[], false, "chat needs one of duo_core, duo_pro since 2026-03-01 00:00:00 UTC")]
    #[case("2026-03-01", &["duo_pro"], true, "chat comes with duo_pro")]
    #[case("2026-03-01", &["duo_enterprise"], false, "chat needs one of duo_core, duo_pro since 2026-03-01 00:00:00 UTC")]
    fn an_add_on_is_needed_from_the_cut_off_date_on(
        #[case] moment: &str,
        #[case] add_ons: &[&str],
        #[case] granted: bool,
        #[case] because: &str,
    ) {
        let (found, why) = at(moment, &group(Some("premium"), add_ons), "ai_chat", "chat", "18.6.0");
        assert_eq!(found, granted);
        assert_eq!(why, format!("the plan premium contains ai_chat; {because}"));
    }

    #[rstest::rstest]
    #[case("18.6.9-ee", false)]
    #[case("18.7.0-ee", true)]
    #[case("18.10.0", true)]
    fn a_least_version_is_compared_with_what_the_server_says_it_is(
        #[case] version: &str,
        #[case] granted: bool,
    ) {
        let (found, why) = at("2026-01-01", &group(Some("ultimate"), &[]), "ai_chat", "tests", version);
        assert_eq!(found, granted, "{why}");
        let refused = "tests needs GitLab 18.7.0, and server.advertised_version is 18.6.9";
        assert_eq!(why.contains(refused), !granted, "{why}");
    }

    #[test]
    fn what_is_not_registered_is_not_licensed() {
        let (granted, why) = at("2026-01-01", &group(Some("ultimate"), &[]), "ai_chat", "nothing", "18.6.0");
        assert!(!granted && why.ends_with("the unit primitive nothing is not registered"), "{why}");
    }

    #[test]
    fn on_an_instance_its_licence_counts_and_the_groups_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.deployment.mode = DeploymentMode::Dedicated;
        config.licence.path = folder.path().join("licence.jwt");
        config.licence.public_key = Some(folder.path().join("key.pem"));
        private_file::put(&folder.path().join("key.pem"), &key.public().to_pem()).unwrap();
        let clock = Clock::system();
        let load = || Entitlements::load(&config, Arc::new(registered(PRIMITIVES)), clock.clone());
        let without = load().entitlement(&group(Some("ultimate"), &["duo_pro"]), &action("ai_chat", "open"));
        assert!(
            !without.granted && without.because.contains("`duologue licence upload FILE`"),
            "{without:?}"
        );

        let mut terms = terms("2026-01-01", "2027-01-01");
        terms.plan = plans::named("premium").unwrap();
        (terms.features, terms.add_ons) = (vec!["secret_feature".to_owned()], vec!["duo_core".to_owned()]);
        terms.ends_at = clock.now() + Duration::from_secs(60);
        terms.starts_at = SystemTime::UNIX_EPOCH;
        private_file::put(&config.licence.path, &issue(terms, clock.now(), &key).unwrap()).unwrap();
        let loaded = load();
        let found = |feature: &str, primitive: &str| {
            loaded.entitlement(&group(None, &[]), &action(feature, primitive))
        };
        assert!(found("ai_chat", "open").granted);
        assert!(!found("summarize_comments", "open").granted);
        let beside = found("secret_feature", "chat");
        assert!(beside.granted, "{beside:?}");
        assert_eq!(
            beside.because,
            "the licence names secret_feature beside the plan premium; chat comes with duo_core"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_licence_ends_exactly_at_its_second() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.deployment.mode = DeploymentMode::SelfManaged;
        config.licence.path = folder.path().join("licence.jwt");
        config.licence.public_key = Some(folder.path().join("key.pem"));
        private_file::put(&folder.path().join("key.pem"), &key.public().to_pem()).unwrap();
        let clock = Clock::following_tokio();
        let mut terms = terms("2026-01-01", "2027-01-01");
        let whole_second = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 10;
        terms.starts_at = SystemTime::UNIX_EPOCH;
        terms.ends_at = SystemTime::UNIX_EPOCH + Duration::from_secs(whole_second);
        let ends_at = terms.ends_at;
        private_file::put(&config.licence.path, &issue(terms, clock.now(), &key).unwrap()).unwrap();
        let loaded = Entitlements::load(&config, Arc::new(registered(PRIMITIVES)), clock.clone());
        let granted = || loaded.entitlement(&group(None, &[]), &action("ai_chat", "open")).granted;

        const INSTANT: Duration = Duration::from_nanos(1);
        tokio::time::advance(ends_at.duration_since(clock.now()).unwrap() - INSTANT).await;
        assert!(granted());
        tokio::time::advance(INSTANT).await;
        assert!(!granted());
        assert!(matches!(loaded.status(), Status::Nothing(_)));
    }
}
