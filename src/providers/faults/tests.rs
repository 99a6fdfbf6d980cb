use reqwest::header::{HeaderName, HeaderValue};
use rstest::rstest;

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    lines.iter().map(header).collect()
}

#[rstest]
#[case(400, Code::UpstreamRejected, Retry::Never)]
#[case(401, Code::UpstreamAuth, Retry::Never)]
#[case(402, Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case(403, Code::UpstreamAuth, Retry::Never)]
#[case(404, Code::UpstreamRejected, Retry::Never)]
#[case(408, Code::UpstreamTimeout, Retry::Again)]
#[case(409, Code::UpstreamUnavailable, Retry::Again)]
#[case(413, Code::UpstreamTooLarge, Retry::Never)]
#[case(422, Code::UpstreamRejected, Retry::Never)]
#[case(429, Code::UpstreamRateLimited, Retry::Elsewhere)]
#[case(500, Code::UpstreamUnavailable, Retry::Again)]
#[case(502, Code::UpstreamUnavailable, Retry::Again)]
#[case(503, Code::UpstreamOverloaded, Retry::Again)]
#[case(504, Code::UpstreamTimeout, Retry::Again)]
#[case(529, Code::UpstreamOverloaded, Retry::Again)]
#[case(302, Code::UpstreamMalformed, Retry::Never)]
#[case(101, Code::UpstreamMalformed, Retry::Never)]
fn a_status_has_one_meaning(#[case] status: u16, #[case] code: Code, #[case] retry: Retry) {
    let error = of_status(Rejection::of_status(status));
    assert_eq!(
        (error.code, error.retry, error.what.as_ref()),
        (code, retry, format!("status {status}").as_str())
    );
}

#[rstest]
#[case(500, None, Some(false), Retry::Elsewhere)]
#[case(500, None, Some(true), Retry::Again)]
#[case(402, None, Some(true), Retry::Again)]
#[case(429, None, Some(true), Retry::Again)]
#[case(429, Some(1), None, Retry::Again)]
#[case(429, Some(1), Some(false), Retry::Elsewhere)]
#[case(400, None, Some(true), Retry::Never)]
fn a_provider_knows_better_than_its_status_but_not_than_the_call(
    #[case] status: u16,
    #[case] seconds: Option<u64>,
    #[case] should_retry: Option<bool>,
    #[case] expected: Retry,
) {
    let retry_after = seconds.map(Duration::from_secs);
    let error = of_status(Rejection { retry_after, should_retry, ..Rejection::of_status(status) });
    assert_eq!((error.retry, error.retry_after), (expected, retry_after));
}

const NOON: (&str, &str) = ("date", "Sun, 06 Nov 1994 12:00:00 GMT");

#[rstest]
#[case::seconds(&[("retry-after", "7")], Some(7_000))]
#[case::fractions(&[("retry-after", " 0.25 ")], Some(250))]
#[case::milliseconds(&[("retry-after", "1"), ("retry-after-ms", "130")], Some(130))]
#[case::milliseconds_that_are_over(&[("retry-after-ms", "-5")], Some(0))]
#[case::a_date(&[NOON, ("retry-after", "Sun, 06 Nov 1994 12:01:30 GMT")], Some(90_000))]
#[case::a_date_that_is_past(&[NOON, ("retry-after", "Sat, 05 Nov 1994 12:01:30 GMT")], Some(0))]
#[case::a_date_without_another(&[("retry-after", "Sun, 06 Nov 1994 12:01:30 GMT")], None)]
#[case::no_date(&[NOON, ("retry-after", "tomorrow")], None)]
#[case::less_than_nothing(&[("retry-after", "-1")], None)]
#[case::for_ever(&[("retry-after", "inf")], None)]
#[case::no_number(&[("retry-after", "NaN")], None)]
#[case::nothing(&[NOON], None)]
fn how_long_to_wait_is_read_in_every_form(
    #[case] lines: &[(&'static str, &'static str)],
    #[case] milliseconds: Option<u64>,
) {
    assert_eq!(retry_after(&headers(lines)), milliseconds.map(Duration::from_millis));
}

#[rstest]
#[case(r#"{"error": {"message": "no"}}"#, Some("no"))]
#[case(r#"[{"error": {"message": "no"}}]"#, Some("no"))]
#[case(r#"{"error": "no"}"#, Some("no"))]
#[case(r#"{"detail": "no"}"#, Some("no"))]
#[case(r#"{"message": "no"}"#, Some("no"))]
#[case(r#"{"error": "insufficient_credits", "message": "no"}"#, Some("no"))]
#[case(r#"{"error": "forbidden", "detail": "no"}"#, Some("no"))]
#[case(r#"{"error": {"message": "no"}, "message": "other"}"#, Some("no"))]
#[case(r#"{"detail": [{"msg": "no"}]}"#, None)]
#[case("<html>no</html>", None)]
fn the_reason_is_found_in_bodies_of_every_shape(#[case] body: &str, #[case] expected: Option<&str>) {
    let mut rejection = Rejection::of_status(400);
    rejection.read(body.as_bytes());
    assert_eq!(rejection.said.as_deref(), expected);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut rejection = Rejection::of_status(400);
    rejection.read(serde_json::json!({ "error": "ü".repeat(10_000) }).to_string().as_bytes());
    assert_eq!(rejection.said.unwrap(), "ü".repeat(MAX_SAID_CHARACTERS));
}

#[test]
fn without_a_key_that_is_what_is_said() {
    let error = of_key(Rejection::of_status(403), None);
    assert_eq!(error.what, "status 403 with no key");
    assert_eq!(of_key(Rejection::of_status(500), None).what, "status 500");
}

#[test]
fn only_a_provider_that_took_the_call_may_bill_it() {
    assert!(!of_status(Rejection::of_status(408)).was_taken, "a refusal with the code of silence");
    assert!(no_head().was_taken);
}
