use std::{collections::BTreeSet, net::SocketAddr};

use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::document::{Node, Value as YamlValue};

fn from_file(text: &str) -> Result<Config, Faults> {
    let file = ConfigFile { path: Path::new("etc/config.yaml"), text };
    Config::from_layers(Some(file), &Environment::default())
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Config, Faults> {
    Config::from_layers(None, &variables.iter().copied().collect())
}

fn faults_of(result: Result<Config, Faults>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

// === The defaults ===

#[test]
fn the_defaults_are_those_of_the_compiled_in_file() {
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse::<SocketAddr>().unwrap());
    assert_eq!(config.pipeline.permits, 1_024);
    assert_eq!(config.pipeline.retained_bytes, 256 * 1_024 * 1_024);
    assert_eq!(config.conversation.limits(), duologue_actors::ports::ConversationLimits::default());
    assert_eq!(
        format!("{:?}", config.pipeline.limits(config.rate_limits.bounds(), config.model_calls.bounds())),
        format!("{:?}", duologue_actors::limits::Limits::default())
    );
    assert_eq!(
        format!("{:?}", config.model_calls.budget()),
        format!("{:?}", duologue_actors::models::BudgetBounds::default())
    );
    assert_eq!(
        format!("{:?}", config.model_calls.breaker()),
        format!("{:?}", duologue_actors::models::BreakerBounds::default())
    );
    assert_eq!(config.storage.path, Path::new("data/"));
    assert_eq!(config.models["embedded"].model, "extractive");
}

/// An optional setting could be missing from the file without an error, so the names are compared.
#[test]
fn config_yaml_and_the_structs_have_the_same_settings() {
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    let (mut in_structs, mut in_file) = (BTreeSet::new(), BTreeSet::new());
    names("", &serde_json::to_value(&config).unwrap(), &mut in_structs);
    let file = document::parse("config.yaml", DEFAULTS).unwrap();
    // An entry that others are like is whole; the others leave out what they share with it.
    names("", &shape::Shape::new(from_file::tree_to_json(&file.value)).0, &mut in_file);
    assert_eq!(in_structs, in_file);
}

fn names(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(section) => {
            for (name, value) in section {
                names(&format!("{prefix}.{name}"), value, into);
            }
        }
        _ => assert!(into.insert(prefix.to_owned())),
    }
}

#[test]
fn every_setting_is_explained_by_a_comment_above_it() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    let mut settings = 0;
    for (name, line) in setting_lines("", &document::parse("config.yaml", DEFAULTS).unwrap()) {
        settings += 1;
        let above = lines[line - 2].trim_start();
        assert!(above.starts_with("# ") && above.len() > 10, "{name} has no comment above it");
    }
    assert!(settings > 50, "{settings}");
}

/// The settings and their lines. What an entry has that others are like is explained there, and in no other entry.
fn setting_lines(path: &str, node: &Node) -> Vec<(String, usize)> {
    let YamlValue::Map(entries) = &node.value else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (key, value) in entries {
        let name = format!("{path}.{}", key.name);
        if [".providers", ".models"].contains(&path) && key.name != "embedded" {
            continue;
        }
        match value.value {
            YamlValue::Map(_) => lines.extend(setting_lines(&name, value)),
            _ => lines.push((name, usize::try_from(key.place.line).unwrap())),
        }
    }
    lines
}

#[test]
fn a_whole_copy_of_the_defaults_changes_nothing() {
    let file = ConfigFile { path: Path::new("config.yaml"), text: DEFAULTS };
    let copied = Config::from_layers(Some(file), &Environment::default()).unwrap();
    let shipped = Config::from_layers(None, &Environment::default()).unwrap();
    assert_eq!(serde_json::to_value(&copied).unwrap(), serde_json::to_value(&shipped).unwrap());
}

// === Layers ===

#[rstest]
#[case::empty("")]
#[case::only_comments("# nothing\n")]
#[case::a_section_with_everything_commented_out("server:\n  # workers: 2\n")]
fn a_file_that_says_nothing_leaves_the_defaults(#[case] text: &str) {
    assert_eq!(from_file(text).unwrap().server.workers, 1);
}

