//! Each fact goes to the actor that takes it, once.

use actix::Recipient;
use duologue_actors::{cache::Accepted, feature_flag::Enabled, policy::Authorized, protocol::forward};

fn to_policy(policy: &Recipient<Enabled>, enabled: Enabled) {
    forward(policy, enabled);
}

fn to_cache(cache: &Recipient<Authorized>, authorized: Authorized) {
    forward(cache, authorized);
}

fn to_completion(completion: &Recipient<Accepted>, accepted: Accepted) {
    forward(completion, accepted);
}

pub fn main() {
    let _ = (to_policy, to_cache, to_completion);
}
