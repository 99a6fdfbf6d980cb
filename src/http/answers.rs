//! `/api/v4/ai/requests/{id}/events`: one request of the caller's, however it was asked, as Server-Sent Events. For
//! pages that have an `EventSource` and no websocket, and for whoever has a terminal.
//!
//! | event | `data` |
//! |---|---|
//! | `subscribed` | first of all: the request, and `resume`, as in the first frame of a subscription |
//! | without a name | a message: the question, a chunk, or the whole answer or why there is none |
//! | `reset` | what was shown of the answer does not count any more; what lies behind comes again |
//!
//! The response ends with the last message.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes},
};
use duologue_actors::{
    broadcaster::{Cursor, Event, EventKind, Filter, Resume},
    entrance::{Gate, Reader},
    ports::{Credentials, Identity},
    protocol::{Code, Failure, Hop, RequestId},
};
use futures::{Stream, stream};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{
    credentials,
    event_stream::{self, END, HEARTBEAT, Last},
    rest::{self, Refusal},
};
use crate::{
    config::RestConfig,
    graphql::{error, resume_name, role_name, timestamp},
    server::Edge,
    websocket::Attendance,
};

pub const PATH: &str = "/api/v4/ai/requests/{request_id}/events";

/// How much is read of the owner's log at a time, in bytes: one event, so that none waits here for a slow client while
/// its reader may lose the right to it.
const READ_BYTES: usize = 1;

/// What is said first of all.
const SUBSCRIBED: &str = "subscribed";

/// What stands for an answer that begins anew.
const RESET: &str = "reset";

/// Streams a request that was accepted before.
pub async fn events(
    request: HttpRequest,
    edge: web::Data<Edge>,
    request_id: web::Path<String>,
) -> HttpResponse {
    rest::answer(streamed(&request, &edge, &request_id).await)
}

async fn streamed(request: &HttpRequest, edge: &Edge, request_id: &str) -> Result<HttpResponse, Refusal> {
    let credentials = credentials::of_request(request);
    let identity = rest::identify(edge, credentials.clone()).await?;
    let request_id: RequestId = request_id.parse().map_err(|_| Refusal::NotFound)?;
    let after = match last(request)? {
        Some(Last::End) => return Ok(nothing_more()),
        Some(Last::Behind(of, cursor)) if of == request_id => Some(cursor),
        Some(Last::Behind(..)) => return Err(foreign()),
        None => None,
    };
    let attendance = attend(edge, identity, credentials)?;
    listen(edge, attendance, request_id, after, None).await
}

/// Where the client was before.
pub(super) fn last(request: &HttpRequest) -> Result<Option<Last>, Refusal> {
    event_stream::last(request.headers()).map_err(|_| foreign())
}

fn foreign() -> Refusal {
    Refusal::Parameter(event_stream::ForeignId.to_string())
}

/// What a client hears that has heard the end. A browser does not come back after that.
pub(super) fn nothing_more() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).finish()
}

/// A place for whoever wants to listen. To be had before anything is asked for them.
///
/// # Errors
/// When their token is not good for reading, or their user listens to too many.
pub(super) fn attend(
    edge: &Edge,
    identity: Identity,
    credentials: Credentials,
) -> Result<Attendance, Refusal> {
    identity.scope.may_read().map_err(|_| Refusal::Forbidden)?;
    edge.sockets.attend(identity, credentials).ok_or_else(too_many)
}

/// The events of a request, from `after` on. Its `gate` opens when somebody listens.
///
/// # Errors
/// `NotFound` when nothing is kept of the request, so that nothing would ever come, and nobody has heard any of it.
pub(super) async fn listen(
    edge: &Edge,
    attendance: Attendance,
    request_id: RequestId,
    after: Option<Cursor>,
    gate: Option<Gate>,
) -> Result<HttpResponse, Refusal> {
    let filter = Filter::of_request(attendance.user(), request_id);
    let reader = edge.entrance.subscribe_after(attendance.known(), filter, after).await;
    let reader = reader.map_err(Refusal::Failed)?;
    // Whoever waits inside the process needs no gate: the request is named before anything of it is sent.
    drop(gate);
    match (reader.is_known(), after) {
        (true, _) if reader.is_over() => Ok(nothing_more()),
        (true, _) => {
            let listener = Listener::new(request_id, reader, attendance, &edge.rest);
            Ok(event_stream::response().streaming(listener.frames()))
        }
        // What it was in the middle of is forgotten: it is told, and comes back no more.
        (false, Some(_)) => {
            let said = subscribed(request_id, reader.resume());
            Ok(event_stream::response().body(event_stream::event(Some(SUBSCRIBED), END, &said)))
        }
        (false, None) => Err(Refusal::NotFound),
    }
}