#[test]
fn a_file_gives_only_what_it_changes() {
    let config =
        from_file("server: {workers: 3}\nmodels:\n  big: {provider: embedded, model: extractive}\n").unwrap();
    assert_eq!((config.server.workers, config.server.drain_seconds), (3, 25));
    assert_eq!(
        config.models.keys().collect::<Vec<_>>(),
        ["big", "claude", "embedded", "gateway", "gemini", "gpt"]
    );
}

#[test]
fn a_variable_wins_over_the_file() {
    let file =
        ConfigFile { path: Path::new("config.yaml"), text: "server: {workers: 3, drain_seconds: 9}\n" };
    let variables = [("DUOLOGUE__SERVER__WORKERS", "5"), ("DUOLOGUE_TOKEN", "not a setting")];
    let config = Config::from_layers(Some(file), &variables.into_iter().collect()).unwrap();
    assert_eq!((config.server.workers, config.server.drain_seconds), (5, 9));
}

#[test]
fn a_variable_can_give_every_kind_of_setting() {
    let config = from_variables(&[
        ("DUOLOGUE__SERVER__LISTEN", "127.0.0.1:9"),
        ("DUOLOGUE__SERVER__ALLOWED_ORIGINS", "https://a.example,https://b.example"),
        ("DUOLOGUE__SERVER__ADVERTISED_VERSION", "17.0.0"),
        ("DUOLOGUE__AUTH__DEVELOPMENT_TOKENS", "false"),
        ("DUOLOGUE__PIPELINE__PERMITS", "7"),
        ("DUOLOGUE__LOGGING__TO_FILE", "log.txt"),
        ("DUOLOGUE__MODELS__BIG__PROVIDER", "embedded"),
        ("DUOLOGUE__MODELS__BIG__MODEL", "extractive"),
    ])
    .unwrap();
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!(config.server.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.server.advertised_version, "17.0.0");
    assert!(!config.auth.development_tokens);
    assert_eq!(config.pipeline.permits, 7);
    assert_eq!(config.logging.to_file.as_deref(), Some(Path::new("log.txt")));
    assert!(config.models.contains_key("big"));
}

#[test]
fn the_names_of_the_seeds_set_the_logs() {
    let config = from_variables(&[
        ("AIGW_LOGGING__LEVEL", "WARNING"),
        ("AIGW_LOGGING__FORMAT_JSON", "true"),
        ("AIGW_LOGGING__TO_FILE", "../modelgateway_debug.log"),
    ])
    .unwrap();
    assert_eq!((config.logging.level, config.logging.format), (Level::Warn, LogFormat::Json));
    assert_eq!(config.logging.to_file.as_deref(), Some(Path::new("../modelgateway_debug.log")));
}

#[test]
fn the_names_of_the_seeds_set_who_is_asked_for_credentials() {
    let config = from_variables(&[
        ("AIGW_AUTH__BYPASS_EXTERNAL", "True"),
        ("AIGW_GITLAB_URL", "http://127.0.0.1:3000"),
        ("AIGW_CUSTOMER_PORTAL_URL", ""),
        ("AIGW_CLOUD_CONNECTOR_SERVICE_NAME", "duologue"),
    ])
    .unwrap();
    let unset = from_variables(&[("AIGW_CLOUD_CONNECTOR_SERVICE_NAME", "")]).unwrap();
    assert_eq!(unset.auth.audience, "gitlab-ai-gateway");
    assert!(config.auth.bypass_external);
    assert_eq!(config.auth.gitlab_url.as_deref(), Some("http://127.0.0.1:3000"));
    assert_eq!((config.auth.customer_portal_url, config.auth.audience), (None, "duologue".to_owned()));
    assert_eq!(
        faults_of(from_variables(&[
            ("AIGW_AUTH__BYPASS_EXTERNAL", "perhaps"),
            ("AIGW_GITLAB_URL", "http://gdk.test:3000")
        ])),
        [
            "environment variable AIGW_AUTH__BYPASS_EXTERNAL: must be true or false, not \"perhaps\"",
            "environment variable AIGW_GITLAB_URL: `auth.gitlab_url`: must be an https URL; http is taken for \
             this machine only: localhost, a name such as gdk.localhost, 127.0.0.1",
        ]
    );
}

