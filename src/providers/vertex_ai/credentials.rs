//! Who asks Google: a file of credentials that the configuration names, else whom Google's own programs find
//! (Google Cloud's documentation, "How Application Default Credentials works").
//!
//! They are looked for when they are first needed, so that a server starts without any. Tokens are cached and
//! renewed by Google's library. What failed is not kept: the next call looks again, so that logging in mends it
//! without a restart.
//!
//! The library fetches tokens with a client of its own, the one traffic to providers that is not [`Transport`]'s: it
//! follows redirects, takes its proxy from variables such as `HTTPS_PROXY` and not from `model_calls.proxy`, and
//! goes wherever the credentials name (`token_uri`, `token_url` and the like), private addresses included, as
//! it must: a machine's own credentials are at a link-local address. A service account's key is spared all of
//! that: its tokens are signed here.
//!
//! [`Transport`]: crate::providers::transport::Transport

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use duologue_actors::{
    ports::{ModelError, Retry},
    protocol::Code,
};
use google_cloud_auth::{
    build_errors,
    credentials::{
        self as google, CacheableResource,
        service_account::{self, AccessSpecifier},
    },
    errors::CredentialsError,
};
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::providers::{faults, files};

/// What a token may be used for, within what its holder may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where a machine of Google's finds its own credentials. Looked at when nothing else is there.
const METADATA_HOST: &str = "metadata.google.internal";

/// Bytes of a file of credentials.
const MAX_FILE_BYTES: u64 = 65_536;

const MEND: &str = "run `gcloud auth application-default login`, or let GOOGLE_APPLICATION_CREDENTIALS name a \
                    service account's file";

#[derive(Debug)]
pub(super) struct Credentials {
    file: Option<PathBuf>,
    /// How long a token may take.
    patience: Duration,
    found: Mutex<Option<Arc<google::Credentials>>>,
    /// Held by the one call that looks for them.
    looking: tokio::sync::Mutex<()>,
}

impl Credentials {
    pub(super) fn new(file: Option<PathBuf>, patience: Duration) -> Self {
        Self { file, patience, found: Mutex::new(None), looking: tokio::sync::Mutex::default() }
    }

    /// The headers of a call: a token, and the project that pays where the credentials name one.
    ///
    /// # Errors
    /// When there are no credentials, or no token for them.
    pub(super) async fn headers(&self) -> Result<HeaderMap, ModelError> {
        let found = tokio::time::timeout(self.patience, self.find()).await;
        let credentials = found.map_err(|_| late())?.map_err(|reason| no_credentials(&reason))?;
        let asked = credentials.clone();
        // The library renews tokens in a task of the runtime that first asked, and panics when that runtime is gone.
        // A task of its own keeps the panic from the caller.
        let asking =
            AbortOnDropHandle::new(tokio::spawn(async move { asked.headers(Default::default()).await }));
        let error = match tokio::time::timeout(self.patience, asking).await {
            Ok(Ok(Ok(CacheableResource::New { data, .. }))) => return Ok(data),
            Ok(Ok(Ok(CacheableResource::NotModified)) | Err(_)) => no_token("its renewal has ended"),
            Ok(Ok(Err(error))) => of_library(&error),
            Err(_) => late(),
        };
        self.forget_those(&credentials);
        Err(error)
    }

    /// Looks for credentials again at the next call.
    pub(super) fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same, unless another call has found others meanwhile.
    fn forget_those(&self, credentials: &Arc<google::Credentials>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.take_if(|found| Arc::ptr_eq(found, credentials));
    }

    async fn find(&self) -> Result<Arc<google::Credentials>, String> {
        if let Some(credentials) = self.known() {
            return Ok(credentials);
        }
        // Each that is built fetches tokens of its own.
        let _alone = self.looking.lock().await;
        if let Some(credentials) = self.known() {
            return Ok(credentials);
        }
        let file = self.file.clone();
        // Files are read: where others run, nobody may wait for that.
        let built = tokio::task::spawn_blocking(move || build(file.as_deref())).await;
        let built = Arc::new(built.map_err(|_| "the search for them has ended".to_owned())??);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(built.clone());
        Ok(built)
    }

