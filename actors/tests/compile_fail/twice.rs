//! One acceptance is one model call: a fact holds its place among those in flight and has no copy.

use actix::Recipient;
use duologue_actors::{cache::Accepted, protocol::forward};

fn run_twice(completion: &Recipient<Accepted>, accepted: Accepted) {
    forward(completion, accepted);
    forward(completion, accepted);
}

fn run_a_copy(completion: &Recipient<Accepted>, accepted: &Accepted) {
    forward(completion, accepted.clone());
}

fn main() {
    let _ = (run_twice, run_a_copy);
}
