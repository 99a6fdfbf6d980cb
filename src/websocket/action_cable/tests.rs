use async_graphql::{ServerError, value};
use duologue_actors::{
    ports::Credentials,
    protocol::{Failure, Hop},
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::websocket::{
    machine::{Effect, Frame, Machine, SecondVerdict, Verdict, tests::RULES},
    origin::Origin,
};

const CABLE: ActionCable = ActionCable { ping: Duration::from_secs(3) };
const IDENTIFIER: &str = r#"{"channel":"GraphqlChannel", "query":"{ a }","variables":"{}"}"#;
fn id() -> OperationId {
    IDENTIFIER.into()
}

fn parsed(messages: &[String]) -> Vec<Value> {
    messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
}

fn opened(origin: Origin, token: Option<&str>) -> (Machine, Effect, Instant) {
    let now = Instant::now();
    let credentials = token.map(Credentials::token).unwrap_or_default();
    let mut machine = Machine::new(Box::new(CABLE), RULES, origin, credentials, now);
    let effect = machine.opened();
    (machine, effect, now)
}

fn admitted() -> (Machine, Instant) {
    let (mut machine, _, now) = opened(Origin::Absent, Some("alice"));
    assert!(matches!(machine.verified(Verdict::Welcome { expires: None }, now), Effect::Admit));
    (machine, now)
}

fn command(command: &str, identifier: &str) -> String {
    json!({"command": command, "identifier": identifier}).to_string()
}

fn sent(effect: Effect) -> Vec<Value> {
    match effect {
        Effect::Send(messages) => parsed(&messages),
        other => panic!("{other:?}"),
    }
}

fn closed(effect: Effect) -> Close {
    match effect {
        Effect::Close(close) => close,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_upgrade_alone_introduces_a_client_who_is_not_read_before_it_is_known() {
    let (mut machine, effect, now) = opened(Origin::Absent, Some("alice"));
    assert!(matches!(effect, Effect::Verify(_)) && !machine.listens());
    assert_eq!(machine.deadline(), Some(now + RULES.init));
    assert!(matches!(machine.verified(Verdict::Welcome { expires: None }, now), Effect::Admit));
    assert!(machine.listens());
    assert_eq!(CABLE.greeting(), r#"{"type":"welcome"}"#);
}

#[test]
fn a_program_without_a_token_is_nobody_and_a_page_may_be_somebody() {
    assert_eq!(closed(opened(Origin::Absent, None).1), Close::Forbidden("a token is needed"));
    assert!(matches!(opened(Origin::Trusted, None).1, Effect::Verify(_)));
}

#[test]
fn a_subscribe_begins_under_its_identifier_and_a_repeated_one_is_not_answered() {
    let (mut machine, now) = admitted();
    let subscribe = command("subscribe", IDENTIFIER);
    let effect = machine.received(Frame::Text(&subscribe), now);
    assert!(matches!(&effect, Effect::Start { id, .. } if id.as_ref() == IDENTIFIER), "{effect:?}");
    assert!(matches!(machine.received(Frame::Text(&subscribe), now), Effect::Nothing));
    let unsubscribe = command("unsubscribe", IDENTIFIER);
    assert!(matches!(machine.received(Frame::Text(&unsubscribe), now), Effect::Stop(_)));
    assert!(matches!(machine.received(Frame::Text(&unsubscribe), now), Effect::Nothing));
    assert!(matches!(machine.received(Frame::Text(&subscribe), now), Effect::Start { .. }));
}

#[test]
fn the_same_request_under_another_identifier_is_another_subscription() {
    let (mut machine, now) = admitted();
    for identifier in [IDENTIFIER, &IDENTIFIER.replace(", ", ",")] {
        let effect = machine.received(Frame::Text(&command("subscribe", identifier)), now);
        assert!(matches!(effect, Effect::Start { .. }), "{effect:?}");
    }
    let third = IDENTIFIER.replace(", ", ",  ");
    let refused = sent(machine.received(Frame::Text(&command("subscribe", &third)), now));
    assert_eq!(refused[0]["message"]["result"]["errors"][0]["extensions"]["code"], "rate_limited");
    assert_eq!(refused[1], json!({"identifier": third, "type": "reject_subscription"}));
}

#[rstest]
#[case::no_json("no identifier")]
#[case::another_channel(r#"{"channel":"NotesChannel"}"#)]
fn an_identifier_of_no_channel_is_rejected_and_nothing_else(#[case] identifier: &str) {
    let (mut machine, now) = admitted();
    let said = sent(machine.received(Frame::Text(&command("subscribe", identifier)), now));
    assert_eq!(said, [json!({"identifier": identifier, "type": "reject_subscription"})]);
}

#[test]
fn an_identifier_without_a_query_hears_why_it_is_rejected() {
    let (mut machine, now) = admitted();
    let identifier = r#"{"channel":"GraphqlChannel"}"#;
    let said = sent(machine.received(Frame::Text(&command("subscribe", identifier)), now));
    let result = &said[0]["message"]["result"];
    assert_eq!(result["errors"][0]["message"], "No query string was present");
    assert_eq!(result["data"], json!({"aiCompletionResponse": null}));
    assert_eq!(said[1]["type"], "reject_subscription");
}

#[test]
fn variables_that_are_none_are_an_error_in_both_places_and_confirmed() {
    let (mut machine, now) = admitted();
    let identifier = r#"{"channel":"GraphqlChannel","query":"{ a }","variables":"{"}"#;
    let said = sent(machine.received(Frame::Text(&command("subscribe", identifier)), now));
    let message = &said[0]["message"];
    assert_eq!(message["errors"], json!([{"message": "Variables are invalid JSON"}]));
    assert_eq!(message["result"]["errors"][0]["message"], "Variables are invalid JSON");
    assert_eq!(
        (&message["result"]["data"]["aiCompletionResponse"], &message["more"]),
        (&json!(null), &json!(false))
    );
    assert_eq!(said[1], json!({"identifier": identifier, "type": "confirm_subscription"}));
}

#[rstest]
#[case::no_command(Frame::Text("{}"), "not a JSON object with a `command`")]
#[case::binary(Frame::Binary, "binary frames are not taken")]
#[case::too_large(Frame::TooLarge, "more than 65536 bytes")]
#[case::no_text(Frame::Malformed, "not a websocket frame, or not UTF-8")]
fn what_is_no_command_ends_the_connection_for_good(#[case] frame: Frame<'_>, #[case] what: &str) {
    let (mut machine, now) = admitted();
    let close = closed(machine.received(frame, now));
    assert_eq!(close, Close::BadRequest(what.to_owned()));
    assert_eq!(
        CABLE.farewell(&close).unwrap(),
        r#"{"type":"disconnect","reason":"invalid_request","reconnect":false}"#
    );
}

#[test]
fn commands_of_newer_clients_are_passed_over() {
    let (mut machine, now) = admitted();
    for text in [r#"{"command":"pong"}"#, r#"{"command":"message","identifier":"{}","data":"{}"}"#] {
        assert!(matches!(machine.received(Frame::Text(text), now), Effect::Nothing), "{text}");
    }
}

#[test]
fn a_flood_ends_the_connection_for_now() {
    let (mut machine, now) = admitted();
    for _ in 0..RULES.max_messages_per_second {
        machine.received(Frame::Control, now);
    }
    let close = closed(machine.received(Frame::Control, now));
    assert_eq!((close.code(), disconnect(&close)), (1013, ("remote".to_owned(), true)));
}

fn disconnect(close: &Close) -> (String, bool) {
    let farewell: Value = serde_json::from_str(&CABLE.farewell(close).unwrap()).unwrap();
    assert_eq!(farewell["type"], "disconnect");
    (farewell["reason"].as_str().unwrap().to_owned(), farewell["reconnect"].as_bool().unwrap())
}

#[rstest]
#[case::bad_credentials(Verdict::Invalid, 4403, "unauthorized", false)]
#[case::too_many(Verdict::TooManyConnections, 4403, "remote", true)]
#[case::nobody_can_tell(Verdict::Unavailable, 1013, "remote", true)]
fn who_is_not_let_in_hears_whether_to_come_back(
    #[case] verdict: Verdict,
    #[case] code: u16,
    #[case] reason: &str,
    #[case] reconnect: bool,
) {
    let (mut machine, _, now) = opened(Origin::Absent, Some("alice"));
    let close = closed(machine.verified(verdict, now));
    assert_eq!((close.code(), disconnect(&close)), (code, (reason.to_owned(), reconnect)));
}

#[test]
fn a_token_that_is_not_good_any_more_may_be_replaced() {
    let (mut machine, now) = admitted();
    machine.tick(now + RULES.rechecks.first);
    let close = closed(machine.verified_again(SecondVerdict::NotGood, now + RULES.rechecks.first));
    assert_eq!((close.code(), disconnect(&close)), (4403, ("unauthorized".to_owned(), true)));
    assert_eq!(disconnect(&Close::ServerRestart), ("server_restart".to_owned(), true));
}

#[test]
fn a_ping_carries_the_time() {
    let rhythm = CABLE.rhythm().unwrap();
    assert_eq!((rhythm.ping)(1_700_000_000), r#"{"type":"ping","message":1700000000}"#);
}

#[test]
fn results_are_in_an_envelope_of_their_identifier() {
    let text = CABLE.envelope(&id()).text(br#"{"data":{"aiCompletionResponse":{"id":"1"}}}"#);
    let expected = json!({
        "identifier": IDENTIFIER,
        "message": {"result": {"data": {"aiCompletionResponse": {"id": "1"}}}, "more": true},
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn a_subscription_is_its_first_result_and_a_confirmation() {
    let said = parsed(&CABLE.subscribed(&id(), br#"{"data":{"aiCompletionResponse":null}}"#));
    let message = json!({"result": {"data": {"aiCompletionResponse": null}}, "more": true});
    let confirmation = json!({"identifier": IDENTIFIER, "type": "confirm_subscription"});
    assert_eq!(said, [json!({"identifier": IDENTIFIER, "message": message}), confirmation]);
}

#[test]
fn a_query_is_answered_once() {
    let said = parsed(&CABLE.answered(&id(), &Response::new(value!({"a": 1}))));
    assert_eq!(said[0]["message"], json!({"result": {"data": {"a": 1}}, "more": false}));
    assert_eq!(said[1]["type"], "confirm_subscription");
}

#[rstest]
#[case::a_document(error::refusal("undefinedField", "no"), "confirm_subscription")]
#[case::a_caller(error::refusal("forbidden", "no"), "reject_subscription")]
#[case::no_code(Response::from_errors(vec![ServerError::new("no", None)]), "confirm_subscription")]
fn a_refusal_is_a_result_with_data_and_then_confirmed_or_rejected(
    #[case] response: Response,
    #[case] last: &str,
) {
    let said = parsed(&CABLE.refused(&id(), &Refused::Document(Box::new(response))));
    let message = &said[0]["message"];
    assert_eq!((&message["result"]["errors"][0]["message"], &message["more"]), (&json!("no"), &json!(false)));
    assert_eq!(message["result"]["data"], json!({"aiCompletionResponse": null}));
    assert_eq!((&said[1]["type"], said.len()), (&json!(last), 2));
}

#[test]
fn a_subscription_that_lost_messages_ends_and_says_so() {
    let failure = Failure::new(Code::Overloaded, Hop::Broadcaster, "Messages were lost: subscribe again.");
    let said = parsed(&CABLE.broken_off(&id(), &error::reset_by(&failure)));
    let message = &said[0]["message"];
    assert_eq!(message["result"]["errors"][0]["extensions"]["resume"], "RESET");
    assert_eq!((&message["more"], said.len()), (&json!(false), 1));
}

proptest::proptest! {
    #[test]
    fn an_identifier_comes_back_byte_for_byte(identifier in "\\PC{0,60}|[\"\\\\\u{0}-\u{1f}]{1,9}") {
        let id = OperationId::from(identifier.as_str());
        let everything = [
            CABLE.subscribed(&id, b"{}"),
            CABLE.refused(&id, &Refused::NotTaken(Failure::internal(Hop::Edge))),
            malformed_subscription(&id, &Malformed::Variables),
        ];
        for said in parsed(&everything.concat()) {
            proptest::prop_assert_eq!(&said["identifier"], &Value::from(identifier.as_str()));
        }
    }
}
