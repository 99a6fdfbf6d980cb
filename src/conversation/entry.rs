//! One message as an entry of a stream, field by field as GitLab's own layer has it, so that either can read what
//! the other wrote.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use duologue_actors::protocol::{ChatMessage, MessageId, RequestId, Role};
use time::{
    OffsetDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};
use uuid::Uuid;

use super::outbox::StreamName;
use crate::calendar;

/// A time as Ruby writes it where it is not in UTC.
const WITH_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// An entry as it is read: its id in the stream, and its fields in no particular order.
pub(super) type Entry = (String, HashMap<String, Vec<u8>>);

/// Where a stream is.
pub(super) fn key(StreamName { owner, thread_id }: StreamName) -> String {
    match thread_id {
        None => format!("ai_chat:{owner}"),
        Some(thread_id) => format!("ai_chat:{owner}:{thread_id}"),
    }
}

/// The fields of `message`. There is no `referer_url`: a field without a value is left out, and messages here have
/// none.
pub(super) fn fields(message: &ChatMessage) -> [(&'static str, String); 7] {
    [
        ("id", message.id.0.to_string()),
        ("request_id", message.request_id.as_uuid().to_string()),
        ("role", message.role.as_str().to_owned()),
        ("content", message.content.clone()),
        ("errors", serde_json::Value::from(message.errors.clone()).to_string()),
        ("extras", "{}".to_owned()),
        ("timestamp", calendar::utc(message.timestamp).format(&Rfc3339).unwrap_or_default()),
    ]
}

/// The id of the entry's message, if it has one.
pub(super) fn id((_, fields): &Entry) -> Option<MessageId> {
    uuid(fields, "id").map(MessageId)
}

/// The entry's message, without its thread, which its stream says; `None` when it is none that can be shown as what it
/// is.
pub(super) fn message(entry: &Entry) -> Option<ChatMessage> {
    let (position, fields) = entry;
    let written_at = || added_at(position);
    Some(ChatMessage {
        id: id(entry)?,
        request_id: RequestId::from(uuid(fields, "request_id")?),
        thread_id: None,
        role: role(text(fields, "role")?)?,
        content: present(fields, "content")?.unwrap_or_default().to_owned(),
        timestamp: present(fields, "timestamp")?.map_or_else(written_at, moment)?,
        chunk_id: None,
        errors: present(fields, "errors")?.map_or(Some(Vec::new()), errors)?,
    })
}

fn text<'f>(fields: &'f HashMap<String, Vec<u8>>, name: &str) -> Option<&'f str> {
    std::str::from_utf8(fields.get(name)?).ok()
}

/// A field that may be missing, but must be a text where it is there.
fn present<'f>(fields: &'f HashMap<String, Vec<u8>>, name: &str) -> Option<Option<&'f str>> {
    if fields.contains_key(name) { text(fields, name).map(Some) } else { Some(None) }
}

fn uuid(fields: &HashMap<String, Vec<u8>>, name: &str) -> Option<Uuid> {
    Uuid::parse_str(text(fields, name)?).ok()
}

fn role(name: &str) -> Option<Role> {
    [Role::User, Role::Assistant, Role::System].into_iter().find(|role| role.as_str() == name)
}

fn errors(json: &str) -> Option<Vec<String>> {
    serde_json::from_str::<Option<Vec<String>>>(json).ok().map(Option::unwrap_or_default)
}

fn moment(text: &str) -> Option<SystemTime> {
    let dated = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, WITH_OFFSET));
    match dated {
        Ok(moment) => Some(moment.into()),
        Err(_) => calendar::parse(text),
    }
}

/// When Redis added the entry: its id begins with the milliseconds.
fn added_at(position: &str) -> Option<SystemTime> {
    let milliseconds = position.split('-').next()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use duologue_actors::protocol::{ThreadId, UserId};
    use proptest::prelude::*;

    use super::*;

    fn a_message() -> ChatMessage {
        ChatMessage {
            id: MessageId::new(),
            request_id: RequestId::new(),
            thread_id: None,
            role: Role::Assistant,
            content: "forty-two\r\n\u{0}".to_owned(),
            timestamp: SystemTime::UNIX_EPOCH + Duration::new(1_787_000_000, 123_456_789),
            chunk_id: None,
            errors: vec!["sorry \"alice\"".to_owned()],
        }
    }

    fn written(message: &ChatMessage) -> Entry {
        let fields = fields(message).into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes()));
        ("1787000000500-0".to_owned(), fields.collect())
    }

    fn without(name: &str) -> Entry {
        let (position, mut fields) = written(&a_message());
        fields.remove(name);
        (position, fields)
    }

    fn with(name: &str, value: &[u8]) -> Entry {
        let (position, mut fields) = written(&a_message());
        fields.insert(name.to_owned(), value.to_vec());
        (position, fields)
    }

    #[test]
    fn a_stream_is_its_owners_and_that_of_one_more_thread_its_own() {
        let stream = StreamName { owner: UserId(2), thread_id: None };
        assert_eq!(key(stream), "ai_chat:2");
        assert_eq!(key(StreamName { thread_id: Some(ThreadId(7)), ..stream }), "ai_chat:2:7");
    }

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        let original = a_message();
        assert_eq!(message(&written(&original)), Some(original));
    }

    #[test]
    fn fields_that_may_be_missing_or_are_unknown_hinder_nobody() {
        assert_eq!(message(&without("content")).unwrap().content, "");
        assert_eq!(message(&without("errors")).unwrap().errors, [""; 0]);
        assert_eq!(message(&with("errors", b"null")).unwrap().errors, [""; 0]);
        assert!(message(&without("extras")).is_some());
        assert!(message(&with("referer_url", b"http://127.0.0.1/x")).is_some());
        let added_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_787_000_000_500);
        assert_eq!(message(&without("timestamp")).unwrap().timestamp, added_at);
    }

    #[rstest::rstest]
    #[case::id(without("id"))]
    #[case::request(without("request_id"))]
    #[case::role(without("role"))]
    #[case::another_role(with("role", b"admin"))]
    #[case::an_id_that_is_none(with("id", b"1"))]
    #[case::errors_that_are_no_list(with("errors", b"{}"))]
    #[case::no_time(with("timestamp", b"yesterday"))]
    #[case::no_text(with("content", b"\xff\xfe"))]
    fn what_is_no_message_is_not_taken_for_one(#[case] entry: Entry) {
        assert_eq!(message(&entry), None);
    }

    #[rstest::rstest]
    #[case("2024-05-03 10:15:20 UTC")]
    #[case("2024-05-03 12:15:20 +0200")]
    #[case("2024-05-03T10:15:20Z")]
    #[case("2024-05-03T10:15:20.000Z")]
    #[case("2024-05-03T03:15:20-07:00")]
    fn a_time_is_read_in_every_form_it_is_written_in(#[case] text: &str) {
        assert_eq!(moment(text), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_714_731_320)));
    }

    proptest! {
        #[test]
        fn no_entry_can_make_reading_fail(
            position in ".*",
            fields in prop::collection::hash_map(
                prop_oneof!["id", "request_id", "role", "content", "errors", "timestamp", ".*"],
                prop::collection::vec(any::<u8>(), 0..40),
                0..9,
            ),
        ) {
            message(&(position, fields));
        }
    }
}
