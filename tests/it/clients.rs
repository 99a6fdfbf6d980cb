//! Client libraries that others wrote, from npm. `make test` installs them and runs these tests too.

use std::path::{Path, PathBuf};

use duologue_harness::server::{PATIENCE, TestServer};
use tokio::{process::Command, time::timeout};

use crate::support::{ALICE, start};

/// Runs one of the scripts in `tests/clients` against `server`; its output.
async fn node(server: &TestServer, script: &str) -> String {
    let url = server.url("/api/graphql");
    node_with(script, &[("GRAPHQL_URL", url.as_str()), ("TOKEN", ALICE)]).await
}

/// Runs one of the scripts in `tests/clients` with these variables; its output.
pub async fn node_with(script: &str, variables: &[(&str, &str)]) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(folder.join("node_modules").is_dir(), "run `make test`, or `npm ci` in {}", folder.display());
    let mut command = Command::new("node");
    command.arg(script).current_dir(folder).kill_on_drop(true);
    command.envs(variables.iter().copied());
    let output = timeout(PATIENCE * 2, command.output()).await.expect("the script does not end").unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn the_graphql_http_audits_find_no_error() {
    let server = start().await;
    let said = node(&server, "audits.mjs").await;
    println!("{said}");
    assert!(said.contains("61 audits"), "{said}");
}

#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn the_graphql_ws_client_gets_chunks_and_answer_in_order() {
    let server = start().await;
    let said = node(&server, "graphql-ws.mjs").await;
    println!("{said}");
}
