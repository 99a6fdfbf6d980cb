//! Providers, models and feature settings, which name each other; and the keys.

use rstest::rstest;
use secrecy::ExposeSecret;

use super::{from_file, *};

const KNOWN_MODELS: &str = "claude, embedded, gateway, gemini, gpt";

#[rstest]
#[case::a_provider_of_an_unknown_kind(
    "providers:\n  mine: {kind: acme}\n",
    "2:16: `providers.mine.kind`: unknown variant `acme`, expected one of `embedded`, `anthropic`, `vertex_ai`, \
     `openai`, `ai_gateway`"
)]
#[case::a_provider_of_an_unknown_kind_with_more(
    "providers:\n  mine: {base_url: 'https://a.example', kind: opnai}\n",
    "2:47: `providers.mine.kind`: unknown variant `opnai`, expected one of `embedded`, `anthropic`, `vertex_ai`, \
     `openai`, `ai_gateway`"
)]
#[case::a_model_whose_provider_is_a_number(
    "models:\n  big: {provider: 7, model: m}\n",
    "2:19: `models.big.provider`: invalid type: integer `7`, expected a text (put it in quotes)"
)]
#[case::a_provider_without_a_kind(
    "providers:\n  mine: {base_url: 'https://a.example'}\n",
    "2:20: `providers.mine` needs kind"
)]
#[case::a_provider_that_is_nowhere(
    "providers:\n  mine: {kind: openai}\n",
    "2:16: `providers.mine.base_url` is needed: where the API begins, e.g. http://127.0.0.1:11434/v1"
)]
#[case::a_private_address(
    "providers:\n  mine: {kind: openai, base_url: 'http://10.0.0.5:8000/v1'}\n",
    "2:34: `providers.mine.base_url`: 10.0.0.5 has only private or link-local addresses; if that is meant, add it \
     to model_calls.allowed_private_hosts"
)]
#[case::an_open_line(
    "providers:\n  mine: {kind: openai, base_url: 'http://models.example/v1'}\n",
    "2:34: `providers.mine.base_url`: must be an https URL; http is taken for this machine, and for hosts of \
     model_calls.allowed_private_hosts"
)]
#[case::credentials_in_a_url(
    "providers:\n  mine: {kind: openai, base_url: 'https://me:word@models.example/v1'}\n",
    "2:34: `providers.mine.base_url`: must be a plain base URL, without credentials, query or fragment"
)]
#[case::a_misspelt_provider(
    "models:\n  big: {provider: anthropc, model: m}\n",
    "2:19: `models.big.provider`: unknown provider `anthropc`; did you mean `anthropic`? Known: ai_gateway, \
     anthropic, embedded, openai, vertex_ai"
)]
#[case::a_provider_that_is_not_there(
    "models:\n  big: {provider: acme, model: m}\n",
    "2:19: `models.big.provider`: unknown provider `acme`; known: ai_gateway, anthropic, embedded, openai, \
     vertex_ai"
)]
#[case::a_model_in_its_own_place(
    "models:\n  claude: {fallbacks: [claude]}\n",
    "2:23: `models.claude.fallbacks`: a model cannot stand in for itself"
)]
#[case::a_misspelt_fallback(
    "models:\n  claude: {fallbacks: [gemni]}\n",
    "2:23: `models.claude.fallbacks`: unknown model `gemni`; did you mean `gemini`? Known: claude, embedded, gateway, \
     gemini, gpt"
)]
#[case::no_room_for_a_prompt(
    "models:\n  claude: {limits: {output_tokens: 200_000}}\n",
    "2:36: `models.claude.limits.output_tokens` leaves no room for a prompt in `context_tokens`"
)]
#[case::no_room_for_a_call_in_a_minute(
    "models:\n  claude: {limits: {tokens_per_minute: 4_096}}\n",
    "2:40: `models.claude.limits.tokens_per_minute` is 4096, and one answer may have 4096 (`output_tokens`): with its \
     prompt no call would fit in a minute"
)]
#[case::a_model_with_more_time_than_its_request(
    "pipeline: {deadline_seconds: 15}\n",
    "1:30: `model_calls.header_seconds` is 15, no less than a whole request may take (`pipeline.deadline_seconds`: \
     15), so that a model that does not answer would never be given up for another; set \
     model_calls.header_seconds: 14 or less, or a longer pipeline.deadline_seconds"
)]
#[case::a_price_below_nothing(
    "models:\n  claude: {price: {input: -1}}\n",
    "2:27: `models.claude.price.input`: lower than 0"
)]
#[case::a_setting_without_models(
    "feature_settings: {duo_chat: []}\n",
    "1:30: `feature_settings.duo_chat`: must name a model"
)]
#[case::a_setting_called_like_a_model(
    "feature_settings: {claude: [gpt]}\n",
    "1:28: `feature_settings.claude`: there is a model of that name too; call the model something else and put it \
     first in feature_settings.claude"
)]
fn what_does_not_fit_together_is_named_with_the_mend(#[case] text: &str, #[case] fault: &str) {
    assert_eq!(faults_of(from_file(text)), [format!("etc/config.yaml:{fault}")]);
}

