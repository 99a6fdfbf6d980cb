use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::*;

fn ok() -> Script {
    gemini::answer(&["ok"], &COUNTED)
}

/// What `gcloud auth application-default login` leaves, of somebody whose tokens come from `issuer`.
fn authorized_user(issuer: &str) -> String {
    json!({
        "type": "authorized_user",
        "client_id": "client",
        "client_secret": "client-secret",
        "refresh_token": "refresh-secret",
        "quota_project_id": "payer",
        "token_uri": issuer,
    })
    .to_string()
}

fn token(text: &str) -> Script {
    Script::json(200, &json!({ "access_token": text, "expires_in": 3_600, "token_type": "Bearer" }))
}

#[tokio::test]
async fn a_service_account_signs_its_token_itself_and_uses_it_again() {
    let vertex = Vertex::start(ok()).await;
    vertex.ask_gemini().await;
    vertex.ask_gemini().await;
    let calls = vertex.fake.calls();
    let sent =
        |number: usize| calls[number].header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    assert_eq!(sent(0), sent(1));

    let (message, signature) = sent(0).rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, ACCOUNT.key.public_key())
        .verify(message.as_bytes(), &decode(signature))
        .unwrap();
    let claims: Value = serde_json::from_slice(&decode(message.split_once('.').unwrap().1)).unwrap();
    assert_eq!(claims["iss"], "duologue@p1.iam.example");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
}

#[tokio::test]
async fn a_person_s_token_is_fetched_once_and_again_when_google_refuses_it() {
    let issuer = FakeProvider::start(token("first")).await.unwrap();
    let vertex = Vertex::start_as(&authorized_user(&issuer.url()), ok()).await;
    vertex.ask_gemini().await;
    vertex.fake.enqueue(gemini::error(401, "UNAUTHENTICATED"));
    issuer.always(token("second"));
    assert_eq!(only_error(vertex.ask_gemini().await).code, Code::UpstreamAuth);
    vertex.ask_gemini().await;

    let calls = vertex.fake.calls();
    let sent: Vec<Option<&str>> = calls.iter().map(|call| call.header("authorization")).collect();
    assert_eq!(sent, [Some("Bearer first"), Some("Bearer first"), Some("Bearer second")]);
    assert_eq!(calls[0].header("x-goog-user-project"), Some("payer"));
    assert_eq!(issuer.calls().len(), 2);
}

#[rstest]
#[case::no_json("private_key: x", "is no JSON")]
#[case::no_type("{}", "has no `type` of service_account")]
#[case::another_type(r#"{"type": "api_key"}"#, "has no `type` of service_account")]
#[case::nothing_in_it(r#"{"type": "service_account"}"#, "missing field `client_email`")]
#[case::no_key(
    r#"{"type": "service_account", "client_email": "a", "private_key_id": "k", "private_key": "my-secret", "project_id": "p"}"#,
    "private key PEM"
)]
#[tokio::test]
async fn a_bad_file_is_no_credentials_until_it_is_mended(#[case] file: &str, #[case] reason: &str) {
    let vertex = Vertex::start_as(file, ok()).await;
    let error = only_error(vertex.ask_gemini().await);
    assert_eq!((error.code, error.retry), (Code::UpstreamAuth, Retry::Never));
    assert_eq!(error.what, "no Google credentials");
    let said = error.said.unwrap();
    assert!(said.contains("gcloud auth application-default login"), "{said}");
    assert!(said.contains(reason) && !said.contains("my-secret"), "{said}");
    assert!(vertex.fake.calls().is_empty());

    vertex.write_credentials(&ACCOUNT.file.clone().to_string());
    assert_eq!(vertex.ask_gemini().await.last(), Some(&finished(StopReason::Complete)));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let vertex = Vertex::start(ok()).await;
    std::fs::remove_file(vertex.folder.path().join("credentials.json")).unwrap();
    let said = only_error(vertex.ask_gemini().await).said.unwrap();
    assert!(said.contains("credentials.json: cannot be read"), "{said}");
}

#[tokio::test]
async fn what_is_no_file_of_credentials_is_not_read_to_its_end() {
    let vertex = Vertex::start(ok()).await;
    vertex.write_credentials(&"x".repeat(65_537));
    let said = only_error(vertex.ask_gemini().await).said.unwrap();
    assert!(said.contains("credentials.json: is longer than 65536 bytes"), "{said}");

    let endless = Credentials::new(Some("/dev/zero".into()), Duration::from_secs(5));
    let said = endless.headers().await.unwrap_err().said.unwrap();
    assert!(said.contains("/dev/zero: is no regular file"), "{said}");
}

