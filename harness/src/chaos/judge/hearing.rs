//! What one subscription was sent: whether the messages of each request came whole and in order.

use std::{collections::HashMap, mem};

use super::super::fact::{Intent, Message, User, canaries};

#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) user: User,
    /// Whose answer it waits for, if for one.
    intent: Option<Intent>,
    state: State,
    answers: HashMap<String, Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    /// The server knew nothing of what was subscribed to, so nothing will come.
    ToldUnknown,
    HeardAFinal,
    Left,
}

/// What came of one request so far.
#[derive(Debug, Default)]
struct Answer {
    chunks: u64,
    text: String,
    ended: bool,
}

impl Hearing {
    pub(super) fn new(user: User, intent: Option<Intent>) -> Self {
        Self { user, intent, state: State::Waits, answers: HashMap::new() }
    }

    pub(super) fn told_unknown(&mut self) {
        self.state = State::ToldUnknown;
    }

    pub(super) fn leave(&mut self) {
        self.state = State::Left;
    }

    /// Why it must be said to hang, if it does once the run is over.
    pub(super) fn hangs(&self) -> Option<String> {
        let intent = self.intent?;
        (self.state == State::Waits).then(|| format!("user {} still waits for intent {intent}", self.user))
    }

    /// Takes a message.
    ///
    /// # Errors
    /// What is wrong with it after those before it.
    pub(super) fn hear(&mut self, request_id: &str, message: &Message) -> Result<(), String> {
        let answer = self.answers.entry(request_id.to_owned()).or_default();
        if answer.ended {
            return Err(format!("after the final came {message:?}"));
        }
        match message {
            Message::Echo { .. } => Ok(()),
            Message::Chunk { number, content } => answer.chunk(*number, content),
            Message::Final { content, .. } => {
                self.state = State::HeardAFinal;
                answer.end(content)
            }
        }
    }
}

impl Answer {
    fn chunk(&mut self, number: u64, content: &str) -> Result<(), String> {
        let expected = self.chunks + 1;
        self.chunks = number;
        self.text.push_str(content);
        if number == expected { Ok(()) } else { Err(format!("chunk {number} came where {expected} belongs")) }
    }

    fn end(&mut self, content: &str) -> Result<(), String> {
        self.ended = true;
        let shown = mem::take(&mut self.text);
        if self.chunks > 0 && shown != content {
            return Err(format!("the chunks say {shown:?}, the final {content:?}"));
        }
        Ok(())
    }
}

impl Message {
    /// The requests whose canaries it carries.
    pub(super) fn canaries(&self) -> impl Iterator<Item = Intent> {
        let (Self::Echo { content } | Self::Chunk { content, .. } | Self::Final { content, .. }) = self;
        canaries(content)
    }
}
