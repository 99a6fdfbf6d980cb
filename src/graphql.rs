//! GraphQL, whichever transport it came over: limits first, then the schema, and errors that all have a
//! code. The engine is async-graphql; transports are in `http` and `websocket`.

use std::{sync::Arc, time::Duration};

use async_graphql::{
    Response, Variables,
    dynamic::Schema,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection},
    },
};
use duologue_actors::{
    action::Catalogue,
    entrance::{Entrance, Gate},
    ports::{Credentials, FlagSource, Identity},
    protocol::{Code, Failure},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::{admission::Admission, config::GraphqlConfig};

mod ai_action;
mod ai_cancel;
mod ai_completion_response;
mod ai_conversation_threads;
mod ai_message;
mod ai_messages;
mod call;
mod current_user;
mod encoding_key;
pub mod error;
mod fingerprint;
mod inline_answer;
pub mod input_types;
mod limits;
mod markdown;
mod metadata;
mod names;
mod page;
mod root_fragments;
mod scalars;
mod schema;
#[cfg(test)]
mod tests;
mod thread_choice;
pub mod timestamp;

pub use ai_completion_response::{Prepared, resume_name};
pub use ai_message::role_name;
use call::Call;
pub use call::Rejection;
pub use fingerprint::of_json as fingerprint_of;
pub use schema::{BuildError, sdl};

/// A request as every transport carries it.
#[derive(Clone, Debug, Deserialize)]
pub struct GraphqlRequest {
    pub query: String,
    #[serde(default, rename = "operationName")]
    pub operation_name: Option<String>,
    #[serde(default)]
    pub variables: Option<Map<String, Json>>,
    /// Taken and not looked at: no extension is known.
    #[serde(default)]
    pub extensions: Option<Map<String, Json>>,
    /// From the header of that name: only HTTP has one for each request.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
    /// From the address, over HTTP: whether its actions are waited for, as with `inline: true`.
    #[serde(skip)]
    pub inline: bool,
}

impl GraphqlRequest {
    /// Gives the variables that were left out the defaults their operation declares. The engine does so
    /// for arguments, but not for `@include` and `@skip`, which GitLab's clients use with a default.
    fn fill_defaults(&mut self, operation: &OperationDefinition) {
        for definition in &operation.variable_definitions {
            let Some(default) = &definition.node.default_value else {
                continue;
            };
            let Ok(default) = default.node.clone().into_json() else {
                continue;
            };
            let variables = self.variables.get_or_insert_default();
            variables.entry(definition.node.name.node.as_str()).or_insert(default);
        }
    }

    /// The engine says of a variable that was declared and left out that it is not defined.
    fn check_required(&self, operation: &OperationDefinition) -> Result<(), Box<Response>> {
        let given =
            |name: &str| self.variables.as_ref().is_some_and(|variables| variables.contains_key(name));
        for definition in &operation.variable_definitions {
            let (name, var_type) = (&definition.node.name.node, &definition.node.var_type.node);
            if !var_type.nullable && !given(name) {
                let why = format!("Variable ${name} of type {var_type} was not given");
                return Err(Box::new(error::refusal("variableRequired", why)));
            }
        }
        Ok(())
    }

    fn to_engine(&self) -> async_graphql::Request {
        let variables = self.variables.clone().unwrap_or_default();
        let request = async_graphql::Request::new(self.query.clone())
            .variables(Variables::from_json(Json::Object(variables)));
        match &self.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        }
    }
}

/// What GraphQL works with.
pub struct GraphqlParts {
    pub entrance: Entrance,
    pub catalogue: Arc<Catalogue>,
    pub flags: Arc<dyn FlagSource>,
    pub admission: Admission,
    pub config: GraphqlConfig,
    /// The GitLab version clients choose their queries by.
    pub advertised_version: String,
    /// Whether a caller without a token is nobody. Otherwise the Auth actor says who they are.
    pub needs_token: bool,
    /// Whether `aiAction` may wait for the end of its answer.
    pub allows_inline: bool,
}

