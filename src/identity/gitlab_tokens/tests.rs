use duologue_harness::gitlab::{GitlabStub, Kind, Mood, World};

use super::*;
use crate::{config::Config, directory::FileDirectory, env_file::Environment};

struct Alone {
    stub: GitlabStub,
    tokens: GitlabTokens,
}

async fn alone(accounts: Option<Arc<dyn Accounts>>) -> Alone {
    let stub = GitlabStub::start().await.unwrap();
    let mut config = Config::from_layers(None, &Environment::default()).unwrap();
    config.gitlab.url = Some(stub.url());
    let gitlab = Gitlab::new(&config.gitlab).unwrap();
    let tokens = GitlabTokens::new(gitlab, &config.auth, Clock::following_tokio(), accounts);
    Alone { stub, tokens }
}

impl Alone {
    async fn verify(&self, token: &str) -> Result<Identity, VerifyError> {
        self.tokens.verify(&Credentials::token(token)).await
    }

    fn set_kind(&self, token: &str, kind: Kind) {
        let change = |world: &mut World| {
            world.tokens.iter_mut().find(|known| known.text == token).unwrap().kind = kind;
        };
        self.stub.change(change);
    }
}

/// Lets time pass between two calls, without passing it while one waits for its answer.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn scopes(identity: &Identity) -> Vec<String> {
    match &identity.scope {
        Scope::Gitlab(scopes) => scopes.iter().cloned().collect(),
        other => panic!("{other:?}"),
    }
}

#[rstest::rstest]
#[case("glpat-alice", 2, "Alice Example", false, "api")]
#[case("glpat-alice-reads", 2, "Alice Example", false, "read_api")]
#[case("glpat-root", 1, "Administrator", true, "api")]
#[tokio::test]
async fn a_personal_access_token_is_its_users(
    #[case] token: &str,
    #[case] id: u64,
    #[case] name: &str,
    #[case] admin: bool,
    #[case] scope: &str,
) {
    let identity = alone(None).await.verify(token).await.unwrap();
    let user = &identity.user;
    assert_eq!((user.id.0, user.name.as_str(), user.admin), (id, name, admin));
    assert_eq!((scopes(&identity), identity.expires_at), (vec![scope.to_owned()], None));
}

#[tokio::test]
async fn an_oauth_token_is_its_users_until_its_seconds_are_over() {
    let alone = alone(None).await;
    let identity = alone.verify("oauth-alice").await.unwrap();
    assert_eq!((identity.user.id.0, scopes(&identity)), (2, vec!["api".to_owned()]));
    let left = identity.expires_at.unwrap().duration_since(alone.tokens.clock.now()).unwrap();
    assert!((7_190..=7_200).contains(&left.as_secs()), "{left:?}");
}

#[rstest::rstest]
#[case::unknown("glpat-nobody")]
#[case::of_a_blocked_user("glpat-carol")]
#[case::past_its_date("glpat-alice-old")]
#[case::that_may_not_say_whose_it_is("glpat-alice-asks")]
#[case::empty("")]
#[case::that_fits_no_header("glpat\nalice")]
#[tokio::test]
async fn a_token_is_refused_that_is(#[case] token: &str) {
    assert_eq!(alone(None).await.verify(token).await.unwrap_err(), VerifyError::Invalid);
}

