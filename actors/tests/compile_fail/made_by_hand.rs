//! A fact is established by its actor and by nobody else.

use duologue_actors::{cache::Accepted, feature_flag::Enabled, policy::Authorized};

fn authorize(enabled: Enabled) -> Authorized {
    Authorized { enabled, resource: None, containers: Vec::new() }
}

fn accept(authorized: Authorized) -> Accepted {
    Accepted { authorized, history: Vec::new() }
}

fn main() {
    let _ = (authorize, accept);
}
