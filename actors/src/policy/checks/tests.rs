use std::collections::HashSet;

use rstest::rstest;

use super::*;
use crate::{
    ports::FlagSource,
    testing::{FakeFlags, a_user, an_action, an_issue},
};

const FEATURE: &str = "ai_features";

/// Licences by the plan's name alone: `ultimate` contains everything, any other plan nothing.
struct ByPlan;

impl LicenceSource for ByPlan {
    fn licensed(&self, namespace: &RootNamespace, feature: &str) -> bool {
        feature == FEATURE && namespace.plan.as_deref() == Some("ultimate")
    }
}

fn group(id: u64, plan: Option<&str>, experiments: bool) -> RootNamespace {
    RootNamespace {
        id: GlobalId::of("Group", id),
        path: format!("group-{id}"),
        plan: plan.map(ToOwned::to_owned),
        experiment_features_enabled: experiments,
    }
}

/// Everything is as it should be, in group 10.
fn facts() -> ResourceFacts {
    ResourceFacts {
        resource: Arc::new(an_issue()),
        readable: true,
        member: true,
        containers: vec![GlobalId::of("Project", 20), GlobalId::of("Group", 10)],
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
    NotConsented,
    FlagClosed,
}

use Wrong::{FlagClosed, Missing, NotAMember, NotConsented, OfAnotherType, Unlicensed, Unreadable};

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
    let facts = ResourceFacts { readable: !is(Unreadable), member: !is(NotAMember), root, ..facts() };
    let ground = Ground::Resource((!is(Missing)).then_some(facts));
    match decide(&action, user, &*flags.snapshot(), &ByPlan, ground) {
        Ok(resource) => {
            assert_eq!(resource.map(|resource| resource.id.clone()), Some(an_issue().id));
            Ok(())
        }
        Err(failure) => {
            assert_eq!(failure.hop, Hop::Policy);
            let texts = [NOT_FOUND, NOT_ALLOWED, crate::feature_flag::FLAG_DISABLED];
            let text = texts.into_iter().find(|text| *text == failure.text);
            Err((failure.code, text.expect("a text of GitLab's")))
        }
    }
}

const HIDDEN: Result<(), (Code, &str)> = Err((Code::NotFound, NOT_FOUND));
const FORBIDDEN: Result<(), (Code, &str)> = Err((Code::Forbidden, NOT_ALLOWED));
const DISABLED: Result<(), (Code, &str)> = Err((Code::FeatureDisabled, crate::feature_flag::FLAG_DISABLED));

#[rstest]
#[case::nothing(&[], Ok(()))]
#[case::missing(&[Missing], HIDDEN)]
#[case::unreadable(&[Unreadable], HIDDEN)]
#[case::not_a_member(&[NotAMember], HIDDEN)]
#[case::of_a_type_the_action_does_not_take(&[OfAnotherType], HIDDEN)]
#[case::unlicensed(&[Unlicensed], FORBIDDEN)]
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
    let others = [OfAnotherType, Unlicensed, NotConsented, FlagClosed];
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
fn only_what_is_unfinished_needs_consent(
    #[case] maturity: Maturity,
    #[case] experiments: bool,
    #[case] allowed: bool,
) {
    assert_eq!(stage_allows(maturity, &group(10, None, experiments)), allowed);
}

#[test]
fn a_flag_for_the_project_the_group_or_the_user_opens_the_gate_and_for_others_it_does_not() {
    let opened_for = |actor: GlobalId| {
        let flags = FakeFlags::default();
        flags.set_for("chat_flag", actor);
        let ground = Ground::Resource(Some(facts()));
        decide(&an_action("chat"), &a_user(2, "alice"), &*flags.snapshot(), &ByPlan, ground).is_ok()
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
    let decision = decide(&action, &user, &*flags.snapshot(), &ByPlan, Ground::Groups(groups));
    match decision {
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
fn an_action_that_requires_a_resource_is_not_found_without_one() {
    let mut action = Action::clone(&an_action("summarize_comments"));
    action.resource = ResourceRule::Required;
    let ground = Ground::Groups(vec![group(10, Some("ultimate"), true)]);
    let flags = FakeFlags::default().snapshot();
    let refusal = decide(&action, &a_user(2, "alice"), &*flags, &ByPlan, ground).unwrap_err();
    assert_eq!(refusal, Failure::new(Code::NotFound, Hop::Policy, NOT_FOUND));
}

#[test]
fn a_licence_is_asked_for_the_actions_own_feature() {
    let mut action = Action::clone(&an_action("chat"));
    action.licensed_feature = "something_else".to_owned();
    let flags = FakeFlags::default().snapshot();
    let ground = Ground::Resource(Some(facts()));
    let refusal = decide(&action, &a_user(2, "alice"), &*flags, &ByPlan, ground).unwrap_err();
    assert_eq!((refusal.code, refusal.text.as_str()), (Code::Forbidden, NOT_ALLOWED));
}
