//! What clients send over ActionCable: commands, whose identifier contains the GraphQL request.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{graphql::GraphqlRequest, websocket::dialect::OperationId};

const CHANNEL: &str = "GraphqlChannel";

/// One frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Subscribe(OperationId),
    Unsubscribe(OperationId),
    /// A command that asks nothing of this channel. Newer clients have some, and expect them to be ignored
    /// by servers that do not know them.
    Other,
}

/// What is wrong with an identifier.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the identifier names no channel of this server")]
    Channel,
    #[error("{0}")]
    Request(String),
    #[error("Variables are invalid JSON")]
    Variables,
}

#[derive(Deserialize)]
struct Frame {
    command: String,
    identifier: Option<String>,
}

impl Command {
    /// Reads one text frame.
    ///
    /// # Errors
    /// What is wrong with it, for the client's developer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let frame: Frame =
            serde_json::from_str(text).map_err(|_| "not a JSON object with a `command`".to_owned())?;
        match (frame.command.as_str(), frame.identifier) {
            ("subscribe", Some(identifier)) => Ok(Self::Subscribe(identifier.into())),
            ("unsubscribe", Some(identifier)) => Ok(Self::Unsubscribe(identifier.into())),
            ("subscribe" | "unsubscribe", None) => Err("`identifier` is missing".to_owned()),
            _ => Ok(Self::Other),
        }
    }
}

/// The request an identifier contains. Its other members, such as the nonce by which pages tell equal
/// subscriptions apart, are the client's own.
///
/// # Errors
/// When it contains none.
pub fn request(identifier: &str) -> Result<GraphqlRequest, Malformed> {
    let Ok(Value::Object(mut said)) = serde_json::from_str(identifier) else {
        return Err(Malformed::Channel);
    };
    if said.get("channel").and_then(Value::as_str) != Some(CHANNEL) {
        return Err(Malformed::Channel);
    }
    if !said.get("query").is_some_and(Value::is_string) {
        return Err(Malformed::Request("No query string was present".to_owned()));
    }
    let variables = variables(said.remove("variables"))?;
    said.insert("variables".to_owned(), Value::Object(variables));
    serde_json::from_value(Value::Object(said)).map_err(|error| Malformed::Request(error.to_string()))
}

/// In one dialect an object, in the other the text of one.
fn variables(said: Option<Value>) -> Result<Map<String, Value>, Malformed> {
    let object = |value| match value {
        Value::Null => Ok(Map::new()),
        Value::Object(variables) => Ok(variables),
        _ => Err(Malformed::Variables),
    };
    match said.unwrap_or_default() {
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => object(serde_json::from_str(&text).map_err(|_| Malformed::Variables)?),
        value => object(value),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn identifier(variables: Value) -> String {
        json!({"channel": CHANNEL, "query": "{ a }", "operationName": "o", "nonce": "1", "variables": variables})
            .to_string()
    }

    #[rstest]
    #[case(r#"{"command":"subscribe","identifier":" {} "}"#, Ok(Command::Subscribe(" {} ".into())))]
    #[case(r#"{"identifier":"\u007b}","command":"unsubscribe"}"#, Ok(Command::Unsubscribe("{}".into())))]
    #[case(r#"{"command":"message","identifier":"{}","data":"{}"}"#, Ok(Command::Other))]
    #[case(r#"{"command":"pong"}"#, Ok(Command::Other))]
    #[case(r#"{"command":"subscribe"}"#, Err("`identifier` is missing"))]
    #[case(r#"{"command":"unsubscribe","identifier":null}"#, Err("`identifier` is missing"))]
    #[case(r#"{"command":"subscribe","identifier":{}}"#, Err("not a JSON object with a `command`"))]
    #[case(r#"{"command":1}"#, Err("not a JSON object with a `command`"))]
    #[case(r#"{"type":"connection_init"}"#, Err("not a JSON object with a `command`"))]
    #[case("[]", Err("not a JSON object with a `command`"))]
    #[case("", Err("not a JSON object with a `command`"))]
    fn a_frame_is_a_command_or_nonsense(#[case] text: &str, #[case] expected: Result<Command, &str>) {
        assert_eq!(Command::parse(text), expected.map_err(str::to_owned));
    }

    #[rstest]
    #[case::an_object(json!({"a": {"b": 1}}), json!({"a": {"b": 1}}))]
    #[case::a_text(json!(r#"{"a":{"b":1}}"#), json!({"a": {"b": 1}}))]
    #[case::nothing(Value::Null, json!({}))]
    #[case::nothing_in_a_text(json!("null"), json!({}))]
    #[case::an_empty_text(json!(" "), json!({}))]
    fn variables_come_in_two_dialects(#[case] said: Value, #[case] expected: Value) {
        let request = request(&identifier(said)).unwrap();
        assert_eq!(request.variables.map(Value::Object), Some(expected));
        assert_eq!((request.query.as_str(), request.operation_name.as_deref()), ("{ a }", Some("o")));
    }

    #[rstest]
    #[case::no_json(json!("{"))]
    #[case::a_list(json!("[]"))]
    #[case::a_text_in_a_text(json!("\"{}\""))]
    #[case::a_number(json!(1))]
    fn variables_that_are_none_are_told_apart(#[case] said: Value) {
        assert_eq!(request(&identifier(said)).unwrap_err(), Malformed::Variables);
    }

    fn no_request(why: &str) -> Malformed {
        Malformed::Request(why.to_owned())
    }

    #[rstest]
    #[case("", Malformed::Channel)]
    #[case("GraphqlChannel", Malformed::Channel)]
    #[case(r#"["GraphqlChannel"]"#, Malformed::Channel)]
    #[case(r#"{"query":"{ a }"}"#, Malformed::Channel)]
    #[case(r#"{"channel":"Noteable::NotesChannel","query":"{ a }"}"#, Malformed::Channel)]
    #[case(r#"{"channel":"GraphqlChannel"}"#, no_request("No query string was present"))]
    #[case(r#"{"channel":"GraphqlChannel","query":1}"#, no_request("No query string was present"))]
    #[case(
        r#"{"channel":"GraphqlChannel","query":"","operationName":1}"#,
        no_request("invalid type: integer `1`, expected a string")
    )]
    fn an_identifier_without_a_request_says_what_is_wrong(#[case] text: &str, #[case] expected: Malformed) {
        assert_eq!(request(text).unwrap_err(), expected);
    }

    proptest::proptest! {
        #[test]
        fn nothing_a_client_sends_brings_the_reader_down(text in "\\PC{0,80}") {
            let _ = (Command::parse(&text), request(&text));
        }
    }
}