/// The one GraphQL service of the process.
#[derive(Clone)]
pub struct Graphql {
    parts: Arc<GraphqlParts>,
    schema: Schema,
}

/// What came of a query or mutation, and what the transport has to do about it.
pub struct Executed {
    pub response: Response,
    /// The gate of the request it accepted: to be dropped when the response has been written.
    pub opens: Option<Gate>,
    /// How long the client should wait before it tries again.
    pub retry_after: Option<Duration>,
    /// Set when the request as a whole has failed.
    pub rejected: Option<Rejection>,
}

impl Graphql {
    /// # Errors
    /// When the catalogue's actions can't all be told apart in one schema.
    pub fn new(parts: GraphqlParts) -> Result<Self, BuildError> {
        let parts = Arc::new(parts);
        let builder = schema::builder(&parts.catalogue)?.data(Arc::clone(&parts));
        let schema = builder.finish().map_err(BuildError::Schema)?;
        Ok(Self { parts, schema })
    }

    /// The kind of the operation a request names.
    ///
    /// # Errors
    /// The response to a request that cannot be executed: over a limit, no GraphQL, or without such an
    /// operation.
    pub fn operation(&self, request: &GraphqlRequest) -> Result<OperationType, Box<Response>> {
        let document = self.parse(request)?;
        operation_of(&document, request).map(|operation| operation.ty)
    }

    /// Executes a query or mutation.
    pub async fn execute(&self, mut request: GraphqlRequest, credentials: &Credentials) -> Executed {
        let identity = match self.identify(credentials).await {
            Ok(identity) => identity,
            Err(failure) => return Executed::rejected(&failure),
        };
        let document = match self.prepare(&mut request) {
            Ok(document) => document,
            Err(refused) => return Executed::without_effects(*refused),
        };
        let idempotency_key = request.idempotency_key.take();
        let call = Arc::new(Call::new(credentials.clone(), identity, idempotency_key, request.inline));
        let mut engine_request = request.to_engine().data(Arc::clone(&call));
        engine_request.set_parsed_query(document);
        let response = self.schema.execute(engine_request).await;
        Executed::new(response, &call)
    }

    /// Validates a subscription and evaluates its arguments. The Broadcaster is not asked yet.
    ///
    /// # Errors
    /// The response that says what is wrong with it.
    pub async fn subscribe(
        &self,
        mut request: GraphqlRequest,
        identity: &Identity,
    ) -> Result<Prepared, Box<Response>> {
        let mut document = self.prepare(&mut request)?;
        root_fragments::inline(&mut document);
        let response_key = subscription_field(operation_of(&document, &request)?)?;
        let encoding_key = encoding_key::of(&request, &document);
        Prepared::new(self.schema.clone(), request, identity, response_key, encoding_key).await
    }

    /// How long what a client calls something may be.
    #[must_use]
    pub fn max_label_characters(&self) -> usize {
        self.parts.config.max_label_characters
    }

    /// The GitLab version clients choose their queries by.
    #[must_use]
    pub fn advertised_version(&self) -> &str {
        &self.parts.advertised_version
    }

    /// The schema in GraphQL's own language.
    #[must_use]
    pub fn sdl(&self) -> String {
        self.schema.sdl()
    }

