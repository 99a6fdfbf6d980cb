//! Queries and mutations over a socket: one at a time, in the order they came, beside the stream of
//! answers, so that a slow one holds up neither pings nor chunks nor a later subscribe.

use std::collections::VecDeque;

use actix_web::rt::{self, task::JoinHandle};
use async_graphql::Response;
use duologue_actors::{
    entrance::Gate,
    ports::Credentials,
    protocol::{Failure, Hop},
};

use super::dialect::OperationId;
use crate::graphql::{Graphql, GraphqlRequest, error};

/// An operation that waits for its turn.
pub struct Operation {
    pub id: OperationId,
    pub request: GraphqlRequest,
    pub credentials: Credentials,
    /// The size of the message it came in.
    pub bytes: usize,
}

/// What came of one operation.
pub struct Answer {
    pub id: OperationId,
    pub response: Response,
    /// To be dropped once the response has been written. A socket that ends while a mutation runs
    /// drops the answer unwritten, and this with it: nobody waits any more.
    pub opens: Option<Gate>,
}

pub struct Operations {
    graphql: Graphql,
    running: Option<Running>,
    waiting: VecDeque<Operation>,
    /// What the waiting operations may take together.
    max_waiting_bytes: usize,
}

struct Running {
    id: OperationId,
    /// Not once the client has completed it: it runs on, but its answer is not sent.
    wanted: bool,
    task: JoinHandle<Answer>,
}

impl Operations {
    #[must_use]
    pub fn new(graphql: Graphql, max_waiting_bytes: usize) -> Self {
        Self { graphql, running: None, waiting: VecDeque::new(), max_waiting_bytes }
    }

    /// Puts an operation into the line; `false` when the line is too long.
    #[must_use]
    pub fn put(&mut self, operation: Operation) -> bool {
        let waiting_bytes: usize = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        let room = waiting_bytes + operation.bytes <= self.max_waiting_bytes;
        if room {
            self.waiting.push_back(operation);
            self.start_next();
        }
        room
    }

    /// Forgets an operation; one that runs already runs on, unheard.
    pub fn stop(&mut self, id: &OperationId) {
        self.waiting.retain(|waiting| waiting.id != *id);
        if let Some(running) = self.running.as_mut().filter(|running| running.id == *id) {
            running.wanted = false;
        }
    }

    /// The next answer; waits for ever while nothing runs. May be dropped and called again.
    pub async fn answered(&mut self) -> Answer {
        loop {
            let Some(running) = &mut self.running else {
                return std::future::pending().await;
            };
            let ended = (&mut running.task).await;
            let (id, wanted) = (running.id.clone(), running.wanted);
            self.running = None;
            self.start_next();
            match ended {
                Ok(answer) if wanted => return answer,
                Err(_panicked) if wanted => return Answer::broken(id),
                _ => {}
            }
        }
    }

    fn start_next(&mut self) {
        if self.running.is_none()
            && let Some(operation) = self.waiting.pop_front()
        {
            let id = operation.id.clone();
            let task = rt::spawn(run(self.graphql.clone(), operation));
            self.running = Some(Running { id, wanted: true, task });
        }
    }
}

impl Answer {
    fn broken(id: OperationId) -> Self {
        Self { id, response: error::refused_by(&Failure::internal(Hop::Edge)), opens: None }
    }
}

async fn run(graphql: Graphql, operation: Operation) -> Answer {
    let executed = graphql.execute(operation.request, &operation.credentials).await;
    Answer { id: operation.id, response: executed.response, opens: executed.opens }
}
