//! One HTTP call of a provider, within bounds: what is sent where, how long each part may take, how much is
//! read. Knows HTTP and no vendor; what went wrong is said as a [`ModelError`].

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Client, Proxy, RequestBuilder, Response, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    redirect,
};
use tokio::time::timeout;

use super::faults::{self, Rejection};
use crate::{
    config::ModelCallsConfig,
    vetted::{self, VettedResolver},
};
use duologue_actors::ports::ModelError;

/// The content type of a stream of server-sent events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const JSON: &str = "application/json";

/// How long the body of an error is waited for. It only explains: whether to try again is in the head.
const EXPLANATION: Duration = Duration::from_secs(1);

/// What every call of one provider shares. Cloning it shares the connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: Client,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    header: Duration,
    max_response: Bound,
    max_error: Bound,
    pub(crate) max_event: Bound,
    pub(crate) max_events: usize,
}

/// Bytes that are read at most, by the setting that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes: usize,
    setting: &'static str,
}

impl Bound {
    /// `what` is longer; the setting that says how long it may be is named.
    pub(crate) fn exceeded_by(self, what: &str) -> ModelError {
        faults::malformed(format!("{what} longer than {}", self.setting))
    }
}

/// An answer whose head said success.
#[derive(Debug)]
pub(crate) struct Incoming {
    response: Response,
    /// Bytes that may still come.
    left: usize,
    /// What bounds them.
    bound: Bound,
    pub(crate) bounds: Bounds,
}

impl Transport {
    /// # Errors
    /// When the proxy is no URL, or TLS cannot be set up; in words.
    pub(crate) fn new(config: &ModelCallsConfig) -> Result<Self, String> {
        // One call a connection: over a shared one, a server's bound on streams would silently be ours too, one
        // stalled reader would slow the others, and a cancelled call would leave its socket open.
        let mut client = Client::builder()
            .http1_only()
            .pool_max_idle_per_host(config.max_idle_connections)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(config.connect_seconds))
            .user_agent(concat!("duologue/", env!("CARGO_PKG_VERSION")));
        let mut allowed = config.allowed_private_hosts.clone();
        if let Some(proxy) = &config.proxy {
            let proxy = Url::parse(proxy).map_err(|error| error.to_string())?;
            // Naming a proxy is allowing it.
            allowed.extend(proxy.host_str().map(str::to_owned));
            client = client.proxy(around_the_network(proxy, config.allowed_private_hosts.clone()));
        }
        let client = client.dns_resolver(VettedResolver::new(&allowed)).build();
        let client = client.map_err(|error| error.to_string())?;
        let bound = |bytes, setting| Bound { bytes, setting };
        let bounds = Bounds {
            header: Duration::from_secs(config.header_seconds),
            max_response: bound(config.max_response_bytes, "model_calls.max_response_bytes"),
            max_error: bound(config.max_error_bytes, "model_calls.max_error_bytes"),
            max_event: bound(config.max_event_bytes, "model_calls.max_event_bytes"),
            max_events: config.max_events,
        };
        Ok(Self { client, bounds })
    }

    /// How long the head of an answer may take, or a short answer as a whole.
    pub(crate) fn patience(&self) -> Duration {
        self.bounds.header
    }

    pub(crate) fn post(&self, url: &str) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends a request and waits for the head of its answer, which must be a success of one of the `wanted`
    /// content types.
    ///
    /// # Errors
    /// Anything else. A status that says why is turned into an error by `explain`; mostly
    /// [`faults::of_status`].
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        wanted: &[&str],
        explain: impl Fn(Rejection) -> ModelError,
    ) -> Result<Incoming, ModelError> {
        let response = timeout(self.bounds.header, request.send())
            .await
            .map_err(|_| faults::no_head())?
            .map_err(|error| faults::of_transport(&error))?;
        if response.status().is_success() {
            return Incoming::new(response, self.bounds).of_type(wanted);
        }
        let mut rejection = Rejection::of_head(&response);
        let mut incoming = Incoming::new(response, self.bounds);
        // The body only explains: a slow or broken one must not hide the status.
        if let Ok(Ok(body)) = timeout(EXPLANATION, incoming.whole(self.bounds.max_error)).await {
            rejection.read(&body);
        }
        Err(explain(rejection))
    }
}

/// Everything through `proxy`, but what stays on this machine or goes to a host that is allowed to be private:
/// these may be plain HTTP, and a proxy would read along.
fn around_the_network(proxy: Url, private_hosts: Vec<String>) -> Proxy {
    Proxy::custom(move |url| {
        let host = url.host()?;
        let is_near = vetted::stays_here(&host) || vetted::is_among(&host, &private_hosts);
        (!is_near).then(|| proxy.clone())
    })
}

impl Incoming {
    fn new(response: Response, bounds: Bounds) -> Self {
        let bound = bounds.max_response;
        Self { response, left: bound.bytes, bound, bounds }
    }

    fn of_type(self, wanted: &[&str]) -> Result<Self, ModelError> {
        if wanted.iter().any(|wanted| self.is_of_type(wanted)) {
            return Ok(self);
        }
        let said = match self.response.headers().get(CONTENT_TYPE) {
            Some(found) => format!("the answer is {}", found.as_bytes().escape_ascii()),
            None => "the answer does not say of which type it is".to_owned(),
        };
        Err(faults::foreign("an answer of another content type").said(Some(faults::shortened(&said))))
    }

    /// Whether its head says that it is of this content type.
    pub(crate) fn is_of_type(&self, content_type: &str) -> bool {
        let header = self.response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is = header.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        is.eq_ignore_ascii_case(content_type)
    }

    /// Whether its body says where it ends. Where nothing but the end of the connection does, an answer that
    /// was cut looks whole.
    pub(crate) fn has_marked_end(&self) -> bool {
        let headers = self.response.headers();
        headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(CONTENT_LENGTH)
    }

    /// The next piece of the body, decompressed; `None` at its proper end.
    ///
    /// # Errors
    /// When the body is cut off, or longer than it may be.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, ModelError> {
        let Some(piece) = self.response.chunk().await.map_err(|error| faults::of_body(&error))? else {
            return Ok(None);
        };
        match self.left.checked_sub(piece.len()) {
            Some(left) => self.left = left,
            None => return Err(self.bound.exceeded_by("an answer")),
        }
        Ok(Some(piece))
    }

    /// The rest of the body, of at most `bound`.
    ///
    /// # Errors
    /// As [`Incoming::piece`].
    pub(crate) async fn whole(&mut self, bound: Bound) -> Result<Vec<u8>, ModelError> {
        if bound.bytes < self.left {
            (self.left, self.bound) = (bound.bytes, bound);
        }
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