    fn known(&self) -> Option<Arc<google::Credentials>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whose they are, as far as that can be said without showing them.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => write!(f, "the credentials of {}", path.display()),
            None => f.write_str("the application default credentials"),
        }
    }
}

fn build(file: Option<&Path>) -> Result<google::Credentials, String> {
    match file {
        Some(path) => of_file(path).map_err(|reason| format!("{}: {reason}", path.display())),
        None => google::Builder::default().with_scopes([SCOPE]).build().map_err(|error| in_full(&error)),
    }
}

/// The kinds of files that Google hands out or describes.
fn of_file(path: &Path) -> Result<google::Credentials, String> {
    let text = files::read(path, MAX_FILE_BYTES)?;
    // What a parser quotes could be a secret.
    let json: Value = serde_json::from_str(&text).map_err(|_| "is no JSON".to_owned())?;
    let built = match json.get("type").and_then(Value::as_str).unwrap_or_default() {
        "service_account" => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes([SCOPE]))
            .build(),
        "authorized_user" => google::user_account::Builder::new(json).with_scopes([SCOPE]).build(),
        "external_account" => google::external_account::Builder::new(json).with_scopes([SCOPE]).build(),
        "impersonated_service_account" => {
            google::impersonated::Builder::new(json).with_scopes([SCOPE]).build()
        }
        _ => {
            return Err("has no `type` of service_account, authorized_user, external_account or \
                        impersonated_service_account"
                .to_owned());
        }
    };
    built.map_err(|error: build_errors::Error| in_full(&error))
}

fn of_library(error: &CredentialsError) -> ModelError {
    match in_full(error) {
        _ if is_of_metadata_server(error) => {
            no_credentials("none were found, and there is no metadata server to ask")
        }
        reason if error.is_transient() => no_token(&reason),
        reason => no_credentials(&reason),
    }
}

fn no_credentials(reason: &str) -> ModelError {
    let said = faults::shortened(&format!("{MEND} ({reason})"));
    ModelError::new(Code::UpstreamAuth, Retry::Never, "no Google credentials").said(Some(said))
}

/// There are credentials, but who turns them into a token is not there.
fn no_token(reason: &str) -> ModelError {
    let said = Some(faults::shortened(reason));
    ModelError::new(Code::UpstreamUnavailable, Retry::Again, "no Google token").said(said)
}

/// What waits longer could wait for ever: the library sets its calls no bound.
fn late() -> ModelError {
    no_token("not in model_calls.header_seconds")
}

/// Whether that is who could not be reached. A machine without one is none of Google's, and that will not change.
fn is_of_metadata_server(error: &CredentialsError) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        let request = error.downcast_ref::<reqwest::Error>().filter(|error| error.is_connect());
        let host = request.and_then(reqwest::Error::url).and_then(reqwest::Url::host_str);
        if host == Some(METADATA_HOST) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error with its causes, each once.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let reason = cause.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use duologue_harness::fake_provider::FakeProvider;

    use super::*;

    /// What the library reports of a server at `host` where nobody listens.
    async fn unreachable(host: &str) -> CredentialsError {
        let refusing = FakeProvider::refusing().unwrap();
        let address: SocketAddr = refusing.url().strip_prefix("http://").unwrap().parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().resolve(host, address).build().unwrap();
        let error = client.get(format!("http://{host}:{}/token", address.port())).send().await.unwrap_err();
        CredentialsError::new(true, "outer", CredentialsError::from_source(true, error))
    }

    #[tokio::test]
    async fn a_machine_without_a_metadata_server_has_no_credentials() {
        let error = of_library(&unreachable(METADATA_HOST).await);
        assert_eq!((error.code, error.retry), (Code::UpstreamAuth, Retry::Never));
        assert!(error.said.unwrap().starts_with(MEND));

        let error = of_library(&unreachable("oauth2.example").await);
        assert_eq!((error.code, error.retry), (Code::UpstreamUnavailable, Retry::Again));
    }
}
