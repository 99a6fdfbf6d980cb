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
    ports::{Credentials, FlagSource, IdempotencyKey, Identity},
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
    let caller = rest::identify(edge, credentials.clone()).await?;
    let is_streamed = event_stream::is_wanted(request.headers());
    match answers::last(request)?.filter(|_| is_streamed) {
        Some(Last::End) => return Ok(answers::nothing_more()),
        // A client that comes back asks for the rest, whatever it sends again.
        Some(Last::Behind(request_id, after)) => {
            let attendance = answers::attend(edge, caller, credentials)?;
            return answers::listen(edge, attendance, request_id, Some(after), None).await;
        }
        None => {}
    }
    let chat = offered(edge, &caller)?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !is_json(content_type) {
        return Err(Refusal::MediaType);
    }
    let body = graphql::read(payload, edge.max_body_bytes).await.map_err(Refusal::Body)?;
    let max_label_characters = edge.graphql.max_label_characters();
    let parameters = Parameters::read(&body, &edge.rest, max_label_characters)?;
    let key = match is_streamed {
        true => idempotency_key::of(request.headers(), max_label_characters).map_err(Refusal::Body)?,
        false => None,
    };
    if parameters.with_clean_history {
        if key.is_some() {
            return Err(Refusal::Parameter(NOT_TWICE.to_owned()));
        }
        answered(edge, &credentials, parameters.reset(&chat)).await?;
    }
    if is_streamed {
        return streamed(edge, credentials, caller, parameters.order(&chat)?, key).await;
    }
    let content = answered(edge, &credentials, parameters.order(&chat)?).await?;
    // GitLab's status for whatever is posted.
    Ok(rest::json_body(StatusCode::CREATED, &content))
}

/// Asks, and shows the answer as it comes, on this connection and on those that go on after it.
async fn streamed(
    edge: &Edge,
    credentials: Credentials,
    caller: Identity,
    order: Order,
    key: Option<String>,
) -> Result<HttpResponse, Refusal> {
    let attendance = answers::attend(edge, caller, credentials.clone())?;
    let key = key.map(|key| IdempotencyKey { key, fingerprint: fingerprint_of(order.asked()) });
    let gate = direct::accept(edge, credentials, order, PLATFORM_ORIGIN, key).await.map_err(refused)?;
    let request_id = gate.request_id();
    answers::listen(edge, attendance, request_id, None, Some(gate)).await
}

/// The action, if this caller may come this way.
fn offered(edge: &Edge, caller: &Identity) -> Result<Arc<Action>, Refusal> {
    let user = [caller.user.id.global_id()];
    if !edge.features.flags.snapshot().enabled(REST_CHAT, false, &user) {
        return Err(Refusal::NotFound);
    }
    edge.catalogue.get(CHAT).ok_or(Refusal::NotFound)
}

async fn answered(edge: &Edge, credentials: &Credentials, order: Order) -> Result<String, Refusal> {
    let answer = async {
        let stream = direct::ask(edge, credentials.clone(), order, PLATFORM_ORIGIN).await?;
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
