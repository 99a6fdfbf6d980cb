//! The whole schema, one line a part. It is dynamic: every action of the catalogue is in it.

use async_graphql::dynamic::{Object, Schema, SchemaBuilder, SchemaError};
use duologue_actors::action::Catalogue;

use super::{
    ai_action, ai_cancel, ai_completion_response, ai_conversation_threads, ai_message, ai_messages,
    current_user, input_types, metadata, page, scalars,
};

/// Nesting the engine follows: more than any bound on depth, so that ours is the one that is told.
const RECURSION: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The catalogue asks for something a schema cannot say.
    #[error("the catalogue does not fit the GraphQL schema: {0}")]
    Catalogue(String),
    #[error("the GraphQL schema is not consistent")]
    Schema(#[source] SchemaError),
}

/// The schema of `catalogue`, still without what its resolvers work with.
pub(super) fn builder(catalogue: &Catalogue) -> Result<SchemaBuilder, BuildError> {
    if let Some(clash) = catalogue.iter().find_map(|action| ai_action::clash(action)) {
        return Err(BuildError::Catalogue(clash));
    }
    let query = Object::new("Query")
        .field(ai_messages::field())
        .field(ai_conversation_threads::field())
        .field(current_user::field_of_query())
        .field(metadata::field());
    let mutation = Object::new("Mutation").field(ai_action::field()).field(ai_cancel::field());
    let (query_name, mutation_name) = (query.type_name().to_owned(), mutation.type_name().to_owned());
    let mut schema =
        Schema::build(&query_name, Some(&mutation_name), Some(ai_completion_response::SUBSCRIPTION))
            .limit_recursive_depth(RECURSION)
            .register(query)
            .register(mutation)
            .register(ai_completion_response::action_enum(catalogue.iter().map(|action| action.enum_name())));
    schema = scalars::register(schema);
    schema = input_types::register(schema);
    schema = ai_action::register(schema, catalogue);
    schema = ai_cancel::register(schema);
    schema = ai_message::register(schema);
    schema = ai_messages::register(schema);
    schema = ai_conversation_threads::register(schema).register(page::info());
    schema = ai_completion_response::register(schema);
    schema = current_user::register(schema);
    schema = metadata::register(schema);
    Ok(schema)
}

/// The schema of `catalogue` in GraphQL's own language.
///
/// # Errors
/// When the catalogue's actions can't all be told apart in one schema.
pub fn sdl(catalogue: &Catalogue) -> Result<String, BuildError> {
    let schema = builder(catalogue)?.finish().map_err(BuildError::Schema)?;
    Ok(schema.sdl())
}
