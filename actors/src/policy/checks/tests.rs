use std::collections::HashSet;

use rstest::rstest;

use super::*;
use crate::{
    ports::FlagSource,
    testing::{FakeFlags, a_user, an_action, an_issue},
};

const FEATURE: &str = "ai_features";

/// Licences by the plan's name alone: `ultimate` contains everything, any other plan nothing.
#[derive(Debug)]
struct ByPlan;

impl LicenceSource for ByPlan {
    fn entitlement(&self, namespace: &RootNamespace, action: &Action) -> Entitlement {
        let granted = action.licensed_feature == FEATURE && namespace.plan.as_deref() == Some("ultimate");
        Entitlement { granted, because: "ultimate is needed".to_owned() }
    }

    fn version(&self) -> u64 {
        0
    }
}

fn group(id: u64, plan: Option<&str>, experiments: bool) -> RootNamespace {
    RootNamespace {
        id: GlobalId::of("Group", id),
        path: format!("group-{id}"),
        plan: plan.map(ToOwned::to_owned),
        add_ons: Vec::new(),
        experiment_features_enabled: experiments,
        duo_features_enabled: true,
    }
}

fn verdict(
    action: &Action,
    user: &User,
    flags: &FakeFlags,
    ground: Ground,
) -> Result<Option<Arc<Resource>>, Failure> {
    let flags = flags.snapshot();
    decide(Inquiry { action, user, flags: &*flags, licences: &ByPlan }, ground).verdict
}

/// Everything is as it should be, in group 10.
fn facts() -> ResourceFacts {
    ResourceFacts {
        resource: Arc::new(an_issue()),
        readable: true,
        member: true,
        containers: vec![GlobalId::of("Project", 20), GlobalId::of("Group", 10)],
        duo_features_enabled: true,
        root: group(10, Some("ultimate"), true),
    }
}

/// What is wrong with a request on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    Missing,
    Unreadable,
    NotAMember,
    OfAnotherType,
    Unlicensed,
    DuoOff,
    NotConsented,
    FlagClosed,
}

use Wrong::{DuoOff, FlagClosed, Missing, NotAMember, NotConsented, OfAnotherType, Unlicensed, Unreadable};

/// Decides a beta action with all that is wrong at once.
fn decided(wrong: &[Wrong], user: &User) -> Result<(), (Code, &'static str)> {
    let is = |what: Wrong| wrong.contains(&what);
    let mut action = Action::clone(&an_action("summarize_comments"));
    action.maturity = Maturity::Beta;
    if is(OfAnotherType) {
        action.resource_types = vec!["MergeRequest".to_owned()];
    }
    let flags = FakeFlags::default();
    flags.set("summarize_comments_flag", !is(FlagClosed));
    let root = group(10, (!is(Unlicensed)).then_some("ultimate"), !is(NotConsented));
    let facts = ResourceFacts {
        readable: !is(Unreadable),
        member: !is(NotAMember),
        duo_features_enabled: !is(DuoOff),
        root,
        ..facts()
    };
    let ground = Ground::Resource((!is(Missing)).then_some(facts));
    match verdict(&action, user, &flags, ground) {
        Ok(resource) => {
            assert_eq!(resource.map(|resource| resource.id.clone()), Some(an_issue().id));
            Ok(())
        }
        Err(failure) => {
            assert_eq!(failure.hop, Hop::Policy);
            let texts = [NOT_FOUND, NOT_ALLOWED, DUO_OFF, crate::feature_flag::FLAG_DISABLED];
            let text = texts.into_iter().find(|text| *text == failure.text);
            Err((failure.code, text.expect("a text of GitLab's")))
        }
    }
}

const HIDDEN: Result<(), (Code, &str)> = Err((Code::NotFound, NOT_FOUND));
const FORBIDDEN: Result<(), (Code, &str)> = Err((Code::Forbidden, NOT_ALLOWED));
const OFF_HERE: Result<(), (Code, &str)> = Err((Code::Forbidden, DUO_OFF));
const DISABLED: Result<(), (Code, &str)> = Err((Code::FeatureDisabled, crate::feature_flag::FLAG_DISABLED));

#[rstest]
#[case::nothing(&[], Ok(()))]
#[case::missing(&[Missing], HIDDEN)]
#[case::unreadable(&[Unreadable], HIDDEN)]
#[case::not_a_member(&[NotAMember], HIDDEN)]
#[case::of_a_type_the_action_does_not_take(&[OfAnotherType], HIDDEN)]
#[case::unlicensed(&[Unlicensed], FORBIDDEN)]
#[case::duo_off(&[DuoOff], OFF_HERE)]
#[case::not_consented(&[NotConsented], FORBIDDEN)]
#[case::flag_closed(&[FlagClosed], DISABLED)]
fn each_check_refuses_in_its_own_words(
    #[case] wrong: &[Wrong],
    #[case] expected: Result<(), (Code, &'static str)>,
) {
    assert_eq!(decided(wrong, &a_user(2, "alice")), expected);
}

