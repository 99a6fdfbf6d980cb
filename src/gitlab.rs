//! A GitLab instance over its REST and GraphQL APIs. Every call is made with the token of the caller it is
//! made for, so that GitLab itself decides what is answered.
//!
//! Owns how a call is bounded (time, bytes, no redirects, no proxy) and what its failures mean. What is
//! asked, and what the answers say, is for [`crate::identity`] and [`crate::directory`]. Nothing of a token
//! or of what somebody wrote is logged: of the path its fixed parts and numbers, of an answer its status and,
//! from a GraphQL error, the code and the names of the schema.

use std::time::Duration;

use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};

use crate::{
    bounded_http::{self, BodyError},
    config::GitlabConfig,
};

mod shared;
mod text;

pub(crate) use shared::{Fresh, Shared};
pub(crate) use text::{clean, shown};

/// How GitLab begins the message of a GraphQL error about what is not there or not to be seen.
const NOT_THERE: &str = "The resource that you are attempting to access does not exist";

/// Entries of one page of a list: the most GitLab gives, by its REST API documentation of pagination.
pub(crate) const PAGE: usize = 100;

/// Codes of GraphQL errors about a query whose fields this GitLab does not have.
const NOT_IN_THE_SCHEMA: &[&str] = &["undefinedField", "undefinedType", "argumentNotAccepted"];

/// The parts of paths that are the same for everybody. What else is in a path may name something private.
const FIXED_PARTS: &[&str] = &[
    "all",
    "api",
    "comments",
    "commits",
    "epics",
    "graphql",
    "groups",
    "info",
    "issues",
    "members",
    "merge_requests",
    "namespaces",
    "notes",
    "oauth",
    "personal_access_tokens",
    "projects",
    "repository",
    "self",
    "token",
    "user",
    "users",
    "v4",
];

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "gitlab.url is not set; give the address of the GitLab instance, e.g. https://gitlab.example.com"
    )]
    NoUrl,
    #[error("gitlab.url is no URL")]
    Url(#[source] url::ParseError),
    #[error("the HTTP client for gitlab.url cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Why a call brought nothing. The reason has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// 404: it is not there, or not for this caller. GitLab itself blurs the two.
    #[error("not found")]
    NotFound,
    /// 403 in GitLab's own words: this caller may not, or not with this token.
    #[error("forbidden")]
    Forbidden,
    /// 403 without a word of GitLab's, as for an address that is blocked: it says nothing about the token.
    #[error("barred")]
    Barred,
    /// 401: the token is not good.
    #[error("the token is refused")]
    Refused,
    /// 400 or 422: the call makes no sense to GitLab, such as asking about an OAuth token where only
    /// personal access tokens are known.
    #[error("the call is rejected")]
    Rejected,
    /// An answer longer than `gitlab.max_response_bytes`.
    #[error("the answer is too long")]
    TooLong,
    /// No answer in time, an error of GitLab's, too many calls, or an answer that cannot be read.
    #[error("no usable answer")]
    Unavailable,
}

/// Which part of a list is wanted: `number` counts from 1, in pages of `size` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: usize,
    pub(crate) size: usize,
}

impl Part {
    /// In pages of as many entries as GitLab gives.
    pub(crate) fn page(number: usize) -> Self {
        Self { number, size: PAGE }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) has_next: bool,
}

/// The instance. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Gitlab {
    http: Client,
    base: Url,
    max_response_bytes: usize,
    timeout: Duration,
}

impl Gitlab {
    /// # Errors
    /// When there is no address to call.
    pub fn new(config: &GitlabConfig) -> Result<Self, ClientError> {
        let url = config.url.as_deref().ok_or(ClientError::NoUrl)?;
        let user_agent = concat!("duologue/", env!("CARGO_PKG_VERSION"));
        let http = bounded_http::client(config.timeout()).user_agent(user_agent).build();
        Ok(Self {
            http: http.map_err(ClientError::Client)?,
            base: Url::parse(url).map_err(ClientError::Url)?,
            max_response_bytes: config.max_response_bytes,
            timeout: config.timeout(),
        })
    }

