//! `/api/graphql` over HTTP, by the rules of "GraphQL over HTTP". Queries come by GET or POST, mutations
//! by POST only, bodies as `application/json` only: a browser cannot be made to send such a request to a
//! foreign site without asking that site first.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, UPGRADE},
    },
    web,
};
use async_graphql::parser::types::OperationType;
use serde_json::{Map, Value};

use super::{
    accept::{ResponseType, is_json},
    credentials,
    error::{Refused, retry_after, status_of},
    idempotency_key,
};
use crate::{
    gate::GatedBody,
    graphql::{Executed, GraphqlRequest, error},
    server::Edge,
    websocket::Protocol,
};

pub const PATH: &str = "/api/graphql";

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// Answers queries and mutations.
pub async fn post(request: HttpRequest, edge: web::Data<Edge>, payload: web::Payload) -> HttpResponse {
    match answer_post(&request, &edge, payload).await {
        Ok(response) => response,
        Err(refused) => refused.response(),
    }
}

/// Answers queries, and takes websockets.
pub async fn get(request: HttpRequest, edge: web::Data<Edge>, payload: web::Payload) -> HttpResponse {
    if asks_for_websocket(&request) {
        let credentials = credentials::of(request.headers());
        return edge.sockets.upgrade(Protocol::GraphqlTransportWs, credentials, request, payload).await;
    }
    match answer_get(&request, &edge).await {
        Ok(response) => response,
        Err(refused) => refused.response(),
    }
}

/// An upgrade to anything else, such as curl's to HTTP/2, is an offer that need not be taken.
fn asks_for_websocket(request: &HttpRequest) -> bool {
    let offers = request.headers().get_all(UPGRADE).filter_map(|value| value.to_str().ok());
    offers.flat_map(|offer| offer.split(',')).any(|offer| offer.trim().eq_ignore_ascii_case("websocket"))
}

/// What other methods get.
pub async fn other() -> HttpResponse {
    Refused::Method("GET, POST").response()
}

async fn answer_post(
    request: &HttpRequest,
    edge: &Edge,
    payload: web::Payload,
) -> Result<HttpResponse, Refused> {
    let response_type = negotiate(request)?;
    if !is_json(header(request, CONTENT_TYPE)) {
        return Err(Refused::MediaType);
    }
    let body = read(payload, edge.max_body_bytes).await?;
    let mut graphql = from_body(&body)?;
    graphql.idempotency_key = idempotency_key::of(request.headers(), edge.graphql.max_label_characters())?;
    graphql.inline = is_inline(request.query_string())?;
    Ok(execute(request, edge, graphql, response_type).await)
}

async fn answer_get(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Refused> {
    let response_type = negotiate(request)?;
    let graphql = from_query_string(request.query_string())?;
    match edge.graphql.operation(&graphql) {
        Ok(OperationType::Mutation) => Err(Refused::MutationByGet),
        // What is wrong with a document is told by whoever executes it.
        Ok(_) | Err(_) => Ok(execute(request, edge, graphql, response_type).await),
    }
}

async fn execute(
    request: &HttpRequest,
    edge: &Edge,
    graphql: GraphqlRequest,
    response_type: ResponseType,
) -> HttpResponse {
    let credentials = credentials::of_request(request);
    let Executed { response, opens, retry_after: wait, rejected } =
        edge.graphql.execute(graphql, &credentials).await;
    let status = match (rejected, response_type) {
        (Some(rejection), _) => status_of(rejection),
        (None, ResponseType::GraphqlResponse) if error::is_request_error(&response) => {
            StatusCode::BAD_REQUEST
        }
        (None, _) => StatusCode::OK,
    };
    let mut answer = HttpResponse::build(status);
    answer.insert_header((CONTENT_TYPE, response_type.as_str())).insert_header((CACHE_CONTROL, "no-store"));
    if let Some(wait) = wait {
        answer.insert_header(retry_after(wait));
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header(("www-authenticate", "Bearer"));
    }
    answer.body(GatedBody::new(error::to_bytes(&response), opens))
}

fn negotiate(request: &HttpRequest) -> Result<ResponseType, Refused> {
    let accept: Vec<_> = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    ResponseType::accepted_by(accept.as_deref()).ok_or(Refused::NotAcceptable)
}

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

pub(super) async fn read(payload: web::Payload, max_bytes: usize) -> Result<web::Bytes, Refused> {
    match tokio::time::timeout(BODY_PATIENCE, payload.to_bytes_limited(max_bytes)).await {
        Err(_) => Err(Refused::TooSlow),
        Ok(Err(_)) => Err(Refused::TooLarge(max_bytes)),
        Ok(Ok(Err(_))) => Err(Refused::CutShort),
        Ok(Ok(Ok(body))) => Ok(body),
    }
}

fn from_body(body: &[u8]) -> Result<GraphqlRequest, Refused> {
    match serde_json::from_slice(body).map_err(|_| Refused::NotJson)? {
        Value::Object(fields) => from_fields(fields),
        Value::Array(_) => Err(Refused::Batch),
        _ => Err(Refused::NotGraphql("the body is not an object")),
    }
}

fn from_fields(mut fields: Map<String, Value>) -> Result<GraphqlRequest, Refused> {
    let query = match fields.remove("query") {
        Some(Value::String(query)) => query,
        None => return Err(Refused::NotGraphql("query is missing")),
        Some(_) => return Err(Refused::NotGraphql("query is not a text")),
    };
    let operation_name = match fields.remove("operationName") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(Refused::NotGraphql("operationName is not a text")),
    };
    let variables = object(fields.remove("variables"), "variables is not an object")?;
    let extensions = object(fields.remove("extensions"), "extensions is not an object")?;
    Ok(GraphqlRequest { query, operation_name, variables, extensions, idempotency_key: None, inline: false })
}