#[test]
fn whoever_is_no_member_hears_not_found_first_whatever_else_is_wrong() {
    let hiding = [Missing, Unreadable, NotAMember];
    let others = [OfAnotherType, Unlicensed, DuoOff, NotConsented, FlagClosed];
    let mut heard = HashSet::new();
    for hidden in hiding {
        for also in 0..1_u32 << others.len() {
            let more = others.iter().enumerate().filter(|(n, _)| also & (1 << n) != 0);
            let wrong: Vec<Wrong> = std::iter::once(hidden).chain(more.map(|(_, wrong)| *wrong)).collect();
            heard.insert(decided(&wrong, &a_user(3, "mallory")));
        }
    }
    assert_eq!(heard, HashSet::from([HIDDEN]), "a refusal tells a stranger more than that");
}

#[test]
fn a_member_hears_of_licence_and_stage_before_the_groups_flag() {
    let alice = a_user(2, "alice");
    assert_eq!(decided(&[Unlicensed, FlagClosed], &alice), FORBIDDEN);
    assert_eq!(decided(&[NotConsented, FlagClosed], &alice), FORBIDDEN);
    assert_eq!(decided(&[DuoOff, NotConsented, FlagClosed], &alice), OFF_HERE);
}

#[test]
fn an_admin_is_a_member_everywhere_but_not_licensed_everywhere() {
    let root = User { admin: true, ..a_user(1, "root") };
    assert_eq!(decided(&[NotAMember], &root), Ok(()));
    assert_eq!(decided(&[NotAMember, Unlicensed], &root), FORBIDDEN);
    assert_eq!(decided(&[NotAMember, NotConsented], &root), FORBIDDEN);
    assert_eq!(decided(&[NotAMember, Missing], &root), HIDDEN);
}

#[rstest]
#[case(Maturity::Ga, false, true)]
#[case(Maturity::Ga, true, true)]
#[case(Maturity::Beta, false, false)]
#[case(Maturity::Beta, true, true)]
#[case(Maturity::Experimental, false, false)]
#[case(Maturity::Experimental, true, true)]
#[case(Maturity::Unlisted, false, false)]
#[case(Maturity::Unlisted, true, false)]
fn only_what_is_unfinished_needs_consent(
    #[case] maturity: Maturity,
    #[case] experiments: bool,
    #[case] allowed: bool,
) {
    assert_eq!(consent(maturity, &group(10, None, experiments)).0, allowed);
}

#[test]
fn a_flag_for_the_project_the_group_or_the_user_opens_the_gate_and_for_others_it_does_not() {
    let opened_for = |actor: GlobalId| {
        let flags = FakeFlags::default();
        flags.set_for("chat_flag", actor);
        let ground = Ground::Resource(Some(facts()));
        verdict(&an_action("chat"), &a_user(2, "alice"), &flags, ground).is_ok()
    };
    assert!(opened_for(GlobalId::of("Project", 20)));
    assert!(opened_for(GlobalId::of("Group", 10)));
    assert!(opened_for(GlobalId::of("User", 2)));
    assert!(!opened_for(GlobalId::of("Group", 11)));
    assert!(!opened_for(GlobalId::of("User", 3)));
}

// === Without a resource ===

fn beta_in(groups: Vec<RootNamespace>, flags: &FakeFlags) -> Result<(), (Code, String)> {
    let mut action = Action::clone(&an_action("chat"));
    action.maturity = Maturity::Beta;
    let user = a_user(2, "alice");
    match verdict(&action, &user, flags, Ground::Groups(groups)) {
        Ok(resource) => {
            assert!(resource.is_none());
            Ok(())
        }
        Err(failure) => Err((failure.code, failure.text)),
    }
}

#[test]
fn licence_and_consent_must_hold_in_one_and_the_same_group() {
    let flags = FakeFlags::default();
    let no_access = Err((Code::Forbidden, NO_ACCESS.to_owned()));
    let licensed_only = group(10, Some("ultimate"), false);
    let consented_only = group(11, Some("free"), true);
    let both = group(12, Some("ultimate"), true);
    assert_eq!(beta_in(vec![], &flags), no_access);
    assert_eq!(beta_in(vec![licensed_only.clone(), consented_only.clone()], &flags), no_access);
    assert_eq!(beta_in(vec![licensed_only, consented_only, both], &flags), Ok(()));
}

