//! Errors as GraphQL shows them: every one has `extensions.code`. Failures of the pipeline bring their own
//! code, the hop they came from and the `requestId`; what the GraphQL engine finds wrong with a document
//! gets the code GitLab's server uses for it, because its clients probe for features by these codes.

use actix_web::web::Bytes;
use async_graphql::{Error, ErrorExtensionValues, ErrorExtensions, Response, ServerError, Value};
use duologue_actors::protocol::{Code, Failure, Hop, RequestId};
use serde::Serialize;

/// GitLab's code for a value that does not fit its argument.
const UNFIT_ARGUMENT: &str = "argumentLiteralsIncompatible";

/// What a message of the GraphQL engine starts with and contains, and the code that says so. The first
/// match counts. The codes are those of graphql-ruby's static validation.
const CODES: &[(&str, &str, &str)] = &[
    ("Unknown argument", "", "argumentNotAccepted"),
    ("Invalid value for argument", "unknown field", "argumentNotAccepted"),
    ("Invalid value for argument", "is required but not provided", "missingRequiredInputObjectAttribute"),
    ("Invalid value for argument", "", UNFIT_ARGUMENT),
    ("Invalid default value for argument", "", "defaultValueInvalidType"),
    ("Unknown field", "", "undefinedField"),
    ("Field", "is required but not provided", "missingRequiredArguments"),
    ("Directive", "is required but not provided", "missingRequiredArguments"),
    ("Field", "selection of subfields", "selectionMismatch"),
    ("Field", "must not have a selection", "selectionMismatch"),
    ("Fields", "conflict because", "fieldConflict"),
    ("Unknown directive", "", "undefinedDirective"),
    ("Duplicate directive", "", "directiveNotUniqueForLocation"),
    ("Directive", "may not be used on", "directiveCannotBeApplied"),
    ("Unknown fragment", "", "useAndDefineFragment"),
    ("Fragment", "is never used", "useAndDefineFragment"),
    ("Fragment", "cannot be spread here", "cannotSpreadFragment"),
    ("Fragment", "cannot condition", "fragmentOnNonCompositeType"),
    ("Cannot spread fragment", "", "infiniteLoop"),
    ("The recursion depth", "", "infiniteLoop"),
    ("Unknown type", "", "undefinedType"),
    ("Variable", "is not defined", "variableNotDefined"),
    ("Variable", "is not used", "variableNotUsed"),
    ("Variable", "used in position expecting", "variableMismatch"),
    ("Variable", "cannot be of non-input type", "variableRequiresValidType"),
    ("There can only be one argument", "", "argumentNotUnique"),
    ("There can only be one variable", "", "variableNotUnique"),
    ("Unknown operation", "", "operationNotFound"),
    ("Operation name required", "", "operationNameRequired"),
    ("Subscriptions are not supported", "", "transportNotSupported"),
    ("Syntax error", "", "parseError"),
];

/// A failure of the pipeline, or of the edge in its terms.
pub fn from_failure(failure: &Failure, request_id: Option<RequestId>) -> Error {
    Error::new(failure.text.clone()).extend_with(|_, extensions| describe(failure, request_id, extensions))
}

/// An argument whose type is right and whose value is not.
pub fn invalid_input(text: impl Into<String>) -> Error {
    from_failure(&Failure::new(Code::InvalidInput, Hop::Edge, text), None)
}

/// An argument of a shape its type does not have.
pub fn unfit_argument(path: &str, type_name: &str) -> Error {
    Error::new(format!("Invalid value for argument \"{path}\", expected type \"{type_name}\""))
        .extend_with(|_, extensions| extensions.set("code", UNFIT_ARGUMENT))
}

/// A whole response that says one thing: the request was not executed.
#[must_use]
pub fn refusal(code: &str, message: impl Into<String>) -> Response {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    extensions.set("hop", Hop::Edge.as_str());
    let mut error = ServerError::new(message, None);
    error.extensions = Some(extensions);
    Response::from_errors(vec![error])
}

/// A whole response that says why the pipeline or the edge refused.
#[must_use]
pub fn refused_by(failure: &Failure) -> Response {
    let mut extensions = ErrorExtensionValues::default();
    describe(failure, None, &mut extensions);
    let mut error = ServerError::new(failure.text.clone(), None);
    error.extensions = Some(extensions);
    Response::from_errors(vec![error])
}

/// The same of a subscription that has missed something, so that it has to be made again.
#[must_use]
pub fn reset_by(failure: &Failure) -> Response {
    let mut response = refused_by(failure);
    for error in &mut response.errors {
        error.extensions.get_or_insert_default().set("resume", "RESET");
    }
    response
}

/// Gives every error a code and a hop. An error of a resolver that brought none is a mistake of ours: it is logged,
/// and the client hears no detail.
pub fn classify(response: &mut Response) {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("hop").is_none() {
            // Whatever does not say otherwise was found before the pipeline.
            extensions.set("hop", Hop::Edge.as_str());
        }
        if extensions.get("code").is_some() {
            continue;
        }
        match code_of(&error.message) {
            Some(code) => extensions.set("code", code),
            None if error.path.is_empty() => extensions.set("code", Code::InvalidInput.as_str()),
            None => {
                tracing::error!(error = %error.message, "a resolver failed");
                let failure = Failure::internal(Hop::Edge);
                describe(&failure, None, extensions);
                error.message = failure.text;
            }
        }
    }
}

/// `extensions.code`.
#[must_use]
pub fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

/// Whether the request was refused before anything of it was executed; such a response has no `data`.
#[must_use]
pub fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The response as it goes over the wire.
#[must_use]
pub fn to_bytes(response: &Response) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        errors: &'a [ServerError],
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a Value>,
        #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        extensions: &'a std::collections::BTreeMap<String, Value>,
    }
    let body = Body {
        errors: &response.errors,
        data: (!is_request_error(response)).then_some(&response.data),
        extensions: &response.extensions,
    };
    // GraphQL values are JSON with string keys, which always serialises.
    Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
}

/// What a failure says to programs, as a value.
#[must_use]
pub fn described(failure: &Failure, request_id: Option<RequestId>) -> Value {
    let mut extensions = ErrorExtensionValues::default();
    describe(failure, request_id, &mut extensions);
    async_graphql::to_value(extensions).unwrap_or_default()
}

fn describe(failure: &Failure, request_id: Option<RequestId>, extensions: &mut ErrorExtensionValues) {
    extensions.set("code", failure.code.as_str());
    extensions.set("hop", failure.hop.as_str());
    if let Some(request_id) = request_id {
        extensions.set("requestId", request_id.to_string());
    }
    if let Some(wait) = failure.retry_after {
        extensions.set("retryAfter", whole_seconds(wait));
    }
}

/// Whole seconds, never less than the wait.
#[must_use]
pub fn whole_seconds(wait: std::time::Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn code_of(message: &str) -> Option<&'static str> {
    CODES
        .iter()
        .find(|(start, part, _)| message.starts_with(start) && message.contains(part))
        .map(|(.., code)| *code)
}
