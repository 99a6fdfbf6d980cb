//! Putting the events of one request together: chunks are deltas numbered from 1, the last message has
//! the whole text and no number. Touches no socket and no terminal.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::error::AskError;

/// One frame about our request.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// As the server sent it.
    pub(super) message: Value,
    fields: Fields,
    pub(super) model: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Payload {
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<ErrorMessage>,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "aiCompletionResponse")]
    message: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ErrorMessage {
    message: String,
}

#[derive(Debug, Default, Deserialize)]
struct Extensions {
    model: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    request_id: Option<String>,
    content: Option<String>,
    role: String,
    chunk_id: Option<u32>,
    #[serde(default)]
    errors: Option<Vec<String>>,
}

impl Event {
    /// The event in a subscription's payload; `None` when it is about nothing or another request.
    pub(super) fn of(payload: &Value, request_id: &str) -> Result<Option<Self>, AskError> {
        let odd = |error| AskError::NotUnderstood { what: format!("a message ({error})") };
        let Payload { data, errors, extensions } = Payload::deserialize(payload).map_err(odd)?;
        if !errors.is_empty() {
            let reasons: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            return Err(AskError::Failed(reasons.join("; ")));
        }
        let Some(message) = data.and_then(|data| data.message) else {
            return Ok(None);
        };
        let fields = Fields::deserialize(&message).map_err(odd)?;
        if fields.request_id.as_deref() != Some(request_id) {
            return Ok(None);
        }
        Ok(Some(Self { message, fields, model: extensions.model }))
    }

    /// Whether it is a part of the answer on its way, not the whole of it at the end.
    pub(super) fn is_chunk(&self) -> bool {
        self.fields.chunk_id.is_some()
    }
}

/// How the request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Failed(String),
}

/// What one event adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// To be shown next.
    pub(super) text: String,
    pub(super) end: Option<End>,
}

/// The answer so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    shown: String,
    last_chunk: u32,
    /// Chunks that came before their turn.
    early: BTreeMap<u32, String>,
}

impl Assembly {
    pub(super) fn take(&mut self, event: &Event) -> Taken {
        let fields = &event.fields;
        // The question comes back too, to the user's other pages.
        if !fields.role.eq_ignore_ascii_case("assistant") {
            return Taken::default();
        }
        let content = fields.content.as_deref().unwrap_or_default();
        let errors = fields.errors.as_deref().unwrap_or_default();
        match fields.chunk_id {
            Some(number) => Taken { text: self.chunk(number, content), end: None },
            None if errors.is_empty() => Taken { text: self.whole(content), end: Some(End::Complete) },
            None => Taken { text: String::new(), end: Some(End::Failed(errors.join("; "))) },
        }
    }

    /// Whether what was shown ended its line; nothing shown needs no line's end.
    pub(super) fn ends_with_a_line(&self) -> bool {
        self.shown.is_empty() || self.shown.ends_with('\n')
    }

    /// The text that is now in order. A chunk seen before, as after a reconnect, adds nothing.
    fn chunk(&mut self, number: u32, content: &str) -> String {
        if number <= self.last_chunk {
            return String::new();
        }
        self.early.insert(number, content.to_owned());
        let mut text = String::new();
        while let Some(next) = self.early.remove(&(self.last_chunk + 1)) {
            self.last_chunk += 1;
            text.push_str(&next);
        }
        self.shown.push_str(&text);
        text
    }