#[tokio::test]
async fn calls_that_need_a_token_at_once_look_for_credentials_once() {
    let issuer = FakeProvider::start(token("shared")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, authorized_user(&issuer.url())).unwrap();
    let credentials = Credentials::new(Some(file), Duration::from_secs(5));
    let calls = futures::future::join_all((0..8).map(|_| credentials.headers())).await;
    assert!(calls.into_iter().all(|headers| headers.unwrap()["authorization"] == "Bearer shared"));
    assert_eq!(issuer.calls().len(), 1);
}

#[tokio::test]
async fn a_login_that_has_ended_is_no_credentials() {
    let revoked =
        json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." });
    let issuer = FakeProvider::start(Script::json(400, &revoked)).await.unwrap();
    let vertex = Vertex::start_as(&authorized_user(&issuer.url()), ok()).await;
    let error = only_error(vertex.ask_gemini().await);
    assert_eq!((error.code, error.retry), (Code::UpstreamAuth, Retry::Never));
    let said = error.said.unwrap();
    assert!(said.contains("invalid_grant") && !said.contains("refresh-secret"), "{said}");

    issuer.always(token("new"));
    assert_eq!(vertex.ask_gemini().await.last(), Some(&finished(StopReason::Complete)));
}

#[tokio::test]
async fn an_issuer_that_is_down_or_silent_is_unavailable_within_the_bound() {
    let down = FakeProvider::refusing().unwrap();
    let vertex = Vertex::start_as(&authorized_user(&down.url()), ok()).await;
    let unavailable = (Code::UpstreamUnavailable, Retry::Again);
    let error = only_error(vertex.ask_gemini().await);
    assert_eq!((error.code, error.retry), unavailable);
    assert_eq!(error.what, "no Google token");

    let silent = FakeProvider::start(Script::silence()).await.unwrap();
    vertex.write_credentials(&authorized_user(&silent.url()));
    let error = only_error(vertex.ask_gemini().await);
    assert_eq!((error.code, error.retry), unavailable);
    assert!(vertex.fake.calls().is_empty());

    let up = down.open(token("late")).unwrap();
    vertex.write_credentials(&authorized_user(&up.url()));
    assert_eq!(vertex.ask_gemini().await.last(), Some(&finished(StopReason::Complete)));
}

#[test]
fn the_renewal_of_a_token_may_end_with_the_runtime_that_first_asked() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    let first = runtime();
    let issuer = first.block_on(FakeProvider::start(Script::silence())).unwrap();
    std::fs::write(&file, authorized_user(&issuer.url())).unwrap();
    let credentials = Credentials::new(Some(file), Duration::from_secs(5));
    // Whoever asks first goes away before there is a token, and the runtime with it.
    first.block_on(async {
        let asking = tokio::time::timeout(Duration::from_millis(50), credentials.headers());
        assert!(asking.await.is_err());
    });
    drop(first);

    let error = runtime().block_on(credentials.headers()).unwrap_err();
    assert_eq!((error.code, error.retry), (Code::UpstreamUnavailable, Retry::Again));
    assert_eq!(error.said.as_deref(), Some("its renewal has ended"));
}

#[test]
fn the_file_is_that_of_the_variable_too() {
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", "keys/duologue.json")];
    let config = configured("", &variables);
    assert_eq!(
        config.providers["vertex_ai"].credentials_file.as_deref(),
        Some(Path::new("keys/duologue.json"))
    );
    let none = configured("", &[("GOOGLE_APPLICATION_CREDENTIALS", "")]);
    assert_eq!(none.providers["vertex_ai"].credentials_file, None);
}

#[tokio::test]
async fn nothing_secret_is_shown_by_debug() {
    let issuer = FakeProvider::start(token("token-secret")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    std::fs::write(&file, authorized_user(&issuer.url())).unwrap();
    let credentials = Credentials::new(Some(file), Duration::from_secs(5));
    let headers = credentials.headers().await.unwrap();
    assert_eq!(headers["authorization"], "Bearer token-secret");
    let shown = format!("{credentials:?} {credentials} {headers:?}");
    assert!(!shown.contains("secret"), "{shown}");
}
