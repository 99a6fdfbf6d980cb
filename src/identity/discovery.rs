//! Asking an issuer for its keys: OpenID Connect Discovery 1.0 section 4 says where they are, RFC 7517
//! what they look like. One question has a time and a size; no redirect is followed, no proxy asked.

use reqwest::{Client, Url};
use serde::Deserialize;

use super::jwks::{KeySet, KeySetError};
use crate::{
    bounded_http::{self, BodyError},
    config,
    directory::issuer_name,
};

/// What is added to an issuer's URL.
const DOCUMENT: &str = "/.well-known/openid-configuration";

/// Characters that are shown of what an issuer says.
const MAX_SHOWN: usize = 200;

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{address} does not answer")]
    Silent {
        address: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("{address} answers with status {status}; a redirect is not followed")]
    Status { address: String, status: u16 },
    #[error("{address} answers with more than {limit} bytes (auth.max_jwks_bytes)")]
    TooLarge { address: String, limit: usize },
    #[error(
        "{address} answers with something that is no discovery document: `issuer` and `jwks_uri` are needed"
    )]
    NoDocument { address: String },
    #[error("{address} is the document of the issuer {says:?}; configure that address instead")]
    AnotherIssuer { address: String, says: String },
    #[error("the jwks_uri {0:?} is no https address; http is taken for this machine only")]
    Unguarded(String),
    #[error(
        "the jwks_uri {0:?} is plain http, and its issuer is https: anybody on the way could change the keys"
    )]
    Weakened(String),
    #[error("the keys at {address} cannot be read")]
    Keys {
        address: String,
        #[source]
        cause: KeySetError,
    },
}

/// The way to one issuer's keys.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// As in the configuration, without the slash at its end.
    issuer: String,
    http: Client,
    max_bytes: usize,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Discovery {
    pub(super) fn new(issuer: &str, http: Client, max_bytes: usize) -> Self {
        Self { issuer: issuer_name(issuer).to_owned(), http, max_bytes }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) async fn key_set(&self) -> Result<KeySet, FetchError> {
        let address = format!("{}{DOCUMENT}", self.issuer);
        let text = self.get(&address).await?;
        let keys = self.keys_address(&address, &text)?;
        let text = self.get(&keys).await?;
        KeySet::parse(&text).map_err(|cause| FetchError::Keys { address: keys, cause })
    }

    fn keys_address(&self, address: &str, text: &[u8]) -> Result<String, FetchError> {
        let Ok(document) = serde_json::from_slice::<Document>(text) else {
            return Err(FetchError::NoDocument { address: address.to_owned() });
        };
        if issuer_name(&document.issuer) != self.issuer {
            let says = shortened(document.issuer);
            return Err(FetchError::AnotherIssuer { address: address.to_owned(), says });
        }
        match Url::parse(&document.jwks_uri) {
            Ok(url) if url.scheme() == "http" && self.issuer.starts_with("https:") => {
                Err(FetchError::Weakened(shortened(document.jwks_uri)))
            }
            Ok(url) if config::is_guarded(&url) => Ok(document.jwks_uri),
            _ => Err(FetchError::Unguarded(shortened(document.jwks_uri))),
        }
    }

    async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let silent = |cause| FetchError::Silent { address: address.to_owned(), cause };
        let response = self.http.get(address).send().await.map_err(silent)?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status { address: address.to_owned(), status: status.as_u16() });
        }
        bounded_http::body(response, self.max_bytes).await.map_err(|error| match error {
            BodyError::TooLong => FetchError::TooLarge { address: address.to_owned(), limit: self.max_bytes },
            BodyError::Broken(cause) => silent(cause),
        })
    }
}

