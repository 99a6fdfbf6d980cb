use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;
use crate::websocket::{graphql_transport_ws::GraphqlTransportWs, recheck::Rechecks};

pub(in crate::websocket) const RULES: Rules = Rules {
    needs_token: true,
    rechecks: Rechecks { first: Duration::from_secs(40), every: Duration::from_secs(60) },
    init: Duration::from_secs(3),
    max_frame_bytes: 65_536,
    max_operations: 2,
    max_messages_per_second: 50,
};
const INIT: &str = r#"{"type":"connection_init","payload":{"Authorization":"Bearer demo-alice"}}"#;
const SUBSCRIBE: &str = r#"{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}"#;

/// Where a machine stands before the frame under test.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Opened,
    Verifying,
    Acknowledged,
    /// With operation `1` under way.
    Busy,
    Closed,
}

/// A machine that speaks `graphql-transport-ws`, whose every message shows.
fn machine(rules: Rules, origin: Origin, credentials: Credentials, now: Instant) -> Machine {
    Machine::new(Box::new(GraphqlTransportWs), rules, origin, credentials, now)
}

fn at(stage: Stage) -> (Machine, Instant) {
    let now = Instant::now();
    let mut machine = machine(RULES, Origin::Trusted, Credentials::default(), now);
    if matches!(stage, Stage::Opened) {
        return (machine, now);
    }
    machine.received(Frame::Text(INIT), now);
    if !matches!(stage, Stage::Verifying) {
        machine.verified(Verdict::Welcome { expires: None }, now);
    }
    match stage {
        Stage::Busy => drop(machine.received(Frame::Text(SUBSCRIBE), now)),
        Stage::Closed => drop(machine.received(Frame::Binary, now)),
        _ => {}
    }
    (machine, now)
}

/// An effect in one line: what the table compares.
fn line(effect: &Effect) -> String {
    match effect {
        Effect::Nothing => "nothing".to_owned(),
        Effect::Send(messages) => format!("send {}", messages.join(" ")),
        Effect::Admit => "admit".to_owned(),
        Effect::Verify(credentials) => {
            let token = credentials.token.as_ref().map(|token| token.expose_secret().to_owned());
            format!("verify {}", token.unwrap_or_else(|| "nobody".to_owned()))
        }
        Effect::VerifyAgain => "verify again".to_owned(),
        Effect::Start { id, request, .. } => format!("start {id}: {}", request.query),
        Effect::Stop(id) => format!("stop {id}"),
        Effect::Close(close) => format!("close {} {}", close.code(), close.reason()),
    }
}

fn outcome(stage: Stage, frame: Frame<'_>) -> String {
    let (mut machine, now) = at(stage);
    line(&machine.received(frame, now))
}

const UNAUTHORIZED: &str = "close 4401 Unauthorized";
const TWICE: &str = "close 4429 Too many initialisation requests";
const PONG: &str = r#"send {"type":"pong"}"#;

#[rstest]
#[case::init(INIT, ["verify demo-alice", TWICE, TWICE, TWICE])]
#[case::anonymous_init(r#"{"type":"connection_init"}"#, ["verify nobody", TWICE, TWICE, TWICE])]
#[case::subscribe(SUBSCRIBE, [UNAUTHORIZED, UNAUTHORIZED, "start 1: { a }", "close 4409 Subscriber for 1 already exists"])]
#[case::complete(r#"{"type":"complete","id":"1"}"#, ["nothing", "nothing", "nothing", "stop 1"])]
#[case::complete_of_another(r#"{"type":"complete","id":"2"}"#, ["nothing"; 4])]
#[case::ping(r#"{"type":"ping"}"#, [PONG; 4])]
#[case::ping_with_payload(r#"{"type":"ping","payload":{"a":1}}"#, [r#"send {"type":"pong","payload":{"a":1}}"#; 4])]
#[case::pong(r#"{"type":"pong"}"#, ["nothing"; 4])]
fn every_message_has_one_effect_in_every_state(#[case] text: &str, #[case] effects: [&str; 4]) {
    let stages = [Stage::Opened, Stage::Verifying, Stage::Acknowledged, Stage::Busy];
    for (stage, effect) in stages.into_iter().zip(effects) {
        assert_eq!(outcome(stage, Frame::Text(text)), effect, "{stage:?}");
    }
    assert_eq!(outcome(Stage::Closed, Frame::Text(text)), "nothing");
}

#[test]
fn a_resumption_that_cannot_be_understood_is_not_taken_for_none() {
    let init = r#"{"type":"connection_init","payload":{"Authorization":"Bearer a","resume":{"C":"1"}}}"#;
    let what = "`payload.resume` has a value that is not a cursor of this server";
    assert_eq!(outcome(Stage::Opened, Frame::Text(init)), format!("close 4400 invalid message: {what}"));
}

