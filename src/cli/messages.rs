//! `duologue messages`: a user's threads as they are kept. For operators: it prints what was asked and answered.

use std::process::ExitCode;

use clap::Args;
use duologue_actors::{
    clock::Clock,
    protocol::{ChatMessage, GlobalId, Thread, ThreadId},
};
use serde_json::json;

use super::{lookup::Lookup, output, store};
use crate::{
    calendar,
    config::Config,
    conversation::{self, Seen},
    graphql::timestamp,
    hidden,
};

#[derive(Debug, Args)]
pub struct Messages {
    /// Whose: a username, a number, or a global id such as gid://gitlab/User/2
    #[arg(long, value_name = "NAME")]
    pub user: String,

    /// Only this thread: a number, or a global id such as gid://gitlab/Ai::Conversation::Thread/1
    #[arg(long, value_name = "ID", value_parser = thread_id)]
    pub thread: Option<ThreadId>,

    /// Print one JSON object a message instead
    #[arg(long)]
    pub json: bool,
}

/// Prints the threads, the one with the newest message last, and in each the oldest message first.
///
/// # Errors
/// When there is no such user, or the store cannot be read.
pub fn run(asked: &Messages, config: &Config) -> anyhow::Result<ExitCode> {
    let owner = Lookup::new(config).user(&asked.user)?;
    let now = Clock::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let storage = store::look(config)?;
    let seen = runtime.block_on(conversation::look(config, &storage, owner, asked.thread, now))?;
    if seen.is_empty() && !asked.json {
        output::remark(format_args!("{} has no messages here", owner.global_id()));
    }
    for Seen { thread, messages } in &seen {
        if let (Some(thread), false) = (thread, asked.json) {
            output::line(heading(thread))?;
        }
        for message in messages {
            output::line(if asked.json { as_json(message) } else { as_text(message) })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn thread_id(text: &str) -> Result<ThreadId, String> {
    let of_global_id = || text.parse::<GlobalId>().ok().and_then(|id| ThreadId::of(&id));
    let number = text.parse().ok().map(ThreadId);
    number.or_else(of_global_id).ok_or_else(|| "neither a number nor the global id of a thread".to_owned())
}

fn heading(thread: &Thread) -> String {
    let title = thread.title.as_deref().unwrap_or_default();
    let title = title.lines().next().map(hidden::shown).unwrap_or_default();
    let heading = format!("{}  {}  {title}", thread.id.global_id(), thread.conversation_type.name());
    heading.trim_end().to_owned()
}

fn as_text(message: &ChatMessage) -> String {
    let ChatMessage { request_id, role, content, timestamp, errors, .. } = message;
    let mut text = format!("{}  {}  {request_id}", calendar::show(*timestamp), role.as_str());
    for line in content.lines().chain(errors.iter().map(String::as_str)) {
        text.push_str("\n    ");
        text.push_str(&hidden::shown(line));
    }
    text
}

fn as_json(message: &ChatMessage) -> String {
    json!({
        "id": message.id.0,
        "requestId": message.request_id,
        "threadId": message.thread_id.map(|id| id.global_id()),
        "role": message.role.as_str(),
        "content": message.content,
        "errors": message.errors,
        "timestamp": timestamp::rfc3339(message.timestamp),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use duologue_actors::protocol::{ConversationType, MessageId, RequestId, Role};

    use super::*;

    #[test]
    fn a_kept_message_gives_the_terminal_no_commands() {
        let message = ChatMessage {
            id: MessageId::new(),
            request_id: RequestId::new(),
            thread_id: None,
            role: Role::Assistant,
            content: "one\u{1b}[2J\ntwo".to_owned(),
            timestamp: UNIX_EPOCH,
            chunk_id: None,
            errors: vec!["\u{9b}2J".to_owned()],
        };
        let shown = as_text(&message);
        assert!(shown.ends_with("\n    one\u{FFFD}[2J\n    two\n    \u{FFFD}2J"), "{shown}");
    }

    #[test]
    fn a_title_is_one_line_and_gives_the_terminal_no_commands() {
        let thread = Thread {
            id: ThreadId(7),
            conversation_type: ConversationType::DuoChat,
            title: Some("one\u{1b}[2J\ntwo".to_owned()),
            created_at: UNIX_EPOCH,
            last_message_at: UNIX_EPOCH,
        };
        assert_eq!(heading(&thread), "gid://gitlab/Ai::Conversation::Thread/7  duo_chat  one\u{FFFD}[2J");
        assert_eq!(
            heading(&Thread { title: None, ..thread }),
            "gid://gitlab/Ai::Conversation::Thread/7  duo_chat"
        );
    }

    #[rstest::rstest]
    #[case("7", Some(7))]
    #[case("gid://gitlab/Ai::Conversation::Thread/7", Some(7))]
    #[case("gid://gitlab/Issue/7", None)]
    #[case("seven", None)]
    fn a_thread_is_named_by_its_number_or_its_global_id(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(thread_id(text).ok(), expected.map(ThreadId));
    }
}