#[rstest]
#[case("http://localhost:3000", true)]
#[case("http://gdk.localhost:3000", true)]
#[case("http://127.0.0.1:3000", true)]
#[case("http://localhost.example", false)]
#[case("http://gdklocalhost", false)]
#[case("https://gdk.test:3000", true)]
fn plain_http_is_for_names_of_this_machine(#[case] url: &str, #[case] expected: bool) {
    assert_eq!(from_variables(&[("AIGW_GITLAB_URL", url)]).is_ok(), expected);
}

#[rstest]
#[case::a_bypass_that_others_can_reach(
    "server: {listen: '0.0.0.0:80'}\nauth: {development_tokens: false, bypass_external: true}\n",
    "etc/config.yaml:1:18: `server.listen` is 0.0.0.0:80, which other machines can reach, while \
     `auth.bypass_external` asks nobody for credentials; set auth.bypass_external: false, or listen on 127.0.0.1"
)]
#[case::gitlab_without_its_tokens(
    "directory: {source: gitlab}\ngitlab: {url: 'https://g.example'}\n",
    "etc/config.yaml:1:21: `directory.source: gitlab` reads with each caller's own GitLab token, and \
     `auth.gitlab_tokens` takes none; set auth.gitlab_tokens: true"
)]
#[case::gitlab_with_jwts(
    "directory: {source: gitlab}\ngitlab: {url: 'https://g.example'}\nauth: {gitlab_tokens: true, issuers: ['https://i.example']}\n",
    "etc/config.yaml:1:21: `directory.source: gitlab` reads with each caller's own GitLab token, and with \
     `auth.issuers` callers have none; leave auth.issuers out, or set directory.source: file"
)]
#[case::gitlab_with_the_bypass(
    "directory: {source: gitlab}\ngitlab: {url: 'https://g.example'}\nauth: {gitlab_tokens: true, bypass_external: true}\n",
    "etc/config.yaml:1:21: `directory.source: gitlab` reads with each caller's own GitLab token, and with \
     `auth.bypass_external` callers have none; leave auth.bypass_external out, or set directory.source: file"
)]
#[case::tokens_of_no_instance(
    "auth: {gitlab_tokens: true}\n",
    "etc/config.yaml:1:23: `auth.gitlab_tokens` is on and no instance is named to ask about them; set gitlab.url"
)]
#[case::gitlab_without_an_address(
    "auth: {gitlab_tokens: true}\ndirectory: {source: gitlab}\n",
    "etc/config.yaml:2:21: `directory.source: gitlab` names no instance to read from; set gitlab.url"
)]
fn ways_to_identify_that_exclude_each_other_are_refused_with_the_mend(
    #[case] text: &str,
    #[case] fault: &str,
) {
    let faults = faults_of(from_file(text));
    assert!(faults.contains(&fault.to_owned()), "{faults:#?}");
}

#[test]
fn our_own_name_wins_over_the_seeds_name() {
    let variables = [("AIGW_LOGGING__LEVEL", "debug"), ("DUOLOGUE__LOGGING__LEVEL", "error")];
    assert_eq!(from_variables(&variables).unwrap().logging.level, Level::Error);
}

#[test]
fn relative_paths_start_at_the_files_folder_and_those_of_variables_do_not() {
    let file = ConfigFile {
        path: Path::new("/etc/duologue/config.yaml"),
        text: "storage: {path: store}\nflags: {path: /srv/flags.yaml}\nlogging: {to_file: a.log}\n",
    };
    let variables = [("DUOLOGUE__DIRECTORY__PATH", "people.yaml")];
    let config = Config::from_layers(Some(file), &variables.into_iter().collect()).unwrap();
    assert_eq!(config.storage.path, Path::new("/etc/duologue/store"));
    assert_eq!(config.flags.path, Path::new("/srv/flags.yaml"));
    assert_eq!(config.logging.to_file.as_deref(), Some(Path::new("/etc/duologue/a.log")));
    assert_eq!(config.directory.path, Path::new("people.yaml"));
    assert_eq!(config.catalogue.path, Path::new("/etc/duologue/catalogue/"));
}

#[test]
fn a_named_file_is_read_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    std::fs::write(&path, "server: {workers: 4}\n").unwrap();
    let loaded = Config::load(Some(&path), &Environment::default()).unwrap();
    assert_eq!((loaded.config.server.workers, loaded.file), (4, Some(path)));
}

// === Mistakes ===

