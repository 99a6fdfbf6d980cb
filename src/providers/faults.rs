//! What can go wrong between here and a provider, and what can be done about it.

use std::{borrow::Cow, error::Error, time::Duration};

use duologue_actors::{
    ports::{Cause, ModelError, Retry},
    protocol::Code,
};
use reqwest::{
    Response,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::keys::Key;
use crate::vetted::{Refused, Unknown};

/// The most characters shown of what a provider said.
const MAX_SAID_CHARACTERS: usize = 500;

/// A date in a header (RFC 9110 section 5.6.7), in the one form that may be sent today.
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// A status that is no success, and what came with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// `x-should-retry`, by which some providers know better than the status.
    pub(crate) should_retry: Option<bool>,
    /// What the body says of it.
    pub(crate) said: Option<String>,
}

impl Rejection {
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn of_head(response: &Response) -> Self {
        let headers = response.headers();
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after(headers),
            should_retry: text(headers, "x-should-retry").and_then(|text| text.parse().ok()),
            said: None,
        }
    }

    /// Finds the reason in a body: `{"error": {"message": ...}}` as most have it, or `{"message": ...}`,
    /// `{"detail": ...}`, `{"error": ...}`. The last may be no sentence but a name, where there is one of the others.
    pub(super) fn read(&mut self, body: &[u8]) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
        // Some wrap the object in a list of one.
        let body = body.get(0).unwrap_or(&body);
        let places = ["/error/message", "/message", "/detail", "/error"];
        let found = places.iter().find_map(|place| body.pointer(place)?.as_str());
        self.said = found.map(shortened);
    }
}

/// What a provider said, short enough to show.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_SAID_CHARACTERS).collect()
}

/// How long a provider asks to be left alone. `retry-after-ms` is the more exact of the two where there are both.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(milliseconds) = text(headers, "retry-after-ms").and_then(|text| text.parse().ok()) {
        return Duration::try_from_secs_f64(f64::max(0.0, milliseconds) / 1_000.0).ok();
    }
    let wanted = text(headers, RETRY_AFTER.as_str())?;
    match wanted.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => between(text(headers, DATE.as_str())?, wanted),
    }
}

/// The time from one date to another. Both are the provider's, so that it does not matter how its clock differs
/// from ours.
fn between(from: &str, to: &str) -> Option<Duration> {
    let [from, to] = [from, to].map(|date| PrimitiveDateTime::parse(date, HTTP_DATE).ok());
    Some(Duration::try_from(to? - from?).unwrap_or_default())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The meaning of a status, as far as it is the same everywhere.
pub(crate) fn of_status(rejection: Rejection) -> ModelError {
    let (code, retry) = match meaning(rejection.status) {
        // Without a word about when, the limit is one that time does not lift, such as spending.
        (code, Retry::Again) if rejection.status == 429 && rejection.retry_after.is_none() => {
            (code, Retry::Elsewhere)
        }
        meaning => meaning,
    };
    let retry = match (rejection.should_retry, retry) {
        (Some(false), Retry::Again | Retry::Once) => Retry::Elsewhere,
        (Some(true), Retry::Elsewhere) => Retry::Again,
        _ => retry,
    };
    ModelError::new(code, retry, format!("status {}", rejection.status))
        .because(Cause::Status(rejection.status))
        .retry_after(rejection.retry_after)
        .said(rejection.said)
}

/// The same, of a call that showed this key: which one was refused is named, by its id.
pub(crate) fn of_key(rejection: Rejection, key: Option<&Key>) -> ModelError {
    let mut error = of_status(rejection);
    if error.code == Code::UpstreamAuth {
        let shown = key.map_or_else(|| "no key".to_owned(), |key| format!("the key {}", key.id()));
        error.what = format!("{} with {shown}", error.what).into();
    }
    error
}

fn meaning(status: u16) -> (Code, Retry) {
    match status {
        401 | 403 => (Code::UpstreamAuth, Retry::Never),
        402 => (Code::UpstreamRateLimited, Retry::Elsewhere),
        408 | 504 => (Code::UpstreamTimeout, Retry::Again),
        409 => (Code::UpstreamUnavailable, Retry::Again),
        413 => (Code::UpstreamTooLarge, Retry::Never),
        429 => (Code::UpstreamRateLimited, Retry::Again),
        503 | 529 => (Code::UpstreamOverloaded, Retry::Again),
        500..=599 => (Code::UpstreamUnavailable, Retry::Again),
        400..=499 => (Code::UpstreamRejected, Retry::Never),
        // A redirect would carry the key to who knows where; anything else is no answer of an API.
        _ => (Code::UpstreamMalformed, Retry::Never),
    }
}

/// The head of the answer did not come in time. Waiting as long again would leave too little for another model.
pub(crate) fn no_head() -> ModelError {
    ModelError::new(Code::UpstreamTimeout, Retry::Elsewhere, "no head of an answer in time")
        .because(Cause::NoAnswer)
        .taken()
}

/// What was answered is not what the provider's protocol has.
pub(crate) fn malformed(what: impl Into<Cow<'static, str>>) -> ModelError {
    ModelError::new(Code::UpstreamMalformed, Retry::Never, what)
}

/// The same, where it looks as if somebody else had answered.
pub(crate) fn foreign(what: &'static str) -> ModelError {
    malformed(what).because(Cause::Foreign)
}

/// No answer began.
pub(crate) fn of_transport(error: &reqwest::Error) -> ModelError {
    if error.is_builder() {
        let error = ModelError::new(Code::Internal, Retry::Never, "a request that cannot be written");
        return error.said(Some("is the provider's base_url right?".to_owned()));
    }
    if let Some(refused) = cause::<Refused>(error) {
        let vetoed = ModelError::new(Code::UpstreamUnavailable, Retry::Elsewhere, "a private address");
        return vetoed.said(Some(refused.to_string()));
    }
    let unavailable =
        |retry, what| ModelError::new(Code::UpstreamUnavailable, retry, what).because(Cause::Unreachable);
    if let Some(unknown) = cause::<Unknown>(error) {
        return unavailable(Retry::Once, "the host does not resolve").said(Some(unknown.to_string()));
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return unavailable(Retry::Elsewhere, "no TLS connection").said(Some(tls.to_string()));
    }
    if error.is_timeout() {
        let late = unavailable(Retry::Again, "no connection in time").said(Some(deepest(error)));
        return late.because(Cause::NoConnection);
    }
    let what = match cause::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused) => "connection refused",
        _ if error.is_connect() => "no connection",
        _ => "the connection broke before an answer began",
    };
    unavailable(Retry::Again, what).said(Some(deepest(error)))
}

/// The answer broke off.
pub(crate) fn of_body(error: &reqwest::Error) -> ModelError {
    if error.is_decode() && cause::<std::io::Error>(error).is_some_and(is_bad_data) {
        return malformed("an answer that cannot be decompressed");
    }
    ModelError::new(Code::UpstreamTruncated, Retry::Again, "the answer was cut off").taken()
}

fn is_bad_data(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput)
}

/// The first error of a kind in the chain of causes.
fn cause<E: Error + 'static>(error: &dyn Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // What an I/O error wraps, which may be another one, is not its source: that is the wrapped one's source.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|wrapped| -> &(dyn Error + 'static) { wrapped }),
            None => error.source(),
        };
    }
    None
}

fn deepest(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests;
