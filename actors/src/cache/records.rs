//! The shapes Cache writes and sends, built from what it knows of a request.

use std::time::SystemTime;

use super::{Admitted, ledger::Entry};
use crate::{
    limits::SUGGESTED_RETRY,
    policy::Authorized,
    ports::{AcceptedRecord, Question, StoreError, TerminalRecord},
    protocol::{
        Address, ChatMessage, Code, Ended, Exchange, Failure, Hop, MessageId, Outcome, Request, RequestId,
        Role,
    },
    slash_command,
};

/// What the journal keeps of an authorized request.
pub(super) fn accepted(authorized: &Authorized, now: SystemTime) -> AcceptedRecord {
    let request = authorized.request();
    AcceptedRecord {
        request_id: request.id,
        owner: authorized.caller().user.id,
        action: request.action.name.clone(),
        input: request.input.clone(),
        resource_id: request.resource_id.clone(),
        project_id: request.project_id.clone(),
        resource: authorized.resource().cloned(),
        client_subscription_id: request.client_subscription_id.clone(),
        platform_origin: request.platform_origin.clone(),
        thread_id: None,
        accepted_at: now,
        deadline: request.deadline.at,
        interruptions: 0,
    }
}

/// The user's side of the conversation, for actions that keep one, and the thread it is for. Its id is the request's
/// own, so that whoever adds it once more changes nothing.
pub(super) fn question(request: &Request, now: SystemTime) -> Option<Question> {
    let message = || ChatMessage {
        id: MessageId(request.id.as_uuid()),
        request_id: request.id,
        thread_id: None,
        role: Role::User,
        content: request.question().unwrap_or_default().to_owned(),
        timestamp: now,
        chunk_id: None,
        errors: Vec::new(),
    };
    request.keeps_conversation().then(|| Question { thread: request.thread, message: message() })
}

pub(super) fn admitted(entry: &Entry, echo: Option<ChatMessage>, recovered: bool) -> Admitted {
    Admitted {
        address: entry.address.clone(),
        deadline: entry.deadline,
        cancel: entry.cancel.clone(),
        echo,
        recovered,
    }
}

pub(crate) fn terminal(address: Address, ended: Ended, now: SystemTime) -> TerminalRecord {
    TerminalRecord {
        request_id: address.request_id,
        owner: address.owner,
        action: address.action,
        resource_id: address.resource_id,
        project_id: address.project_id,
        client_subscription_id: address.client_subscription_id,
        thread_id: address.thread_id,
        outcome: ended.outcome,
        model: ended.model,
        message_id: MessageId::new(),
        ended_at: now,
    }
}

/// The one line that says how an accepted request ended.
pub(super) fn log_end(terminal: &TerminalRecord) {
    let (request_id, user, action) = (terminal.request_id, terminal.owner, terminal.action.as_str());
    match &terminal.outcome {
        Outcome::Completed { .. } => {
            tracing::info!(%request_id, %user, action, outcome = "completed", "request ended");
        }
        Outcome::Cancelled { .. } => {
            tracing::info!(%request_id, %user, action, outcome = "cancelled", "request ended");
        }
        Outcome::Failed { failure, .. } => {
            let (code, hop) = (failure.code.as_str(), failure.hop.as_str());
            tracing::info!(%request_id, %user, action, outcome = "failed", code, hop, "request ended");
        }
    }
}

/// The final message of a request: its answer, or what was shown of it and why it ended.
pub(crate) fn final_message(terminal: &TerminalRecord) -> ChatMessage {
    let (content, errors) = match &terminal.outcome {
        Outcome::Completed { content } => (content.clone(), Vec::new()),
        Outcome::Failed { failure, partial } => (partial.clone(), vec![failure.final_text()]),
        Outcome::Cancelled { partial } => (partial.clone(), vec![CANCELLED.to_owned()]),
    };
    ChatMessage {
        id: terminal.message_id,
        request_id: terminal.request_id,
        thread_id: terminal.thread_id,
        role: Role::Assistant,
        content,
        timestamp: terminal.ended_at,
        chunk_id: None,
        errors,
    }
}

/// The text of a final message whose request was cancelled.
pub(crate) const CANCELLED: &str = "The request was cancelled.";

pub(super) fn storage_unavailable() -> Failure {
    Failure::new(
        Code::StorageUnavailable,
        Hop::Cache,
        "Your request cannot be stored right now, so it was not accepted. Please try again.",
    )
    .retry_after(SUGGESTED_RETRY)
}

pub(super) fn key_conflict() -> Failure {
    let text = "This Idempotency-Key was used for another request. Use a new key for a new request.";
    Failure::new(Code::Conflict, Hop::Cache, text)
}

/// The same whether it is somebody else's, expired, or never was.
pub(super) fn no_such_thread() -> Failure {
    Failure::new(Code::NotFound, Hop::Cache, "Thread not found. It may have expired.")
}

/// A store that is full says so itself, once; what it refuses then is no news.
pub(super) fn log_refusal(request_id: RequestId, error: &StoreError) {
    match error {
        StoreError::Full(_) => tracing::debug!(%request_id, %error, "request could not be journalled"),
        _ => tracing::error!(%request_id, %error, "request could not be journalled"),
    }
}

/// What a client brought along, as a conversation of its own.
pub(super) fn brought_history(exchanges: &[Exchange], now: SystemTime) -> Vec<ChatMessage> {
    let message = |request_id, role, content: &str| ChatMessage {
        id: MessageId::new(),
        request_id,
        thread_id: None,
        role,
        content: content.to_owned(),
        timestamp: now,
        chunk_id: None,
        errors: Vec::new(),
    };
    let messages = |exchange: &Exchange| {
        let id = RequestId::new();
        [message(id, Role::User, &exchange.question), message(id, Role::Assistant, &exchange.answer)]
    };
    exchanges.iter().flat_map(messages).collect()
}

/// The history a prompt may see: what was said before `request_id` was asked, as far as it is remembered.
pub(super) fn history_before(request_id: RequestId, mut messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    messages.retain(|message| message.request_id != request_id);
    slash_command::remembered(messages)
}
