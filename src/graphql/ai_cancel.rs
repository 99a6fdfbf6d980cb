//! `aiCancel`: ends a request of the caller's that is still running. One that has ended already stays
//! as it ended, and to cancel it is no error.

use async_graphql::{
    Result, Value,
    dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};
use duologue_actors::protocol::RequestId;

use super::{call, error};

const AI_CANCEL_PAYLOAD: &str = "AiCancelPayload";

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema.register(
        Object::new(AI_CANCEL_PAYLOAD)
            .field(Field::new("requestId", TypeRef::named(TypeRef::STRING), |context| {
                let request_id = context.parent_value.downcast_ref::<RequestId>();
                FieldFuture::from_value(request_id.map(|id| id.to_string().into()))
            }))
            .field(Field::new("errors", TypeRef::named_nn_list_nn(TypeRef::STRING), |_| {
                FieldFuture::from_value(Some(Value::List(Vec::new())))
            })),
    )
}

pub(super) fn field() -> Field {
    Field::new("aiCancel", TypeRef::named(AI_CANCEL_PAYLOAD), |context| {
        FieldFuture::new(async move { call::or_null(&context, resolve(&context).await) })
    })
    .argument(InputValue::new("requestId", TypeRef::named_nn(TypeRef::ID)))
    .description("Ends a running request; its subscribers get what there is of the answer.")
}

async fn resolve<'a>(context: &ResolverContext<'a>) -> Result<FieldValue<'a>> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let identity = call.identity()?;
    identity.scope.may_change().map_err(|failure| call.refuse(&failure, None))?;
    let owner = identity.user.id;
    let request_id = request_id(context.args.try_get("requestId")?.as_value())?;
    parts
        .entrance
        .cancel(owner, request_id)
        .await
        .map_err(|failure| call.refuse(&failure, Some(request_id)))?;
    tracing::info!(%request_id, "request cancelled");
    Ok(FieldValue::owned_any(request_id))
}

/// Reads an `ID` that names a request.
pub(super) fn request_id(value: &Value) -> Result<RequestId> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| error::invalid_input("requestId is not the id of a request"))
}
