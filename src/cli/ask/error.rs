//! What can keep a question from its answer.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio_tungstenite::tungstenite;

use super::form::FormError;
use crate::{app::AppError, storage::Holder};

#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Form(#[from] FormError),
    #[error(transparent)]
    Start(#[from] AppError),
    #[error(
        "{holder} has the data folder {}, but no server answers at {address} (server.listen); if one runs \
         elsewhere, set DUOLOGUE__SERVER__LISTEN to its address",
        folder.display()
    )]
    Elsewhere { holder: Holder, folder: PathBuf, address: SocketAddr },
    /// The server's own words, and what to do about it.
    #[error("{0}: name one with --token or DUOLOGUE_TOKEN")]
    Token(String),
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
    #[error("the server at {address} did not confirm the subscription within {} s", patience.as_secs())]
    Unconfirmed { address: String, patience: Duration },
    #[error("request {request_id} sent no last message within {} s", patience.as_secs())]
    NoEnd { request_id: String, patience: Duration },
    #[error("write the answer")]
    Output(#[from] io::Error),
}

impl AskError {
    /// Nobody reads the answer on.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}
