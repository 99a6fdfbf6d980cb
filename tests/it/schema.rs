//! The schema, as `duologue schema` prints it: a change of it is a change for every client.

use crate::support::home;

#[tokio::test]
async fn the_schema_is_the_one_we_promised() {
    let run = home().run(&["schema"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    insta::assert_snapshot!("schema", run.stdout);
}
