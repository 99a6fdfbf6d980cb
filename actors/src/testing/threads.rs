//! Everybody's threads in memory, by the rules of a durable store.

use std::time::SystemTime;

use crate::{
    ports::{ConversationLimits, Question},
    protocol::{ChatMessage, ConversationType, Role, Thread, ThreadChoice, ThreadId, UserId},
    slash_command::SlashCommand,
};

#[derive(Debug, Default)]
pub(super) struct Threads {
    kept: Vec<Kept>,
    last_id: u64,
}

#[derive(Debug)]
struct Kept {
    owner: UserId,
    thread: Thread,
    /// Begun for who named none.
    is_main: bool,
    messages: Vec<ChatMessage>,
}

impl Threads {
    /// Gives a question its thread, and adds it there; `None` when there is no such thread.
    pub(super) fn ask(
        &mut self,
        owner: UserId,
        question: Question,
        limits: &ConversationLimits,
    ) -> Option<ThreadId> {
        let now = question.message.timestamp;
        let found = match question.thread {
            ThreadChoice::OfType(_) => None,
            ThreadChoice::Legacy | ThreadChoice::Named { .. } => {
                self.find(owner, question.thread, now, limits).map(|kept| kept.thread.id)
            }
        };
        let thread_id = match (found, question.thread) {
            (Some(id), _) => id,
            (None, ThreadChoice::Named { .. }) => return None,
            (None, ThreadChoice::OfType(of)) => self.begin(owner, of, false, now, limits),
            (None, ThreadChoice::Legacy) => {
                self.begin(owner, ConversationType::DuoChatLegacy, true, now, limits)
            }
        };
        self.add(owner, thread_id, question.message, limits);
        Some(thread_id)
    }

    pub(super) fn messages(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
        limits: &ConversationLimits,
    ) -> Option<Vec<ChatMessage>> {
        self.find(owner, thread, now, limits).map(|kept| kept.messages.clone())
    }

    pub(super) fn list(&self, owner: UserId, now: SystemTime, limits: &ConversationLimits) -> Vec<Thread> {
        let owners = self.kept.iter().filter(|kept| kept.owner == owner && kept.is_fresh(now, limits));
        let mut threads: Vec<Thread> = owners.map(|kept| kept.thread.clone()).collect();
        threads.sort_by_key(|thread| std::cmp::Reverse((thread.last_message_at, thread.id)));
        threads
    }

    pub(super) fn forget_expired(&mut self, now: SystemTime, limits: &ConversationLimits) -> usize {
        let before = self.kept.len();
        self.kept.retain(|kept| kept.is_fresh(now, limits));
        before - self.kept.len()
    }

    fn find(
        &self,
        owner: UserId,
        thread: ThreadChoice,
        now: SystemTime,
        limits: &ConversationLimits,
    ) -> Option<&Kept> {
        let is_meant = |kept: &&Kept| match thread {
            ThreadChoice::Legacy => kept.thread.conversation_type == ConversationType::DuoChatLegacy,
            ThreadChoice::OfType(of) => kept.thread.conversation_type == of,
            ThreadChoice::Named { id, of } => {
                kept.thread.id == id && of.is_none_or(|of| of == kept.thread.conversation_type)
            }
        };
        let owners = self.kept.iter().filter(|kept| kept.owner == owner && kept.is_fresh(now, limits));
        owners.filter(is_meant).max_by_key(|kept| (kept.thread.last_message_at, kept.thread.id))
    }

    fn begin(
        &mut self,
        owner: UserId,
        of: ConversationType,
        is_main: bool,
        now: SystemTime,
        limits: &ConversationLimits,
    ) -> ThreadId {
        self.last_id += 1;
        let id = ThreadId(self.last_id);
        let thread = Thread { id, conversation_type: of, title: None, created_at: now, last_message_at: now };
        self.kept.push(Kept { owner, thread, is_main, messages: Vec::new() });
        // What has just been begun stays, whatever the clock says.
        let others = |kept: &&Kept| kept.owner == owner && !kept.is_main && kept.thread.id != id;
        let mut counted: Vec<_> = self.kept.iter().filter(others).map(Kept::age).collect();
        counted.sort();
        let most_beside_it = limits.threads.saturating_sub(usize::from(!is_main));
        let surplus = counted.len().saturating_sub(most_beside_it);
        self.kept.retain(|kept| !counted.iter().take(surplus).any(|(_, old)| *old == kept.thread.id));
        id
    }

    fn add(&mut self, owner: UserId, id: ThreadId, mut message: ChatMessage, limits: &ConversationLimits) {
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.owner == owner && kept.thread.id == id) else {
            return;
        };
        if kept.messages.iter().any(|known| known.id == message.id) {
            return;
        }
        let first = |most| message.content.chars().take(most).collect::<String>();
        let is_question = message.role == Role::User && SlashCommand::of(&message.content).is_none();
        if kept.thread.title.is_none() && is_question {
            kept.thread.title = Some(first(limits.title_characters));
        }
        kept.thread.last_message_at = kept.thread.last_message_at.max(message.timestamp);
        message.content = first(limits.content_characters);
        message.thread_id = Some(id);
        kept.messages.push(message);
        let surplus = kept.messages.len().saturating_sub(limits.messages);
        kept.messages.drain(..surplus);
    }
}

impl Kept {
    fn is_fresh(&self, now: SystemTime, limits: &ConversationLimits) -> bool {
        self.thread.last_message_at + limits.expiry >= now
    }

    fn age(&self) -> (SystemTime, ThreadId) {
        (self.thread.last_message_at, self.thread.id)
    }
}
