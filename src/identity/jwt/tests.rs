use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use duologue_actors::{
    ports::{Stated, User},
    protocol::UserId,
};
use duologue_harness::oidc::{OidcIssuer, SigningKey, hmac_signed, now, unsigned};
use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{config::Config, directory::AccountKey};

/// Knows everybody but `nobody`, and calls each by what they were asked for.
struct Everybody;

impl Accounts for Everybody {
    fn account(&self, key: AccountKey<'_>) -> Option<User> {
        let username = match key {
            AccountKey::Subject { subject: "nobody", .. } | AccountKey::Username(_) => return None,
            AccountKey::Subject { subject, .. } => format!("subject {subject}"),
            AccountKey::GlobalUserId(id) => format!("global {id}"),
        };
        Some(User { id: UserId(1), name: username.clone(), username, admin: false })
    }
}

/// A task that has been started is soon done.
const PATIENCE: Duration = Duration::from_secs(20);

/// A verifier with one issuer of users.
struct World {
    issuer: OidcIssuer,
    verifier: JwtVerifier,
}

impl World {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let issuer = OidcIssuer::start().await.unwrap();
        let url = issuer.url();
        let settings = [settings, &[("DUOLOGUE__AUTH__ISSUERS", &*url)]].concat();
        Self { verifier: verifier(&settings), issuer }
    }

    async fn username(&self, token: &str) -> Result<String, Refusal> {
        username(&self.verifier, token).await
    }

    /// A token of the user `ada`.
    fn token(&self) -> String {
        self.issuer.mint(&json!({"sub": "ada"})).unwrap()
    }

    /// A token that is signed well and names a key that nobody has.
    fn of_an_unknown_key(&self) -> String {
        let header = json!({"alg": "RS256", "kid": "made-up"});
        self.issuer.key().unwrap().sign(&header, &self.issuer.claims(&json!({"sub": "ada"}))).unwrap()
    }

    /// Waits until the keys were asked for `count` times and the answer has been read.
    async fn fetched(&self, count: u64) {
        let asked = async {
            while self.issuer.jwks_fetches() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("the keys were not asked for");
        let issuer = &self.verifier.issuers[0];
        drop(issuer.idle().await);
    }
}

fn verifier(variables: &[(&str, &str)]) -> JwtVerifier {
    let config = Config::from_layers(None, &variables.iter().copied().collect()).unwrap();
    let clock = Clock::following_tokio();
    JwtVerifier::new(&config.auth, config.deployment.mode, Arc::new(Everybody), clock).unwrap()
}

async fn username(verifier: &JwtVerifier, token: &str) -> Result<String, Refusal> {
    verifier.identify(&Credentials::token(token)).await.map(|identity| identity.user.username)
}

/// Lets that much time pass. It must not stand still while sockets are waited for.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

fn ada() -> Result<String, Refusal> {
    Ok("subject ada".to_owned())
}

// === Good tokens ===

#[tokio::test]
async fn a_token_identifies_its_subject_for_its_unit_primitives_until_it_expires() {
    let world = World::new().await;
    let exp = now() + 600;
    let claims =
        json!({"sub": "ada", "exp": exp, "scopes": ["duo_chat"], "aud": ["other", "gitlab-ai-gateway"]});
    let token = world.issuer.mint(&claims).unwrap();
    let identity = world.verifier.verify(&Credentials::token(token)).await.unwrap();
    assert_eq!(identity.user.username, "subject ada");
    assert_eq!(identity.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(exp + 30)));
    let scope = Scope::UnitPrimitives(Arc::new(["duo_chat".to_owned()].into()));
    assert_eq!(identity.scope, scope);
}

