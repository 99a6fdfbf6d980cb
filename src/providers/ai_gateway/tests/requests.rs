//! What is asked, where, and as whom.

use duologue_actors::{ports::Retry, protocol::Code};
use duologue_harness::fake_provider::Call;
use rstest::rstest;
use serde_json::json;

use super::{
    super::{super::keys, AiGateway, Setup, Transport},
    *,
};

/// What the gateway was sent for `call`.
async fn sent(call: ModelCall, yaml: &str, variables: &[(&str, &str)]) -> Call {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    let config = config(&gateway.url(), yaml, variables);
    let model = route(&config).models().next().unwrap().clone();
    attempt(&model, call).await.1.unwrap();
    gateway.calls().remove(0)
}

/// What an attempt failed with before anything was sent.
async fn unsent(call: ModelCall, yaml: &str) -> ModelError {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    let config = config(&gateway.url(), yaml, &[]);
    let model = route(&config).models().next().unwrap().clone();
    let error = attempt(&model, call).await.1.unwrap_err();
    assert_eq!(gateway.connections(), 0);
    error
}

#[tokio::test]
async fn a_prompt_of_ours_is_one_prompt_component_with_the_system_s_message_first() {
    let mut call = call();
    call.system = "Be brief.".to_owned();
    call.turns.insert(0, turn(Role::User, "Hello"));
    call.turns.insert(1, turn(Role::Assistant, "Good day."));
    let sent = sent(call, "", &[]).await;
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/chat/agent"));
    assert_eq!(sent.header("content-type"), Some("application/json"));
    let wanted = json!({
        "prompt_components": [{
            "type": "prompt",
            "metadata": { "source": "duologue", "version": env!("CARGO_PKG_VERSION") },
            "payload": {
                "content": [
                    { "role": "system", "content": "Be brief." },
                    { "role": "user", "content": "Hello" },
                    { "role": "assistant", "content": "Good day." },
                    { "role": "user", "content": "Hi, how are you?" },
                ],
                "provider": "anthropic",
                "model": "claude-sonnet-4-5-20250929",
                "params": { "max_tokens_to_sample": 4096, "stop_sequences": ["\n\nHuman"] },
            },
        }],
        "stream": true,
    });
    assert_eq!(sent.json(), wanted);
}

#[tokio::test]
async fn a_prompt_that_the_gateway_keeps_is_named_and_given_its_inputs() {
    let sent = sent(kept_call(), "", &[]).await;
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/prompts/chat/explain_code"));
    let inputs = json!({ "question": "What is this?" });
    assert_eq!(sent.json(), json!({ "inputs": inputs, "prompt_version": "^1.0.0", "stream": true }));
    assert_eq!(sent.header("x-gitlab-unit-primitive"), Some("explain_code"));
}

#[tokio::test]
async fn an_answer_is_never_asked_to_be_longer_than_the_gateway_allows() {
    let sent = sent(ModelCall { max_output_tokens: 64_000, ..call() }, "", &[]).await;
    let params = sent.json()["prompt_components"][0]["payload"]["params"].clone();
    assert_eq!(params["max_tokens_to_sample"], 8192);
}

#[tokio::test]
async fn a_model_that_is_not_anthropic_s_is_asked_for_through_litellm() {
    let sent = sent(call(), "models:\n  gateway: {provider: ai_gateway, model: mistral}\n", &[]).await;
    let payload = sent.json()["prompt_components"][0]["payload"].clone();
    assert_eq!((&payload["provider"], &payload["model"]), (&json!("litellm"), &json!("mistral")));
}

#[rstest]
#[case("duo_chat", "/v1/chat/agent")]
#[case("generate_commit_message", "/v1/chat/agent")]
#[case("explain_code", "/v1/chat/explain_code")]
#[case("explain_vulnerability", "/v1/chat/explain_vulnerability")]
#[case("refactor_code", "/v1/chat/refactor_code")]
#[case("summarize_comments", "/v1/chat/summarize_comments")]
#[case("troubleshoot_job", "/v1/chat/troubleshoot_job")]
#[case("write_tests", "/v1/chat/write_tests")]
#[tokio::test]
async fn a_unit_primitive_goes_where_its_scope_will_do(#[case] unit_primitive: &str, #[case] path: &str) {
    let sent = sent(ModelCall { unit_primitive: unit_primitive.to_owned(), ..call() }, "", &[]).await;
    assert_eq!(sent.path, path);
    assert_eq!(sent.header("x-gitlab-unit-primitive"), Some(unit_primitive));
}