    /// What the whole answer has beyond what was shown. An answer that began anew, after a crash of
    /// the server, is shown whole under what was shown of its first attempt.
    fn whole(&mut self, content: &str) -> String {
        let text = match content.strip_prefix(self.shown.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n\n{content}"),
        };
        self.shown.push_str(&text);
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(chunk_id: Option<u32>, content: &str, errors: &[&str]) -> Value {
        json!({ "data": { "aiCompletionResponse": {
            "requestId": "r", "content": content, "role": "ASSISTANT", "chunkId": chunk_id, "errors": errors,
        }}})
    }

    fn event(chunk_id: Option<u32>, content: &str, errors: &[&str]) -> Event {
        Event::of(&payload(chunk_id, content, errors), "r").unwrap().unwrap()
    }

    fn texts(assembly: &mut Assembly, events: &[Event]) -> Vec<String> {
        events.iter().map(|event| assembly.take(event).text).collect()
    }

    #[test]
    fn chunks_are_shown_as_they_come_and_the_last_message_adds_nothing() {
        let mut assembly = Assembly::default();
        let chunks = [event(Some(1), "Hello ", &[]), event(Some(2), "world", &[])];
        assert_eq!(texts(&mut assembly, &chunks), ["Hello ", "world"]);
        let taken = assembly.take(&event(None, "Hello world", &[]));
        assert_eq!(taken, Taken { text: String::new(), end: Some(End::Complete) });
    }

    #[test]
    fn chunks_out_of_order_are_put_in_order() {
        let events = [event(Some(3), "c", &[]), event(Some(1), "a", &[]), event(Some(2), "b", &[])];
        assert_eq!(texts(&mut Assembly::default(), &events), ["", "a", "bc"]);
    }

    #[test]
    fn a_replay_after_a_reconnect_shows_nothing_twice() {
        let events = [1, 2, 1, 2, 3].map(|number| event(Some(number), &number.to_string(), &[]));
        assert_eq!(texts(&mut Assembly::default(), &events), ["1", "2", "", "", "3"]);
    }

    #[test]
    fn an_answer_that_comes_only_whole_is_shown_whole() {
        assert_eq!(Assembly::default().take(&event(None, "All of it.", &[])).text, "All of it.");
    }

    #[test]
    fn what_the_chunks_lacked_comes_from_the_last_message() {
        let mut assembly = Assembly::default();
        assembly.take(&event(Some(1), "Hello", &[]));
        assert_eq!(assembly.take(&event(None, "Hello world", &[])).text, " world");
    }

    #[test]
    fn an_answer_that_began_anew_is_shown_under_the_first_attempt() {
        let mut assembly = Assembly::default();
        assembly.take(&event(Some(1), "Hello", &[]));
        assert_eq!(assembly.take(&event(None, "Good day", &[])).text, "\n\nGood day");
    }

    #[test]
    fn a_failure_ends_it_with_its_reason_and_keeps_what_was_shown() {
        let mut assembly = Assembly::default();
        assembly.take(&event(Some(1), "Hel", &[]));
        let taken = assembly.take(&event(None, "Sorry.", &["Sorry.", "Error code: A1003"]));
        let end = Some(End::Failed("Sorry.; Error code: A1003".to_owned()));
        assert_eq!(taken, Taken { text: String::new(), end });
        assert!(!assembly.ends_with_a_line());
    }

    #[test]
    fn the_echo_of_the_question_is_not_part_of_the_answer() {
        let echo = json!({ "data": { "aiCompletionResponse": {
            "requestId": "r", "content": "why?", "role": "USER", "chunkId": null, "errors": [] }}});
        let event = Event::of(&echo, "r").unwrap().unwrap();
        assert_eq!(Assembly::default().take(&event), Taken::default());
    }

    #[test]
    fn frames_about_nothing_or_another_request_are_no_events() {
        let confirmation =
            json!({ "data": { "aiCompletionResponse": null }, "extensions": { "subscribed": true } });
        assert!(Event::of(&confirmation, "r").unwrap().is_none());
        assert!(Event::of(&payload(Some(1), "x", &[]), "another").unwrap().is_none());
    }

    #[test]
    fn an_error_in_the_subscription_is_the_users_answer() {
        let refused = json!({ "errors": [{ "message": "not yours" }] });
        assert_eq!(Event::of(&refused, "r").unwrap_err().to_string(), "not yours");
    }

    #[test]
    fn the_model_is_named_beside_the_last_message() {
        let mut payload = payload(None, "x", &[]);
        payload["extensions"] = json!({ "model": "embedded/extractive" });
        assert_eq!(Event::of(&payload, "r").unwrap().unwrap().model.as_deref(), Some("embedded/extractive"));
    }

    #[test]
    fn a_message_of_another_shape_is_not_understood() {
        let odd = json!({ "data": { "aiCompletionResponse": { "content": 7 } } });
        assert!(matches!(Event::of(&odd, "r"), Err(AskError::NotUnderstood { .. })));
    }
}
