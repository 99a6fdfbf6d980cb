//! `currentUser`: who the caller is, and which AI features are open to them. Null when anonymous.

use std::sync::Arc;

use async_graphql::{
    Result, Value,
    dynamic::{Field, FieldFuture, FieldValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};
use duologue_actors::{action::Action, ports::Identity};
use tokio::sync::OnceCell;

use super::{call, error, scalars};

const CURRENT_USER: &str = "CurrentUser";

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema.register(
        Object::new(CURRENT_USER)
            .field(field("id", TypeRef::named_nn(scalars::USER_ID), |user| {
                user.identity.user.id.global_id().to_string()
            }))
            .field(field("username", TypeRef::named_nn(TypeRef::STRING), |user| {
                user.identity.user.username.clone()
            }))
            .field(field("name", TypeRef::named_nn(TypeRef::STRING), |user| user.identity.user.name.clone()))
            .field(absent("avatarUrl").description("Null: nobody has a picture here."))
            .field(absent("webUrl").description("Null: nobody has a page of their own here."))
            .field(
                Field::new("duoChatAvailable", TypeRef::named(TypeRef::BOOLEAN), |context| {
                    FieldFuture::new(async move {
                        let actions = call::or_null(&context, available(&context).await)?;
                        Ok(actions.map(|actions| Value::from(actions.iter().any(|action| action.is_chat()))))
                    })
                })
                .description("Whether the caller may chat."),
            )
            .field(
                Field::new("duoChatAvailableFeatures", TypeRef::named_nn_list(TypeRef::STRING), |context| {
                    FieldFuture::new(async move {
                        let actions = call::or_null(&context, available(&context).await)?;
                        let names = |actions: &[Arc<Action>]| {
                            Value::List(actions.iter().map(|action| action.name.as_str().into()).collect())
                        };
                        Ok(actions.map(names))
                    })
                })
                .description("The names of the actions the caller may use somewhere."),
            )
            .field(
                constant("duoCodeSuggestionsAvailable", TypeRef::named(TypeRef::BOOLEAN), || false.into())
                    .description("False: code suggestions are not offered here."),
            )
            .field(
                constant("codeSuggestionsContexts", TypeRef::named_nn_list(TypeRef::STRING), || {
                    Value::List(Vec::new())
                })
                .description("What code suggestions may take into account: nothing, as there are none."),
            ),
    )
}

pub(super) fn field_of_query() -> Field {
    Field::new("currentUser", TypeRef::named(CURRENT_USER), |context| {
        FieldFuture::new(async move {
            let identity = call::call(&context)?.identity.clone();
            Ok(identity
                .map(|identity| FieldValue::owned_any(CurrentUser { identity, available: OnceCell::new() })))
        })
    })
}

struct CurrentUser {
    identity: Identity,
    /// Asked for at most once, whichever fields are selected.
    available: OnceCell<Vec<Arc<Action>>>,
}

fn field(name: &str, type_ref: TypeRef, read: fn(&CurrentUser) -> String) -> Field {
    Field::new(name, type_ref, move |context| {
        FieldFuture::from_value(
            context.parent_value.downcast_ref::<CurrentUser>().map(|user| read(user).into()),
        )
    })
}

/// A field that GitLab's clients select at their start, and that says the same of everybody here.
fn constant(name: &str, type_ref: TypeRef, value: fn() -> Value) -> Field {
    Field::new(name, type_ref, move |_| FieldFuture::from_value(Some(value())))
}

/// One of these that has nothing to say.
fn absent(name: &str) -> Field {
    constant(name, TypeRef::named(TypeRef::STRING), || Value::Null)
}

async fn available<'a>(context: &ResolverContext<'a>) -> Result<&'a [Arc<Action>]> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let user = context.parent_value.try_downcast_ref::<CurrentUser>()?;
    let ask = || async {
        let may_ask = |action: &Arc<Action>| user.identity.scope.may_ask(action).is_ok();
        let actions = parts.catalogue.iter().filter(|action| may_ask(action)).cloned().collect();
        parts.entrance.available_actions(call.caller(&user.identity), actions).await
    };
    let actions =
        user.available.get_or_try_init(ask).await.map_err(|failure| error::from_failure(&failure, None))?;
    Ok(actions)
}