#[tokio::test]
async fn the_headers_say_who_asks_on_whose_behalf_and_for_what() {
    let flags = vec!["ai_chat".to_owned(), "expanded_ai_logging".to_owned()];
    let call = ModelCall { enabled_flags: flags, ..call() };
    let request_id = call.request_id.to_string();
    let yaml = "providers:\n  ai_gateway: {instance_id: ea8bf810-1d6f-4a6a-b4fd-93e8cbd8b57f}\n\
                deployment: {mode: self_managed}\nserver: {advertised_version: 18.5.2}\n";
    let sent = sent(call, yaml, &[("AI_GATEWAY_TOKEN", TOKEN)]).await;
    let wanted = [
        ("accept", "text/event-stream, application/json"),
        ("authorization", "Bearer a-cloud-connector-token"),
        ("x-gitlab-authentication-type", "oidc"),
        ("x-gitlab-realm", "self-managed"),
        ("x-gitlab-instance-id", "ea8bf810-1d6f-4a6a-b4fd-93e8cbd8b57f"),
        // printf 'ea8bf810-1d6f-4a6a-b4fd-93e8cbd8b57f\n7' | openssl dgst -sha256 -binary | base64
        ("x-gitlab-global-user-id", "bioJcA5OCmpRC+ZjOW1/MHLvkv3eId5d3+v7CVFQK+A="),
        ("x-gitlab-version", "18.5.2"),
        ("x-gitlab-unit-primitive", "duo_chat"),
        ("x-gitlab-enabled-feature-flags", "ai_chat,expanded_ai_logging"),
        ("x-request-id", request_id.as_str()),
    ];
    for (name, value) in wanted {
        assert_eq!(sent.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_not_said() {
    let sent = sent(call(), "", &[]).await;
    assert_eq!(sent.header("x-gitlab-realm"), Some("saas"));
    for name in ["authorization", "x-gitlab-instance-id", "x-gitlab-enabled-feature-flags"] {
        assert_eq!(sent.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_user_s_id_is_the_same_in_every_call_and_another_than_anybody_else_s() {
    let of = async |user: u64, instance: &str| {
        let yaml = format!("providers:\n  ai_gateway: {{instance_id: {instance}}}\n");
        let sent = sent(ModelCall { user: UserId(user), ..call() }, &yaml, &[]).await;
        sent.header("x-gitlab-global-user-id").unwrap().to_owned()
    };
    let id = of(7, "ours").await;
    assert_eq!(of(7, "ours").await, id);
    assert_ne!(of(8, "ours").await, id);
    assert_ne!(of(7, "theirs").await, id);
}

#[tokio::test]
async fn a_base_url_may_have_a_path_and_a_slash_at_its_end() {
    let gateway = FakeProvider::start(shapes::stream(&["Hello"])).await.unwrap();
    for base in ["/ai", "/ai/"] {
        let model = model(&format!("{}{base}", gateway.url()));
        attempt(&model, call()).await.1.unwrap();
    }
    assert!(gateway.calls().iter().all(|call| call.path == "/ai/v1/chat/agent"));
}

#[tokio::test]
async fn the_id_of_a_prompt_leads_nowhere_else() {
    for id in ["../chat/agent", "chat//agent", "/chat", "", "."] {
        let mut call = kept_call();
        call.kept.as_mut().unwrap().id = id.to_owned();
        let error = unsent(call, "").await;
        assert_eq!((error.code, error.retry), (Code::UpstreamRejected, Retry::Never), "{id}");
    }
    let mut call = kept_call();
    call.kept.as_mut().unwrap().id = "a?b#c/%2e%2e/ü".to_owned();
    assert_eq!(sent(call, "", &[]).await.path, "/v1/prompts/a%3Fb%23c/%252e%252e/%C3%BC");
}

#[tokio::test]
async fn what_no_header_can_hold_is_an_error_that_names_it() {
    let error = unsent(call(), "providers:\n  ai_gateway: {instance_id: \"two\\nlines\"}\n").await;
    assert_eq!((error.code, error.retry), (Code::UpstreamRejected, Retry::Never));
    assert_eq!(error.what, "x-gitlab-instance-id has a character that no header may have");
    let error = unsent(ModelCall { unit_primitive: "duo\u{0}chat".to_owned(), ..call() }, "").await;
    assert_eq!(error.what, "x-gitlab-unit-primitive has a character that no header may have");
}

#[tokio::test]
async fn a_gateway_without_an_address_is_not_asked() {
    let config = config("", "", &[]);
    let registry = Registry::new(&config).unwrap();
    let model = registry.route("gateway").unwrap().models().next().unwrap().clone();
    let error = attempt(&model, call()).await.1.unwrap_err();
    assert_eq!((error.code, error.retry), (Code::UpstreamUnavailable, Retry::Elsewhere));
    assert_eq!(error.what, "providers.ai_gateway.base_url is not set");
}

#[test]
fn nothing_secret_is_shown() {
    let config = config("http://localhost:5052", "", &[("AI_GATEWAY_TOKEN", TOKEN)]);
    let provider = &config.providers["ai_gateway"];
    let setup = Setup {
        name: "ai_gateway",
        config: provider,
        key: keys::read("ai_gateway", provider).unwrap(),
        transport: Transport::new(&config.model_calls).unwrap(),
        realm: "saas",
        advertised_version: "18.6.0",
    };
    let gateway = AiGateway::new(setup);
    let request = gateway.request(&call(), "claude-sonnet-4-6", gateway.key.key().as_ref()).unwrap();
    let shown = format!("{gateway:?} {request:?}");
    assert!(shown.contains("Key(") && shown.contains("x-gitlab-realm"), "{shown}");
    assert!(!shown.contains(TOKEN), "{shown}");
}