#[tokio::test]
async fn a_token_longer_than_any_is_not_shown_to_gitlab() {
    let alone = alone(None).await;
    assert_eq!(alone.verify(&"x".repeat(MAX_TOKEN_BYTES + 1)).await.unwrap_err(), VerifyError::Invalid);
    assert_eq!(alone.stub.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_personal_access_token_ends_at_midnight_of_its_date() {
    let alone = alone(None).await;
    alone.set_kind("glpat-alice", Kind::Personal { expires_at: Some("2999-01-01"), active: true });
    let identity = alone.verify("glpat-alice").await.unwrap();
    assert_eq!(identity.expires_at, calendar::parse("2999-01-01"));
}

#[rstest::rstest]
#[case::inactive(Kind::Personal { expires_at: None, active: false })]
#[case::without_a_readable_date(Kind::Personal { expires_at: Some("tomorrow"), active: true })]
#[case::without_any_seconds_left(Kind::Oauth { expires_in: Some(0) })]
#[tokio::test]
async fn gitlabs_word_about_a_token_counts(#[case] kind: Kind) {
    let alone = alone(None).await;
    alone.set_kind("glpat-alice", kind);
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Invalid);
}

#[tokio::test]
async fn gitlab_is_asked_once_for_as_long_as_its_word_counts() {
    let alone = alone(None).await;
    let (one, other) = tokio::join!(alone.verify("glpat-alice"), alone.verify("glpat-alice"));
    assert_eq!(one.unwrap(), other.unwrap());
    later(Duration::from_secs(50)).await;
    alone.stub.revoke("glpat-alice");
    alone.verify("glpat-alice").await.unwrap();
    assert_eq!(alone.stub.count("/api/v4/user"), 1);
    later(Duration::from_secs(11)).await;
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Invalid);
}

#[tokio::test]
async fn a_bad_token_does_not_hammer_gitlab_and_may_become_good() {
    let alone = alone(None).await;
    let token = "glpat-new";
    for _ in 0..20 {
        assert_eq!(alone.verify(token).await.unwrap_err(), VerifyError::Invalid);
    }
    assert_eq!(alone.stub.calls().len(), 1, "{:?}", alone.stub.calls());
    alone.stub.change(|world| {
        let good = world.tokens.iter().find(|known| known.text == "glpat-alice").cloned().unwrap();
        world.tokens.push(duologue_harness::gitlab::Token { text: token.to_owned(), ..good });
    });
    later(REFUSED).await;
    assert_eq!(alone.verify(token).await.unwrap().user.id.0, 2);
}

#[rstest::rstest]
#[case::down(Mood::Down)]
#[case::failing(Mood::Failing(503))]
#[tokio::test]
async fn while_gitlab_does_not_answer_a_known_token_stays_good_for_its_time_only(#[case] mood: Mood) {
    let alone = alone(None).await;
    alone.verify("glpat-alice").await.unwrap();
    alone.stub.set_mood(mood);
    alone.verify("glpat-alice").await.unwrap();
    assert_eq!(alone.verify("glpat-bob").await.unwrap_err(), VerifyError::Unavailable);
    later(Duration::from_secs(60)).await;
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Unavailable);
    alone.stub.set_mood(Mood::Well);
    alone.verify("glpat-alice").await.unwrap();
    alone.verify("glpat-bob").await.unwrap();
}

#[tokio::test]
async fn a_token_the_directory_was_refused_is_asked_about_again() {
    let alone = alone(None).await;
    alone.verify("glpat-alice").await.unwrap();
    alone.stub.revoke("glpat-alice");
    alone.tokens.forget(TokenHash::of("glpat-alice")).await;
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Invalid);
}

/// A directory in which the GitLab at `url` is known to call Alice 2.
fn directory_of(url: &str) -> FileDirectory {
    let users = format!(
        "users:\n  - {{id: 70, username: liddell, name: Alice, identities: {{'{url}': '2'}}}}\n  \
         - {{id: 71, username: mallory, name: Other}}\n"
    );
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    FileDirectory::of(&[&users], &config.deployment)
}

async fn beside_a_directory() -> Alone {
    let Alone { stub, .. } = alone(None).await;
    let mut config = Config::from_layers(None, &Environment::default()).unwrap();
    config.gitlab.url = Some(stub.url());
    let gitlab = Gitlab::new(&config.gitlab).unwrap();
    let accounts = Some(Arc::new(directory_of(&stub.url())) as _);
    let tokens = GitlabTokens::new(gitlab, &config.auth, Clock::following_tokio(), accounts);
    Alone { stub, tokens }
}

