//! A proxy for TCP on a loopback port, between a client and a server that know nothing of it. It lets
//! everything through, until a test has it hold back, cut or swallow what the server sends.
//!
//! Every connection takes the next [`Passage`] of the queue; when the queue is empty, everything passes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::sleep,
};

/// A running proxy. Dropping it closes its port; connections end with their client or server.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What one connection lets through from the server to the client. The other way everything passes.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    held: Duration,
    fault: Option<(Place, Fault)>,
}

/// Where in the server's bytes a fault comes.
#[derive(Clone, Debug)]
enum Place {
    Bytes(usize),
    /// Right behind this text, when it has come so many times.
    Text(Vec<u8>, usize),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection ends.
    Cut,
    /// The connection stays, and nothing more comes.
    Silence,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Passage>,
    connections: usize,
}

impl Proxy {
    /// Starts a proxy in front of `server`.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { server, state: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has the connection after those already spoken for pass as `passage` says.
    pub fn next(&self, passage: Passage) {
        self.shared.with(|state| state.next.push_back(passage));
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.with(|state| state.connections)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Passage {
    /// Reads nothing from the server before so much time has passed since it first had something to say.
    /// What does not fit into the buffers on the way is not written meanwhile.
    #[must_use]
    pub fn held(held: Duration) -> Self {
        Self { held, fault: None }
    }

    /// Ends the connection when the server has sent so many bytes.
    #[must_use]
    pub fn cut_after(bytes: usize) -> Self {
        Self { fault: Some((Place::Bytes(bytes), Fault::Cut)), ..Self::default() }
    }

    /// Ends the connection when the server has sent `text` for the so manyeth time: with a text by which
    /// every message ends, at the boundary of any message.
    #[must_use]
    pub fn cut_after_text(text: &str, times: usize) -> Self {
        Self { fault: Some((Place::Text(text.into(), times), Fault::Cut)), ..Self::default() }
    }

    /// Lets nothing more of the server through when it has sent `text` for the so manyeth time.
    #[must_use]
    pub fn silent_after_text(text: &str, times: usize) -> Self {
        Self { fault: Some((Place::Text(text.into(), times), Fault::Silence)), ..Self::default() }
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let passage = shared.with(|state| {
            state.connections += 1;
            state.next.pop_front().unwrap_or_default()
        });
        // A server that is gone is a connection that ends; more is not to be said of it.
        tokio::spawn(connect(client, shared.server, passage));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, passage: Passage) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // Whichever way ends first takes the other with it.
    tokio::select! {
        sent = copy(&mut from_client, &mut to_server) => drop(sent?),
        passed = pass(from_server, to_client, passage) => passed?,
    }
    Ok(())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passage: Passage) -> Result<()> {
    from.readable().await?;
    sleep(passage.held).await;
    let mut seen = Vec::new();
    let mut piece = [0; 16_384];
    loop {
        let length = from.read(&mut piece).await?;
        let bytes = piece.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let before = seen.len();
        let Some((place, fault)) = &passage.fault else {
            to.write_all(bytes).await?;
            continue;
        };
        seen.extend_from_slice(bytes);
        let Some(end) = place.in_bytes(&seen) else {
            to.write_all(bytes).await?;
            continue;
        };
        to.write_all(seen.get(before..end).unwrap_or_default()).await?;
        match fault {
            Fault::Cut => return Ok(()),
            Fault::Silence => while from.read(&mut piece).await? > 0 {},
        }
    }
}

impl Place {
    /// Up to where bytes pass, once the place is among them.
    fn in_bytes(&self, seen: &[u8]) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => (seen.len() >= *bytes).then_some(*bytes),
            Self::Text(text, times) => {
                let ends =
                    (0..seen.len()).filter(|start| seen.get(*start..).is_some_and(|s| s.starts_with(text)));
                ends.map(|start| start + text.len()).nth(times.saturating_sub(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// What a client gets through `passage` from a server that says `words` one by one and stays.
    async fn heard(passage: Passage, words: &'static [&'static str], bytes: usize) -> (String, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        proxy.next(passage);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        for word in words {
            server.write_all(word.as_bytes()).await.unwrap();
        }
        let mut text = vec![0; bytes];
        client.read_exact(&mut text).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(50), client.read(&mut [0])).await;
        (String::from_utf8(text).unwrap(), matches!(more, Ok(Ok(0) | Err(_))))
    }

    #[tokio::test]
    async fn everything_passes_unless_told_otherwise() {
        assert_eq!(heard(Passage::default(), &["a.", "b."], 4).await, ("a.b.".to_owned(), false));
    }

    #[tokio::test]
    async fn a_connection_is_cut_at_a_byte_or_behind_a_text() {
        assert_eq!(heard(Passage::cut_after(3), &["a.", "b."], 3).await, ("a.b".to_owned(), true));
        let behind_the_second = Passage::cut_after_text(".", 2);
        assert_eq!(heard(behind_the_second, &["a.b", ".c."], 4).await, ("a.b.".to_owned(), true));
    }

    #[tokio::test]
    async fn a_silent_connection_stays() {
        let silent = Passage::silent_after_text(".", 1);
        assert_eq!(heard(silent, &["a.", "b."], 2).await, ("a.".to_owned(), false));
    }

    #[tokio::test]
    async fn what_is_held_comes_late_and_whole() {
        let started = Instant::now();
        let held = Passage::held(Duration::from_millis(200));
        assert_eq!(heard(held, &["a.", "b."], 4).await.0, "a.b.");
        assert!(started.elapsed() >= Duration::from_millis(200));
    }
}
