use secrecy::ExposeSecret;

use super::*;

fn with(settings: &str) -> Result<Config, Faults> {
    from_file(&format!("conversation:\n  redis: {{{settings}}}\n"))
}

#[rstest]
#[case("redis://127.0.0.1:6379/0")]
#[case("redis://127.0.0.1")]
#[case("redis://[::1]:6379")]
#[case("rediss://redis.example.com:6380/15")]
fn an_address_of_redis_is_taken(#[case] url: &str) {
    assert_eq!(with(&format!("url: '{url}'")).unwrap().conversation.redis.url, url);
}

#[rstest]
#[case("http://127.0.0.1:6379", "must be such as redis://127.0.0.1:6379/0")]
#[case("redis+unix:///run/redis.sock", "must be such as redis://127.0.0.1:6379/0")]
#[case("redis:///0", "must be such as redis://127.0.0.1:6379/0")]
#[case("127.0.0.1:6379", "no URL")]
#[case("redis://127.0.0.1/chat", "may have the number of a database")]
#[case("redis://127.0.0.1/0?protocol=resp3", "may have the number of a database")]
#[case("redis://:hunter2@127.0.0.1", "conversation.redis.password_variable")]
#[case("redis://duologue@127.0.0.1", "conversation.redis.username")]
fn any_other_address_is_refused_with_the_mend_and_without_the_password(
    #[case] url: &str,
    #[case] mend: &str,
) {
    let faults = faults_of(with(&format!("url: '{url}'")));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("etc/config.yaml:2:16: `conversation.redis.url`: "), "{faults:?}");
    assert!(faults[0].contains(mend) && !faults[0].contains("hunter2"), "{faults:?}");
}

#[test]
fn a_password_is_what_its_variable_holds_and_is_shown_nowhere() {
    let variables = [
        ("DUOLOGUE__CONVERSATION__REDIS__PASSWORD_VARIABLE", "CHAT_PASSWORD"),
        ("CHAT_PASSWORD", " hunter2\n"),
    ];
    let config = from_variables(&variables).unwrap();
    let password = config.conversation.redis.password.as_ref().unwrap();
    assert_eq!(password.expose_secret(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(from_variables(&variables[..1]).unwrap().conversation.redis.password.is_none());
}

#[test]
fn a_password_in_the_file_is_refused_with_the_mend() {
    let faults = faults_of(with("password: hunter2"));
    assert!(faults[0].contains("`conversation.redis.password_variable` names"), "{faults:?}");
    assert!(!faults[0].contains("hunter2"), "{faults:?}");
}

/// Readiness waits a second, and messages are promised within five.
#[rstest]
#[case("timeout_milliseconds", 900)]
#[case("breaker_open_milliseconds", 3_000)]
fn a_time_that_would_break_a_promise_is_refused(#[case] name: &str, #[case] most: u64) {
    assert!(with(&format!("{name}: {most}")).is_ok());
    let faults = faults_of(with(&format!("{name}: {}", most + 1)));
    assert!(faults[0].ends_with(&format!("greater than {most}")), "{faults:?}");
}
