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
    /// Right behind the websocket message with this text in it, when there were so many of them.
    Message(Vec<u8>, usize),
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
    /// What has passed to each client so far, in the order in which they came.
    passed: Vec<Vec<u8>>,
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
        self.shared.with(|state| state.passed.len())
    }

    /// How often this text has passed to clients, over all connections there were.
    #[must_use]
    pub fn passed(&self, text: &str) -> usize {
        let times = |passed: &Vec<u8>| ends_of(text.as_bytes(), passed).count();
        self.shared.with(|state| state.passed.iter().map(times).sum())
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

    /// Ends the connection behind the so manyeth websocket message that has `text` in it.
    #[must_use]
    pub fn cut_after_message(text: &str, times: usize) -> Self {
        Self { fault: Some((Place::Message(text.into(), times), Fault::Cut)), ..Self::default() }
    }

    /// Lets nothing more of the server through when it has sent `text` for the so manyeth time.
    #[must_use]
    pub fn silent_after_text(text: &str, times: usize) -> Self {
        Self { fault: Some((Place::Text(text.into(), times), Fault::Silence)), ..Self::default() }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let (number, passage) = shared.with(|state| {
            state.passed.push(Vec::new());
            (state.passed.len() - 1, state.next.pop_front().unwrap_or_default())
        });
        // A server that is gone is a connection that ends; more is not to be said of it.
        tokio::spawn(connect(client, Arc::clone(&shared), number, passage));
    }
}

async fn connect(client: TcpStream, shared: Arc<Shared>, number: usize, passage: Passage) -> Result<()> {
    let server = TcpStream::connect(shared.server).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // Whichever way ends first takes the other with it.
    tokio::select! {
        sent = copy(&mut from_client, &mut to_server) => drop(sent?),
        passed = pass(from_server, to_client, &shared, number, passage) => passed?,
    }
    Ok(())
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    number: usize,
    passage: Passage,
) -> Result<()> {
    from.readable().await?;
    sleep(passage.held).await;
    let mut piece = [0; 16_384];
    loop {
        let length = from.read(&mut piece).await?;
        let bytes = piece.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let (passing, fault) = shared.note(number, bytes, passage.fault.as_ref());
        to.write_all(bytes.get(..passing).unwrap_or_default()).await?;
        match fault {
            None => {}
            Some(Fault::Cut) => return Ok(()),
            Some(Fault::Silence) => while from.read(&mut piece).await? > 0 {},
        }
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what passes to a client of what has come for it: how many bytes, and the fault behind them.
    fn note(&self, number: usize, bytes: &[u8], fault: Option<&(Place, Fault)>) -> (usize, Option<Fault>) {
        self.with(|state| {
            let Some(passed) = state.passed.get_mut(number) else { return (bytes.len(), None) };
            let before = passed.len();
            passed.extend_from_slice(bytes);
            let reached = fault.and_then(|(place, fault)| Some((place.in_bytes(passed)?, *fault)));
            let Some((end, fault)) = reached else { return (bytes.len(), None) };
            passed.truncate(end);
            (end.saturating_sub(before), Some(fault))
        })
    }
}

impl Place {
    /// Up to where bytes pass, once the place is among them.
    fn in_bytes(&self, seen: &[u8]) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => (seen.len() >= *bytes).then_some(*bytes),
            Self::Text(text, times) => ends_of(text, seen).nth(times.saturating_sub(1)),
            Self::Message(text, times) => {
                let with_the_text =
                    messages(seen).filter(|(message, _)| ends_of(text, message).next().is_some());
                with_the_text.map(|(_, end)| end).nth(times.saturating_sub(1))
            }
        }
    }
}

/// Where `text` ends, each time it is in `bytes`.
fn ends_of<'b>(text: &'b [u8], bytes: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let starts =
        (0..bytes.len()).filter(move |start| bytes.get(*start..).is_some_and(|s| s.starts_with(text)));
    starts.map(|start| start + text.len())
}

/// The whole websocket frames of a server behind the head of its answer, each with the place where it ends.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut place = ends_of(b"\r\n\r\n", bytes).next().unwrap_or(bytes.len());
    std::iter::from_fn(move || {
        let (head, payload) = frame(bytes.get(place..)?)?;
        let start = place + head;
        place = start + payload;
        Some((bytes.get(start..place)?, place))
    })
}

/// The lengths of a frame's head and payload. What a server sends is not masked.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| (number << 8) | usize::from(*digit));
    match usize::from(*bytes.get(1)?) {
        126 => Some((4, number(bytes.get(2..4)?))),
        127 => Some((10, number(bytes.get(2..10)?))),
        length => Some((2, length)),
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

    /// An answer's head with the text in it, a short message, one of 126 bytes, whose length takes two more, and a
    /// short one again.
    const FRAMES: [&str; 4] = [
        "HTTP/1.1 101 one\r\n\r\n",
        "\u{1}\u{4}one ",
        concat!(
            "\u{1}~\0~one, and letters up to 126 bytes: abcdefghijklmnopqrstuvwxyz",
            "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghijkl",
        ),
        "\u{1}\u{4}one ",
    ];

    #[tokio::test]
    async fn a_connection_is_cut_behind_a_whole_message() {
        let whole = FRAMES[..3].concat();
        let (text, ended) = heard(Passage::cut_after_message("one", 2), &FRAMES, whole.len()).await;
        assert_eq!((text.len(), text, ended), (whole.len(), whole, true));
        let (text, ended) = heard(Passage::cut_after_message("two", 1), &FRAMES, FRAMES.concat().len()).await;
        assert_eq!((text, ended), (FRAMES.concat(), false));
    }

    #[tokio::test]
    async fn what_passed_is_counted_over_all_connections_and_what_was_cut_off_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        proxy.next(Passage::cut_after(2));
        for bytes in [2, 4] {
            let mut client = TcpStream::connect(proxy.address()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(b"a.a.").await.unwrap();
            client.read_exact(&mut vec![0; bytes]).await.unwrap();
        }
        assert_eq!((proxy.passed("a."), proxy.connections()), (3, 2));
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
