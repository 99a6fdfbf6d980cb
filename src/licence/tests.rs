//! What is taken for a licence and what is not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Good for ultimate with one add-on, from one day to another.
pub(crate) fn terms(from: &str, until: &str) -> Terms {
    Terms {
        licensee: "ACME".to_owned(),
        plan: plans::named("ultimate").unwrap(),
        add_ons: vec!["duo_pro".to_owned()],
        features: Vec::new(),
        starts_at: day(from),
        ends_at: day(until),
    }
}

fn day(date: &str) -> SystemTime {
    calendar::parse(date).unwrap()
}

fn a_licence(key: &SigningKey) -> String {
    issue(terms("2026-01-01", "2027-01-01"), day("2025-12-24"), key).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "ACME", "plan": "ultimate", "iat": 1_766_534_400, "nbf": 1_767_225_600, "exp": 1_798_761_600,
        "jti": "1", "add_ons": ["duo_pro"], "features": [],
    })
}

/// Signed properly, whatever it says.
fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let encoding_key = key.encoding_key();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &encoding_key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn header(key: &SigningKey) -> Value {
    json!({ "typ": TYPE, "alg": "EdDSA", "kid": key.public().fingerprint() })
}

fn refused(text: &str, key: &SigningKey) -> String {
    verify(text, key.public()).unwrap_err().to_string()
}

#[test]
fn what_is_issued_says_the_same_when_it_is_read() {
    let key = SigningKey::generate().unwrap();
    let mut terms = terms("2026-01-01", "2027-01-01");
    terms.features = vec!["summarize_comments".to_owned()];
    let text = issue(terms.clone(), day("2025-12-24"), &key).unwrap();
    let licence = verify(&format!("{text}\n"), key.public()).unwrap();
    assert_eq!((&licence.terms, licence.issued_at), (&terms, day("2025-12-24")));
    assert!(Uuid::parse_str(&licence.id).is_ok());
    let shown = licence.to_string();
    assert!(shown.starts_with("licensee    ACME\nplan        ultimate\nadd-ons     duo_pro\n"), "{shown}");
    assert!(shown.contains("\ngood until  2027-01-01 00:00:00 UTC\n"), "{shown}");
}

#[test]
fn add_ons_and_features_may_be_absent_and_nothing_else_may() {
    let key = SigningKey::generate().unwrap();
    for name in ["sub", "plan", "add_ons", "features", "iat", "nbf", "exp", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let verified = verify(&signed(&header(&key), &claims, &key), key.public());
        match name {
            "add_ons" | "features" => assert!(verified.is_ok(), "{name}: {verified:?}"),
            _ => assert!(verified.unwrap_err().to_string().contains(&format!("`{name}`")), "{name}"),
        }
    }
}

#[rstest::rstest]
#[case("plan", json!("gold"), "its plan `gold` is unknown; known: free, premium, ultimate")]
#[case("exp", json!("tomorrow"), "it is no licence: invalid type: string")]
#[case("exp", json!(1_798_761_600.5), "it is no licence: invalid type: floating point")]
#[case("exp", json!(-1), "it is no licence: invalid value: integer `-1`")]
#[case("exp", json!(u64::MAX), "it is no licence: 18446744073709551615 is no time")]
#[case("exp", json!(1_767_225_600), "it is no licence: it ends before it begins")]
#[case("sub", json!(" "), "it is no licence: a name in it is empty")]
#[case("sub", json!("\u{1b}[2J"), "it is no licence: a name in it is empty or cannot be shown")]
#[case("sub", json!("x".repeat(201)), "it is no licence: a name in it has more than 200 characters")]
#[case("add_ons", json!(vec!["a"; 101]), "it is no licence: it names more than 100 add-ons")]
#[case("add_ons", json!("duo_pro"), "it is no licence: invalid type: string")]
fn claims_that_make_no_sense_are_refused_with_the_reason(
    #[case] name: &str,
    #[case] value: Value,
    #[case] reason: &str,
) {
    let key = SigningKey::generate().unwrap();
    let mut claims = claims();
    claims[name] = value;
    let said = refused(&signed(&header(&key), &claims, &key), &key);
    assert!(said.starts_with(reason), "{said}");
}

/// A key nobody has.
const ANOTHER: &str = "00000000000000000000000000000000";

#[rstest::rstest]
#[case("alg", json!("none"), "it is signed with \"none\"; licences are signed with EdDSA")]
#[case("alg", json!("HS256"), "it is signed with \"HS256\"")]
#[case("typ", json!("JWT"), "it is no licence: it is a token for something else")]
#[case("typ", Value::Null, "it is no licence: it is a token for something else")]
#[case("kid", Value::Null, "it is no licence: it does not say who issued it")]
#[case("kid", json!(ANOTHER), "it was issued by another key (00000000000000000000000000000000); this instance takes")]
#[case("kid", json!("0000"), "it is no licence: it does not say who issued it")]
#[case("kid", json!("\u{1b}[2J\nall is well\n0123456789012345"), "it is no licence: it does not say who issued it")]
#[case("jku", json!("https://evil.example/keys"), "it is no licence: it has not the form of one")]
#[case("crit", json!(["exp"]), "it is no licence: it has not the form of one")]
fn a_header_that_is_not_ours_is_refused_with_the_reason(
    #[case] name: &str,
    #[case] value: Value,
    #[case] reason: &str,
) {
    let key = SigningKey::generate().unwrap();
    let mut header = header(&key);
    header[name] = value;
    let said = refused(&signed(&header, &claims(), &key), &key);
    assert!(said.starts_with(reason), "{said}");
}

