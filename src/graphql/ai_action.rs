//! `aiAction`: submits one action. The answer names the request; what it comes to is told to subscribers.
//!
//! A refusal before acceptance is a top-level error, never one in the payload: a payload error leaves
//! GitLab's editor extensions waiting for an answer.

use std::sync::Arc;

use async_graphql::{
    Name, Result, Value,
    dynamic::{
        Field, FieldFuture, FieldValue, InputObject, InputValue, ResolverContext, SchemaBuilder, TypeRef,
        indexmap::IndexMap,
    },
};
use duologue_actors::{
    action::{Action, Catalogue, ResourceRule},
    entrance::{Ask, Entrance, Gate, Refusal},
    ports::IdempotencyKey,
    protocol::{GlobalId, ThreadChoice},
};

use super::{
    GraphqlParts, call, error, fingerprint,
    inline_answer::{self, INLINE},
    input_types, names, scalars,
    thread_choice::{self, CONVERSATION_TYPE, OF_TYPE, THREAD_ID},
};
use crate::reception;

mod payload;

use payload::{AI_ACTION_PAYLOAD, Payload};

const AI_ACTION_INPUT: &str = "AiActionInput";

/// The input fields besides the actions', with their types.
pub(super) const COMMON_FIELDS: [(&str, &str, &str); 7] = [
    (
        "clientSubscriptionId",
        TypeRef::STRING,
        "Unique per feature and page: streams the answer to exactly the page that asked.",
    ),
    ("clientMutationId", TypeRef::STRING, "Echoed in the payload, nothing else."),
    (
        "platformOrigin",
        TypeRef::STRING,
        "Where the request comes from, e.g. `vs_code_extension`; kept for logs.",
    ),
    ("projectId", scalars::PROJECT_ID, "The project of a resource that is a commit."),
    (
        OF_TYPE,
        CONVERSATION_TYPE,
        "Begins a thread of this type; with `threadId`, the type it must be of. Counts for actions that keep a \
         conversation.",
    ),
    (
        THREAD_ID,
        scalars::AI_CONVERSATION_THREAD_ID,
        "The thread to go on in. Without it and without a type it is the last one of the type DUO_CHAT_LEGACY, or a \
         new one.",
    ),
    (
        INLINE,
        TypeRef::BOOLEAN,
        "Waits for the end: the payload has the answer. For development, where the server allows it.",
    ),
];

pub(super) fn register(mut schema: SchemaBuilder, catalogue: &Catalogue) -> SchemaBuilder {
    let mut input =
        InputObject::new(AI_ACTION_INPUT).description("Exactly one action, and how to answer it.");
    for action in catalogue.iter() {
        let fields = action_input(action);
        let type_ref = TypeRef::named(fields.type_name());
        input =
            input.field(InputValue::new(action.graphql_name(), type_ref).description(&action.description));
        schema = schema.register(fields);
    }
    for (name, type_name, description) in COMMON_FIELDS {
        input = input.field(InputValue::new(name, TypeRef::named(type_name)).description(description));
    }
    schema.register(input).register(payload::object())
}

pub(super) fn field() -> Field {
    Field::new("aiAction", TypeRef::named(AI_ACTION_PAYLOAD), |context| {
        FieldFuture::new(async move { call::or_null(&context, resolve(&context).await) })
    })
    .argument(InputValue::new("input", TypeRef::named_nn(AI_ACTION_INPUT)))
    .description("Asks for one AI action. Returns once the request is safely on disk.")
}

/// The wire name of an action's input object.
pub(super) fn input_type_name(action: &Action) -> String {
    format!("Ai{}Input", names::pascal_case(&action.name))
}

fn action_input(action: &Action) -> InputObject {
    let mut input = InputObject::new(input_type_name(action)).description(&action.description);
    match action.resource {
        ResourceRule::Required => {
            input = input.field(InputValue::new("resourceId", TypeRef::named_nn(scalars::AI_MODEL_ID)));
        }
        ResourceRule::Optional => {
            input = input.field(InputValue::new("resourceId", TypeRef::named(scalars::AI_MODEL_ID)));
        }
        ResourceRule::None => {}
    }
    for field in &action.input {
        if let Some(type_ref) = input_types::type_ref(&field.type_name) {
            input = input.field(InputValue::new(names::camel_case(&field.name), type_ref));
        }
    }
    input
}

async fn resolve<'a>(context: &ResolverContext<'a>) -> Result<FieldValue<'a>> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let caller = call.caller(call.identity()?);
    let input = context.args.try_get("input")?;
    let Value::Object(input) = input.as_value() else {
        return Err(error::unfit_argument("input", AI_ACTION_INPUT));
    };
    let waits = inline_answer::wanted(parts, call, input)?;
    let idempotency_key = call.idempotency_key.clone();
    let idempotency_key =
        idempotency_key.map(|key| IdempotencyKey { key, fingerprint: fingerprint::of(input) });
    let Order { action, input, resource_id, project_id, thread, labels } = read_order(parts, input)?;
    let Labels { client_subscription_id, client_mutation_id, platform_origin } = labels;
    let name = action.name.clone();
    let outcome = match parts.admission.admit() {
        Err(failure) => Err((failure, None)),
        Ok(permit) => {
            let credentials = call.credentials.clone();
            let ask = Ask {
                credentials,
                action,
                input,
                resource_id,
                project_id,
                client_subscription_id,
                platform_origin,
                thread,
                idempotency_key,
                permit,
            };
            submit(&parts.entrance, ask).await.map_err(|refusal| (refusal.failure, Some(refusal.request_id)))
        }
    };
    reception::count(&name, outcome.as_ref().err().map(|(failure, _)| failure));
    match outcome {
        Ok(gate) => {
            let (request_id, thread_id, cursor) = (gate.request_id(), gate.thread_id(), gate.cursor());
            let answer = if waits {
                Some(inline_answer::wait(&parts.entrance, caller, gate).await)
            } else {
                call.opens(gate);
                None
            };
            Ok(FieldValue::owned_any(Payload { request_id, thread_id, cursor, answer, client_mutation_id }))
        }
        Err((failure, request_id)) => Err(call.refuse(&failure, request_id)),
    }
}

