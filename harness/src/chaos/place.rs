//! The folder a run's server lives in: its settings, and a directory with as many users as the run needs.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Plan, fact::User};
use crate::server::Home;

/// A resource that all users may ask about.
pub const RESOURCE: &str = "gid://gitlab/Issue/1";

/// More than any run reaches: what is not the subject of a run must not refuse its requests.
pub const OUT_OF_THE_WAY: u64 = 65_000;

/// A folder for a server with so many users; it still has to be told where its models are.
pub fn home(plan: &Plan, users: u64) -> Result<Home> {
    let home = Home::new(&plan.server, &plan.repository)?;
    home.write("demo/directory.yaml", &directory(users))?;
    Ok(home)
}

/// Sets what every run needs; everything else is as shipped.
pub fn furnish(home: &mut Home, upstream: &str) -> Result<()> {
    for (section, key, value) in settings(upstream) {
        home.set(section, key, value)?;
    }
    Ok(())
}

/// The development token of a user.
#[must_use]
pub fn token(user: User) -> String {
    format!("chaos-{user}")
}

fn settings(upstream: &str) -> [(&'static str, &'static str, Value); 11] {
    [
        ("providers", "chaos", json!({ "kind": "openai", "base_url": upstream })),
        (
            "models",
            "chaos",
            json!({ "provider": "chaos", "model": "scripted", "limits": { "concurrency": 4_096 } }),
        ),
        ("feature_settings", "default", json!(["chaos"])),
        ("rate_limits", "ai_action", json!(OUT_OF_THE_WAY)),
        ("rate_limits", "in_flight_per_user", json!(OUT_OF_THE_WAY)),
        ("websocket", "max_messages_per_second", json!(OUT_OF_THE_WAY)),
        ("websocket", "max_connections_per_user", json!(OUT_OF_THE_WAY)),
        // So that every request of a run can be looked at again when it is over.
        ("pipeline", "terminal_retention_seconds", json!(7_200)),
        ("conversation", "max_content_characters", json!(2_000)),
        ("logging", "format", json!("json")),
        ("server", "drain_seconds", json!(5)),
    ]
}

/// One licensed group that everybody is a member of, with one resource.
fn directory(users: u64) -> String {
    let mut text = "users:\n".to_owned();
    let mut members = String::new();
    for user in 1..=users {
        let token = token(user);
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  - {{id: {user}, username: {token}, name: {token}, development_token: {token}}}"
        );
        let _ = write!(members, "{token}: developer, ");
    }
    let _ = write!(
        text,
        "groups:
  - {{id: 1, path: chaos, name: Chaos, plan: ultimate, experiment_features_enabled: true, members: {{{members}}}}}
projects:
  - {{id: 1, path: chaos/project, name: Project}}
resources:
  - {{id: {RESOURCE}, project: chaos/project, title: What is asked about, description: It stays as it is.}}
"
    );
    text
}