    /// Whether a caller without a token is nobody.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        self.parts.needs_token
    }

    /// The document, if it keeps within the limits and has its variables.
    fn prepare(&self, request: &mut GraphqlRequest) -> Result<ExecutableDocument, Box<Response>> {
        let document = self.parse(request)?;
        let operation = operation_of(&document, request)?;
        request.fill_defaults(operation);
        request.check_required(operation)?;
        Ok(document)
    }

    /// The document, if it keeps within the limits.
    fn parse(&self, request: &GraphqlRequest) -> Result<ExecutableDocument, Box<Response>> {
        let config = &self.parts.config;
        let refuse =
            |exceeded: limits::Exceeded| Box::new(error::refusal(exceeded.code(), exceeded.to_string()));
        limits::check_text(&request.query, config.max_query_characters, config.max_depth).map_err(refuse)?;
        let document = parse_query(&request.query).map_err(|cause| Box::new(syntax_error(cause)))?;
        let bounds = limits::Bounds {
            depth: config.max_depth,
            complexity: config.max_complexity,
            aliases: config.max_aliases,
        };
        limits::check(&document, &bounds).map_err(refuse)?;
        Ok(document)
    }

    /// Anonymous callers are nobody where tokens are asked for; credentials that are there must be good.
    async fn identify(&self, credentials: &Credentials) -> Result<Option<Identity>, Failure> {
        if credentials.token.is_none() && self.needs_token() {
            return Ok(None);
        }
        self.parts.entrance.identify(credentials.clone()).await.map(Some)
    }
}

impl Executed {
    fn new(mut response: Response, call: &Call) -> Self {
        let call::Effects { opens, retry_after, rejected, errors, no_data } = call.take_effects();
        response.errors.extend(errors);
        error::classify(&mut response);
        if no_data {
            response.data = async_graphql::Value::Null;
        }
        if rejected.is_some() {
            // The request as a whole has failed: there is no data to point into.
            response.data = async_graphql::Value::Null;
            response.errors.iter_mut().for_each(|error| error.path.clear());
        }
        Self { response, opens, retry_after, rejected }
    }

    fn without_effects(response: Response) -> Self {
        Self { response, opens: None, retry_after: None, rejected: None }
    }

    fn rejected(failure: &Failure) -> Self {
        Self {
            response: error::refused_by(failure),
            opens: None,
            retry_after: failure.retry_after,
            rejected: Rejection::of(failure.code).or(Some(Rejection::Unavailable)),
        }
    }
}

/// The operation a request names, or its only one.
fn operation_of<'a>(
    document: &'a ExecutableDocument,
    request: &GraphqlRequest,
) -> Result<&'a OperationDefinition, Box<Response>> {
    let refuse = |code, message: &str| Err(Box::new(error::refusal(code, message)));
    let named = match (&request.operation_name, &document.operations) {
        (None, DocumentOperations::Single(operation)) => Some(operation),
        (None, DocumentOperations::Multiple(operations)) if operations.len() == 1 => {
            operations.values().next()
        }
        (None, DocumentOperations::Multiple(_)) => {
            return refuse("operationNameRequired", "Operation name required in request.");
        }
        (Some(name), DocumentOperations::Multiple(operations)) => operations.get(name.as_str()),
        (Some(_), DocumentOperations::Single(_)) => None,
    };
    match (named, &request.operation_name) {
        (Some(operation), _) => Ok(&operation.node),
        (None, name) => {
            let name = name.as_deref().unwrap_or_default();
            refuse("operationNotFound", &format!("Unknown operation named \"{name}\""))
        }
    }
}

/// The name in the answer of the one field a subscription selects.
fn subscription_field(operation: &OperationDefinition) -> Result<String, Box<Response>> {
    let refuse = |why: &str| Err(Box::new(error::refusal(Code::InvalidInput.as_str(), why)));
    if operation.ty != OperationType::Subscription {
        return refuse("the operation is not a subscription");
    }
    match operation.selection_set.node.items.as_slice() {
        [selection] => match &selection.node {
            Selection::Field(field) => Ok(field.node.response_key().node.to_string()),
            // Nothing on the root: `root_fragments` has put the others in their places.
            _ => refuse("a subscription selects a field of the type Subscription"),
        },
        _ => refuse("a subscription selects exactly one field"),
    }
}

fn syntax_error(cause: async_graphql::parser::Error) -> Response {
    let mut error = async_graphql::ServerError::from(cause);
    // The parser draws the place in several lines; clients get the place in `locations`.
    let what = error.message.lines().last().unwrap_or_default().trim_start_matches([' ', '=']).to_owned();
    error.message = format!("Syntax error: {what}");
    let mut response = Response::from_errors(vec![error]);
    error::classify(&mut response);
    response
}