/// What somebody else wrote goes into the log, so there is an end to it.
fn shortened(text: String) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_harness::oidc::OidcIssuer;
    use serde_json::{Value, json};

    use super::*;

    fn http_client(timeout: Duration) -> Client {
        bounded_http::client(timeout).build().unwrap()
    }

    fn discovery(url: &str) -> Discovery {
        Discovery::new(url, http_client(Duration::from_secs(5)), 4_096)
    }

    async fn refusal(issuer: &OidcIssuer) -> String {
        discovery(&issuer.url()).key_set().await.unwrap_err().to_string().replace(&issuer.url(), "ISSUER")
    }

    #[tokio::test]
    async fn the_keys_are_where_the_issuer_says() {
        let issuer = OidcIssuer::start().await.unwrap();
        assert_eq!(discovery(&issuer.url()).key_set().await.unwrap().len(), 1);
        let with_slash = format!("{}/", issuer.url());
        assert_eq!(discovery(&with_slash).key_set().await.unwrap().len(), 1);
    }

    #[rstest::rstest]
    #[case::another_issuer(
        json!({"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}),
        "ISSUER/.well-known/openid-configuration is the document of the issuer \"https://evil.example\"; \
         configure that address instead"
    )]
    #[case::nothing(
        json!({}),
        "ISSUER/.well-known/openid-configuration answers with something that is no discovery document: \
         `issuer` and `jwks_uri` are needed"
    )]
    #[case::far_and_plain(
        json!({"jwks_uri": "http://keys.example/keys"}),
        "the jwks_uri \"http://keys.example/keys\" is no https address; http is taken for this machine only"
    )]
    #[case::a_file(
        json!({"jwks_uri": "file:///etc/keys"}),
        "the jwks_uri \"file:///etc/keys\" is no https address; http is taken for this machine only"
    )]
    #[tokio::test]
    async fn a_document_that_leads_astray_is_refused(#[case] document: Value, #[case] expected: &str) {
        let issuer = OidcIssuer::start().await.unwrap();
        let mut whole = document;
        if whole.get("issuer").is_none() && whole.get("jwks_uri").is_some() {
            whole["issuer"] = json!(issuer.url());
        }
        issuer.answer_discovery(Some((200, whole.to_string())));
        assert_eq!(refusal(&issuer).await, expected);
        assert_eq!(issuer.jwks_fetches(), 0);
    }

    #[test]
    fn the_keys_of_an_https_issuer_are_never_fetched_in_plain() {
        let discovery = discovery("https://i.example");
        let address = |jwks_uri: &str| {
            let document = json!({"issuer": "https://i.example", "jwks_uri": jwks_uri});
            discovery
                .keys_address("ADDRESS", document.to_string().as_bytes())
                .map_err(|error| error.to_string())
        };
        assert_eq!(address("https://keys.example/k"), Ok("https://keys.example/k".to_owned()));
        assert!(
            address("http://127.0.0.1:80/k").unwrap_err().contains("is plain http, and its issuer is https")
        );
    }

    #[test]
    fn what_an_issuer_says_is_shown_shortened_and_in_one_line() {
        let long = format!("a\n{}", "x".repeat(10_000));
        let document = json!({"issuer": long, "jwks_uri": "https://keys.example"}).to_string();
        let error = discovery("https://i.example").keys_address("ADDRESS", document.as_bytes()).unwrap_err();
        let shown = format!("the issuer \"a\\n{}\";", "x".repeat(198));
        assert!(error.to_string().contains(&shown), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_or_no_answer_is_refused() {
        let issuer = OidcIssuer::start().await.unwrap();
        issuer.answer_jwks(Some((200, json!({"keys": [], "padding": "x".repeat(5_000)}).to_string())));
        assert_eq!(
            refusal(&issuer).await,
            "ISSUER/keys answers with more than 4096 bytes (auth.max_jwks_bytes)"
        );
        issuer.answer_jwks(Some((302, String::new())));
        assert_eq!(refusal(&issuer).await, "ISSUER/keys answers with status 302; a redirect is not followed");
        issuer.answer_jwks(Some((200, "<html>".to_owned())));
        assert_eq!(refusal(&issuer).await, "the keys at ISSUER/keys cannot be read");
        issuer.down();
        assert_eq!(refusal(&issuer).await, "ISSUER/.well-known/openid-configuration does not answer");
    }

    #[tokio::test]
    async fn an_issuer_that_takes_too_long_is_given_up() {
        let issuer = OidcIssuer::start().await.unwrap();
        issuer.silent();
        let hasty = Discovery::new(&issuer.url(), http_client(Duration::from_millis(50)), 4_096);
        assert!(matches!(hasty.key_set().await, Err(FetchError::Silent { .. })));
    }
}
