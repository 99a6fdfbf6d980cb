//! Reading what is kept of a user's conversations.

use actix::{Handler, Message, ResponseFuture};

use super::{Cache, records};
use crate::{
    ports::StoreError,
    protocol::{ChatMessage, Failure, Thread, ThreadChoice, UserId},
};

/// Asks for a thread of a user's own, oldest message first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<ChatMessage>, Failure>")]
pub struct ReadConversation {
    pub owner: UserId,
    pub thread: ThreadChoice,
}

/// Asks for a user's own threads, the one with the newest message first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Thread>, Failure>")]
pub struct ReadThreads {
    pub owner: UserId,
}

impl Handler<ReadConversation> for Cache {
    type Result = ResponseFuture<Result<Vec<ChatMessage>, Failure>>;

    fn handle(
        &mut self,
        ReadConversation { owner, thread }: ReadConversation,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.desk.take("ReadConversation", None);
        let (conversation, now) = (self.shelves.conversation.clone(), self.shelves.clock.now());
        self.desk.clear();
        self.desk.answer(async move {
            let messages = conversation.messages(owner, thread, now).await;
            shown(messages.map_err(|error| unreadable(owner, &error))?, thread)
        })
    }
}

impl Handler<ReadThreads> for Cache {
    type Result = ResponseFuture<Result<Vec<Thread>, Failure>>;

    fn handle(&mut self, ReadThreads { owner }: ReadThreads, _: &mut Self::Context) -> Self::Result {
        self.desk.take("ReadThreads", None);
        let (conversation, now) = (self.shelves.conversation.clone(), self.shelves.clock.now());
        self.desk.clear();
        self.desk.answer(async move {
            let threads = conversation.threads(owner, now).await;
            threads.map_err(|error| unreadable(owner, &error))
        })
    }
}

/// What a reader gets of the thread that was named. One that was not named may have nothing in it yet.
fn shown(found: Option<Vec<ChatMessage>>, thread: ThreadChoice) -> Result<Vec<ChatMessage>, Failure> {
    match (found, thread) {
        (None, ThreadChoice::Named { .. }) => Err(records::no_such_thread()),
        (found, _) => Ok(found.unwrap_or_default()),
    }
}

fn unreadable(owner: UserId, error: &StoreError) -> Failure {
    tracing::error!(user = %owner, %error, "conversation could not be read");
    records::storage_unavailable()
}