#[rstest]
#[case("", "not JSON")]
#[case("{", "not JSON")]
#[case("[]", "not a JSON object")]
#[case("null", "not a JSON object")]
#[case("{}", "`type` is missing or not a string")]
#[case(r#"{"type":1}"#, "`type` is missing or not a string")]
#[case(r#"{"type":"start","id":"1"}"#, "`start` is no type a client sends")]
#[case(r#"{"type":"next","id":"1","payload":{}}"#, "`next` is no type a client sends")]
#[case(r#"{"type":"connection_init","payload":"a"}"#, "`payload` is not an object")]
#[case(r#"{"type":"ping","payload":1}"#, "`payload` is not an object")]
#[case(r#"{"type":"pong","payload":1}"#, "`payload` is not an object")]
#[case(r#"{"type":"subscribe","payload":{"query":"{a}"}}"#, "`id` is missing or not a string")]
#[case(r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#, "`id` is empty")]
#[case(r#"{"type":"subscribe","id":"1"}"#, "`payload` is missing")]
#[case(r#"{"type":"subscribe","id":"1","payload":{}}"#, "`payload`: missing field `query`")]
#[case(r#"{"type":"complete"}"#, "`id` is missing or not a string")]
#[case(r#"{"type":"complete","id":1}"#, "`id` is missing or not a string")]
fn a_message_that_is_none_closes_4400_and_says_why(#[case] text: &str, #[case] what: &str) {
    for stage in [Stage::Opened, Stage::Verifying, Stage::Acknowledged, Stage::Busy] {
        assert_eq!(outcome(stage, Frame::Text(text)), format!("close 4400 invalid message: {what}"));
    }
}

#[rstest]
#[case(Frame::Binary, "binary frames are not taken")]
#[case(Frame::TooLarge, "more than 65536 bytes")]
#[case(Frame::Malformed, "not a websocket frame, or not UTF-8")]
fn a_frame_that_is_no_text_closes_4400(#[case] frame: Frame<'_>, #[case] what: &str) {
    for stage in [Stage::Opened, Stage::Verifying, Stage::Acknowledged, Stage::Busy] {
        assert_eq!(outcome(stage, frame), format!("close 4400 invalid message: {what}"));
    }
    assert_eq!(outcome(Stage::Closed, frame), "nothing");
}

#[rstest]
#[case(Verdict::Welcome { expires: None }, "admit")]
#[case(Verdict::Invalid, "close 4403 Forbidden: invalid credentials")]
#[case(Verdict::TooManyConnections, "close 4403 Forbidden: too many connections")]
#[case(Verdict::Unavailable, "close 1013 credentials cannot be verified at the moment")]
fn a_verdict_opens_or_closes(#[case] verdict: Verdict, #[case] effect: &str) {
    let (mut machine, now) = at(Stage::Verifying);
    assert_eq!(line(&machine.verified(verdict, now)), effect);
    for stage in [Stage::Opened, Stage::Acknowledged, Stage::Closed] {
        let (mut machine, _) = at(stage);
        assert_eq!(line(&machine.verified(verdict, now)), "nothing", "{stage:?}");
    }
}

#[rstest]
#[case::nothing_and_no_page(
    Origin::Absent,
    None,
    r#"{"type":"connection_init"}"#,
    "close 4403 Forbidden: a token is needed"
)]
#[case::a_page_without_token(Origin::Trusted, None, r#"{"type":"connection_init"}"#, "verify nobody")]
#[case::the_upgrades(Origin::Absent, Some("header"), r#"{"type":"connection_init"}"#, "verify header")]
#[case::the_messages(
    Origin::Absent,
    None,
    r#"{"type":"connection_init","payload":{"private-token":"message"}}"#,
    "verify message"
)]
#[case::both(
    Origin::Absent,
    Some("header"),
    r#"{"type":"connection_init","payload":{"PRIVATE-TOKEN":"message"}}"#,
    "verify message"
)]
fn a_token_comes_with_the_upgrade_or_with_the_first_message(
    #[case] origin: Origin,
    #[case] header: Option<&str>,
    #[case] text: &str,
    #[case] effect: &str,
) {
    let now = Instant::now();
    let mut machine = machine(RULES, origin, header.map(Credentials::token).unwrap_or_default(), now);
    assert_eq!(line(&machine.received(Frame::Text(text), now)), effect);
}

#[test]
fn without_init_a_socket_is_closed_4408_after_3_seconds_and_not_before() {
    let (mut machine, now) = at(Stage::Opened);
    assert_eq!(machine.deadline(), Some(now + RULES.init));
    assert_eq!(line(&machine.tick(now + Duration::from_millis(2_999))), "nothing");
    assert_eq!(line(&machine.tick(now + RULES.init)), "close 4408 Connection initialisation timeout");
    assert_eq!((machine.deadline(), line(&machine.tick(now + RULES.init))), (None, "nothing".to_owned()));
}

