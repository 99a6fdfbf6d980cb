//! `/api/v4/chat/completions`: one question to `chat`, and its answer as a JSON text in the response, or as events for
//! whoever accepts them by name. GitLab's own entrance for scripts, which is there for those for whom the flag `access_rest_chat` is on.
//!
//! What is not allowed is not found: whoever may not chat, here or at all, hears 404.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CONTENT_TYPE},
    web,
};
use duologue_actors::{
    action::Action,
    ports::{Caller, Credentials, FlagSource, IdempotencyKey, Identity},
    protocol::{Code, Failure, Hop},
};

use super::{
    accept::is_json,
    answers, credentials,
    direct::{self, Order},
    event_stream::{self, Last},
    graphql, idempotency_key,
    rest::{self, Refusal},
};
use crate::{flags::REST_CHAT, graphql::fingerprint_of, server::Edge};

mod parameters;

use parameters::Parameters;

pub const PATH: &str = "/api/v4/chat/completions";

/// The action that is asked.
const CHAT: &str = "chat";

/// What is asked first of a conversation that is not to be gone on with.
const RESET: &str = "/reset";

/// Under a key, what is asked again must change nothing.
const NOT_TWICE: &str =
    "with_clean_history cannot be asked again under an Idempotency-Key: ask /reset before";

/// Where these requests come from, for the log.
const PLATFORM_ORIGIN: &str = "rest";

/// Answers a question.
pub async fn complete(request: HttpRequest, edge: web::Data<Edge>, payload: web::Payload) -> HttpResponse {
    rest::answer(completed(&request, &edge, payload).await)
}

async fn completed(
    request: &HttpRequest,
    edge: &Edge,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let credentials = credentials::of(request.headers());
    let identity = rest::identify(edge, credentials.clone()).await?;
    let is_streamed = event_stream::is_wanted(request.headers());
    match answers::last(request)?.filter(|_| is_streamed) {
        Some(Last::End) => return Ok(answers::nothing_more()),
        // A client that comes back asks for the rest, whatever it sends again.
        Some(Last::Behind(request_id, after)) => {
            let attendance = answers::attend(edge, identity, credentials)?;
            return answers::listen(edge, attendance, request_id, Some(after), None).await;
        }
        None => {}
    }
    let chat = offered(edge, &identity)?;
    let parameters = parameters(request, edge, payload).await?;
    if is_streamed {
        return streamed(request, edge, identity, credentials, parameters, &chat).await;
    }
    let caller = Caller { user: identity.user, credentials: Some(credentials) };
    let (reset, order) = (parameters.reset(&chat), parameters.order(&chat)?);
    begin_anew(edge, &caller, reset).await?;
    let content = answered(edge, caller, order).await?;
    // GitLab's status for whatever is posted.
    Ok(rest::json_body(StatusCode::CREATED, &content))
}

async fn parameters(
    request: &HttpRequest,
    edge: &Edge,
    payload: web::Payload,
) -> Result<Parameters, Refusal> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !is_json(content_type) {
        return Err(Refusal::MediaType);
    }
    let body = graphql::read(payload, edge.max_body_bytes).await.map_err(Refusal::Body)?;
    Parameters::read(&body, &edge.rest, edge.graphql.max_label_characters())
}

/// Asks, and shows the answer as it comes, on this connection and on those that go on after it.
async fn streamed(
    request: &HttpRequest,
    edge: &Edge,
    identity: Identity,
    credentials: Credentials,
    parameters: Parameters,
    chat: &Arc<Action>,
) -> Result<HttpResponse, Refusal> {
    let max_key_characters = edge.graphql.max_label_characters();
    let key = idempotency_key::of(request.headers(), max_key_characters).map_err(Refusal::Body)?;
    let reset = parameters.reset(chat);
    if key.is_some() && reset.is_some() {
        return Err(Refusal::Parameter(NOT_TWICE.to_owned()));
    }
    let order = parameters.order(chat)?;
    let caller = Caller { user: identity.user.clone(), credentials: Some(credentials.clone()) };
    let attendance = answers::attend(edge, identity, credentials.clone())?;
    begin_anew(edge, &caller, reset).await?;
    let key = key.map(|key| IdempotencyKey { key, fingerprint: fingerprint_of(order.asked()) });
    let gate = direct::accept(edge, credentials, order, PLATFORM_ORIGIN, key).await.map_err(refused)?;
    let request_id = gate.request_id();
    answers::listen(edge, attendance, request_id, None, Some(gate)).await
}

/// Has the conversation begin anew, if that is wanted. To be done last before the question: who is refused keeps theirs.
async fn begin_anew(edge: &Edge, caller: &Caller, reset: Option<Order>) -> Result<(), Refusal> {
    match reset {
        Some(reset) => answered(edge, caller.clone(), reset).await.map(drop),
        None => Ok(()),
    }
}

/// The action, if this caller may come this way.
fn offered(edge: &Edge, caller: &Identity) -> Result<Arc<Action>, Refusal> {
    let user = [caller.user.id.global_id()];
    if !edge.features.flags.snapshot().enabled(REST_CHAT, false, &user) {
        return Err(Refusal::NotFound);
    }
    edge.catalogue.get(CHAT).ok_or(Refusal::NotFound)
}

async fn answered(edge: &Edge, caller: Caller, order: Order) -> Result<String, Refusal> {
    let answer = async {
        let stream = direct::ask(edge, caller, order, PLATFORM_ORIGIN).await?;
        direct::whole(stream).await
    };
    answer.await.map(|answer| answer.content).map_err(refused)
}

/// A token that is good for something else is told so; whatever else is not allowed is not found.
fn refused(failure: Failure) -> Refusal {
    match (failure.code, failure.hop) {
        (Code::Forbidden, Hop::Auth) => Refusal::Forbidden,
        (Code::NotFound | Code::Forbidden | Code::FeatureDisabled, _) => Refusal::NotFound,
        _ => Refusal::Failed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::scope(Code::Forbidden, Hop::Auth, Refusal::Forbidden)]
    #[case::licence(Code::Forbidden, Hop::Policy, Refusal::NotFound)]
    #[case::resource(Code::NotFound, Hop::Policy, Refusal::NotFound)]
    #[case::flag(Code::FeatureDisabled, Hop::FeatureFlag, Refusal::NotFound)]
    fn what_is_not_allowed_is_not_found(#[case] code: Code, #[case] hop: Hop, #[case] expected: Refusal) {
        assert_eq!(refused(Failure::new(code, hop, "no")), expected);
    }

    #[test]
    fn what_fails_says_so() {
        let failure = Failure::new(Code::UpstreamTimeout, Hop::Provider, "too late");
        assert_eq!(refused(failure.clone()), Refusal::Failed(failure));
    }
}