fn object(value: Option<Value>, otherwise: &'static str) -> Result<Option<Map<String, Value>>, Refused> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) => Ok(Some(fields)),
        Some(_) => Err(Refused::NotGraphql(otherwise)),
    }
}

/// Whether the address asks to wait for the answer.
fn is_inline(text: &str) -> Result<bool, Refused> {
    match parameters(text)?.iter().find(|(name, _)| name == "inline").map(|(_, value)| value.as_str()) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Refused::NotGraphql("inline is neither 0 nor 1")),
    }
}

fn parameters(text: &str) -> Result<Vec<(String, String)>, Refused> {
    let parameters = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|_| Refused::NotGraphql("the query string cannot be read"))?;
    Ok(parameters.into_inner())
}

/// In a query string, `variables` and `extensions` are JSON.
fn from_query_string(text: &str) -> Result<GraphqlRequest, Refused> {
    let mut fields = Map::new();
    for (name, text) in parameters(text)? {
        let value = match name.as_str() {
            "query" | "operationName" => Value::String(text),
            "variables" | "extensions" if text.is_empty() => Value::Null,
            "variables" => json(&text, "variables is not JSON")?,
            "extensions" => json(&text, "extensions is not JSON")?,
            _ => continue,
        };
        fields.insert(name, value);
    }
    from_fields(fields)
}

fn json(text: &str, otherwise: &'static str) -> Result<Value, Refused> {
    serde_json::from_str(text).map_err(|_| Refused::NotGraphql(otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("websocket", true)]
    #[case("h2c, WebSocket", true)]
    #[case("h2c", false)]
    fn only_an_upgrade_to_a_websocket_is_taken(#[case] offer: &str, #[case] taken: bool) {
        let request = actix_web::test::TestRequest::get().insert_header(("upgrade", offer)).to_http_request();
        assert_eq!(asks_for_websocket(&request), taken);
    }

    #[test]
    fn a_list_of_requests_is_refused() {
        assert_eq!(from_body(br#"[{"query": "{ __typename }"}]"#).unwrap_err(), Refused::Batch);
    }

    #[rstest::rstest]
    #[case(r#"{"query": 1}"#, "query is not a text")]
    #[case(r#"{"qeury": "{ a }"}"#, "query is missing")]
    #[case(r#"{"query": "{ a }", "variables": []}"#, "variables is not an object")]
    #[case(r#"{"query": "{ a }", "operationName": 1}"#, "operationName is not a text")]
    #[case(r#"{"query": "{ a }", "extensions": "x"}"#, "extensions is not an object")]
    #[case(r#""query""#, "the body is not an object")]
    fn json_that_is_no_graphql_request_is_named(#[case] body: &str, #[case] why: &'static str) {
        assert_eq!(from_body(body.as_bytes()).unwrap_err(), Refused::NotGraphql(why));
    }

    #[rstest::rstest]
    #[case("", Ok(false))]
    #[case("access_token=a", Ok(false))]
    #[case("inline=0", Ok(false))]
    #[case("access_token=a&inline=1", Ok(true))]
    #[case("inline=yes", Err(Refused::NotGraphql("inline is neither 0 nor 1")))]
    fn an_address_says_whether_the_answer_is_waited_for(
        #[case] query_string: &str,
        #[case] expected: Result<bool, Refused>,
    ) {
        assert_eq!(is_inline(query_string), expected);
    }

    #[test]
    fn nulls_stand_for_what_is_absent() {
        let body = br#"{"query": "{ a }", "variables": null, "operationName": null, "extensions": null}"#;
        let request = from_body(body).unwrap();
        assert_eq!((request.variables, request.operation_name), (None, None));
    }

    #[test]
    fn a_query_string_carries_the_same_request() {
        let request =
            from_query_string("query=%7B%20a%20%7D&variables=%7B%22b%22%3A1%7D&operationName=").unwrap();
        assert_eq!(request.query, "{ a }");
        assert_eq!(request.variables.unwrap().get("b"), Some(&Value::from(1)));
        assert_eq!(from_query_string("").unwrap_err(), Refused::NotGraphql("query is missing"));
    }
}
