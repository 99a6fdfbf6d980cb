//! Answers of other servers, bounded: a time and a size, no redirect followed, no proxy asked.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, redirect};

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLong,
    /// The answer did not arrive whole.
    Broken(reqwest::Error),
}

/// A client that can be led nowhere. A call, from its beginning to the last byte of its answer, takes `timeout`
/// at most.
pub(crate) fn client(timeout: Duration) -> ClientBuilder {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(timeout)
}

/// The whole body, of at most `max_bytes` after decompression. More than that is not read.
pub(crate) async fn body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len() + piece.len() > max_bytes {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
