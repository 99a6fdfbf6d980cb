//! GraphQL over HTTP. Nothing is retried, followed or made prettier on the way.

use anyhow::{Context, Result};
use reqwest::{
    Client, RequestBuilder, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap},
    redirect,
};
use serde_json::{Value, json};

use crate::server::PATIENCE;

/// A client of one GraphQL endpoint, with or without a token.
#[derive(Clone)]
pub struct GraphqlClient {
    http: Client,
    url: String,
    token: Option<String>,
}

/// An HTTP answer, as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl GraphqlClient {
    /// A client of the endpoint at `url`, e.g. `http://127.0.0.1:8080/api/graphql`.
    pub fn new(url: impl Into<String>, token: Option<&str>) -> Result<Self> {
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .context("no HTTP client")?;
        Ok(Self { http, url: url.into(), token: token.map(str::to_owned) })
    }

    /// A client of another endpoint with another token that shares this one's connections: of many clients, not
    /// each is to have some of its own.
    #[must_use]
    pub fn sharing(&self, url: impl Into<String>, token: &str) -> Self {
        Self { http: self.http.clone(), url: url.into(), token: Some(token.to_owned()) }
    }

    /// Sends a document and its variables the usual way.
    pub async fn post(&self, query: &str, variables: Value) -> Result<Reply> {
        self.post_json(&json!({ "query": query, "variables": variables })).await
    }

    /// Sends any JSON value as `application/json`.
    pub async fn post_json(&self, body: &Value) -> Result<Reply> {
        self.post_raw("application/json", body.to_string()).await
    }

    /// Sends any bytes under any content type.
    pub async fn post_raw(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Result<Reply> {
        send(self.post_request().header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// Sends a document as a GET.
    pub async fn get(&self, query: &str) -> Result<Reply> {
        let url = Url::parse_with_params(&self.url, [("query", query)]).context("not an address")?;
        send(self.identified(self.http.get(url))).await
    }

    /// A POST to fill in: headers and body are the test's.
    pub fn post_request(&self) -> RequestBuilder {
        self.identified(self.http.post(&self.url))
    }

    fn identified(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }
}

/// Sends `request` and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Result<Reply> {
    let response = request.send().await.context("no HTTP answer")?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.context("the HTTP answer broke off")?;
    Ok(Reply { status, headers, text })
}

impl Reply {
    /// The body as JSON; `Null` when it is none, so that a test's assertion shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The value at a JSON pointer such as `/data/aiAction/requestId`.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// The messages of the top-level errors.
    #[must_use]
    pub fn error_messages(&self) -> Vec<String> {
        let json = self.json();
        let errors = json.get("errors").and_then(Value::as_array);
        errors
            .into_iter()
            .flatten()
            .filter_map(|error| error.get("message")?.as_str().map(str::to_owned))
            .collect()
    }

    /// `extensions.code` of the first top-level error.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        self.at("/errors/0/extensions/code").as_str().map(str::to_owned)
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
