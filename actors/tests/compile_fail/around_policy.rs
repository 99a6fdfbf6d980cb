//! A request that is enabled but not authorized is taken neither by Cache nor by Completion.

use actix::Recipient;
use duologue_actors::{cache::Accepted, feature_flag::Enabled, policy::Authorized, protocol::forward};

fn to_cache(cache: &Recipient<Authorized>, enabled: Enabled) {
    forward(cache, enabled);
}

fn to_completion(completion: &Recipient<Accepted>, enabled: Enabled) {
    forward(completion, enabled);
}

fn around_cache(completion: &Recipient<Accepted>, authorized: Authorized) {
    forward(completion, authorized);
}

fn main() {
    let _ = (to_cache, to_completion, around_cache);
}