#[test]
fn the_flag_must_be_open_in_that_same_group_too() {
    let allowing = group(12, Some("ultimate"), true);
    let not_allowing = group(11, None, true);
    let open_for = |id: u64| {
        let flags = FakeFlags::default();
        flags.set_for("chat_flag", GlobalId::of("Group", id));
        beta_in(vec![not_allowing.clone(), allowing.clone()], &flags)
    };
    assert_eq!(open_for(12), Ok(()));
    assert_eq!(open_for(11).unwrap_err().0, Code::FeatureDisabled);
}

#[test]
fn a_request_is_in_the_containers_of_its_resource_or_in_the_groups_that_allow_it() {
    let (action, user, flags) = (an_action("chat"), a_user(2, "alice"), FakeFlags::default().snapshot());
    let inquiry = Inquiry { action: &action, user: &user, flags: &*flags, licences: &ByPlan };
    assert_eq!(decide(inquiry, Ground::Resource(Some(facts()))).containers, facts().containers);
    let groups =
        vec![group(10, None, true), group(11, Some("ultimate"), true), group(12, Some("ultimate"), true)];
    let expected = [11, 12].map(|id| GlobalId::of("Group", id));
    assert_eq!(decide(inquiry, Ground::Groups(groups)).containers, expected);
}

#[test]
fn an_action_that_requires_a_resource_is_not_found_without_one() {
    let mut action = Action::clone(&an_action("summarize_comments"));
    action.resource = ResourceRule::Required;
    let ground = Ground::Groups(vec![group(10, Some("ultimate"), true)]);
    let refusal = verdict(&action, &a_user(2, "alice"), &FakeFlags::default(), ground).unwrap_err();
    assert_eq!(refusal, Failure::new(Code::NotFound, Hop::Policy, NOT_FOUND));
}

#[test]
fn a_licence_is_asked_for_the_actions_own_feature() {
    let mut action = Action::clone(&an_action("chat"));
    action.licensed_feature = "something_else".to_owned();
    let ground = Ground::Resource(Some(facts()));
    let refusal = verdict(&action, &a_user(2, "alice"), &FakeFlags::default(), ground).unwrap_err();
    assert_eq!((refusal.code, refusal.text.as_str()), (Code::Forbidden, NOT_ALLOWED));
}

// === What is found ===

/// The steps and the verdict cannot say different things.
#[test]
fn every_check_is_made_and_told_whatever_the_others_find() {
    let mut action = Action::clone(&an_action("chat"));
    action.maturity = Maturity::Beta;
    let flags = FakeFlags::default();
    flags.set("chat_flag", false);
    let root = RootNamespace { duo_features_enabled: false, ..group(10, Some("free"), false) };
    let facts = ResourceFacts { member: false, duo_features_enabled: false, root, ..facts() };
    let (user, flags) = (a_user(3, "mallory"), flags.snapshot());
    let inquiry = Inquiry { action: &action, user: &user, flags: &*flags, licences: &ByPlan };
    let found: Vec<String> =
        decide(inquiry, Ground::Resource(Some(facts))).steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "4 licence: refused (group-10: ultimate is needed)",
            "5 membership: refused (mallory is no member where gid://gitlab/Issue/52 is, in group-10)",
            "6 namespace settings: refused (gid://gitlab/Project/20 in group-10: duo_features_enabled is off; experiment_features_enabled is off)",
            "3 feature flag of the group: refused (chat_flag is off)",
        ]
    );
}

#[test]
fn without_a_resource_the_group_that_came_furthest_is_told() {
    let (user, flags) = (a_user(2, "alice"), FakeFlags::default().snapshot());
    let action = an_action("chat");
    let inquiry = Inquiry { action: &action, user: &user, flags: &*flags, licences: &ByPlan };
    let groups = vec![group(10, None, true), group(11, Some("ultimate"), true)];
    let steps = decide(inquiry, Ground::Groups(groups)).steps;
    assert_eq!(steps[0].to_string(), "4 licence: passed (group-11: ultimate is needed)");
    assert_eq!(steps[1].to_string(), "5 membership: passed (alice belongs to 2 top-level groups)");
    let off = RootNamespace { duo_features_enabled: false, ..group(12, Some("ultimate"), true) };
    let unlicensed = RootNamespace { duo_features_enabled: false, ..group(10, None, true) };
    let steps = decide(inquiry, Ground::Groups(vec![unlicensed, off])).steps;
    assert_eq!(
        steps[2].to_string(),
        "6 namespace settings: refused (group-12: duo_features_enabled is off; what is finished needs no consent)"
    );
    let nowhere = decide(inquiry, Ground::Groups(Vec::new())).steps;
    assert_eq!(nowhere[0].finding, Finding::NotApplicable);
    assert_eq!(nowhere[1].finding, Finding::Refused);
}
