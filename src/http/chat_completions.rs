//! `/api/v4/chat/completions`: one question to `chat`, and its answer as a JSON text in the response. GitLab's own
//! entrance for scripts, which is there for those for whom the flag `access_rest_chat` is on.
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
    ports::{Credentials, FlagSource, Identity},
    protocol::{Code, Failure, Hop},
};

use super::{
    accept::is_json,
    credentials,
    direct::{self, Order},
    graphql,
    rest::{self, Refusal},
};
use crate::{flags::REST_CHAT, server::Edge};

mod parameters;

use parameters::Parameters;

pub const PATH: &str = "/api/v4/chat/completions";

/// The action that is asked.
const CHAT: &str = "chat";

/// What is asked first of a conversation that is not to be gone on with.
const RESET: &str = "/reset";

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
    let chat = offered(edge, &caller)?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !is_json(content_type) {
        return Err(Refusal::MediaType);
    }
    let body = graphql::read(payload, edge.max_body_bytes).await.map_err(Refusal::Body)?;
    let parameters = Parameters::read(&body, &edge.rest, edge.graphql.max_label_characters())?;
    if parameters.with_clean_history {
        answered(edge, &credentials, parameters.reset(&chat)).await?;
    }
    let content = answered(edge, &credentials, parameters.order(&chat)?).await?;
    // GitLab's status for whatever is posted.
    Ok(rest::json_body(StatusCode::CREATED, &content))
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
