//! Client libraries that others wrote, from npm and PyPI, and a browser. `make test` installs them and runs these tests
//! too.

use duologue_harness::server::TestServer;

use crate::support::{ALICE, start};

mod browser;
mod folder;
mod library;
mod page;
pub mod stage;
mod subscribing;

pub use library::Library;

#[tokio::test]
#[ignore = "needs npm: run make test"]
async fn the_graphql_http_audits_find_no_error() {
    let server: TestServer = start().await;
    let url = server.url("/api/graphql");
    let folder = folder::Folder::of_the_tests().unwrap();
    let said = folder.node("audits.mjs", &[("GRAPHQL_URL", &url), ("TOKEN", ALICE)]).await;
    println!("{said}");
    assert!(said.contains("61 audits"), "{said}");
}
