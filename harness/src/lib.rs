//! What the tests speak to a server with, and what a server under test speaks to. Development only:
//! nothing here is built into the `duologue` binary, and nothing here links against it. A test that goes
//! through this crate knows the public protocols and nothing else.
//!
//! - [`server`]: a real `duologue` process on a free loopback port, in a folder of its own.
//! - [`graphql`]: GraphQL over HTTP, with every byte of the request in the test's hands.
//! - [`transport_ws`]: the `graphql-transport-ws` protocol, one frame at a time.
//! - [`action_cable`]: ActionCable, one frame at a time.
//! - [`proxy`]: between a client and a server, delays and cuts what comes from the server.
//! - [`browser`]: a headless Chromium that reaches nothing but this machine.
//! - [`raw_http`]: one HTTP request over a bare socket that is read only when the test says so.
//! - [`fake_provider`]: a model provider that does exactly what its script says, faults included.
//! - [`oidc`]: an issuer of JWTs with keys of its own.
//! - [`google`]: a service account of Google Cloud.
//! - [`gitlab`]: a GitLab instance with a small world, as far as the server asks one.
//! - [`redis`]: a real Redis that can be stopped, killed, frozen, full and slow to load.
//! - [`chaos`]: all of it together, under load, with a ledger that judges.

pub mod action_cable;
pub mod browser;
pub mod chaos;
pub mod event_stream;
pub mod fake_provider;
pub mod gitlab;
pub mod google;
pub mod graphql;
pub mod oidc;
pub mod proxy;
pub mod raw_http;
pub mod redis;
pub mod server;
pub mod transport_ws;
