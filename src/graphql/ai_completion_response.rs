//! `aiCompletionResponse`: tells a subscriber what its requests come to.
//!
//! The engine is asked twice. When a client subscribes, the field's resolver turns the arguments into a
//! [`Filter`] and yields nothing. When an event is to be delivered, the same document runs once more, as a
//! stream into which events are fed one by one; so aliases, variables and directives work as they do
//! everywhere, and a document is validated once an answer, not once a chunk. An idle subscription keeps
//! neither a parsed document nor a stream.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Bytes;
use async_graphql::{
    Error, Response, Result, Value,
    dynamic::{
        InputValue, ObjectAccessor, ResolverContext, Schema, SchemaBuilder, Subscription, SubscriptionField,
        SubscriptionFieldFuture, TypeRef,
    },
    parser::parse_query,
    value,
};
use duologue_actors::{
    broadcaster::{Cursor, Event, EventKind, Filter, Resume},
    entrance::Reader,
    ports::Identity,
    protocol::{ChatMessage, Code, Failure, GlobalId, Hop},
};
use futures::{
    StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    stream::BoxStream,
};

use super::{
    GraphqlRequest,
    ai_cancel::request_id,
    ai_message::{self, AI_MESSAGE},
    error, root_fragments, scalars,
};

pub(super) const SUBSCRIPTION: &str = "Subscription";
const AI_ACTION: &str = "AiAction";
const AFTER: &str = "after";

/// Names of extensions, and the word for what begins anew.
const CURSOR: &str = "cursor";
const RESUME: &str = "resume";
const RESET: &str = "RESET";

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    let field = SubscriptionField::new("aiCompletionResponse", TypeRef::named(AI_MESSAGE), |context| {
        SubscriptionFieldFuture::new(async move { resolve(&context) })
    })
    .argument(InputValue::new("userId", TypeRef::named(scalars::USER_ID)))
    .argument(InputValue::new("resourceId", TypeRef::named(scalars::AI_MODEL_ID)))
    .argument(InputValue::new("clientSubscriptionId", TypeRef::named(TypeRef::STRING)))
    .argument(InputValue::new("aiAction", TypeRef::named(AI_ACTION)))
    .argument(InputValue::new("requestId", TypeRef::named(TypeRef::ID)))
    .argument(InputValue::new(AFTER, TypeRef::named(TypeRef::STRING)))
    .description(
        "The caller's questions as they are accepted, and the answers as they come. `after` a cursor: what was \
         published behind it, and what lies before it counts as received.",
    );
    schema.register(Subscription::new(SUBSCRIPTION).field(field))
}

pub(super) fn action_enum(names: impl IntoIterator<Item = String>) -> async_graphql::dynamic::Enum {
    async_graphql::dynamic::Enum::new(AI_ACTION).items(names)
}

/// What a subscription's arguments ask for.
struct Wish {
    filter: Filter,
    after: Option<Cursor>,
}

/// What runs a subscription's document, and why.
struct Feed {
    identity: Identity,
    registered: Arc<Mutex<Option<Wish>>>,
    events: Mutex<Option<UnboundedReceiver<Arc<ChatMessage>>>>,
}

fn resolve<'a>(
    context: &ResolverContext<'a>,
) -> Result<BoxStream<'a, Result<async_graphql::dynamic::FieldValue<'a>>>> {
    let feed = context.ctx.data::<Feed>()?;
    let (filter, after) = (filter(&context.args, &feed.identity)?, after(&context.args)?);
    *feed.registered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Wish { filter, after });
    let events = feed.events.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(match events {
        Some(events) => events.map(|message| Ok(ai_message::value(message))).boxed(),
        None => futures::stream::empty().boxed(),
    })
}

fn filter(arguments: &ObjectAccessor<'_>, identity: &Identity) -> Result<Filter> {
    let given = |name: &str| arguments.get(name).filter(|value| !value.is_null());
    identity.scope.may_read().map_err(|failure| error::from_failure(&failure, None))?;
    let owner = identity.user.id;
    if let Some(user) = given("userId")
        && user.string()? != owner.global_id().to_string()
    {
        let failure = Failure::new(Code::Forbidden, Hop::Edge, "Unauthorized subscription");
        return Err(error::from_failure(&failure, None));
    }
    let resource_id =
        given("resourceId").map(|id| id.string()?.parse::<GlobalId>().map_err(Error::new_with_source));
    let client_subscription_id =
        given("clientSubscriptionId").map(|id| id.string().map(str::to_owned)).transpose()?;
    let action = given("aiAction").map(|name| name.enum_name().map(str::to_ascii_lowercase)).transpose()?;
    let request_id = given("requestId").map(|id| request_id(id.as_value())).transpose()?;
    Filter::new(owner, action.as_deref(), resource_id.transpose()?, client_subscription_id, request_id)
        .map_err(|failure| error::from_failure(&failure, None))
}

fn after(arguments: &ObjectAccessor<'_>) -> Result<Option<Cursor>> {
    let Some(text) = arguments.get(AFTER).filter(|value| !value.is_null()) else { return Ok(None) };
    let cursor = text.string()?.parse();
    cursor.map(Some).map_err(|reason| error::invalid_input(format!("{AFTER} is {reason}")))
}

/// A subscription that is valid and allowed, before the Broadcaster has heard of it.
#[derive(Clone)]
pub struct Prepared {
    pub filter: Filter,
    /// How far its reader has come before, if it says so.
    pub after: Option<Cursor>,
    inner: Arc<Inner>,
}

struct Inner {
    schema: Schema,
    request: GraphqlRequest,
    identity: Identity,
    /// The name of the one field in the answer: its alias, or its own.
    response_key: String,
    /// Names what an event looks like to this subscription.
    encoding_key: String,
    rendering: tokio::sync::Mutex<Option<Rendering>>,
}