#[tokio::test]
async fn an_instance_speaks_for_its_user_if_its_issuer_is_trusted_with_that() {
    let issuer = OidcIssuer::start().await.unwrap();
    let token = issuer.mint(&json!({"sub": "uuid", "gitlab_realm": "saas"})).unwrap();
    let stated = Stated { global_user_id: Some("g".to_owned()), ..Stated::default() };
    let credentials = Credentials { stated, ..Credentials::token(token) };
    for (setting, expected) in [
        ("AIGW_GITLAB_URL", Ok("global g".to_owned())),
        ("AIGW_CUSTOMER_PORTAL_URL", Ok("global g".to_owned())),
        ("DUOLOGUE__AUTH__ISSUERS", Err(Refusal::UserDiffers)),
    ] {
        let verifier = verifier(&[(setting, &issuer.url()), ("DUOLOGUE__AUTH__INSTANCE_IDS", "other,uuid")]);
        let identified = verifier.identify(&credentials).await.map(|identity| identity.user.username);
        assert_eq!(identified, expected, "{setting}");
    }
    for instances in ["", "other"] {
        let settings = [("AIGW_GITLAB_URL", &*issuer.url()), ("DUOLOGUE__AUTH__INSTANCE_IDS", instances)];
        let refused = verifier(&settings).identify(&credentials).await;
        assert_eq!(refused, Err(Refusal::UnknownInstance));
    }
}

#[tokio::test]
async fn an_issuer_that_is_named_twice_keeps_the_powers_of_an_instance() {
    let verifier = verifier(&[
        ("AIGW_GITLAB_URL", "https://gitlab.example/"),
        ("DUOLOGUE__AUTH__ISSUERS", "https://gitlab.example, https://other.example"),
    ]);
    let issuers: Vec<_> = verifier.issuers.iter().map(|issuer| (issuer.name(), issuer.speaks())).collect();
    let expected =
        [("https://gitlab.example", Speaks::ForInstances), ("https://other.example", Speaks::ForItsUsers)];
    assert_eq!(issuers, expected);
}

/// The header and claims of a token of `ada`, ready to be signed.
fn message(issuer: &OidcIssuer, algorithm: &str) -> String {
    let signed = unsigned(&json!({"alg": algorithm, "kid": "curve"}), &issuer.claims(&json!({"sub": "ada"})));
    signed.strip_suffix('.').unwrap().to_owned()
}

#[tokio::test]
async fn tokens_signed_on_a_curve_are_taken_where_they_are_allowed() {
    let issuer = OidcIssuer::start().await.unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    // SEC 1 section 2.3.3: 4, then both coordinates.
    let (x, y) = p256.public_key().as_ref()[1..].split_at(32);
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let (es256, eddsa) = (message(&issuer, "ES256"), message(&issuer, "EdDSA"));
    let signature = p256.sign(&SystemRandom::new(), es256.as_bytes()).unwrap();
    for (algorithm, jwk, message, signature) in [
        (
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)}),
            &es256,
            signature.as_ref(),
        ),
        (
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519", "x": encode(ed25519.public_key().as_ref())}),
            &eddsa,
            ed25519.sign(eddsa.as_bytes()).as_ref(),
        ),
    ] {
        let mut jwk = jwk;
        jwk["kid"] = json!("curve");
        issuer.answer_jwks(Some((200, json!({"keys": [jwk]}).to_string())));
        let token = format!("{message}.{}", encode(signature));
        let taking = |algorithms: &str| {
            verifier(&[
                ("DUOLOGUE__AUTH__ISSUERS", &issuer.url()),
                ("DUOLOGUE__AUTH__ALGORITHMS", algorithms),
            ])
        };
        assert_eq!(username(&taking("RS256, ES256, EdDSA"), &token).await, ada(), "{algorithm}");
        assert_eq!(username(&taking("RS256"), &token).await, Err(Refusal::AlgorithmNotAllowed));
    }
}

#[tokio::test]
async fn a_slash_at_the_end_of_an_issuer_makes_no_difference() {
    let world = World::new().await;
    let token = world.issuer.mint(&json!({"sub": "ada", "iss": format!("{}/", world.issuer.url())})).unwrap();
    assert_eq!(world.username(&token).await, ada());
}

// === Bad tokens ===

