//! Plain HTTP: the GraphQL endpoint and what operators ask.

pub mod accept;
pub mod credentials;
pub mod error;
pub mod graphql;
pub mod health;
pub mod metrics;
