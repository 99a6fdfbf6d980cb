//! A client of the `graphql-transport-ws` protocol that keeps nothing to itself: every frame, every close
//! code, and pongs only when asked to.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        error::UrlError,
        http::{HeaderName, HeaderValue, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::server::PATIENCE;

/// The protocol's name in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";

/// How to connect. Nothing is set that a test did not ask for, but the subprotocol.
#[derive(Clone, Debug)]
pub struct Connect {
    url: String,
    headers: Vec<(String, String)>,
    subprotocol: Option<String>,
    answer_pings: bool,
    receive_buffer_bytes: Option<u32>,
}

impl Connect {
    /// To the endpoint at `url`, e.g. `ws://127.0.0.1:8080/api/graphql`.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            subprotocol: Some(SUBPROTOCOL.to_owned()),
            answer_pings: true,
            receive_buffer_bytes: None,
        }
    }

    /// With the token in the upgrade request.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    #[must_use]
    pub fn origin(self, origin: &str) -> Self {
        self.header("origin", origin)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Offers another subprotocol, or none.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: Option<&str>) -> Self {
        self.subprotocol = subprotocol.map(str::to_owned);
        self
    }

    /// Leaves the server's pings without their pongs, so that nothing counts as received.
    #[must_use]
    pub fn without_pongs(mut self) -> Self {
        self.answer_pings = false;
        self
    }

    /// Has the kernel take little of what nobody has read yet, so that a server soon notices that nobody reads.
    #[must_use]
    pub fn receive_buffer_bytes(mut self, bytes: u32) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Does the handshake; a refusal is an error of its own kind.
    pub async fn open(self) -> Result<TransportWs, HandshakeError> {
        let request = self.request().map_err(HandshakeError::Other)?;
        let connected = timeout(PATIENCE, self.handshake(request)).await;
        match connected.map_err(|_| HandshakeError::Other(anyhow!("the handshake took too long")))? {
            Ok((socket, response)) => {
                Ok(TransportWs { socket, accepted: protocol_of(&response), answer_pings: self.answer_pings })
            }
            Err(Error::Http(response)) => Err(HandshakeError::Refused(response.status().as_u16())),
            Err(error) => Err(HandshakeError::Other(error.into())),
        }
    }

    async fn handshake(
        &self,
        request: Request<()>,
    ) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response<Option<Vec<u8>>>), Error> {
        let Some(bytes) = self.receive_buffer_bytes else { return connect_async(request).await };
        let authority = request.uri().authority().and_then(|authority| authority.as_str().parse().ok());
        let address = authority.ok_or(UrlError::NoHostName)?;
        // Before it connects: the size of the buffer is part of what the kernels agree on.
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        client_async(request, MaybeTlsStream::Plain(socket.connect(address).await?)).await
    }

    fn request(&self) -> Result<Request<()>> {
        let mut request = self.url.as_str().into_client_request().context("not a websocket address")?;
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        if let Some(subprotocol) = &self.subprotocol {
            headers.insert("sec-websocket-protocol", HeaderValue::from_str(subprotocol)?);
        }
        Ok(request)
    }
}

fn protocol_of<B>(response: &Response<B>) -> Option<String> {
    response.headers().get("sec-websocket-protocol")?.to_str().ok().map(str::to_owned)
}

/// Why there is no socket.
#[derive(Debug)]
pub enum HandshakeError {
    /// The server answered the upgrade with this HTTP status.
    Refused(u16),
    Other(anyhow::Error),
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the upgrade was answered with {status}"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// What came over the socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A frame of the protocol.
    Frame(Value),
    /// The server closed; `None` when it went without a close frame.
    Closed(Option<(u16, String)>),
}

/// An open socket.
pub struct TransportWs {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    accepted: Option<String>,
    answer_pings: bool,
}

impl TransportWs {
    /// The subprotocol the server chose.
    #[must_use]
    pub fn accepted_subprotocol(&self) -> Option<&str> {
        self.accepted.as_deref()
    }

    /// Sends `connection_init` and waits for its acknowledgement.
    pub async fn init(&mut self, payload: Option<Value>) -> Result<()> {
        let mut frame = json!({ "type": "connection_init" });
        if let (Some(payload), Some(fields)) = (payload, frame.as_object_mut()) {
            fields.insert("payload".to_owned(), payload);
        }
        self.send(frame).await?;
        let answer = self.frame().await?;
        if answer.get("type").and_then(Value::as_str) != Some("connection_ack") {
            bail!("connection_init was answered with {answer}");
        }
        Ok(())
    }

