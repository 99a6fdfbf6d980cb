//! Which claims are taken, and for whom a token speaks.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://gitlab.example.com";
const NOW: u64 = 1_800_000_000;

fn rules() -> Rules {
    Rules { realm: "saas", leeway: Duration::from_secs(30), instances: BTreeSet::from(["7".to_owned()]) }
}

/// The claims, with what is in `more` instead of what stands here; null takes a claim away.
fn claims(more: Value) -> Result<Claims, Refusal> {
    let mut payload = json!({"sub": "7", "exp": NOW + 60});
    for (name, value) in more.as_object().unwrap() {
        payload[name] = value.clone();
    }
    let payload = serde_json::from_value(payload).map_err(|_| Refusal::BadClaims)?;
    Claims::new(payload, &rules())
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn stated(realm: &str, instance: &str, user: &str) -> Stated {
    let some = |text: &str| Some(text.to_owned());
    Stated { realm: some(realm), instance_id: some(instance), global_user_id: some(user) }
}

#[test]
fn a_token_is_good_from_nbf_to_exp_give_or_take_the_leeway() {
    let claims = claims(json!({"nbf": NOW, "exp": NOW + 60})).unwrap();
    let verdicts =
        [NOW - 31, NOW - 30, NOW, NOW + 60, NOW + 89, NOW + 90].map(|now| claims.check_time(at(now)));
    let expected = [Err(Refusal::NotYetGood), Ok(()), Ok(()), Ok(()), Ok(()), Err(Refusal::Expired)];
    assert_eq!(verdicts, expected);
    assert_eq!(claims.good_until(), at(NOW + 90));
}

#[rstest::rstest]
#[case(json!({"exp": null}))]
#[case(json!({"exp": "1800000060"}))]
#[case(json!({"exp": -1}))]
#[case(json!({"exp": 1e18}))]
#[case(json!({"exp": 1e300}))]
#[case(json!({"exp": [1_800_000_060]}))]
#[case(json!({"nbf": "now"}))]
#[case(json!({"sub": null}))]
#[case(json!({"sub": ""}))]
#[case(json!({"sub": 7}))]
#[case(json!({"scopes": "duo_chat"}))]
#[case(json!({"gitlab_realm": 1}))]
fn a_claim_that_is_missing_or_of_the_wrong_kind_is_refused(#[case] more: Value) {
    assert_eq!(claims(more).unwrap_err(), Refusal::BadClaims);
}

#[test]
fn a_fraction_of_a_second_is_a_time_too() {
    let claims = claims(json!({"exp": NOW as f64 + 0.5})).unwrap();
    assert_eq!(claims.good_until(), at(NOW + 30) + Duration::from_millis(500));
}

#[test]
fn a_token_without_scopes_is_good_for_no_unit_primitive() {
    assert!(claims(json!({})).unwrap().scopes().is_empty());
    let two = claims(json!({"scopes": ["duo_chat", "explain_code", "duo_chat"]})).unwrap();
    assert_eq!(two.scopes().len(), 2);
}

#[test]
fn the_realm_must_be_the_deployments() {
    assert_eq!(claims(json!({"gitlab_realm": "self-managed"})).unwrap_err(), Refusal::WrongRealm);
    assert!(claims(json!({"gitlab_realm": "saas"})).is_ok());
    assert!(claims(json!({"gitlab_realm": ""})).is_ok());
}

/// `U name` is the instance's user of that name, `S name` the issuer's own.
fn speaker(more: Value, speaks: Speaks, stated: &Stated) -> Result<String, Refusal> {
    let claims = claims(more)?;
    Ok(match claims.account(ISSUER, speaks, &rules().instances, stated)? {
        AccountKey::GlobalUserId(user) => format!("U {user}"),
        AccountKey::Subject { issuer, subject } => {
            assert_eq!(issuer, ISSUER);
            format!("S {subject}")
        }
        AccountKey::Username(_) => panic!("a token names no username"),
    })
}

#[rstest::rstest]
#[case::with_a_realm(json!({"gitlab_realm": "saas"}))]
#[case::with_an_instance(json!({"gitlab_instance_id": "7"}))]
fn an_instance_speaks_for_the_user_it_states(#[case] more: Value) {
    let stated = stated("saas", "7", "ada");
    let instance = |stated: &Stated| speaker(more.clone(), Speaks::ForInstances, stated);
    assert_eq!(instance(&stated), Ok("U ada".to_owned()));
    let only_user = Stated { realm: None, instance_id: None, ..stated.clone() };
    assert_eq!(instance(&only_user), Ok("U ada".to_owned()));
    let nobody = Stated { global_user_id: None, ..stated.clone() };
    assert_eq!(instance(&nobody), Err(Refusal::NoUserStated));
    let empty = Stated { global_user_id: Some(String::new()), ..stated.clone() };
    assert_eq!(instance(&empty), Err(Refusal::NoUserStated));
    let another = Stated { instance_id: Some("8".to_owned()), ..stated };
    assert_eq!(instance(&another), Err(Refusal::InstanceDiffers));
}

/// CustomersDot signs those of everybody's instances.
#[rstest::rstest]
#[case::of_another_name(json!({"sub": "8", "gitlab_realm": "saas"}))]
#[case::that_claims_ours(json!({"sub": "8", "gitlab_instance_id": "7"}))]
#[case::that_claims_another(json!({"sub": "7", "gitlab_instance_id": "8"}))]
fn an_instance_that_is_not_ours_speaks_for_nobody(#[case] more: Value) {
    let ada = Stated { global_user_id: Some("ada".to_owned()), ..Stated::default() };
    for stated in [ada, Stated::default()] {
        let refusal = speaker(more.clone(), Speaks::ForInstances, &stated).unwrap_err();
        assert_eq!(refusal, Refusal::UnknownInstance);
    }
}

#[test]
fn another_issuer_never_speaks_for_an_instance() {
    let more = json!({"gitlab_realm": "saas", "gitlab_instance_id": "7"});
    let stated = stated("saas", "7", "ada");
    assert_eq!(speaker(more.clone(), Speaks::ForItsUsers, &stated), Err(Refusal::UserDiffers));
    assert_eq!(speaker(more, Speaks::ForItsUsers, &Stated::default()), Ok("S 7".to_owned()));
}

#[test]
fn the_headers_do_not_turn_a_users_token_into_an_instances() {
    let more = json!({"sub": "project_path:demo/website:ref_type:branch"});
    let stated = stated("saas", "project_path:demo/website:ref_type:branch", "ada");
    assert_eq!(speaker(more, Speaks::ForInstances, &stated), Err(Refusal::UserDiffers));
}

#[rstest::rstest]
#[case::realm(json!({"gitlab_realm": "saas"}), stated("self-managed", "7", "7"), Refusal::RealmDiffers)]
#[case::instance(json!({"gitlab_instance_id": "a"}), stated("saas", "b", "7"), Refusal::InstanceDiffers)]
#[case::subject(json!({}), stated("saas", "a", "8"), Refusal::UserDiffers)]
#[case::user(json!({"gitlab_global_user_id": "g"}), stated("saas", "a", "7"), Refusal::UserDiffers)]
fn a_header_that_contradicts_its_claim_is_refused(
    #[case] more: Value,
    #[case] stated: Stated,
    #[case] refusal: Refusal,
    #[values(Speaks::ForItsUsers, Speaks::ForInstances)] speaks: Speaks,
) {
    assert_eq!(speaker(more, speaks, &stated), Err(refusal));
}

#[test]
fn a_user_may_be_stated_by_the_name_the_token_has_for_them() {
    let user = |user: &str| Stated { global_user_id: Some(user.to_owned()), ..Stated::default() };
    let named = json!({"gitlab_global_user_id": "g"});
    assert_eq!(speaker(named, Speaks::ForItsUsers, &user("g")), Ok("S 7".to_owned()));
    assert_eq!(speaker(json!({}), Speaks::ForItsUsers, &user("7")), Ok("S 7".to_owned()));
}

proptest! {
    /// Whatever is claimed and stated: only a token of a trusted issuer that claims to be our
    /// instance's speaks for somebody it does not name itself.
    #[test]
    fn nobody_speaks_for_another_by_headers_alone(
        sub in "[7ab]", realm in proptest::option::of(Just("saas")), instance in proptest::option::of("[7ab]"),
        user in proptest::option::of("[7ab]"), s_realm in proptest::option::of(Just("saas")),
        s_instance in proptest::option::of("[7ab]"), s_user in proptest::option::of("[7ab]"), trusted: bool,
    ) {
        let is_instance = trusted && (realm.is_some() || instance.is_some());
        let speaks = if trusted { Speaks::ForInstances } else { Speaks::ForItsUsers };
        let stated = Stated {
            realm: s_realm.map(str::to_owned), instance_id: s_instance, global_user_id: s_user.clone(),
        };
        let is_ours = sub == "7" && instance.as_ref().is_none_or(|instance| instance == "7");
        let more = json!({
            "sub": sub, "gitlab_realm": realm, "gitlab_instance_id": instance, "gitlab_global_user_id": user,
        });
        if let Ok(speaker) = speaker(more, speaks, &stated) {
            prop_assert!(is_ours || !is_instance);
            let expected = if is_instance { format!("U {}", s_user.unwrap()) } else { format!("S {sub}") };
            prop_assert_eq!(speaker, expected);
        }
    }
}