#[test]
fn an_unknown_model_is_refused_with_those_there_are() {
    assert_eq!(
        faults_of(from_file("feature_settings: {duo_chat: [acme, claude]}\n")),
        [format!(
            "etc/config.yaml:1:30: `feature_settings.duo_chat`: unknown model `acme`; known: {KNOWN_MODELS}"
        )]
    );
}

#[test]
fn a_private_host_is_taken_once_it_is_allowed_by_name() {
    let text = "providers:\n  mine: {kind: openai, base_url: 'http://10.0.0.5:8000/v1'}\n\
                model_calls: {allowed_private_hosts: [10.0.0.5]}\n";
    assert!(from_file(text).is_ok());
}

// === Keys ===

#[rstest]
#[case::in_the_file(from_file("providers:\n  anthropic:\n    api_key: sk-1\n"), "etc/config.yaml:3:5: ")]
#[case::in_a_variable(
    from_variables(&[("DUOLOGUE__PROVIDERS__ANTHROPIC__API_KEY", "sk-1")]),
    "environment variable DUOLOGUE__PROVIDERS__ANTHROPIC__API_KEY: "
)]
fn a_key_among_the_settings_is_refused_with_the_places_for_it(
    #[case] settings: Result<Config, Faults>,
    #[case] place: &str,
) {
    let expected = "unknown setting `providers.anthropic.api_key`; a key is not a setting; put it into an environment \
                    variable that `providers.anthropic.api_key_variable` names, or into a file that `api_key_file` names";
    assert_eq!(faults_of(settings), [format!("{place}{expected}")]);
}

fn key_of(config: &Config, provider: &str) -> Option<String> {
    config.providers[provider].api_key.as_ref().map(|key| key.expose_secret().to_owned())
}

#[test]
fn a_key_is_what_the_named_variable_holds() {
    let file = ConfigFile {
        path: Path::new("c.yaml"),
        text: "providers:\n  mine: {kind: openai, base_url: 'https://a.example', api_key_variable: MY_KEY}\n",
    };
    let variables = [("MY_KEY", " sk-1\n"), ("ANTHROPIC_API_KEY", "  ")];
    let config = Config::from_layers(Some(file), &variables.into_iter().collect()).unwrap();
    assert_eq!(key_of(&config, "mine").as_deref(), Some("sk-1"));
    // What is empty is no key.
    assert_eq!(key_of(&config, "anthropic"), None);
}

#[test]
fn a_key_may_come_from_an_env_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.env");
    // A name that no environment of whoever runs this has.
    std::fs::write(&path, "export DUOLOGUE_TEST_KEY='sk-1'\n").unwrap();
    let file = ConfigFile {
        path: Path::new("c.yaml"),
        text: "providers: {anthropic: {api_key_variable: DUOLOGUE_TEST_KEY}}\n",
    };
    let config = Config::from_layers(Some(file), &Environment::load(Some(&path)).unwrap()).unwrap();
    assert_eq!(key_of(&config, "anthropic").as_deref(), Some("sk-1"));
}

#[test]
fn a_key_file_is_found_beside_the_file_that_names_it() {
    let file = ConfigFile {
        path: Path::new("/etc/duologue/config.yaml"),
        text: "providers: {anthropic: {api_key_file: keys/anthropic}}\n",
    };
    let config = Config::from_layers(Some(file), &Environment::default()).unwrap();
    let expected = Some(Path::new("/etc/duologue/keys/anthropic"));
    assert_eq!(config.providers["anthropic"].api_key_file.as_deref(), expected);
}

#[test]
fn no_key_is_shown() {
    let config = from_variables(&[("ANTHROPIC_API_KEY", "sk-very-secret")]).unwrap();
    assert_eq!(key_of(&config, "anthropic").as_deref(), Some("sk-very-secret"));
    assert!(!format!("{config:?}").contains("sk-very-secret"));
    assert!(!serde_json::to_string(&config).unwrap().contains("sk-very-secret"));
}

#[rstest]
#[case("ANTHROPIC_BASE_URL", "anthropic")]
#[case("OPENAI_BASE_URL", "openai")]
#[case("AI_GATEWAY_URL", "ai_gateway")]
fn the_usual_variables_say_where_a_provider_is(#[case] variable: &str, #[case] provider: &str) {
    let config = from_variables(&[(variable, "http://localhost:5052")]).unwrap();
    assert_eq!(config.providers[provider].base_url.as_deref(), Some("http://localhost:5052"));
    // Left empty, as an example of a .env file leaves it, it changes nothing.
    let shipped = from_variables(&[]).unwrap().providers[provider].base_url.clone();
    assert_eq!(from_variables(&[(variable, "")]).unwrap().providers[provider].base_url, shipped);
}
