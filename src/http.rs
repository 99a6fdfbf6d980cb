//! Plain HTTP: the GraphQL endpoint, the way to the cable, what admins change and what operators ask.

pub mod accept;
pub mod cable;
pub mod credentials;
pub mod error;
pub mod features;
pub mod graphql;
pub mod health;
mod idempotency_key;
pub mod metrics;
pub mod models;
