//! `duologue messages`: a user's conversation as it is kept. For operators: it prints what was asked and answered.

use std::process::ExitCode;

use clap::Args;
use duologue_actors::{clock::Clock, protocol::ChatMessage};
use serde_json::json;

use super::{lookup::Lookup, output, store};
use crate::{calendar, config::Config, conversation, graphql::timestamp};

#[derive(Debug, Args)]
pub struct Messages {
    /// Whose: a username, a number, or a global id such as gid://gitlab/User/2
    #[arg(long, value_name = "NAME")]
    pub user: String,

    /// Print one JSON object a message instead
    #[arg(long)]
    pub json: bool,
}

/// Prints the conversation, oldest message first.
///
/// # Errors
/// When there is no such user, or the store cannot be read.
pub fn run(asked: &Messages, config: &Config) -> anyhow::Result<ExitCode> {
    let owner = Lookup::new(config).user(&asked.user)?;
    let now = Clock::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let storage = store::look(config)?;
    let messages = runtime.block_on(conversation::look(config, &storage, owner, now))?;
    if messages.is_empty() && !asked.json {
        output::remark(format_args!("{} has no messages here", owner.global_id()));
    }
    for message in &messages {
        output::line(if asked.json { as_json(message) } else { as_text(message) })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(message: &ChatMessage) -> String {
    let ChatMessage { request_id, role, content, timestamp, errors, .. } = message;
    let mut text = format!("{}  {}  {request_id}", calendar::show(*timestamp), role.as_str());
    for line in content.lines().chain(errors.iter().map(String::as_str)) {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

fn as_json(message: &ChatMessage) -> String {
    json!({
        "id": message.id.0,
        "requestId": message.request_id,
        "role": message.role.as_str(),
        "content": message.content,
        "errors": message.errors,
        "timestamp": timestamp::rfc3339(message.timestamp),
    })
    .to_string()
}
