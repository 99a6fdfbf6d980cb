use duologue_harness::gitlab::{GitlabStub, Mood};

use super::*;
use crate::{config::Config, env_file::Environment};

const USER: &[&str] = &["api", "v4", "user"];

fn gitlab(stub: &GitlabStub) -> Gitlab {
    let mut config = Config::from_layers(None, &Environment::default()).unwrap().gitlab;
    config.url = Some(stub.url());
    config.timeout_seconds = 1;
    config.max_response_bytes = 100_000;
    Gitlab::new(&config).unwrap()
}

fn alice() -> SecretString {
    SecretString::from("glpat-alice")
}

#[test]
fn without_an_address_it_says_which_setting_is_missing() {
    let config = Config::from_layers(None, &Environment::default()).unwrap().gitlab;
    assert!(Gitlab::new(&config).unwrap_err().to_string().starts_with("gitlab.url is not set; "));
}

#[rstest::rstest]
#[case::unauthorized(Mood::Failing(401), CallError::Refused)]
#[case::forbidden_without_a_word(Mood::Failing(403), CallError::Barred)]
#[case::not_found(Mood::Failing(404), CallError::NotFound)]
#[case::bad_request(Mood::Failing(400), CallError::Rejected)]
#[case::too_many_calls(Mood::Failing(429), CallError::Unavailable)]
#[case::a_fault_of_gitlab(Mood::Failing(500), CallError::Unavailable)]
#[case::a_fault_before_gitlab(Mood::Failing(502), CallError::Unavailable)]
#[case::closed_connections(Mood::Down, CallError::Unavailable)]
#[case::an_endless_answer(Mood::Endless, CallError::TooLong)]
#[case::a_slow_answer(Mood::Slow(Duration::from_secs(60)), CallError::Unavailable)]
#[case::a_redirect_is_not_followed(Mood::Moved, CallError::Unavailable)]
#[case::an_unreadable_answer(Mood::Failing(200), CallError::Unavailable)]
#[tokio::test]
async fn a_call_that_fails_says_what_it_means(#[case] mood: Mood, #[case] expected: CallError) {
    let stub = GitlabStub::start().await.unwrap();
    stub.set_mood(mood);
    let answer = gitlab(&stub).get::<Vec<u8>>(&alice(), USER, &[]).await;
    assert_eq!(answer.unwrap_err(), expected);
    assert_eq!(stub.calls(), ["GET /api/v4/user"]);
}

#[tokio::test]
async fn nobody_listening_is_no_answer() {
    let stub = GitlabStub::start().await.unwrap();
    let gitlab = gitlab(&stub);
    drop(stub);
    let answer = gitlab.get::<Value>(&alice(), USER, &[]).await;
    assert_eq!(answer.unwrap_err(), CallError::Unavailable);
}

#[tokio::test]
async fn a_token_that_fits_no_header_is_refused_without_a_call() {
    let stub = GitlabStub::start().await.unwrap();
    let token = SecretString::from("glpat\r\nx-admin: 1");
    assert_eq!(gitlab(&stub).get::<Value>(&token, USER, &[]).await.unwrap_err(), CallError::Refused);
    assert_eq!(stub.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_path_in_place_of_an_id_is_escaped() {
    let stub = GitlabStub::start().await.unwrap();
    let path = ["api", "v4", "projects", "demo/duologue"];
    let project: Value = gitlab(&stub).get(&alice(), &path, &[]).await.unwrap();
    assert_eq!(project["id"], 20);
    assert_eq!(stub.calls(), ["GET /api/v4/projects/demo%2Fduologue"]);
}

#[tokio::test]
async fn an_instance_below_a_path_is_called_there() {
    let stub = GitlabStub::start().await.unwrap();
    let mut config = Config::from_layers(None, &Environment::default()).unwrap().gitlab;
    config.url = Some(format!("{}/gitlab/", stub.url()));
    let answer = Gitlab::new(&config).unwrap().get::<Value>(&alice(), USER, &[]).await;
    assert_eq!(
        (answer.unwrap_err(), stub.calls()),
        (CallError::NotFound, vec!["GET /gitlab/api/v4/user".to_owned()])
    );
}

#[tokio::test]
async fn what_a_token_may_not_do_gitlab_says_itself() {
    let stub = GitlabStub::start().await.unwrap();
    let token = SecretString::from("glpat-alice-asks");
    let answer = gitlab(&stub).get::<Value>(&token, &["api", "v4", "groups", "demo"], &[]).await;
    assert_eq!(answer.unwrap_err(), CallError::Forbidden);
}

#[rstest::rstest]
#[case("")]
#[case(".")]
#[case("..")]
#[tokio::test]
async fn a_part_that_would_make_another_path_is_nowhere(#[case] part: &str) {
    let stub = GitlabStub::start().await.unwrap();
    let answer = gitlab(&stub).get::<Value>(&alice(), &["api", "v4", "groups", part], &[]).await;
    assert_eq!((answer.unwrap_err(), stub.calls()), (CallError::NotFound, Vec::new()));
}

#[test]
fn what_may_be_private_in_a_path_is_not_logged() {
    let call = Call::to(&["api", "v4", "projects", "demo/secret", "issues", "7", "notes"]);
    assert_eq!(call.path, "/api/v4/projects/*/issues/7/notes");
}

#[tokio::test]
async fn a_query_that_this_gitlab_does_not_know_is_no_answer() {
    let stub = GitlabStub::start().await.unwrap();
    let answer = gitlab(&stub).graphql::<Value>(&alice(), "{ unheardOf }", &json!({})).await;
    assert_eq!(answer.unwrap_err(), CallError::Unavailable);
}
