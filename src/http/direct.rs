//! A request whose answer goes back on the connection it came by: through the same door and the same pipeline as
//! `aiAction`, with its caller in the place of a subscriber.

use std::sync::Arc;

use duologue_actors::{
    action::Action,
    broadcaster::{Event, EventKind},
    entrance::{Ask, DirectStream, Gate, Refusal},
    ports::{Caller, Credentials, IdempotencyKey},
    protocol::{Code, Exchange, Failure, GlobalId, Hop, RequestId, ThreadChoice},
};
use serde_json::{Map, Value, json};

use crate::{reception, server::Edge};

/// What a caller orders.
pub(super) struct Order {
    pub action: Arc<Action>,
    /// The action's input fields by their names in the catalogue.
    pub input: Map<String, Value>,
    pub resource_id: Option<GlobalId>,
    pub project_id: Option<GlobalId>,
    pub client_subscription_id: Option<String>,
    /// What was said before, if the caller brings it along instead of the conversation that is kept.
    pub brought: Option<Vec<Exchange>>,
}

impl Order {
    /// The order with a place among the requests in flight.
    fn place(
        self,
        edge: &Edge,
        credentials: Credentials,
        platform_origin: &'static str,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<Ask, Failure> {
        let permit = edge.admission.admit()?;
        Ok(Ask {
            credentials,
            action: self.action,
            input: self.input,
            resource_id: self.resource_id,
            project_id: self.project_id,
            client_subscription_id: self.client_subscription_id,
            platform_origin: Some(platform_origin.to_owned()),
            thread: ThreadChoice::Legacy,
            idempotency_key,
            permit,
        })
    }

    /// Everything that makes it what it is.
    pub(super) fn asked(&self) -> Value {
        json!({
            "action": self.action.name,
            "input": self.input,
            "resource": self.resource_id,
            "project": self.project_id,
            "page": self.client_subscription_id,
        })
    }
}

/// A whole answer.
pub(super) struct Answer {
    pub content: String,
    /// `provider/model`, when one was asked.
    pub model: Option<String>,
}

/// Sends the order down the pipeline; returns when it is accepted. It ends with whoever waits for it.
pub(super) async fn ask(
    edge: &Edge,
    caller: Caller,
    mut order: Order,
    platform_origin: &'static str,
) -> Result<DirectStream, Failure> {
    let (name, brought) = (order.action.name.clone(), order.brought.take());
    let Caller { user, credentials } = caller;
    let ask = order.place(edge, credentials.unwrap_or_default(), platform_origin, None);
    let asked = match (ask, brought) {
        (Err(failure), _) => Err(failure),
        (Ok(ask), Some(brought)) => {
            let streamed = edge.entrance.stream_of(user, ask, brought).await;
            received(&name, platform_origin, streamed, DirectStream::request_id)
        }
        (Ok(ask), None) => {
            let streamed = edge.entrance.stream(user, ask).await;
            received(&name, platform_origin, streamed, DirectStream::request_id)
        }
    };
    reception::count(&name, asked.as_ref().err());
    asked
}

/// The same for whoever may come back for the answer: it is promised, as that of `aiAction` is.
pub(super) async fn accept(
    edge: &Edge,
    credentials: Credentials,
    order: Order,
    platform_origin: &'static str,
    key: Option<IdempotencyKey>,
) -> Result<Gate, Failure> {
    let name = order.action.name.clone();
    let asked = match order.place(edge, credentials, platform_origin, key) {
        Err(failure) => Err(failure),
        Ok(ask) => received(&name, platform_origin, edge.entrance.ask(ask).await, Gate::request_id),
    };
    reception::count(&name, asked.as_ref().err());
    asked
}

/// Notes how the pipeline received an order.
fn received<T>(
    name: &str,
    platform_origin: &'static str,
    received: Result<T, Refusal>,
    request_id: fn(&T) -> RequestId,
) -> Result<T, Failure> {
    reception::log(name, Some(platform_origin), received.as_ref().map(request_id));
    received.map_err(|refusal| refusal.failure)
}

/// The input of `action` in which everything is null but what is given.
pub(super) fn input(action: &Action, given: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut input: Map<String, Value> =
        action.input.iter().map(|field| (field.name.clone(), Value::Null)).collect();
    for (name, value) in given {
        if let Some(field) = input.get_mut(&name) {
            *field = value;
        }
    }
    input
}

/// What comes next of an answer.
pub(super) enum Piece {
    /// More of its text.
    Text(String),
    /// All of it; nothing comes after.
    Whole(Answer),
}

/// The next piece; `None` after the whole answer.
pub(super) async fn next(stream: &mut DirectStream) -> Option<Result<Piece, Failure>> {
    loop {
        let event = match stream.next().await? {
            Ok(event) => event,
            Err(failure) => return Some(Err(failure)),
        };
        match event.kind {
            // An answer on a connection does not outlive the process that gives it.
            EventKind::Echo | EventKind::Restart => {}
            EventKind::Chunk => return Some(Ok(Piece::Text(event.message.content.clone()))),
            EventKind::Final => return Some(whole_of(&event).map(Piece::Whole)),
        }
    }
}

/// Waits for the whole answer.
pub(super) async fn whole(mut stream: DirectStream) -> Result<Answer, Failure> {
    while let Some(piece) = next(&mut stream).await {
        if let Piece::Whole(answer) = piece? {
            return Ok(answer);
        }
    }
    Err(Failure::internal(Hop::Broadcaster))
}

fn whole_of(event: &Event) -> Result<Answer, Failure> {
    match (&event.failure, event.message.errors.first()) {
        (Some(failure), _) => Err(failure.clone()),
        // Cancelled, by its owner and from elsewhere: whoever leaves this connection reads no more of it.
        (None, Some(text)) => Err(Failure::new(Code::Interrupted, Hop::Edge, text.clone())),
        (None, None) => Ok(Answer { content: event.message.content.clone(), model: event.model.clone() }),
    }
}
