use std::path::Path;

use duologue_actors::ports::Retry;
use rstest::rstest;

use super::*;
use crate::{config::ConfigFile, env_file::Environment};

fn explained(full_name: &str, code: Code, cause: Option<Cause>) -> String {
    let text = "providers:
  local: {kind: openai, base_url: 'http://127.0.0.1:1/v1'}
models:
  small: {provider: local, model: m}
";
    let file = ConfigFile { path: Path::new("mine.yaml"), text };
    let variables = [
        ("ANTHROPIC_API_KEY", "sk-1"),
        ("AI_GATEWAY_TOKEN", "jwt"),
        ("AI_GATEWAY_URL", "http://localhost:5052"),
    ];
    let config = Config::from_layers(Some(file), &variables.into_iter().collect::<Environment>()).unwrap();
    let mut error = ModelError::new(code, Retry::Never, "it failed");
    error.cause = cause;
    explain(&error, full_name, &config)
}

const STATUS: fn(u16) -> Option<Cause> = |status| Some(Cause::Status(status));

#[rstest]
#[case::a_refused_key("anthropic/m", STATUS(401), "; check the key in ANTHROPIC_API_KEY")]
#[case::a_key_that_is_wanted(
    "local/m",
    STATUS(401),
    "; name the variable of a key in providers.local.api_key_variable"
)]
#[case::a_key_that_is_not_there("openai/m", STATUS(401), "; put a key into OPENAI_API_KEY")]
#[case::credentials_that_are_not_there("vertex_ai/m", None, "")]
#[case::a_project_of_others(
    "vertex_ai/m",
    STATUS(403),
    "; check providers.vertex_ai.project, and what whoever asks may do there"
)]
#[case::a_token_with_claims(
    "ai_gateway/m",
    STATUS(401),
    "; check the key in AI_GATEWAY_TOKEN, and that providers.ai_gateway.instance_id and deployment.mode are \
     what the token claims"
)]
#[case::a_token_that_does_not_reach_so_far(
    "ai_gateway/m",
    STATUS(403),
    "; check the key in AI_GATEWAY_TOKEN, and that providers.ai_gateway.instance_id and deployment.mode are \
     what the token claims"
)]
#[case::a_key_of_the_gateway_s_own(
    "ai_gateway/m",
    Some(Cause::StatusBehind(401)),
    "; that is the key which ai_gateway itself has for its model, not yours; tell whoever runs \
     http://localhost:5052"
)]
fn a_refused_credential_is_told_from_another_s(
    #[case] full_name: &str,
    #[case] cause: Option<Cause>,
    #[case] mend: &str,
) {
    let expected = format!("{full_name}: it failed (upstream_auth){mend}");
    assert_eq!(explained(full_name, Code::UpstreamAuth, cause), expected);
}

#[rstest]
#[case::nobody_there(
    Code::UpstreamUnavailable,
    Some(Cause::Unreachable),
    "check the network and providers.local.base_url, http://127.0.0.1:1/v1"
)]
#[case::nobody_there_in_time(
    Code::UpstreamUnavailable,
    Some(Cause::NoConnection),
    "check the network and providers.local.base_url, http://127.0.0.1:1/v1; model_calls.connect_seconds bounds \
     the wait"
)]
#[case::no_such_model(
    Code::UpstreamRejected,
    STATUS(404),
    "check the model's name, m, and providers.local.base_url, http://127.0.0.1:1/v1"
)]
#[case::no_such_model_behind_it(
    Code::UpstreamRejected,
    Some(Cause::StatusBehind(404)),
    "check the model's name, m"
)]
#[case::a_page_of_a_web_site(
    Code::UpstreamMalformed,
    Some(Cause::Foreign),
    "check providers.local.base_url, http://127.0.0.1:1/v1: no API of the kind `openai` answers there"
)]
#[case::a_redirect(
    Code::UpstreamMalformed,
    STATUS(302),
    "check providers.local.base_url, http://127.0.0.1:1/v1: no API of the kind `openai` answers there"
)]
#[case::no_head_in_time(
    Code::UpstreamTimeout,
    Some(Cause::NoAnswer),
    "model_calls.header_seconds bounds the wait"
)]
#[case::no_content_in_time(
    Code::UpstreamTimeout,
    None,
    "model_calls.idle_content_seconds bounds the wait for content"
)]
#[case::a_stall(
    Code::UpstreamStalled,
    None,
    "model_calls.idle_content_seconds bounds the silence within an answer"
)]
#[case::no_room(
    Code::Overloaded,
    None,
    "models.small.limits bounds what is asked at once, model_calls.capacity_wait_seconds the wait for room"
)]
#[case::too_long(
    Code::UpstreamTooLarge,
    None,
    "shorten the prompt; models.small.limits.context_tokens is what the model is taken to hold"
)]
#[case::too_late(Code::DeadlineExceeded, None, "pipeline.deadline_seconds bounds a whole answer")]
#[case::spent(Code::UpstreamRateLimited, STATUS(429), "see with the provider what the account may spend")]
fn a_failure_comes_with_its_mend(#[case] code: Code, #[case] cause: Option<Cause>, #[case] mend: &str) {
    assert_eq!(explained("local/m", code, cause), format!("local/m: it failed ({code}); {mend}"));
}

#[rstest]
#[case::its_own_affair(Code::UpstreamUnavailable, STATUS(500))]
#[case::an_address_that_is_refused_for_a_reason_given(Code::UpstreamUnavailable, None)]
#[case::slow_by_its_own_account(Code::UpstreamTimeout, STATUS(504))]
#[case::the_account_of_another(Code::UpstreamRateLimited, Some(Cause::StatusBehind(429)))]
#[case::an_answer_longer_than_a_setting_it_names(Code::UpstreamMalformed, None)]
fn what_nobody_here_can_mend_stands_alone(#[case] code: Code, #[case] cause: Option<Cause>) {
    assert_eq!(explained("local/m", code, cause), format!("local/m: it failed ({code})"));
}

#[test]
fn a_name_of_the_registry_that_was_taken_for_the_provider_s_is_pointed_out() {
    let text = explained("local/small", Code::UpstreamRejected, STATUS(404));
    let expected = "check the model's name, small (the registry's `small` is m there), and providers.local";
    assert!(text.contains(expected), "{text}");
    let other = explained("anthropic/small", Code::UpstreamRejected, STATUS(404));
    assert!(other.contains("check the model's name, small, and"), "{other}");
}

#[test]
fn what_the_provider_says_is_shown_on_one_line_with_the_wait_it_asks_for() {
    let error = ModelError::new(Code::UpstreamOverloaded, Retry::Again, "status 529")
        .said(Some("Over\nloaded\u{1b} ".to_owned()))
        .retry_after(Some(std::time::Duration::from_secs(7)));
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    assert_eq!(
        explain(&error, "anthropic/m", &config),
        "anthropic/m: status 529 (upstream_overloaded): Over loaded; asks to wait 7 s"
    );
}
