//! `/v1/chat/{invokable}`: what GitLab's AI gateway serves at these paths, for whoever brings a prompt of their own.
//! Each path stands for an action of the catalogue, which is asked with all its checks; its prompt is put around
//! what the caller brings, and the model is the action's.
//!
//! The caller brings the whole conversation, so that none is read and none is kept.

use std::{sync::Arc, time::SystemTime};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
    },
    web::{self, Bytes},
};
use duologue_actors::{
    action::{Action, Catalogue, InputField, ResourceRule},
    clock::Clock,
    entrance::DirectStream,
    ports::Caller,
    protocol::{Failure, Hop},
};
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    accept::is_json,
    credentials,
    direct::{self, Answer, Order, Piece},
    error::Refused,
    event_stream, graphql,
};
use crate::{config::GatewayConfig, server::Edge};

mod conversation;
mod refusal;
mod request;

use conversation::Conversation;
use refusal::Refusal;
use request::ChatRequest;

pub const PATH: &str = "/v1/chat/{invokable}";

/// Where these requests come from, for the log.
const PLATFORM_ORIGIN: &str = "ai_gateway";

const REQUEST_ID: &str = "x-request-id";
const PROCESS_TIME: &str = "x-process-time";

const PLAIN_TEXT: &str = "text/plain";

/// Answers what is asked at one of these paths.
pub async fn chat(
    request: HttpRequest,
    edge: web::Data<Edge>,
    invokable: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let answered = answered(&request, &edge, &invokable, payload).await;
    stamped(&request, started, answered.unwrap_or_else(|refusal| refusal.response()))
}

/// What other methods get.
pub async fn other(request: HttpRequest) -> HttpResponse {
    stamped(&request, Instant::now(), Refusal::Method.response())
}

/// What every answer of the gateway's says: the name its request came with, or a new one, and the seconds it took until
/// the answer began.
fn stamped(request: &HttpRequest, started: Instant, mut response: HttpResponse) -> HttpResponse {
    let given = request.headers().get(REQUEST_ID).cloned();
    let name = given.or_else(|| HeaderValue::try_from(Uuid::new_v4().simple().to_string()).ok());
    let took = HeaderValue::try_from(started.elapsed().as_secs_f64().to_string()).ok();
    let headers = [(REQUEST_ID, name), (PROCESS_TIME, took)];
    for (header, value) in headers.into_iter().filter_map(|(header, value)| Some((header, value?))) {
        response.headers_mut().insert(HeaderName::from_static(header), value);
    }
    response
}

async fn answered(
    request: &HttpRequest,
    edge: &Edge,
    invokable: &str,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let credentials = credentials::of(request.headers());
    let user = edge.entrance.identify(credentials.clone()).await?.user;
    let caller = Caller { user, credentials: Some(credentials) };
    let action = edge.gateway.action(&edge.catalogue, invokable).filter(|action| unfit(action).is_none());
    let action = action.ok_or(Refusal::NotFound)?;
    let body = body(request, edge, payload).await?;
    let asked = ChatRequest::read(&body).ok_or(Refusal::Validation)?;
    let is_streamed = asked.stream;
    let order = order(action, asked).ok_or(Refusal::Validation)?;
    let stream = direct::ask(edge, caller, order, PLATFORM_ORIGIN).await?;
    if is_streamed {
        return streamed(stream, content_type(request)).await.map_err(Refusal::from);
    }
    let answer = direct::whole(stream).await?;
    Ok(no_store(StatusCode::OK).json(whole(&answer, Clock::system().now())))
}

async fn body(request: &HttpRequest, edge: &Edge, payload: web::Payload) -> Result<Bytes, Refusal> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !is_json(content_type) {
        return Err(Refusal::Body(Refused::MediaType));
    }
    graphql::read(payload, edge.max_body_bytes).await.map_err(Refusal::Body)
}

/// What is asked of the action; `None` when it would not take it.
fn order(action: Arc<Action>, asked: ChatRequest) -> Option<Order> {
    let question = action.question()?.clone();
    let Conversation { before, question: text } = Conversation::of(asked.into_content())?;
    let fits = question.max_length.is_none_or(|maximum| text.chars().count() <= maximum);
    let given = [(question.name, Value::String(text))];
    let input = direct::input(&action, given);
    fits.then_some(Order {
        action,
        input,
        resource_id: None,
        project_id: None,
        client_subscription_id: None,
        brought: Some(before),
    })
}

fn whole(answer: &Answer, now: SystemTime) -> Value {
    let (provider, model) = answer.model.as_deref().and_then(|name| name.split_once('/')).unzip();
    let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "response": answer.content,
        "metadata": { "provider": provider, "model": model, "timestamp": timestamp },
    })
}

/// The text piece by piece, as it is. The status waits for the first piece, so that an answer that fails before it
/// says so; one that fails later is cut, which its end shows.
async fn streamed(mut stream: DirectStream, content_type: &'static str) -> Result<HttpResponse, Failure> {
    let first = match direct::next(&mut stream).await {
        Some(Ok(Piece::Text(text))) => Bytes::from(text),
        Some(Ok(Piece::Whole(answer))) => {
            return Ok(text_response(content_type).body(answer.content));
        }
        Some(Err(failure)) => return Err(failure),
        None => return Err(Failure::internal(Hop::Broadcaster)),
    };
    Ok(text_response(content_type).streaming(pieces(first, stream)))
}

/// Dropped with its connection, and the stream with it: nobody pays for what nobody reads.
fn pieces(first: Bytes, stream: DirectStream) -> impl Stream<Item = Result<Bytes, Failure>> {
    stream::unfold((Some(first), stream), async |(first, mut stream)| {
        if let Some(first) = first {
            return Some((Ok(first), (None, stream)));
        }
        let piece = match direct::next(&mut stream).await? {
            Ok(Piece::Text(text)) => Ok(Bytes::from(text)),
            // All of it has been sent.
            Ok(Piece::Whole(_)) => return None,
            Err(failure) => {
                // What was there before is written out first; a body that fails takes the rest with it.
                tokio::task::yield_now().await;
                Err(failure)
            }
        };
        Some((piece, (None, stream)))
    })
}

/// The gateway calls its bare text an event stream, which it is not. Whoever asks for that by name gets it.
fn content_type(request: &HttpRequest) -> &'static str {
    if event_stream::is_wanted(request.headers()) { event_stream::MEDIA_TYPE } else { PLAIN_TEXT }
}

fn text_response(content_type: &str) -> actix_web::HttpResponseBuilder {
    let mut response = no_store(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, format!("{content_type}; charset=utf-8")));
    response
}

fn no_store(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// Says which of the paths have nothing behind them although the settings name an action.
pub fn announce(config: &GatewayConfig, catalogue: &Catalogue) {
    for (path, name) in config.named() {
        let why = match catalogue.get(name) {
            None => Some("the catalogue has no such action"),
            Some(action) => unfit(&action),
        };
        if let Some(why) = why {
            tracing::warn!(path = format!("/v1/chat/{path}"), action = name, why, "not offered");
        }
    }
}

/// Why an action cannot stand behind one of these paths, which bring a text and nothing else.
fn unfit(action: &Action) -> Option<&'static str> {
    let Some(question) = action.question() else { return Some("it has no text input") };
    if action.resource == ResourceRule::Required {
        return Some("it needs a resource");
    }
    let needs_another = |field: &InputField| field.name != question.name && field.type_name.ends_with('!');
    action.input.iter().any(needs_another).then_some("it needs another input")
}