fn subscribed(request_id: RequestId, resume: Resume) -> Value {
    json!({ "requestId": request_id.to_string(), "resume": resume_name(resume) })
}

fn too_many() -> Refusal {
    let text = "You listen to as many answers at once as one user may.";
    Refusal::Failed(Failure::new(Code::RateLimited, Hop::Edge, text))
}

/// One response, while it is being written. Read as fast as its client takes it, and dropped with its connection.
struct Listener {
    reader: Reader,
    attendance: Attendance,
    heartbeat: Interval,
    /// What is said first of all, until it is.
    first: Option<String>,
    is_over: bool,
}

impl Listener {
    fn new(request_id: RequestId, reader: Reader, attendance: Attendance, config: &RestConfig) -> Self {
        let mut heartbeat = interval_at(Instant::now() + config.heartbeat(), config.heartbeat());
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let said = subscribed(request_id, reader.resume());
        let id = event_stream::id(request_id, reader.cursor());
        let first = event_stream::retry(config.retry()) + &event_stream::event(Some(SUBSCRIBED), &id, &said);
        Self { reader, attendance, heartbeat, first: Some(first), is_over: false }
    }

    fn frames(self) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        stream::unfold(self, async |mut listener| {
            let frame = listener.next().await?;
            Some((Ok(Bytes::from(frame)), listener))
        })
    }

    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        tokio::select! {
            biased;
            () = self.attendance.over() => None,
            events = self.reader.news(READ_BYTES) => self.told(&events),
            _ = self.heartbeat.tick() => Some(HEARTBEAT.to_owned()),
        }
    }

    /// Nothing more when something was lost: whoever comes back behind what they have heard is told so.
    fn told(&mut self, events: &[Arc<Event>]) -> Option<String> {
        self.heartbeat.reset();
        if self.reader.has_hole() {
            return None;
        }
        self.is_over = events.iter().any(|event| event.kind == EventKind::Final);
        Some(events.iter().map(|event| frame(event)).collect())
    }
}

fn frame(event: &Event) -> String {
    let id = match event.kind {
        EventKind::Final => END.to_owned(),
        EventKind::Echo | EventKind::Restart | EventKind::Chunk => {
            event_stream::id(event.request_id(), event.cursor)
        }
    };
    match event.kind {
        EventKind::Restart => {
            event_stream::event(Some(RESET), &id, &json!({ "requestId": event.request_id().to_string() }))
        }
        EventKind::Echo | EventKind::Chunk | EventKind::Final => {
            event_stream::event(None, &id, &json!(Message::from(event)))
        }
    }
}

/// A message as `AiMessage` has it; the last one also with the model, and with what programs need of a failure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: String,
    request_id: String,
    role: &'static str,
    content: &'a str,
    chunk_id: Option<u32>,
    errors: &'a [String],
    timestamp: String,
    thread_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<async_graphql::Value>,
}

impl<'a> From<&'a Event> for Message<'a> {
    fn from(event: &'a Event) -> Self {
        let message = &event.message;
        Self {
            id: message.id.0.to_string(),
            request_id: message.request_id.to_string(),
            role: role_name(message.role),
            content: &message.content,
            chunk_id: message.chunk_id,
            errors: &message.errors,
            timestamp: timestamp::rfc3339(message.timestamp),
            thread_id: message.thread_id.map(|id| id.global_id().to_string()),
            model: event.model.as_deref(),
            withheld: event.is_withheld,
            failure: event.failure.as_ref().map(|failure| error::described(failure, None)),
        }
    }
}
