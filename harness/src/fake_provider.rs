//! A model provider on a loopback port that does what its script says, byte by byte: it answers, dawdles,
//! stalls, cuts the line, or never ends. It speaks HTTP/1.1 over a bare socket, because a web framework
//! would mend exactly the faults that are wanted here.
//!
//! It can also be one that nobody should talk to: with a bad certificate, deaf, or not there at all.
//!
//! Every request takes the next script of the queue; when the queue is empty, the standing script. Every
//! request is recorded, with the time at which its socket was closed by the other side. Under load it answers
//! each request by what the request says instead, and records none.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::server::PATIENCE;

pub(crate) mod connection;
mod gzip;
mod refusing;
mod script;
pub mod shapes;
mod tls;

pub use refusing::Refusing;
pub use script::{Script, Signal, Step};
pub use tls::{Authority, Certificate};

/// A running fake. Dropping it closes its port and every socket.
pub struct FakeProvider {
    scheme: &'static str,
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// One request as it arrived, and how it went on.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub arrived: Instant,
    /// When the caller was seen to have closed its socket, if it did so before the script was over.
    pub caller_closed: Option<Instant>,
    /// Whether the script was played to its end.
    pub played: bool,
}

impl Call {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl FakeProvider {
    /// Starts a fake that plays `standing` for every request.
    pub async fn start(standing: Script) -> Result<Self> {
        Self::listen(Manner::Plain, Standing::Script(standing)).await
    }

    /// Starts a fake that plays for each request what `answer` says. Requests are not recorded: there may be
    /// any number of them, and `answer` sees each.
    pub async fn answering(answer: impl Fn(&Call) -> Script + Send + Sync + 'static) -> Result<Self> {
        Self::listen(Manner::Plain, Standing::Answer(Arc::new(answer))).await
    }

    /// Starts a fake that speaks TLS.
    pub async fn start_tls(standing: Script, certificate: Certificate<'_>) -> Result<Self> {
        Self::listen(Manner::Tls(certificate.acceptor()?), Standing::Script(standing)).await
    }

    /// Starts a fake that takes connections and never reads from them, nor writes to them.
    pub async fn deaf() -> Result<Self> {
        Self::listen(Manner::Deaf, Standing::Script(Script::silence())).await
    }

    /// An address where nobody listens, for as long as what is returned lives.
    pub fn refusing() -> Result<Refusing> {
        Refusing::new()
    }

    async fn listen(manner: Manner, standing: Standing) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        Self::accepting(listener, manner, standing)
    }

    fn accepting(listener: TcpListener, manner: Manner, standing: Standing) -> Result<Self> {
        let scheme = if matches!(manner, Manner::Tls(_)) { "https" } else { "http" };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(standing));
        let accepting = tokio::spawn(accept(listener, manner, Arc::clone(&shared)));
        Ok(Self { scheme, address, shared, accepting })
    }

    /// Where it listens, e.g. `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// How many connections were taken so far, also those that brought no request.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Plays `script` once, for the next request that has no other.
    pub fn enqueue(&self, script: Script) {
        self.shared.state().queue.push_back(script);
    }

    /// Plays `script` whenever the queue is empty.
    pub fn always(&self, script: Script) {
        self.shared.state().standing = Standing::Script(script);
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Waits until what was recorded satisfies `wanted`.
    pub async fn until(&self, wanted: impl Fn(&[Call]) -> bool) -> Result<Vec<Call>> {
        timeout(PATIENCE, async {
            loop {
                let changed = self.shared.changed.notified();
                let calls = self.calls();
                if wanted(&calls) {
                    return calls;
                }
                changed.await;
            }
        })
        .await
        .context("the fake provider was not called as expected")
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// How the fake meets a connection.
#[derive(Clone)]
enum Manner {
    Plain,
    Tls(TlsAcceptor),
    Deaf,
}

async fn accept(listener: TcpListener, manner: Manner, shared: Arc<Shared>) {
    // Owned here, so that aborting this task ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        shared.state().connections += 1;
        connections.spawn(meet(socket, manner.clone(), Arc::clone(&shared)));
    }
}

async fn meet(socket: TcpStream, manner: Manner, shared: Arc<Shared>) {
    // A fault of the caller's ends this connection; the test sees that no call was recorded.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    match manner {
        Manner::Plain => serve(socket, &shared).await,
        Manner::Tls(acceptor) => {
            if let Ok(socket) = acceptor.accept(socket).await {
                serve(socket, &shared).await;
            }
        }
        Manner::Deaf => std::future::pending().await,
    }
}

async fn serve(mut socket: impl connection::Socket, shared: &Shared) {
    while let Ok(call) = connection::read_request(&mut socket).await {
        let (number, script) = shared.record(call);
        match connection::play(&mut socket, script).await {
            connection::End::Kept => shared.change(number, |call| call.played = true),
            connection::End::Played | connection::End::Reset => {
                return shared.change(number, |call| call.played = true);
            }
            connection::End::CallerClosed(at) => {
                return shared.change(number, |call| call.caller_closed = Some(at));
            }
        }
    }
}

/// What is played when the queue is empty.
#[derive(Clone)]
enum Standing {
    Script(Script),
    Answer(Arc<dyn Fn(&Call) -> Script + Send + Sync>),
}

/// The place of a call among those that are recorded, if it is.
type Number = Option<usize>;

/// What the connections and the test's handle have in common.
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    queue: VecDeque<Script>,
    standing: Standing,
    calls: Vec<Call>,
    connections: usize,
}

impl Shared {
    fn new(standing: Standing) -> Self {
        let state = State { queue: VecDeque::new(), standing, calls: Vec::new(), connections: 0 };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; its number and what to play for it.
    fn record(&self, call: Call) -> (Number, Script) {
        let mut state = self.state();
        let standing = state.queue.pop_front().map_or_else(|| state.standing.clone(), Standing::Script);
        let script = match standing {
            Standing::Script(script) => script,
            Standing::Answer(answer) => {
                drop(state);
                return (None, answer(&call));
            }
        };
        let number = state.calls.len();
        state.calls.push(call);
        drop(state);
        self.changed.notify_waiters();
        (Some(number), script)
    }

    fn change(&self, number: Number, change: impl FnOnce(&mut Call)) {
        let Some(number) = number else { return };
        if let Some(call) = self.state().calls.get_mut(number) {
            change(call);
        }
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
