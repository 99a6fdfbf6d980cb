//! Duologue, the server: everything around the pipeline.

pub mod admission;
pub mod app;
pub mod builtin;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod directory;
pub mod document;
pub mod env_file;
pub mod flags;
pub mod gate;
pub mod graphql;
pub mod http;
pub mod identity;
pub mod logging;
pub mod providers;
pub mod server;
pub mod storage;
pub mod websocket;