#[rstest::rstest]
#[case::expired(json!({"exp": now() - 31}), Refusal::Expired)]
#[case::not_yet_good(json!({"nbf": now() + 60}), Refusal::NotYetGood)]
#[case::no_exp(json!({"exp": null}), Refusal::BadClaims)]
#[case::textual_exp(json!({"exp": "4102444800"}), Refusal::BadClaims)]
#[case::no_aud(json!({"aud": null}), Refusal::BadClaims)]
#[case::another_aud(json!({"aud": "another-service"}), Refusal::BadClaims)]
#[case::other_auds(json!({"aud": ["a", "b"]}), Refusal::BadClaims)]
#[case::no_iss(json!({"iss": null}), Refusal::Malformed)]
#[case::unknown_iss(json!({"iss": "https://evil.example"}), Refusal::UnknownIssuer)]
#[case::a_list_of_iss(json!({"iss": ["https://evil.example"]}), Refusal::Malformed)]
#[case::no_sub(json!({"sub": null}), Refusal::BadClaims)]
#[case::unknown_sub(json!({"sub": "nobody"}), Refusal::UnknownUser)]
#[case::another_realm(json!({"gitlab_realm": "self-managed"}), Refusal::WrongRealm)]
#[tokio::test]
async fn a_claim_that_is_wrong_is_refused(#[case] more: Value, #[case] refusal: Refusal) {
    let world = World::new().await;
    let mut claims = json!({"sub": "ada"});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let token = world.issuer.mint(&claims).unwrap();
    assert_eq!(world.username(&token).await, Err(refusal));
    assert_eq!(world.username(&token).await, Err(refusal), "a second time");
}

#[tokio::test]
async fn a_signature_that_is_not_the_keys_is_refused() {
    let world = World::new().await;
    let key = world.issuer.key().unwrap();
    let claims = world.issuer.claims(&json!({"sub": "ada"}));
    let other = SigningKey::generate().unwrap();
    let hs256 = json!({"alg": "HS256", "kid": key.id()});
    let honest = world.token();
    let (message, signature) = honest.rsplit_once('.').unwrap();
    for (token, refusal) in [
        (other.sign(&key.header(), &claims).unwrap(), Refusal::BadSignature),
        (unsigned(&key.header(), &claims), Refusal::BadSignature),
        (unsigned(&json!({"alg": "none"}), &claims), Refusal::Malformed),
        (hmac_signed(&hs256, &claims, key.pem().unwrap().as_bytes()), Refusal::AlgorithmNotAllowed),
        (key.sign(&json!({"alg": "ES256", "kid": key.id()}), &claims).unwrap(), Refusal::AlgorithmNotAllowed),
        (format!("{message}.{}", signature.to_uppercase()), Refusal::BadSignature),
        (format!("{honest}.x"), Refusal::Malformed),
    ] {
        assert_eq!(world.username(&token).await, Err(refusal));
    }
    assert_eq!(world.username(&honest).await, ada());
}

/// Even with every algorithm of the list allowed, a key is used for its own only.
#[tokio::test]
async fn a_key_is_not_used_for_an_algorithm_that_is_not_its_own() {
    let issuer = OidcIssuer::start().await.unwrap();
    let verifier = verifier(&[
        ("DUOLOGUE__AUTH__ISSUERS", &issuer.url()),
        ("DUOLOGUE__AUTH__ALGORITHMS", "RS256, RS512, ES256, EdDSA"),
    ]);
    let key = issuer.key().unwrap();
    for algorithm in ["RS512", "ES256", "EdDSA"] {
        let header = json!({"alg": algorithm, "kid": key.id()});
        let token = key.sign(&header, &issuer.claims(&json!({"sub": "ada"}))).unwrap();
        assert_eq!(username(&verifier, &token).await, Err(Refusal::KeyDoesNotFit), "{algorithm}");
    }
}

#[tokio::test]
async fn a_key_is_good_for_its_own_issuer_only() {
    let (ours, theirs) = (OidcIssuer::start().await.unwrap(), OidcIssuer::start().await.unwrap());
    let both = format!("{},{}", ours.url(), theirs.url());
    let verifier = verifier(&[("DUOLOGUE__AUTH__ISSUERS", &both)]);
    let claims = ours.claims(&json!({"sub": "ada"}));
    let key = theirs.key().unwrap();
    let forged = key.sign(&key.header(), &claims).unwrap();
    assert_eq!(username(&verifier, &forged).await, Err(Refusal::UnknownKey));
    // The same with the name of our key on it.
    let forged = key.sign(&ours.key().unwrap().header(), &claims).unwrap();
    assert_eq!(username(&verifier, &forged).await, Err(Refusal::BadSignature));
    assert_eq!(theirs.jwks_fetches(), 0, "whose key it is was not even asked");
}