#[rstest]
#[case::unknown_section("sever:\n  listen: x\n", "1:1: unknown setting `sever`; did you mean `server`?")]
#[case::unknown_setting(
    "server:\n  lisen: x\n",
    "2:3: unknown setting `server.lisen`; did you mean `server.listen`?"
)]
#[case::in_no_section("workers: 2\n", "1:1: unknown setting `workers`; did you mean `server.workers`?")]
#[case::nothing_like_it(
    "storage:\n  colour: red\n",
    "2:3: unknown setting `storage.colour`; known here: path, durability, max_bytes, reserve_bytes"
)]
#[case::unknown_model_field(
    "models:\n  embedded: {key: 1}\n",
    "2:14: unknown setting `models.embedded.key`; known here: provider, model, limits, price, fallbacks, prompt_cache"
)]
#[case::a_section_with_one_value(
    "server: 8080\n",
    "1:9: `server` must be a mapping of settings, not a number"
)]
#[case::a_setting_with_settings(
    "server:\n  workers: {a: 1}\n",
    "2:12: `server.workers` is one setting and must be a value, not a mapping"
)]
#[case::a_list("- a\n", "1:1: the file must be a mapping of settings, not a list")]
#[case::text_for_a_number(
    "server:\n  workers: many\n",
    "2:12: `server.workers`: invalid type: string \"many\", expected a whole number"
)]
#[case::a_negative_number(
    "pipeline:\n  permits: -1\n",
    "2:12: `pipeline.permits`: invalid value: integer `-1`, expected a whole number"
)]
#[case::a_fraction(
    "pipeline:\n  permits: 1.5\n",
    "2:12: `pipeline.permits`: invalid type: floating point `1.5`, expected a whole number"
)]
#[case::nothing_for_a_number(
    "server:\n  workers:\n",
    "2:10: `server.workers`: invalid type: null, expected a whole number"
)]
#[case::not_an_address(
    "server:\n  listen: localhost\n",
    "2:11: `server.listen`: expected an address and port such as 127.0.0.1:8080"
)]
#[case::a_number_for_a_text(
    "server:\n  advertised_version: 18.6\n",
    "2:23: `server.advertised_version`: invalid type: floating point `18.6`, expected a text (put it in quotes)"
)]
#[case::not_a_boolean(
    "auth:\n  development_tokens: maybe\n",
    "2:23: `auth.development_tokens`: invalid type: string \"maybe\", expected true or false"
)]
#[case::one_origin_is_no_list(
    "server:\n  allowed_origins: https://a.example\n",
    "2:20: `server.allowed_origins`: invalid type: string \"https://a.example\", expected a list"
)]
#[case::unknown_level(
    "logging:\n  level: loud\n",
    "2:10: `logging.level`: unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`"
)]
#[case::unknown_format(
    "logging:\n  format: xml\n",
    "2:11: `logging.format`: unknown variant `xml`, expected `pretty` or `json`"
)]
#[case::unknown_source(
    "directory:\n  source: ldap\n",
    "2:11: `directory.source`: unknown variant `ldap`, expected `file` or `gitlab`"
)]
#[case::half_a_model("models:\n  big:\n    provider: embedded\n", "3:15: `models.big` needs model")]
#[case::an_empty_model("models:\n  big: {}\n", "2:3: `models.big` needs provider and model")]
#[case::out_of_range("server:\n  workers: 0\n", "2:12: `server.workers`: lower than 1")]
#[case::too_much("server:\n  workers: 1000\n", "2:12: `server.workers`: greater than 256")]
#[case::not_an_origin(
    "server:\n  allowed_origins: [https://a.example, '*']\n",
    "2:20: `server.allowed_origins[1]`: \"*\" is not an origin: write scheme, host and port, such as https://gitlab.example.com"
)]
#[case::not_a_version(
    "server:\n  advertised_version: newest\n",
    "2:23: `server.advertised_version`: \"newest\" is not a version such as 18.6.0"
)]
#[case::no_plan(
    "gitlab:\n  plan_when_hidden: ultimat\n",
    "2:21: `gitlab.plan_when_hidden`: there is no plan of this name; known: free, premium, ultimate"
)]
#[case::an_empty_path("storage:\n  path: ''\n", "2:9: `storage.path`: a path is needed")]
#[case::an_empty_model_name(
    "models:\n  embedded:\n    model: ''\n",
    "3:12: `models.embedded.model`: length is lower than 1"
)]
fn a_mistake_is_named_with_file_line_and_column(#[case] text: &str, #[case] fault: &str) {
    assert_eq!(faults_of(from_file(text)), [format!("etc/config.yaml:{fault}")]);
}

