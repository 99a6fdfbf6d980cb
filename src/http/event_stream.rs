//! Server-Sent Events (the HTML standard, section 9.2): what a client that listens is sent, and by what it goes on
//! after a connection that broke.
//!
//! The id of an event names the request and the place behind the event, so that `Last-Event-ID` alone says what is
//! listened to. The last one's is [`END`]: a client that comes back with it hears that there is no more.

use std::time::Duration;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap},
    },
};
use duologue_actors::{broadcaster::Cursor, protocol::RequestId};
use serde_json::Value;

pub(super) const MEDIA_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";

/// The id of the last event of a request.
pub(super) const END: &str = "end";

/// What keeps a connection alive and says nothing.
pub(super) const HEARTBEAT: &str = ":\n\n";

/// Where a client was when its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Behind an event of this request.
    Behind(RequestId, Cursor),
    /// It has heard the end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Last-Event-ID is none of this server's")]
pub(super) struct ForeignId;

/// The id of an event behind which `cursor` is.
pub(super) fn id(request_id: RequestId, cursor: Cursor) -> String {
    format!("{request_id}.{cursor}")
}

/// Where the client says that it was.
///
/// # Errors
/// When it says so in words that are not ours.
pub(super) fn last(headers: &HeaderMap) -> Result<Option<Last>, ForeignId> {
    let mut values = headers.get_all(LAST_EVENT_ID);
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(LAST_EVENT_ID) { Err(ForeignId) } else { Ok(None) };
    };
    match value.to_str().map_err(|_| ForeignId)? {
        // What a browser sends before it has had an event with an id.
        "" => Ok(None),
        END => Ok(Some(Last::End)),
        id => {
            let (request_id, cursor) = id.split_once('.').ok_or(ForeignId)?;
            let request_id = request_id.parse().map_err(|_| ForeignId)?;
            Ok(Some(Last::Behind(request_id, cursor.parse().map_err(|_| ForeignId)?)))
        }
    }
}

/// Whether the client asks for events by their name; whoever takes anything gets the plain answer, and who says that it
/// takes none (`q=0`) does too.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(MEDIA_TYPE));
        let is_refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0);
        is_named && !parts.any(is_refused)
    })
}

/// One event. Without a name it is what `onmessage` of a browser hears.
pub(super) fn event(name: Option<&str>, id: &str, data: &Value) -> String {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    // JSON has no line breaks of its own, so that data is one line.
    format!("{name}id: {id}\ndata: {data}\n\n")
}

/// How long a client waits before it connects again.
pub(super) fn retry(wait: Duration) -> String {
    format!("retry: {}\n\n", wait.as_millis())
}

/// The head of a response that is such a stream.
pub(super) fn response() -> HttpResponseBuilder {
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, MEDIA_TYPE));
    response.insert_header((CACHE_CONTROL, "no-store"));
    // nginx would gather events before it passes them on.
    response.insert_header(("x-accel-buffering", "no"));
    // A client that comes back knocks anew, and finds the door closed of a server that leaves.
    response.force_close();
    response
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const REQUEST: &str = "0190f5a4-8c1e-7b52-a1d3-5f0f5f1c7e11";
    const CURSOR: &str = "00000000000000070000000000000009";

    fn with(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn an_event_is_written_in_the_words_of_the_standard() {
        let data = json!({"content": "two\nlines"});
        assert_eq!(event(None, "1", &data), "id: 1\ndata: {\"content\":\"two\\nlines\"}\n\n");
        assert_eq!(event(Some("subscribed"), "2", &json!({})), "event: subscribed\nid: 2\ndata: {}\n\n");
        assert_eq!(retry(Duration::from_secs(1)), "retry: 1000\n\n");
    }

    #[test]
    fn the_id_of_an_event_says_where_to_go_on() {
        let (request_id, cursor) = (REQUEST.parse().unwrap(), CURSOR.parse().unwrap());
        let id = id(request_id, cursor);
        let headers = with(LAST_EVENT_ID, &[&id]);
        assert_eq!(last(&headers), Ok(Some(Last::Behind(request_id, cursor))));
        assert_eq!(last(&with(LAST_EVENT_ID, &[END])), Ok(Some(Last::End)));
        assert_eq!(last(&with(LAST_EVENT_ID, &[""])), Ok(None));
        assert_eq!(last(&HeaderMap::new()), Ok(None));
    }

    #[rstest::rstest]
    #[case::a_number(&["7"])]
    #[case::a_request_alone(&[REQUEST])]
    #[case::a_cursor_alone(&[CURSOR])]
    #[case::no_request(&["x.00000000000000070000000000000009"])]
    #[case::no_cursor(&["0190f5a4-8c1e-7b52-a1d3-5f0f5f1c7e11.x"])]
    #[case::twice(&[END, END])]
    #[case::no_text(&["ü"])]
    fn an_id_of_another_server_is_none(#[case] values: &[&str]) {
        assert_eq!(last(&with(LAST_EVENT_ID, values)), Err(ForeignId));
    }

    #[rstest::rstest]
    #[case(&["text/event-stream"], true)]
    #[case(&["application/json, Text/Event-Stream;q=0.9"], true)]
    #[case(&["application/json", "text/event-stream"], true)]
    #[case(&["text/event-stream;q=0"], false)]
    #[case(&["text/event-stream; q=0.0, */*"], false)]
    #[case(&["*/*"], false)]
    #[case(&["text/*"], false)]
    #[case(&[], false)]
    fn events_are_asked_for_by_name(#[case] accept: &[&str], #[case] wanted: bool) {
        assert_eq!(is_wanted(&with("accept", accept)), wanted);
    }
}
