//! Who is asking, and what is switched on for them.

use std::time::Duration;

use duologue_harness::{graphql::GraphqlClient, server::PATIENCE};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

mod jwt;

use crate::support::{ALICE, ISSUE, MALLORY, start, summarize, try_ask};

/// The flag of the summary, as the catalogue names it.
const FLAG: &str = "summarize_comments_ai";

/// The demo's flags without the summary.
pub fn without_summaries(flags: &str) -> String {
    let (on, off) = (format!("{FLAG}: true"), format!("{FLAG}: false"));
    assert!(flags.contains(&on), "{flags}");
    flags.replace(&on, &off)
}

const CURRENT_USER: &str = "{ currentUser { id username name duoChatAvailable duoChatAvailableFeatures } }";

#[tokio::test]
async fn a_user_sees_themself_and_what_they_may_do() {
    let server = start().await;
    let alice = server.graphql(ALICE).unwrap().post(CURRENT_USER, json!({})).await.unwrap();
    let user = alice.at("/data/currentUser");
    assert_eq!(
        (&user["id"], &user["username"]),
        (&json!("gid://gitlab/User/2"), &json!("alice")),
        "{}",
        alice.text
    );
    assert_eq!(user["duoChatAvailable"], true);
    assert!(user["duoChatAvailableFeatures"].is_array(), "{}", alice.text);

    let mallory = server.graphql(MALLORY).unwrap().post(CURRENT_USER, json!({})).await.unwrap();
    assert_eq!(mallory.at("/data/currentUser/duoChatAvailable"), false, "{}", mallory.text);

    let nobody = server.anonymous().unwrap().post(CURRENT_USER, json!({})).await.unwrap();
    assert_eq!(nobody.json(), json!({ "data": { "currentUser": null } }));
}

async fn flag_is_on(client: &GraphqlClient) -> bool {
    let query = "query flags($names: [String!]!) { metadata { version featureFlags(names: $names) { name enabled } } }";
    let reply = client.post(query, json!({ "names": [FLAG] })).await.unwrap();
    assert_eq!(reply.at("/data/metadata/featureFlags/0/name"), FLAG, "{}", reply.text);
    reply.at("/data/metadata/featureFlags/0/enabled").as_bool().unwrap()
}

#[tokio::test]
async fn a_flipped_flag_is_seen_within_a_second() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    assert!(flag_is_on(&client).await);
    let shipped = server.home().read("demo/flags.yaml").unwrap();

    for (text, expected) in [(without_summaries(&shipped), false), (shipped.clone(), true)] {
        server.home().write("demo/flags.yaml", &text).unwrap();
        let flipped = Instant::now();
        timeout(PATIENCE, async { while flag_is_on(&client).await != expected {} })
            .await
            .expect("the flip was not seen");
        assert!(flipped.elapsed() <= Duration::from_secs(1), "seen after {:?}", flipped.elapsed());
        let refused = try_ask(&client, summarize(ISSUE, None)).await.error_messages();
        assert_eq!(refused.is_empty(), expected, "{refused:?}");
    }
}

#[tokio::test]
async fn a_flags_file_that_cannot_be_read_changes_nothing() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    server.home().write("demo/flags.yaml", "{{{ no flags").unwrap();
    // The fault is reported; from then on the file was seen.
    timeout(PATIENCE, async {
        while !server.log().unwrap().contains("flags.yaml") {
            assert!(flag_is_on(&client).await);
        }
    })
    .await
    .expect("the faulty file was not reported");
    assert!(flag_is_on(&client).await);
}

#[tokio::test]
async fn the_advertised_version_is_new_enough_for_gitlabs_clients() {
    let server = start().await;
    let reply = server.graphql(ALICE).unwrap().post("{ metadata { version } }", json!({})).await.unwrap();
    let version = reply.at("/data/metadata/version");
    let parts: Vec<u32> =
        version.as_str().unwrap().split(['.', '-']).filter_map(|part| part.parse().ok()).collect();
    assert!(parts >= vec![17, 10], "{version}");
    assert_ne!(version, Value::Null);
}