#[tokio::test]
async fn the_headers_are_compared_on_every_use_of_a_token() {
    let world = World::new().await;
    let credentials = |user: &str| {
        let stated = Stated { global_user_id: Some(user.to_owned()), ..Stated::default() };
        Credentials { stated, ..Credentials::token("") }
    };
    let token = world.token();
    for (user, expected) in [("ada", ada()), ("eve", Err(Refusal::UserDiffers)), ("ada", ada())] {
        let credentials = Credentials { token: Credentials::token(&*token).token, ..credentials(user) };
        let identified = world.verifier.identify(&credentials).await;
        assert_eq!(identified.map(|identity| identity.user.username), expected);
    }
}

#[tokio::test]
async fn users_whose_tokens_share_a_long_beginning_are_never_taken_for_each_other() {
    let world = World::new().await;
    let padding = "x".repeat(4_000);
    let tokens: Vec<(String, String)> = ["ada", "eve", "ida"]
        .iter()
        .map(|user| {
            let claims = json!({"aaa": padding, "iss": world.issuer.url(), "aud": "gitlab-ai-gateway",
                "exp": now() + 600, "sub": user});
            let key = world.issuer.key().unwrap();
            (format!("subject {user}"), key.sign(&key.header(), &claims).unwrap())
        })
        .collect();
    let shared = tokens[0].1.bytes().zip(tokens[1].1.bytes()).take_while(|(one, two)| one == two).count();
    assert!(shared > 5_000, "{shared}");
    for _ in 0..3 {
        for (user, token) in &tokens {
            assert_eq!(world.username(token).await.as_ref(), Ok(user));
        }
    }
}

proptest! {
    #[test]
    fn no_token_makes_the_verifier_panic(
        token in "\\PC{0,60}", header in "\\PC{0,40}", claims in "\\PC{0,40}", signature in "[A-Za-z0-9_-]{0,20}",
    ) {
        // Making one takes longer than asking it.
        static VERIFIER: LazyLock<JwtVerifier> =
            LazyLock::new(|| verifier(&[("DUOLOGUE__AUTH__ISSUERS", "http://127.0.0.1:1")]));
        let parts = unsigned(&json!(header), &json!(claims)) + &signature;
        for token in [token, parts] {
            prop_assert!(futures::executor::block_on(username(&VERIFIER, &token)).is_err());
        }
    }
}

// === Time ===

#[tokio::test]
async fn a_remembered_token_expires() {
    let world = World::new().await;
    let token = world.issuer.mint(&json!({"sub": "ada", "exp": now() + 100})).unwrap();
    assert_eq!(world.username(&token).await, ada());
    pass(120).await;
    assert_eq!(world.username(&token).await, ada(), "the leeway");
    pass(15).await;
    assert_eq!(world.username(&token).await, Err(Refusal::Expired));
    assert_eq!(world.issuer.jwks_fetches(), 1);
    world.verifier.verified.run_pending_tasks().await;
    assert_eq!(world.verifier.verified.entry_count(), 0, "nor is it remembered any longer");
}

// === Keys ===