    /// Sends `subscribe` without waiting for anything.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) -> Result<()> {
        self.send(
            json!({ "id": id, "type": "subscribe", "payload": { "query": query, "variables": variables } }),
        )
        .await
    }

    pub async fn complete(&mut self, id: &str) -> Result<()> {
        self.send(json!({ "id": id, "type": "complete" })).await
    }

    pub async fn send(&mut self, frame: Value) -> Result<()> {
        self.send_text(&frame.to_string()).await
    }

    /// Sends any text, also one that is no frame.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_message(Message::text(text)).await
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.send_message(Message::binary(bytes)).await
    }

    /// Closes as a page does that is left.
    pub async fn close(mut self) -> Result<()> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame)).await.context("cannot close")
    }

    /// The next frame or close, whichever comes first; an error after [`PATIENCE`].
    pub async fn next(&mut self) -> Result<Incoming> {
        self.next_within(PATIENCE).await?.context("nothing came over the websocket")
    }

    /// The next frame or close; `None` when nothing came in time.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<Incoming>> {
        match timeout(limit, self.receive()).await {
            Ok(incoming) => incoming.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The next frame; a close is an error.
    pub async fn frame(&mut self) -> Result<Value> {
        match self.next().await? {
            Incoming::Frame(frame) => Ok(frame),
            Incoming::Closed(close) => bail!("the server closed the websocket: {close:?}"),
        }
    }

    /// Reads on until the server closes; its code and reason.
    pub async fn closed(&mut self) -> Result<(u16, String)> {
        loop {
            if let Incoming::Closed(close) = self.next().await? {
                return close.context("the server went without a close frame");
            }
        }
    }

    /// Everything the server had sent before it read this: a protocol-level ping and its pong are the
    /// fence. Says what is there without waiting for what is not.
    pub async fn frames_so_far(&mut self) -> Result<Vec<Value>> {
        self.send(json!({ "type": "ping" })).await?;
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await?;
            if frame.get("type").and_then(Value::as_str) == Some("pong") {
                return Ok(frames);
            }
            frames.push(frame);
        }
    }

    async fn send_message(&mut self, message: Message) -> Result<()> {
        let sent = timeout(PATIENCE, self.socket.send(message)).await;
        sent.context("the websocket takes nothing more")?.context("cannot send over the websocket")
    }

    async fn receive(&mut self) -> Result<Incoming> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
                    return Ok(Incoming::Frame(frame));
                }
                Some(Ok(Message::Ping(_))) if !self.answer_pings => self.withhold_pong().await?,
                Some(Ok(Message::Close(close))) => {
                    let close = close.map(|close| (close.code.into(), close.reason.to_string()));
                    return Ok(Incoming::Closed(close));
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Ok(Incoming::Closed(None));
                }
                Some(Err(error)) => return Err(error).context("the websocket broke"),
            }
        }
    }

    /// The library has put the answer to a ping aside; another pong takes its place and says nothing.
    async fn withhold_pong(&mut self) -> Result<()> {
        self.send_message(Message::Pong("not the answer".into())).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A server that takes one socket without subprotocols and hands it to `serve`.
    async fn connected_to<F>(connect: impl FnOnce(Connect) -> Connect, serve: F) -> TransportWs
    where
        F: AsyncFnOnce(WebSocketStream<TcpStream>) + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::task::spawn_local(async move {
            let (socket, _) = listener.accept().await.unwrap();
            serve(accept_async(socket).await.unwrap()).await;
        });
        connect(Connect::to(url).subprotocol(None)).open().await.unwrap()
    }

    /// Pings, says something so that the client has to read on, and closes with the pong's payload.
    async fn ping_and_tell(mut socket: WebSocketStream<TcpStream>) {
        socket.send(Message::Ping("7".into())).await.unwrap();
        socket.send(Message::text("{}")).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Pong(payload) = message {
                let reason = String::from_utf8_lossy(&payload).into_owned();
                socket.close(Some(CloseFrame { code: 4000.into(), reason: reason.into() })).await.unwrap();
            }
        }
    }

    async fn payload_of_the_pong(connect: impl FnOnce(Connect) -> Connect) -> (u16, String) {
        let serving = tokio::task::LocalSet::new();
        serving.run_until(async { connected_to(connect, ping_and_tell).await.closed().await.unwrap() }).await
    }

    #[tokio::test]
    async fn a_ping_is_answered_with_its_own_payload() {
        assert_eq!(payload_of_the_pong(|connect| connect).await, (4000, "7".to_owned()));
    }

    #[tokio::test]
    async fn a_pong_can_be_withheld() {
        let (_, payload) = payload_of_the_pong(Connect::without_pongs).await;
        assert_eq!(payload, "not the answer");
    }

    #[tokio::test]
    async fn nothing_in_time_is_no_error() {
        let serving = tokio::task::LocalSet::new();
        let silent = async |socket: WebSocketStream<TcpStream>| {
            std::future::pending::<()>().await;
            drop(socket);
        };
        let heard = serving.run_until(async {
            let mut socket = connected_to(|connect| connect, silent).await;
            socket.next_within(Duration::from_millis(10)).await
        });
        assert_eq!(heard.await.unwrap(), None);
    }
}