#[test]
fn a_caller_nobody_can_verify_is_sent_away_when_the_time_to_begin_is_over() {
    let (mut machine, now) = at(Stage::Verifying);
    assert_eq!(machine.deadline(), Some(now + RULES.init));
    let close = line(&machine.tick(now + RULES.init));
    assert_eq!(close, "close 1013 credentials cannot be verified at the moment");
}

#[test]
fn a_socket_outlives_its_token_by_nothing() {
    let (mut machine, now) = at(Stage::Verifying);
    let expires = now + Duration::from_secs(30);
    machine.verified(Verdict::Welcome { expires: Some(expires) }, now);
    assert_eq!(line(&machine.tick(expires - Duration::from_millis(1))), "nothing");
    assert_eq!(line(&machine.tick(expires)), "close 4403 Forbidden: the token has expired");
}

#[test]
fn where_no_token_is_needed_a_program_without_one_is_asked_about_too() {
    let now = Instant::now();
    let rules = Rules { needs_token: false, ..RULES };
    let mut machine = machine(rules, Origin::Absent, Credentials::default(), now);
    let init = Frame::Text(r#"{"type":"connection_init"}"#);
    assert_eq!(line(&machine.received(init, now)), "verify nobody");
}

#[test]
fn credentials_are_looked_at_again_and_again_and_never_twice_at_once() {
    let (mut machine, now) = at(Stage::Acknowledged);
    let first = now + RULES.rechecks.first;
    assert_eq!(machine.deadline(), Some(first));
    assert_eq!(line(&machine.tick(first - Duration::from_millis(1))), "nothing");
    assert_eq!(line(&machine.tick(first)), "verify again");
    // However long the answer takes.
    assert_eq!(machine.deadline(), None);
    assert_eq!(line(&machine.tick(first + Duration::from_secs(3_600))), "nothing");
    for round in 0..3 {
        let answered = first + Duration::from_secs(100 * round);
        let verdict = SecondVerdict::Good { expires: None };
        assert_eq!(line(&machine.verified_again(verdict, answered)), "nothing");
        assert_eq!(machine.deadline(), Some(answered + RULES.rechecks.every));
        assert_eq!(line(&machine.tick(answered + RULES.rechecks.every)), "verify again");
    }
}

#[test]
fn a_token_that_is_not_good_any_more_closes_the_socket() {
    let (mut machine, now) = at(Stage::Busy);
    machine.tick(now + RULES.rechecks.first);
    let close = line(&machine.verified_again(SecondVerdict::NotGood, now + RULES.rechecks.first));
    assert_eq!(close, "close 4403 Forbidden: the token is not good any more");
    assert_eq!(machine.deadline(), None);
}

#[test]
fn while_nobody_can_tell_a_socket_lives_on_until_its_token_expires() {
    let (mut machine, now) = at(Stage::Verifying);
    let expires = now + Duration::from_secs(90);
    machine.verified(Verdict::Welcome { expires: Some(expires) }, now);
    let mut at = now + RULES.rechecks.first;
    assert_eq!(line(&machine.tick(at)), "verify again");
    assert_eq!(machine.deadline(), Some(expires), "also while the answer is outstanding");
    assert_eq!(line(&machine.verified_again(SecondVerdict::Unknown, at)), "nothing");
    at += RULES.rechecks.every;
    assert_eq!(machine.deadline(), Some(expires), "which comes before the next look");
    assert!(expires < at);
    assert_eq!(line(&machine.tick(expires)), "close 4403 Forbidden: the token has expired");
}

#[rstest]
#[case::later(Some(300), "nothing", "verify again")]
#[case::never(None, "nothing", "verify again")]
#[case::earlier(Some(50), "close 4403 Forbidden: the token has expired", "nothing")]
#[case::now(Some(40), "close 4403 Forbidden: the token has expired", "nothing")]
fn a_second_look_moves_the_expiry(#[case] expires: Option<u64>, #[case] at_60: &str, #[case] at_100: &str) {
    let (mut machine, now) = at(Stage::Verifying);
    let after = |seconds| now + Duration::from_secs(seconds);
    machine.verified(Verdict::Welcome { expires: Some(after(60)) }, now);
    assert_eq!(line(&machine.tick(after(40))), "verify again");
    let verdict = SecondVerdict::Good { expires: expires.map(after) };
    assert_eq!(line(&machine.verified_again(verdict, after(40))), "nothing");
    assert_eq!(line(&machine.tick(after(60))), at_60);
    assert_eq!(line(&machine.tick(after(100))), at_100);
}

#[test]
fn a_late_answer_opens_nothing_and_revives_nothing() {
    for stage in [Stage::Opened, Stage::Verifying, Stage::Closed] {
        let (mut machine, now) = at(stage);
        let deadline = machine.deadline();
        let verdict = SecondVerdict::Good { expires: None };
        assert_eq!(line(&machine.verified_again(verdict, now)), "nothing", "{stage:?}");
        assert_eq!(machine.deadline(), deadline);
    }
}

#[test]
fn one_operation_too_many_is_refused_alone_and_an_ended_one_makes_room() {
    let (mut machine, now) = at(Stage::Busy);
    let subscribe = |id: &str| SUBSCRIBE.replace(r#""1""#, &format!(r#""{id}""#));
    assert_eq!(line(&machine.received(Frame::Text(&subscribe("2")), now)), "start 2: { a }");
    let refused = line(&machine.received(Frame::Text(&subscribe("3")), now));
    assert!(refused.starts_with(r#"send {"type":"error","id":"3","#), "{refused}");
    machine.finished(&"1".into());
    assert_eq!(line(&machine.received(Frame::Text(&subscribe("3")), now)), "start 3: { a }");
}

#[test]
fn an_id_of_an_ended_or_stopped_operation_may_be_used_again() {
    let (mut machine, now) = at(Stage::Busy);
    machine.received(Frame::Text(r#"{"type":"complete","id":"1"}"#), now);
    assert_eq!(line(&machine.received(Frame::Text(SUBSCRIBE), now)), "start 1: { a }");
    machine.finished(&"1".into());
    assert_eq!(line(&machine.received(Frame::Text(SUBSCRIBE), now)), "start 1: { a }");
}

#[test]
fn frames_of_any_kind_count_and_one_too_many_in_a_second_closes_1013() {
    let (mut machine, now) = at(Stage::Opened);
    for frame in [Frame::Control, Frame::Text(r#"{"type":"pong"}"#)].into_iter().cycle().take(50) {
        assert_eq!(line(&machine.received(frame, now)), "nothing");
    }
    assert_eq!(line(&machine.received(Frame::Control, now)), "close 1013 too many messages a second");
}

proptest! {
    #[test]
    fn no_frames_bring_the_machine_down_and_after_a_close_it_is_silent(frames in prop::collection::vec(a_frame(), 1..80)) {
        let (mut machine, now) = at(Stage::Opened);
        let mut closed = false;
        for frame in &frames {
            let effect = match frame {
                Sent::Text(text) => machine.received(Frame::Text(text), now),
                Sent::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => machine.received(Frame::Text(text), now),
                    Err(_) => machine.received(Frame::Malformed, now),
                },
                Sent::Verdict(verdict) => machine.verified(*verdict, now),
                Sent::SecondVerdict(verdict) => machine.verified_again(*verdict, now),
            };
            prop_assert!(!closed || matches!(effect, Effect::Nothing));
            if let Effect::Close(close) = &effect {
                prop_assert!([4400, 4401, 4403, 4409, 4429, 1013].contains(&close.code()));
                prop_assert!(close.reason().len() <= 123);
                closed = true;
            }
            prop_assert!(machine.active.len() <= RULES.max_operations);
        }
    }
}

#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Bytes(Vec<u8>),
    Verdict(Verdict),
    SecondVerdict(SecondVerdict),
}

fn a_frame() -> impl Strategy<Value = Sent> {
    let kinds =
        prop::sample::select(vec!["connection_init", "subscribe", "complete", "ping", "pong", "next", "x"]);
    let ids = prop::sample::select(vec!["1", "2", "3", "", "\u{1f600}"]);
    let payloads =
        prop::sample::select(vec!["{}", "null", "1", r#"{"query":"{a}"}"#, r#"{"PRIVATE-TOKEN":"a"}"#]);
    let verdicts = prop::sample::select(vec![
        Verdict::Welcome { expires: None },
        Verdict::Welcome { expires: None },
        Verdict::Unavailable,
    ]);
    let second_verdicts = prop::sample::select(vec![
        SecondVerdict::Good { expires: None },
        SecondVerdict::Unknown,
        SecondVerdict::NotGood,
    ]);
    prop_oneof![
        6 => (kinds, ids, payloads).prop_map(|(kind, id, payload)| {
            Sent::Text(format!(r#"{{"type":"{kind}","id":"{id}","payload":{payload}}}"#))
        }),
        1 => any::<String>().prop_map(Sent::Text),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Sent::Bytes),
        2 => verdicts.prop_map(Sent::Verdict),
        1 => second_verdicts.prop_map(Sent::SecondVerdict),
    ]
}