/// Clears the screen, begins a line of its own and goes on for long.
fn hostile() -> String {
    format!("\u{1b}[2J\nin force: everything\u{202e}\u{2028}{}", "x".repeat(5_000))
}

#[rstest::rstest]
#[case::an_algorithm(Some("alg"), None)]
#[case::an_issuer(Some("kid"), None)]
#[case::a_plan(None, Some("plan"))]
#[case::a_claim_of_another_type(None, Some("exp"))]
fn what_a_refusal_quotes_is_short_and_can_be_shown(
    #[case] in_header: Option<&str>,
    #[case] in_claims: Option<&str>,
) {
    let key = SigningKey::generate().unwrap();
    let (mut header, mut claims) = (header(&key), claims());
    if let Some(name) = in_header {
        header[name] = json!(hostile());
    }
    if let Some(name) = in_claims {
        claims[name] = json!(hostile());
    }
    let said = refused(&signed(&header, &claims, &key), &key);
    assert!(said.len() < 500, "{said}");
    assert!(said.chars().all(|c| c.is_ascii() && !c.is_ascii_control()), "{said:?}");
}

#[rstest::rstest]
#[case("")]
#[case("ACME may use everything")]
#[case("a.b")]
#[case("..")]
#[case("a.b.c.d")]
#[case("e30.e30.")]
fn what_has_not_the_form_of_a_licence_is_none(#[case] text: &str) {
    let said = refused(text, &SigningKey::generate().unwrap());
    assert!(said.starts_with("it is no licence: "), "{said}");
}

#[test]
fn a_licence_of_another_issuer_is_foreign_and_both_keys_are_named() {
    let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let said = refused(&a_licence(&theirs), &ours);
    assert!(
        said.contains(theirs.public().fingerprint()) && said.contains(ours.public().fingerprint()),
        "{said}"
    );
    // Somebody else signs in our name.
    let forged = signed(&header(&ours), &claims(), &theirs);
    assert_eq!(verify(&forged, ours.public()), Err(Refusal::Tampered));
}

#[test]
fn a_plan_changed_after_issuing_is_tampering() {
    let key = SigningKey::generate().unwrap();
    let modest = signed(&header(&key), &claims(), &key);
    let mut better = claims();
    better["plan"] = json!("premium");
    let other = signed(&header(&key), &better, &key);
    let (Some((_, signature)), Some((message, _))) = (modest.rsplit_once('.'), other.rsplit_once('.')) else {
        panic!("no parts");
    };
    assert_eq!(verify(&format!("{message}.{signature}"), key.public()), Err(Refusal::Tampered));
}

#[test]
fn it_is_good_from_its_first_second_to_before_its_last() {
    let key = SigningKey::generate().unwrap();
    let licence = verify(&a_licence(&key), key.public()).unwrap();
    const INSTANT: Duration = Duration::from_nanos(1);
    let (first, last) = (day("2026-01-01"), day("2027-01-01"));
    assert_eq!(licence.check(first - INSTANT), Err(Refusal::NotYet(first)));
    assert_eq!(licence.check(first), Ok(()));
    assert_eq!(licence.check(last - INSTANT), Ok(()));
    assert_eq!(licence.check(last), Err(Refusal::Expired(last)));
    let said = licence.check(last).unwrap_err().to_string();
    assert_eq!(said, "it expired at 2027-01-01 00:00:00 UTC");
    assert_eq!((licence.days_left(last - INSTANT), licence.days_left(last + INSTANT)), (0, 0));
    assert_eq!(licence.days_left(first), 365);
}

#[test]
fn terms_nobody_would_take_are_not_issued() {
    let key = SigningKey::generate().unwrap();
    let backwards =
        issue(terms("2027-01-01", "2026-01-01"), day("2026-01-01"), &key).unwrap_err().to_string();
    assert_eq!(backwards, "nobody would take it: it is no licence: it ends before it begins");
}

proptest! {
    #[test]
    fn any_changed_byte_makes_it_worthless(at: prop::sample::Index, flip in 1..=255_u8) {
        let key = SigningKey::generate().unwrap();
        let text = a_licence(&key);
        let mut bytes = text.into_bytes();
        let index = at.index(bytes.len());
        bytes[index] ^= flip;
        let changed = String::from_utf8_lossy(&bytes);
        prop_assert!(verify(&changed, key.public()).is_err(), "{}", changed);
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in ".*") {
        let key = SigningKey::generate().unwrap();
        prop_assert!(verify(&text, key.public()).is_err());
    }
}
