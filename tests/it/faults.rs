//! What becomes of a request when its model's provider fails, for every fault there is a number for: how often
//! the provider A and its fallback B were called, how the request ended, what was shown, and when.
//!
//! A server runs on real sockets, the providers are scripted ones on loopback, and requests are asked as clients
//! ask them. Every case is played in every [`Dialect`], and each ends with a look at the log, in which no key, no
//! prompt and no answer may be.

mod breaking;
mod dialect;
mod dragging;
mod gateway;
mod gone;
mod place;
mod refusing;
mod restart;
mod size;
mod streams;
mod unreachable;

use dialect::Dialect;
use place::{ANSWER, FROM_B, PIECES, Setup};