    /// Its address, as `gitlab.url` has it but for how URLs are written.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str()
    }

    /// How long one call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `GET /<path>` as the owner of `token`. A part of the path may hold any character: a slash in it is
    /// escaped, as GitLab wants it for `group/project`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        let (call, request) = self.request(path, query)?;
        let response = self.send(&call, request, token).await?;
        self.read(&call, response).await
    }

    /// One page of the list at `GET /<path>`.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &[&str],
        query: &[(&str, &str)],
        part: Part,
    ) -> Result<Page<T>, CallError> {
        let (number, size) = (part.number.to_string(), part.size.to_string());
        let paged: Vec<_> =
            query.iter().copied().chain([("page", number.as_str()), ("per_page", size.as_str())]).collect();
        let (call, request) = self.request(path, &paged)?;
        let response = self.send(&call, request, token).await?;
        let has_next = has_next_page(response.headers());
        Ok(Page { entries: self.read(&call, response).await?, has_next })
    }

    /// A GraphQL query; what is in `data`. A field whose object is not there is `null` in it.
    pub(crate) async fn graphql<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        query: &str,
        variables: &Value,
    ) -> Result<T, CallError> {
        let url = self.url(&["api", "graphql"])?;
        let call = Call::to(&["api", "graphql"]);
        let request = self.http.post(url).json(&json!({ "query": query, "variables": variables }));
        let response = self.send(&call, request, token).await?;
        let answer: GraphqlAnswer<T> = self.read(&call, response).await?;
        if let Some(error) = answer.errors.iter().find(|error| !error.message.starts_with(NOT_THERE)) {
            return Err(call.query_failed(error));
        }
        answer.data.ok_or(if answer.errors.is_empty() { CallError::Unavailable } else { CallError::NotFound })
    }

    fn request(&self, path: &[&str], query: &[(&str, &str)]) -> Result<(Call, RequestBuilder), CallError> {
        let mut url = self.url(path)?;
        let call = Call::to(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok((call, self.http.get(url)))
    }

    /// An empty part, or one that leads up, would make another path of it: nothing is there.
    fn url(&self, path: &[&str]) -> Result<Url, CallError> {
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(CallError::NotFound);
        }
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| CallError::Unavailable)?.pop_if_empty().extend(path);
        Ok(url)
    }

    /// `Authorization: Bearer` works for personal access tokens and OAuth tokens alike, by GitLab's REST API
    /// documentation of authentication.
    async fn send(
        &self,
        call: &Call,
        request: RequestBuilder,
        token: &SecretString,
    ) -> Result<Response, CallError> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut bearer = bearer.map_err(|_| CallError::Refused)?;
        bearer.set_sensitive(true);
        let sent = request.header(AUTHORIZATION, bearer).send().await;
        let response = sent.map_err(|error| call.failed(reason(&error), None))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(CallError::Refused),
            StatusCode::NOT_FOUND => Err(CallError::NotFound),
            StatusCode::FORBIDDEN => Err(self.forbidden(call, response).await),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(CallError::Rejected),
            status => Err(call.failed("status", Some(status.as_str()))),
        }
    }

    /// GitLab says why, as `{"message": "403 Forbidden"}` or `{"error": "insufficient_scope"}`. What stands
    /// before it, and its own block of an address, do not.
    async fn forbidden(&self, call: &Call, response: Response) -> CallError {
        #[derive(Deserialize)]
        struct Words {
            message: Option<IgnoredAny>,
            error: Option<IgnoredAny>,
        }
        let body = self.body(call, response).await;
        match body.ok().and_then(|body| serde_json::from_slice::<Words>(&body).ok()) {
            Some(words) if words.message.is_some() || words.error.is_some() => CallError::Forbidden,
            _ => {
                let _ = call.failed("forbidden_to_everybody", None);
                CallError::Barred
            }
        }
    }

    /// Reads the body as far as it may go, and what it says.
    async fn read<T: DeserializeOwned>(&self, call: &Call, response: Response) -> Result<T, CallError> {
        let body = self.body(call, response).await?;
        serde_json::from_slice(&body).map_err(|error| {
            // The category alone: serde's own text may quote the answer.
            call.failed("unreadable", Some(&format!("{:?}", error.classify())))
        })
    }

    async fn body(&self, call: &Call, response: Response) -> Result<Vec<u8>, CallError> {
        bounded_http::body(response, self.max_response_bytes).await.map_err(|error| match error {
            BodyError::TooLong => {
                let _ = call.failed("longer_than_gitlab.max_response_bytes", None);
                CallError::TooLong
            }
            BodyError::Broken(error) => call.failed(reason(&error), None),
        })
    }
}

#[derive(Deserialize)]
struct GraphqlAnswer<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
}

#[derive(Deserialize)]
struct GraphqlError {
    message: String,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    code: Option<String>,
    type_name: Option<String>,
    field_name: Option<String>,
}

/// A call as the log names it.
struct Call {
    path: String,
}

impl Call {
    fn to(path: &[&str]) -> Self {
        let shown = path.iter().map(|part| {
            let is_number = part.chars().all(|c| c.is_ascii_digit());
            if is_number || FIXED_PARTS.contains(part) { part } else { "*" }
        });
        Self { path: shown.fold(String::new(), |path, part| path + "/" + part) }
    }

    /// The message stays out of the log: it may quote what was asked for.
    fn query_failed(&self, error: &GraphqlError) -> CallError {
        let Extensions { code, type_name, field_name } = &error.extensions;
        let code = code.as_deref().unwrap_or_default();
        if !NOT_IN_THE_SCHEMA.contains(&code) {
            return self.failed("graphql_error", Some(&shown(code)));
        }
        tracing::error!(
            gitlab.path = %self.path,
            code = shown(code),
            type_name = type_name.as_deref().map(shown),
            field_name = field_name.as_deref().map(shown),
            "this gitlab lacks a field that is read; gitlab.url must lead to GitLab Enterprise Edition 16.10 or later"
        );
        CallError::Unavailable
    }

    fn failed(&self, reason: &str, detail: Option<&str>) -> CallError {
        tracing::warn!(gitlab.path = %self.path, reason, detail, "gitlab gives no usable answer");
        CallError::Unavailable
    }
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "longer_than_gitlab.timeout_seconds"
    } else if error.is_connect() {
        "no_connection"
    } else {
        "broken_off"
    }
}

/// `x-next-page` is empty on the last page, by GitLab's REST API documentation of pagination.
fn has_next_page(headers: &HeaderMap) -> bool {
    headers.get("x-next-page").is_some_and(|page| !page.is_empty())
}

#[cfg(test)]
mod tests;
