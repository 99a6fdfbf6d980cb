//! The server as its clients see it: real processes, loopback sockets, public protocols. What can be
//! shown without a process is tested beside the code instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "everything in this binary is a test, also the functions without #[test]"
)]

mod actions;
mod allowance;
mod cable;
mod clients;
mod command_line;
mod conversation;
mod crash;
mod cursors;
mod delivery;
mod endings;
mod event_streams;
mod faults;
mod features;
mod gate;
mod gateway;
mod gitlab;
mod idempotency;
mod identity;
mod licence;
mod limits;
mod logs;
mod models;
mod operations;
mod policy;
mod redis;
mod refusals;
mod rest_chat;
mod schema;
mod second_looks;
mod security_page;
mod seed;
mod sessions;
mod setup;
mod shutdown;
mod start_up;
mod store;
mod support;
mod threads;
mod websocket;