async fn submit(entrance: &Entrance, ask: Ask) -> std::result::Result<Gate, Refusal> {
    let (action, platform_origin) = (ask.action.name.clone(), ask.platform_origin.clone());
    let outcome = entrance.ask(ask).await;
    reception::log(&action, platform_origin.as_deref(), outcome.as_ref().map(Gate::request_id));
    outcome
}

/// What a client ordered.
struct Order {
    action: Arc<Action>,
    input: serde_json::Map<String, serde_json::Value>,
    resource_id: Option<GlobalId>,
    project_id: Option<GlobalId>,
    thread: ThreadChoice,
    labels: Labels,
}

struct Labels {
    client_subscription_id: Option<String>,
    client_mutation_id: Option<String>,
    platform_origin: Option<String>,
}

fn read_order(parts: &GraphqlParts, input: &IndexMap<Name, Value>) -> Result<Order> {
    let (action, values) = the_action(&parts.catalogue, input)?;
    let label = |name| label(input, name, parts.config.max_label_characters);
    let path = format!("input.{}", action.graphql_name());
    let Value::Object(values) = values else {
        return Err(error::unfit_argument(&path, &input_type_name(action)));
    };
    let names: Vec<_> = action.input.iter().map(|field| names::camel_case(&field.name)).collect();
    let rules = action.input.iter().zip(&names).map(|(field, name)| input_types::FieldRule {
        name,
        type_name: &field.type_name,
        max_length: field.max_length,
        allow_blank: field.allow_blank,
    });
    Ok(Order {
        action: action.clone(),
        resource_id: resource_id(action, values, &path)?,
        project_id: project_id(input)?,
        thread: thread(input)?,
        input: input_types::fields_to_json(values, rules, &path)?,
        labels: Labels {
            client_subscription_id: label("clientSubscriptionId")?,
            client_mutation_id: label("clientMutationId")?,
            platform_origin: label("platformOrigin")?,
        },
    })
}

/// The one action that was named. A null stands for an action that was not.
fn the_action<'a>(
    catalogue: &'a Catalogue,
    input: &'a IndexMap<Name, Value>,
) -> Result<(&'a Arc<Action>, &'a Value)> {
    let mut named = catalogue.iter().filter_map(|action| {
        let value = input.get(action.graphql_name().as_str()).filter(|value| **value != Value::Null)?;
        Some((action, value))
    });
    match (named.next(), named.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(error::invalid_input("Only one method argument is required")),
    }
}

fn resource_id(action: &Action, values: &IndexMap<Name, Value>, path: &str) -> Result<Option<GlobalId>> {
    let unfit = || error::unfit_argument(&format!("{path}.resourceId"), scalars::AI_MODEL_ID);
    match (action.resource, values.get("resourceId").unwrap_or(&Value::Null)) {
        (ResourceRule::None, _) | (ResourceRule::Optional, Value::Null) => Ok(None),
        (_, Value::String(text)) => text.parse().map(Some).map_err(|_| unfit()),
        _ => Err(unfit()),
    }
}

fn project_id(input: &IndexMap<Name, Value>) -> Result<Option<GlobalId>> {
    let unfit = || error::unfit_argument("input.projectId", scalars::PROJECT_ID);
    match input.get("projectId").unwrap_or(&Value::Null) {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| unfit()),
        _ => Err(unfit()),
    }
}

fn thread(input: &IndexMap<Name, Value>) -> Result<ThreadChoice> {
    let id = thread_choice::thread_id(input.get(THREAD_ID), "input.threadId")?;
    let of = thread_choice::conversation_type(input.get(OF_TYPE), "input.conversationType")?;
    Ok(ThreadChoice::new(id, of))
}

fn label(input: &IndexMap<Name, Value>, name: &str, max_characters: usize) -> Result<Option<String>> {
    match input.get(name).unwrap_or(&Value::Null) {
        Value::Null => Ok(None),
        Value::String(text) if text.chars().count() > max_characters => {
            Err(error::invalid_input(format!("{name} is too long (maximum is {max_characters})")))
        }
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(error::unfit_argument(&format!("input.{name}"), TypeRef::STRING)),
    }
}

/// Whether a name of an action or of its input would clash with one the schema needs.
pub(super) fn clash(action: &Action) -> Option<String> {
    let name = action.graphql_name();
    if COMMON_FIELDS.iter().any(|(common, ..)| *common == name) {
        return Some(format!("the action's name {} is taken by a field of {AI_ACTION_INPUT}", action.name));
    }
    let mut seen = std::collections::BTreeSet::from(["resourceId".to_owned()]);
    for field in &action.input {
        if !seen.insert(names::camel_case(&field.name)) {
            return Some(format!("the input {} of the action {} is there twice", field.name, action.name));
        }
        if !input_types::is_known(&field.type_name) {
            return Some(format!(
                "the input {} of the action {} has the type {:?}, which the schema does not know",
                field.name, action.name, field.type_name
            ));
        }
    }
    (action.resource == ResourceRule::None && action.input.is_empty())
        .then(|| format!("the action {} takes neither a resource nor an input", action.name))
}
