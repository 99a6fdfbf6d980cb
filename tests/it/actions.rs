//! A new AI action is one file.

use serde_json::json;

use crate::support::{ALICE, MALLORY, SUBSCRIPTION, answer, home, socket, try_ask};

/// The example of the documentation this server is made after, as a file of the catalogue.
const AMAZING_NEW_AI_FEATURE: &str = "\
name: amazing_new_ai_feature
description: Writes code for a context
feature_flag: amazing_new_ai_feature
flag_default: true
licensed_feature: ai_features
unit_primitive: amazing_feature
maturity: ga
resource: none
input:
  user_input: { type: String!, max_length: 1000, allow_blank: false }
cache_response: false
model: default
prompt:
  version: 1.0.0
  system: You are an assistant that writes code for the following context.
  user: |
    context: {{ input.user_input }}
";

/// Those that are shipped, and the one of the example.
fn unit_primitives() -> String {
    let shipped =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/unit_primitives.yaml")).unwrap();
    format!("{shipped}\namazing_feature: {{description: Amazes}}\n")
}

fn home_with_the_feature() -> duologue_harness::server::Home {
    let home = home();
    home.write("catalogue/amazing_new_ai_feature.yaml", AMAZING_NEW_AI_FEATURE).unwrap();
    home.write("unit_primitives.yaml", &unit_primitives()).unwrap();
    home
}

#[tokio::test]
async fn it_is_in_the_schema_and_answers() {
    let server = home_with_the_feature().serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    let fields = "{ __type(name: \"AiActionInput\") { inputFields { name type { name } } } }";
    let reply = client.post(fields, json!({})).await.unwrap();
    let fields = reply.at("/data/__type/inputFields");
    let fields = fields.as_array().unwrap();
    assert!(
        fields.contains(&json!({
            "name": "amazingNewAiFeature", "type": { "name": "AiAmazingNewAiFeatureInput" }
        })),
        "{}",
        reply.text
    );
    let values =
        client.post("{ __type(name: \"AiAction\") { enumValues { name } } }", json!({})).await.unwrap();
    assert!(values.text.contains("AMAZING_NEW_AI_FEATURE"), "{}", values.text);

    let mut socket = socket(&server, ALICE).await;
    socket.subscribe("1", SUBSCRIPTION, json!({ "aiAction": "AMAZING_NEW_AI_FEATURE" })).await.unwrap();
    socket.frame().await.unwrap();
    let input = json!({ "amazingNewAiFeature": { "userInput": "A parser reads a list of numbers." } });
    let asked = try_ask(&client, input).await;
    let request_id = asked.at("/data/aiAction/requestId");
    let request_id = request_id.as_str().unwrap_or_else(|| panic!("{}", asked.text));
    answer(&mut socket, "1", request_id).await.content();
}

#[tokio::test]
async fn it_has_its_flag_and_its_policy() {
    let server = home_with_the_feature().serve().await.unwrap();
    let input = json!({ "amazingNewAiFeature": { "userInput": "A parser." } });
    let refused = try_ask(&server.graphql(MALLORY).unwrap(), input.clone()).await;
    assert_eq!(refused.code().as_deref(), Some("forbidden"), "{}", refused.text);

    let query = "{ metadata { featureFlags(names: [\"amazing_new_ai_feature\"]) { enabled } } }";
    let flag = server.graphql(ALICE).unwrap().post(query, json!({})).await.unwrap();
    assert_eq!(flag.at("/data/metadata/featureFlags/0/enabled"), true, "{}", flag.text);

    let too_long = json!({ "amazingNewAiFeature": { "userInput": "x".repeat(1001) } });
    let refused = try_ask(&server.graphql(ALICE).unwrap(), too_long).await;
    assert_eq!(refused.code().as_deref(), Some("invalid_input"), "{}", refused.text);
}

#[tokio::test]
async fn it_is_on_the_command_line() {
    let mut home = home_with_the_feature();
    home.fix_port().unwrap();
    let actions = home.run(&["actions", "--config", "config.yaml"]).await.unwrap();
    assert_eq!(actions.code(), Some(0), "{}", actions.stderr);
    assert!(actions.stdout.contains("amazing_new_ai_feature"), "{}", actions.stdout);

    let asked = home
        .run(&["ask", "--config", "config.yaml", "--action", "amazing_new_ai_feature", "A parser."])
        .await
        .unwrap();
    assert_eq!(asked.code(), Some(0), "{}", asked.stderr);
    assert!(!asked.stdout.trim().is_empty());
}

#[tokio::test]
async fn a_faulty_file_stops_the_server_and_is_named_by_line_and_column() {
    let home = home_with_the_feature();
    let faulty = AMAZING_NEW_AI_FEATURE.replace("maturity: ga", "maturity: perfect");
    home.write("catalogue/amazing_new_ai_feature.yaml", &faulty).unwrap();
    for command in ["serve", "check"] {
        let run = home.run(&[command, "--config", "config.yaml"]).await.unwrap();
        assert_eq!(run.code(), Some(1), "{run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("amazing_new_ai_feature.yaml:7:11"), "{said}");
        assert!(said.contains("perfect"), "{said}");
    }
}