#[test]
fn what_is_not_yaml_or_says_a_thing_twice_is_refused_at_its_line() {
    let twice = faults_of(from_file("server:\n  workers: 1\n  workers: 2\n"));
    assert_eq!(twice, ["etc/config.yaml:3:3: `workers` is there twice"]);
    let torn = faults_of(from_file("server: {workers: 1\nlogging:\n"));
    assert!(torn[0].starts_with("etc/config.yaml:"), "{torn:?}");
}

#[rstest]
#[case(
    "DUOLOGUE__SERVER__LISEN",
    "x",
    "unknown setting `server.lisen`; did you mean DUOLOGUE__SERVER__LISTEN?"
)]
#[case("DUOLOGUE__COLOUR", "x", "unknown setting `colour`; config.yaml lists them all")]
#[case("DUOLOGUE__SERVER", "x", "`server` is a section; name one of its settings: DUOLOGUE__SERVER__KEY")]
#[case(
    "DUOLOGUE__SERVER__WORKERS",
    "many",
    "`server.workers`: invalid type: string \"many\", expected a whole number"
)]
#[case("DUOLOGUE__SERVER__WORKERS", "", "`server.workers`: invalid type: null, expected a whole number")]
#[case("DUOLOGUE__SERVER__WORKERS", "0", "`server.workers`: lower than 1")]
#[case("DUOLOGUE__MODELS__BIG__MODEL", "x", "`models.big` needs provider")]
#[case(
    "AIGW_LOGGING__LEVEL",
    "loud",
    "`logging.level`: unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`"
)]
#[case("AIGW_LOGGING__FORMAT_JSON", "perhaps", "must be true or false, not \"perhaps\"")]
fn a_mistake_in_a_variable_names_the_variable(#[case] name: &str, #[case] value: &str, #[case] fault: &str) {
    assert_eq!(
        faults_of(from_variables(&[(name, value)])),
        [format!("environment variable {name}: {fault}")]
    );
}

#[test]
fn all_mistakes_of_all_layers_are_reported_at_once() {
    let file = ConfigFile {
        path: Path::new("c.yaml"),
        text: "sever: 1\nserver:\n  workers: many\n  drain_seconds: 99999\n  listen: 0.0.0.0:80\nlogging:\n  level: loud\n",
    };
    let variables = [("DUOLOGUE__PIPELINE__PERMITS", "0"), ("DUOLOGUE__NO__SUCH", "x")];
    let faults = faults_of(Config::from_layers(Some(file), &variables.into_iter().collect()));
    for place in [
        "c.yaml:1:1:",
        "c.yaml:3:12:",
        "c.yaml:4:18:",
        "c.yaml:5:11:",
        "c.yaml:7:10:",
        "environment variable DUOLOGUE__PIPELINE__PERMITS:",
        "environment variable DUOLOGUE__NO__SUCH:",
    ] {
        assert_eq!(
            faults.iter().filter(|fault| fault.starts_with(place)).count(),
            1,
            "{place} in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 7);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let faults = Config::load(Some(Path::new("no/such.yaml")), &Environment::default()).unwrap_err();
    assert!(faults.to_string().starts_with("no/such.yaml: cannot be read: "), "{faults}");
}

// === Settings that are wrong together ===

#[rstest]
#[case("0.0.0.0:8080")]
#[case("192.0.2.7:8080")]
#[case("'[::]:8080'")]
fn development_tokens_are_refused_where_others_can_reach_them(#[case] listen: &str) {
    let faults = faults_of(from_file(&format!("server:\n  listen: {listen}\n")));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("etc/config.yaml:2:11: `server.listen` is "), "{faults:?}");
    assert!(faults[0].contains("set auth.development_tokens: false, or listen on 127.0.0.1"), "{faults:?}");
}

#[rstest]
#[case("server: {listen: '[::1]:80'}")]
#[case("server: {listen: 127.9.9.9:80}")]
#[case("server: {listen: 0.0.0.0:80}\nauth: {development_tokens: false}")]
fn loopback_or_no_development_tokens_is_fine(#[case] text: &str) {
    assert!(from_file(text).is_ok());
}

#[test]
fn an_address_from_a_variable_is_blamed_on_the_variable() {
    let faults = faults_of(from_variables(&[("DUOLOGUE__SERVER__LISTEN", "0.0.0.0:1")]));
    assert!(faults[0].starts_with("environment variable DUOLOGUE__SERVER__LISTEN: "), "{faults:?}");
}

#[rstest]
#[case::a_pause_shorter_than_a_question(
    "auth: {jwks_unknown_key_seconds: 2, jwks_timeout_seconds: 3}\n",
    "etc/config.yaml:1:34: `auth.jwks_unknown_key_seconds` is 2, less than one call of an issuer may take \
     (`auth.jwks_timeout_seconds`: 3), so that one that does not answer would be asked most of the time; set \
     auth.jwks_unknown_key_seconds: 3 or more"
)]
#[case::keys_that_are_never_used(
    "auth: {jwks_max_stale_seconds: 60}\n",
    "etc/config.yaml:1:32: `auth.jwks_max_stale_seconds` is 60, so keys would be thrown away before they are \
     asked for again (`auth.jwks_refresh_seconds`: 300); set auth.jwks_max_stale_seconds: 300 or more"
)]
fn times_of_an_issuer_that_do_not_fit_are_refused_with_the_mend(#[case] text: &str, #[case] fault: &str) {
    assert_eq!(faults_of(from_file(text)), [fault]);
}

