//! What can keep a question from its answer.

use std::{io, time::Duration};

use tokio_tungstenite::tungstenite;

use super::form::FormError;

#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Form(#[from] FormError),
    /// The server's own words, before it accepted the request.
    #[error("{0}")]
    Refused(String),
    /// The last message's own words.
    #[error("{0}")]
    Failed(String),
    #[error("the server at {address} does not answer")]
    Unreachable {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server at {address} answered with status {status} and no GraphQL")]
    NotGraphql { address: String, status: u16 },
    #[error("the server sent {what}, which this client does not understand")]
    NotUnderstood { what: String },
    #[error("the websocket of {address} is lost")]
    Socket {
        address: String,
        #[source]
        source: Box<tungstenite::Error>,
    },
    #[error("the server closed the websocket: {0}")]
    Closed(String),
    #[error("request {request_id} sent no last message within {} s", patience.as_secs())]
    NoEnd { request_id: String, patience: Duration },
    #[error("write the answer")]
    Output(#[from] io::Error),
}