#[tokio::test]
async fn a_new_key_is_found_at_once_and_one_that_is_gone_is_good_for_nothing() {
    let world = World::new().await;
    let old = world.token();
    assert_eq!(world.username(&old).await, ada());
    world.issuer.rotate().unwrap();
    assert_eq!(world.username(&old).await, ada(), "nobody knows yet");
    let new = world.token();
    assert_eq!(world.username(&new).await, ada());
    assert_eq!(world.username(&old).await, Err(Refusal::UnknownKey), "though it was remembered");
    assert_eq!(world.issuer.jwks_fetches(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once() {
    let world = World::new().await;
    for fetches in [1, 2, 2] {
        let flood = (0..100).map(|_| async { world.username(&world.of_an_unknown_key()).await });
        assert!(join_all(flood).await.iter().all(|verdict| *verdict == Err(Refusal::UnknownKey)));
        assert_eq!(world.issuer.jwks_fetches(), fetches);
    }
    assert_eq!(world.username(&world.token()).await, ada());
    for (seconds, fetches) in [(29, 2), (1, 3)] {
        pass(seconds).await;
        assert_eq!(world.username(&world.of_an_unknown_key()).await, Err(Refusal::UnknownKey));
        assert_eq!(world.issuer.jwks_fetches(), fetches);
    }
}

#[tokio::test]
async fn known_keys_go_on_working_while_the_issuer_is_down() {
    let world = World::new().await;
    assert_eq!(world.username(&world.token()).await, ada());
    world.issuer.down();
    for _ in 0..5 {
        pass(400).await;
        assert_eq!(world.username(&world.token()).await, ada());
    }
    assert_eq!(world.username(&world.of_an_unknown_key()).await, Err(Refusal::UnknownKey));
    let before = world.token();
    world.issuer.up();
    world.issuer.rotate().unwrap();
    pass(400).await;
    assert_eq!(world.username(&world.token()).await, ada());
    assert_eq!(world.username(&before).await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_unavailable_and_left_alone_for_a_while() {
    let world = World::new().await;
    world.issuer.down();
    let credentials = Credentials::token(world.token());
    assert_eq!(world.verifier.verify(&credentials).await.unwrap_err(), VerifyError::Unavailable);
    world.issuer.up();
    assert_eq!(world.username(&world.token()).await, Err(Refusal::IssuerUnavailable));
    assert_eq!(world.issuer.jwks_fetches(), 0);
    pass(30).await;
    assert_eq!(world.username(&world.token()).await, ada());
}

#[tokio::test]
async fn old_keys_are_used_while_one_task_asks_for_new_ones() {
    let world = World::new().await;
    let old = world.token();
    assert_eq!(world.username(&old).await, ada());
    world.issuer.rotate().unwrap();
    pass(300).await;
    let uses = join_all((0..50).map(|_| world.username(&old))).await;
    assert!(uses.iter().all(|verdict| *verdict == ada()), "nobody waits");
    world.fetched(2).await;
    assert_eq!(world.username(&old).await, Err(Refusal::UnknownKey));
    assert_eq!(world.username(&world.token()).await, ada());
    assert_eq!(world.issuer.jwks_fetches(), 3, "the third was for the key that is gone");
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_take_the_question_along() {
    let world = World::new().await;
    let token = world.token();
    let impatient = tokio::time::timeout(Duration::ZERO, world.username(&token)).await;
    assert!(impatient.is_err(), "the question is on its way");
    assert_eq!(world.username(&token).await, ada());
    assert_eq!(world.issuer.jwks_fetches(), 1);
}

#[tokio::test]
async fn an_answer_without_keys_is_an_answer() {
    let world = World::new().await;
    assert_eq!(world.username(&world.token()).await, ada());
    world.issuer.publish(vec![world.issuer.key().unwrap()]);
    world.issuer.answer_jwks(Some((200, json!({"keys": []}).to_string())));
    pass(300).await;
    assert_eq!(world.username(&world.token()).await, ada());
    world.fetched(2).await;
    assert_eq!(world.username(&world.token()).await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn keys_of_an_issuer_that_is_down_too_long_are_good_for_nothing_until_it_is_back() {
    let world = World::new().await;
    let token = world.issuer.mint(&json!({"sub": "ada", "exp": now() + 200_000})).unwrap();
    assert_eq!(world.username(&token).await, ada());
    world.issuer.down();
    pass(86_390).await;
    assert_eq!(world.username(&token).await, ada());
    pass(60).await;
    assert_eq!(world.username(&token).await, Err(Refusal::IssuerUnavailable));
    assert_eq!(
        world.verifier.concern().unwrap(),
        format!(
            "{} has not answered for auth.jwks_max_stale_seconds; its tokens are not taken",
            world.issuer.url()
        )
    );
    world.issuer.up();
    pass(30).await;
    assert_eq!(world.username(&token).await, ada());
    assert_eq!(world.verifier.concern(), None);
}

/// Five tokens that wait one after another for a question of three seconds each would take fifteen.
#[tokio::test(start_paused = true)]
async fn who_waits_for_an_issuer_that_does_not_answer_shares_the_question_and_the_pause_after_it() {
    let world = World::with(&[
        ("DUOLOGUE__AUTH__JWKS_TIMEOUT_SECONDS", "3"),
        ("DUOLOGUE__AUTH__JWKS_UNKNOWN_KEY_SECONDS", "4"),
    ])
    .await;
    world.issuer.silent();
    let token = world.token();
    let seconds = async || {
        let started = tokio::time::Instant::now();
        assert_eq!(world.username(&token).await, Err(Refusal::IssuerUnavailable));
        started.elapsed().as_secs()
    };
    assert_eq!(join_all((0..5).map(|_| seconds())).await, [3; 5]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seconds().await, 0, "the pause begins when the question has ended");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seconds().await, 3);
}

#[tokio::test]
async fn a_key_that_has_the_name_of_another_one_is_found() {
    let world = World::new().await;
    let old = world.token();
    assert_eq!(world.username(&old).await, ada());
    let namesake = SigningKey::named(world.issuer.key().unwrap().id()).unwrap();
    world.issuer.publish(vec![Arc::new(namesake)]);
    assert_eq!(world.username(&world.token()).await, ada());
    assert_eq!(world.issuer.jwks_fetches(), 2);
    assert_eq!(world.username(&old).await, Err(Refusal::BadSignature));
    assert_eq!(world.issuer.jwks_fetches(), 2, "one look in a while");
}

#[tokio::test]
async fn a_token_that_names_no_key_is_of_the_only_one_even_if_that_is_news() {
    let world = World::new().await;
    let (old, new) = (world.issuer.key().unwrap(), Arc::new(SigningKey::generate().unwrap()));
    world.issuer.publish(vec![old, Arc::clone(&new)]);
    assert_eq!(world.username(&world.token()).await, ada());
    let nameless =
        || new.sign(&json!({"alg": "RS256"}), &world.issuer.claims(&json!({"sub": "ada"}))).unwrap();
    world.issuer.publish(vec![Arc::clone(&new)]);
    assert_eq!(world.username(&nameless()).await, ada());
    assert_eq!(world.issuer.jwks_fetches(), 2);
}

#[tokio::test]
async fn an_issuer_is_asked_before_its_first_token_and_named_while_it_does_not_answer() {
    let world = World::new().await;
    world.issuer.down();
    let name = world.issuer.url();
    world.verifier.refresh_keys();
    drop(world.verifier.issuers[0].idle().await);
    let concern = format!("{name} has not said its keys yet; its tokens are not taken");
    assert_eq!(world.verifier.concern(), Some(concern));
    world.issuer.up();
    pass(30).await;
    world.verifier.refresh_keys();
    world.fetched(1).await;
    assert_eq!(world.verifier.concern(), None);
    world.issuer.down();
    pass(300).await;
    world.verifier.refresh_keys();
    drop(world.verifier.issuers[0].idle().await);
    let concern = format!("{name} does not answer; its keys of before are used");
    assert_eq!(world.verifier.concern(), Some(concern));
    assert_eq!(world.username(&world.token()).await, ada());
}

#[tokio::test]
async fn what_is_remembered_is_bounded_by_how_much_there_is_in_it() {
    let world = World::with(&[("DUOLOGUE__AUTH__VERIFIED_TOKENS", "2")]).await;
    let scopes: Vec<String> = (0..150).map(|number| format!("{number:060}")).collect();
    let (small, large) =
        (world.token(), world.issuer.mint(&json!({"sub": "ada", "scopes": scopes})).unwrap());
    for (token, remembered) in [(&large, 0), (&small, 1)] {
        assert_eq!(world.username(token).await, ada());
        world.verifier.verified.run_pending_tasks().await;
        assert_eq!(world.verifier.verified.entry_count(), remembered);
    }
}