/// The document, running. Dropped with the answer it was started for.
struct Rendering {
    events: UnboundedSender<Arc<ChatMessage>>,
    responses: BoxStream<'static, Response>,
}

impl Prepared {
    /// Runs the document far enough to know its filter.
    pub(super) async fn new(
        schema: Schema,
        request: GraphqlRequest,
        identity: &Identity,
        response_key: String,
        encoding_key: String,
    ) -> std::result::Result<Self, Box<Response>> {
        let registered = Arc::default();
        let mut responses = run(&schema, &request, identity, Arc::clone(&registered), None);
        if let Some(mut refused) = responses.next().await {
            error::classify(&mut refused);
            return Err(Box::new(refused));
        }
        let wish = registered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Wish { filter, after }) = wish else {
            let why = "the subscription's only field is skipped";
            return Err(Box::new(error::refusal(Code::InvalidInput.as_str(), why)));
        };
        let identity = identity.clone();
        let rendering = tokio::sync::Mutex::default();
        let inner = Inner { schema, request, identity, response_key, encoding_key, rendering };
        Ok(Self { filter, after, inner: Arc::new(inner) })
    }

    /// The first frame of the subscription: there is nothing yet, and what came before is replayed or not.
    #[must_use]
    pub fn first(&self, reader: &Reader) -> Bytes {
        let response = Response::new(self.inner.nothing())
            .extension("subscribed", value!(true))
            .extension(RESUME, value!(resume_name(reader.resume())))
            .extension(CURSOR, value!(reader.cursor().to_string()));
        error::to_bytes(&response)
    }

    /// The frame that shows an event to this subscription; made once for all that look at it alike.
    pub async fn render(&self, event: &Event) -> Bytes {
        let bytes = event.encoded(&self.inner.encoding_key, self.encode(event)).await;
        if event.kind == EventKind::Final {
            // Perhaps another subscription has made it: nothing is kept for an answer that is over.
            self.inner.rendering.lock().await.take();
        }
        bytes
    }

    async fn encode(&self, event: &Event) -> Bytes {
        let mut response = match event.kind {
            EventKind::Restart => Response::new(self.inner.nothing()),
            EventKind::Echo | EventKind::Chunk | EventKind::Final => self.run_with(event).await,
        };
        error::classify(&mut response);
        if response.data == Value::Null {
            // GitLab's clients look into `data` without asking whether it is there.
            response.data = self.inner.nothing();
        }
        response.extensions.extend(extensions(event));
        error::to_bytes(&response)
    }

    async fn run_with(&self, event: &Event) -> Response {
        let mut place = self.inner.rendering.lock().await;
        // Taken out while it works: whoever drops this future half-way leaves no answer to the wrong event.
        let mut rendering = place.take().unwrap_or_else(|| self.inner.start());
        let _ = rendering.events.unbounded_send(Arc::new(event.message.clone()));
        let Some(response) = rendering.responses.next().await else {
            return error::refused_by(&Failure::internal(Hop::Edge));
        };
        let goes_on = !matches!(event.kind, EventKind::Final) && response.errors.is_empty();
        *place = goes_on.then_some(rendering);
        response
    }
}

/// How a subscription begins, as clients are told.
#[must_use]
pub fn resume_name(resume: Resume) -> &'static str {
    match resume {
        Resume::Live => "LIVE",
        Resume::Replayed => "REPLAYED",
        Resume::Reset => RESET,
    }
}

impl Inner {
    /// The data of a frame without a message.
    fn nothing(&self) -> Value {
        let key = async_graphql::Name::new(&self.response_key);
        Value::Object(async_graphql::indexmap::IndexMap::from_iter([(key, Value::Null)]))
    }

    fn start(&self) -> Rendering {
        let (events, fed) = unbounded();
        let responses = run(&self.schema, &self.request, &self.identity, Arc::default(), Some(fed));
        Rendering { events, responses }
    }
}

fn run(
    schema: &Schema,
    request: &GraphqlRequest,
    identity: &Identity,
    registered: Arc<Mutex<Option<Wish>>>,
    events: Option<UnboundedReceiver<Arc<ChatMessage>>>,
) -> BoxStream<'static, Response> {
    let feed = Feed { identity: identity.clone(), registered, events: Mutex::new(events) };
    let mut engine_request = request.to_engine().data(feed);
    // Documents that cannot be parsed were refused before; the engine would say so again.
    if let Ok(mut document) = parse_query(&request.query) {
        root_fragments::inline(&mut document);
        engine_request.set_parsed_query(document);
    }
    schema.execute_stream(engine_request)
}

/// What a frame says beside its message: where it stands in the log, that its request's answer begins anew,
/// which model answered, and of a failure what programs need.
fn extensions(event: &Event) -> Vec<(String, Value)> {
    let model = event.model.as_deref().map(|model| ("model".to_owned(), Value::from(model)));
    let failure = event.failure.as_ref().map(|failure| {
        let said = error::described(failure, Some(event.request_id()));
        ("failure".to_owned(), said)
    });
    let restarted = [
        (RESUME.to_owned(), Value::from(RESET)),
        ("requestId".to_owned(), Value::from(event.request_id().to_string())),
    ];
    let restarted = restarted.into_iter().filter(|_| event.kind == EventKind::Restart);
    let cursor = (CURSOR.to_owned(), Value::from(event.cursor.to_string()));
    let withheld = event.is_withheld.then(|| ("withheld".to_owned(), Value::from(true)));
    std::iter::once(cursor).chain(restarted).chain(withheld).chain(model).chain(failure).collect()
}