/// Beyond these, times cannot be added and counts not be kept.
#[rstest]
#[case("rate_limits", "ai_action_period_seconds", 31_536_000)]
#[case("rate_limits", "in_flight_per_user", 65_536)]
#[case("auth", "recheck_seconds", 3_600)]
#[case("auth", "gitlab_token_seconds", 3_600)]
#[case("auth", "jwks_refresh_seconds", 86_400)]
#[case("auth", "jwks_unknown_key_seconds", 86_400)]
#[case("auth", "jwks_max_stale_seconds", 31_536_000)]
#[case("auth", "verified_tokens", 10_000_000)]
#[case("pipeline", "clearance_seconds", 3_600)]
#[case("gitlab", "cache_seconds", 3_600)]
#[case("gitlab", "cache_entries", 10_000_000)]
#[case("conversation", "expiry_seconds", 3_153_600_000)]
fn a_number_beyond_what_can_be_kept_is_refused(#[case] section: &str, #[case] key: &str, #[case] max: u64) {
    let with = |value: u64| from_file(&format!("{section}:\n  {key}: {value}\n"));
    assert!(with(max).is_ok(), "{:?}", faults_of(with(max)));
    let faults = faults_of(with(max + 1));
    assert!(faults[0].ends_with(&format!("`{section}.{key}`: greater than {max}")), "{faults:?}");
}

#[test]
fn a_store_that_is_all_reserve_is_refused() {
    let faults = faults_of(from_file("storage:\n  max_bytes: 1048576\n"));
    assert!(faults[0].starts_with("etc/config.yaml:2:14: `storage.reserve_bytes` is 67108864"), "{faults:?}");
}

#[test]
fn memory_for_less_than_one_answer_is_refused() {
    let faults = faults_of(from_file("pipeline:\n  retained_bytes: 1000\n"));
    assert!(faults[0].starts_with("etc/config.yaml:2:19: `pipeline.retained_bytes` is 1000"), "{faults:?}");
}

#[test]
fn a_variable_is_a_number_where_nothing_stands_by_default_and_a_number_is_needed() {
    let variables = [
        ("DUOLOGUE__MODELS__CLAUDE__LIMITS__TOKENS_PER_MINUTE", "40_000"),
        ("DUOLOGUE__PROVIDERS__VERTEX_AI__PROJECT", "40000"),
    ];
    let config = Config::from_layers(None, &variables.into_iter().collect::<Environment>()).unwrap();
    assert_eq!(config.models["claude"].limits.tokens_per_minute, Some(40_000));
    assert_eq!(config.providers["vertex_ai"].project.as_deref(), Some("40000"));
}

mod models;
mod redis;
