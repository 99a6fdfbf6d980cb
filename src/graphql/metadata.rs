//! `metadata`: the version clients choose their queries by, and the flags they ask for at start.

use async_graphql::{
    Result, Value,
    dynamic::{Field, FieldFuture, FieldValue, InputValue, Object, ResolverContext, SchemaBuilder, TypeRef},
};

use duologue_actors::feature_flag::{CHAT_SWITCH, GLOBAL_SWITCH};

use super::{call, error};

const METADATA: &str = "Metadata";
const FEATURE_FLAG: &str = "MetadataFeatureFlag";

/// The two switches above the actions' own flags; on while nothing is known of them.
const SWITCHES: [&str; 2] = [CHAT_SWITCH, GLOBAL_SWITCH];

pub(super) fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema.register(metadata()).register(
        Object::new(FEATURE_FLAG)
            .field(flag_field("name", TypeRef::STRING, |flag| flag.name.as_str().into()))
            .field(flag_field("enabled", TypeRef::BOOLEAN, |flag| flag.enabled.into())),
    )
}

pub(super) fn field() -> Field {
    Field::new("metadata", TypeRef::named(METADATA), |_| FieldFuture::Value(Some(FieldValue::owned_any(()))))
}

fn metadata() -> Object {
    Object::new(METADATA)
        .field(Field::new("version", TypeRef::named_nn(TypeRef::STRING), |context| {
            FieldFuture::new(async move {
                Ok(Some(Value::from(call::parts(&context)?.advertised_version.as_str())))
            })
        }))
        .field(
            Field::new("featureFlags", TypeRef::named_nn_list(FEATURE_FLAG), |context| {
                FieldFuture::new(async move { call::or_null(&context, feature_flags(&context)) })
            })
            .argument(InputValue::new("names", TypeRef::named_nn_list_nn(TypeRef::STRING)))
            .description("The state of each named flag for the caller."),
        )
}

struct Flag {
    name: String,
    enabled: bool,
}

fn flag_field(name: &str, type_name: &str, read: fn(&Flag) -> Value) -> Field {
    Field::new(name, TypeRef::named_nn(type_name), move |context| {
        FieldFuture::from_value(context.parent_value.downcast_ref::<Flag>().map(read))
    })
}

fn feature_flags<'a>(context: &ResolverContext<'a>) -> Result<FieldValue<'a>> {
    let (parts, call) = (call::parts(context)?, call::call(context)?);
    let names = names(context.args.try_get("names")?.as_value(), parts.config.max_flag_names)?;
    let flags = parts.flags.snapshot();
    let actors: Vec<_> = call.identity.iter().map(|identity| identity.user.id.global_id()).collect();
    Ok(FieldValue::list(names.into_iter().map(|name| {
        let default = SWITCHES.contains(&name.as_str())
            || parts.catalogue.iter().any(|action| action.feature_flag == name && action.flag_default);
        let enabled = flags.enabled(&name, default, &actors);
        FieldValue::owned_any(Flag { name, enabled })
    })))
}

fn names(value: &Value, max_names: usize) -> Result<Vec<String>> {
    let unfit = || error::unfit_argument("names", "[String!]!");
    let items = match value {
        Value::List(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    if items.len() > max_names {
        return Err(error::invalid_input(format!("names is too long (maximum is {max_names})")));
    }
    items
        .iter()
        .map(|item| if let Value::String(name) = item { Ok(name.clone()) } else { Err(unfit()) })
        .collect()
}
