//! Plain HTTP: the GraphQL endpoint, the way to the cable, what admins change, what operators ask, and those paths of
//! GitLab's REST API that its clients touch.

pub mod accept;
pub mod answers;
pub mod cable;
pub mod chat_completions;
pub mod code_suggestions;
pub mod credentials;
mod direct;
pub mod error;
mod event_stream;
pub mod features;
pub mod gateway;
pub mod graphql;
pub mod health;
mod idempotency_key;
pub mod metrics;
pub mod models;
pub mod rest;
pub mod token;
pub mod user;
pub mod version;
