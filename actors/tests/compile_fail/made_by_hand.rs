//! A fact is established by its actor and by nobody else.

use duologue_actors::{
    cache::Accepted,
    feature_flag::Enabled,
    policy::{Authorized, Clearance},
};

fn authorize(enabled: Enabled, clearance: Clearance) -> Authorized {
    Authorized { enabled, resource: None, containers: Vec::new(), clearance }
}

fn accept(authorized: Authorized) -> Accepted {
    Accepted { authorized, history: Vec::new() }
}

fn main() {
    let _ = (authorize, accept);
}