#[tokio::test]
async fn beside_a_directory_of_its_own_a_caller_is_the_user_with_their_number_there() {
    let alone = beside_a_directory().await;
    let alice = alone.verify("glpat-alice").await.unwrap();
    assert_eq!((alice.user.id.0, alice.user.username.as_str()), (70, "liddell"));
    // GitLab knows both; the directory knows one only by the name, which is nothing to go by.
    for token in ["glpat-bob", "glpat-mallory"] {
        assert_eq!(alone.verify(token).await.unwrap_err(), VerifyError::Invalid, "{token}");
    }
}

#[tokio::test]
async fn whoever_takes_a_username_over_does_not_take_the_account_over() {
    let alone = beside_a_directory().await;
    alone.stub.change(|world| {
        for (id, username) in [(2, "alice-renamed"), (3, "liddell"), (4, "alice")] {
            world.users.iter_mut().find(|user| user.id == id).unwrap().username = username;
        }
    });
    assert_eq!(alone.verify("glpat-alice").await.unwrap().user.id.0, 70);
    for token in ["glpat-bob", "glpat-mallory"] {
        assert_eq!(alone.verify(token).await.unwrap_err(), VerifyError::Invalid, "{token}");
    }
}

#[tokio::test]
async fn a_number_at_another_gitlab_is_somebody_elses() {
    let alone = alone(Some(Arc::new(directory_of("https://other.example")))).await;
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Invalid);
}

#[rstest::rstest]
#[case(vec!["ai_features"], false)]
#[case(vec!["ai_features", "read_user"], true)]
#[case(vec!["ai_features", "read_api"], true)]
#[tokio::test]
async fn a_token_for_ai_features_needs_a_scope_that_shows_whose_it_is(
    #[case] granted: Vec<&'static str>,
    #[case] good: bool,
) {
    let alone = alone(None).await;
    alone.stub.change(|world| {
        world.tokens.iter_mut().find(|token| token.text == "glpat-alice").unwrap().scopes = granted;
    });
    assert_eq!(
        alone.verify("glpat-alice").await.map_err(|error| error == VerifyError::Invalid).is_ok(),
        good
    );
    assert_eq!(alone.stub.count("/api/v4/user"), usize::from(good));
}

#[tokio::test]
async fn only_a_token_that_is_no_personal_one_costs_a_second_question() {
    let alone = alone(None).await;
    alone.verify("glpat-nobody").await.unwrap_err();
    assert_eq!(alone.stub.calls(), ["GET /api/v4/personal_access_tokens/self"]);
    alone.verify("glpat-alice").await.unwrap();
    assert_eq!(alone.stub.count("/oauth/token/info"), 0);
    alone.verify("oauth-alice").await.unwrap();
    assert_eq!(alone.stub.count("/oauth/token/info"), 1);
}

#[tokio::test]
async fn an_address_that_gitlab_blocks_is_no_word_against_the_token() {
    let alone = alone(None).await;
    alone.stub.set_mood(Mood::Failing(403));
    assert_eq!(alone.verify("glpat-alice").await.unwrap_err(), VerifyError::Unavailable);
    alone.stub.set_mood(Mood::Well);
    alone.verify("glpat-alice").await.unwrap();
}

#[tokio::test]
async fn a_flood_of_tokens_is_not_passed_on() {
    let alone = alone(None).await;
    alone.stub.set_mood(Mood::Slow(Duration::from_millis(500)));
    let tokens: Vec<String> = (0..MAX_ASKED + 5).map(|number| format!("glpat-{number}")).collect();
    let answers = futures::future::join_all(tokens.iter().map(|token| alone.verify(token))).await;
    let turned_away = answers.iter().filter(|answer| **answer == Err(VerifyError::Unavailable)).count();
    assert_eq!((turned_away, alone.stub.calls().len()), (5, MAX_ASKED));
    // It does not last.
    alone.stub.set_mood(Mood::Well);
    alone.verify("glpat-alice").await.unwrap();
}
