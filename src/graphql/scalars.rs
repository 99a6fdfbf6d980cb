//! The scalars of the schema. Each global id has a type of its own, checked before anything is executed.

use async_graphql::{
    Value,
    dynamic::{Scalar, SchemaBuilder},
};
use duologue_actors::protocol::{GlobalId, ThreadId};

use super::timestamp;

pub const AI_MODEL_ID: &str = "AiModelID";
pub const USER_ID: &str = "UserID";
pub const PROJECT_ID: &str = "ProjectID";
pub const NAMESPACE_ID: &str = "NamespaceID";
pub const MERGE_REQUEST_ID: &str = "MergeRequestID";
pub const AI_CONVERSATION_THREAD_ID: &str = "AiConversationThreadID";
pub const TIME: &str = "Time";
pub const JSON: &str = "JSON";

/// The names of the scalars an action's input may use, besides GraphQL's own.
pub const INPUT_SCALARS: &[&str] = &[AI_MODEL_ID, USER_ID, PROJECT_ID, NAMESPACE_ID, MERGE_REQUEST_ID, JSON];

pub fn register(schema: SchemaBuilder) -> SchemaBuilder {
    schema
        .register(global_id(AI_MODEL_ID, "The global id of anything an AI feature can work on.", &[]))
        .register(global_id(USER_ID, "The global id of a user: `gid://gitlab/User/1`.", &["User"]))
        .register(global_id(
            PROJECT_ID,
            "The global id of a project: `gid://gitlab/Project/1`.",
            &["Project"],
        ))
        .register(global_id(
            NAMESPACE_ID,
            "The global id of a group or of a user's namespace: `gid://gitlab/Group/1`.",
            &["Namespace", "Group", "Namespaces::UserNamespace", "Namespaces::ProjectNamespace"],
        ))
        .register(global_id(
            MERGE_REQUEST_ID,
            "The global id of a merge request: `gid://gitlab/MergeRequest/1`.",
            &["MergeRequest"],
        ))
        .register(global_id(
            AI_CONVERSATION_THREAD_ID,
            "The global id of a thread: `gid://gitlab/Ai::Conversation::Thread/1`.",
            &[ThreadId::MODEL],
        ))
        .register(
            Scalar::new(TIME)
                .description("A moment in RFC 3339, in UTC.")
                .validator(|value| matches!(value, Value::String(text) if timestamp::is_rfc3339(text))),
        )
        .register(Scalar::new(JSON).description("Any JSON value."))
}

/// A scalar that takes the global ids of `models`; of any model when none is named.
fn global_id(name: &str, description: &str, models: &'static [&'static str]) -> Scalar {
    Scalar::new(name).description(description).validator(move |value| {
        let Value::String(text) = value else { return false };
        text.parse::<GlobalId>().is_ok_and(|id| models.is_empty() || models.contains(&id.model()))
    })
}
