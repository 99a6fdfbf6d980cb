//! A GitLab instance on a loopback port, as far as the server asks one: the REST paths and GraphQL fields it
//! uses, with a small world behind them ([`World`]) in which every token sees what its user may see.
//! Answers have the shape that GitLab's API documentation gives them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::fake_provider::{Call, connection};

mod answers;
mod graphql;
mod world;

pub use world::{Group, Item, Kind, Note, Project, Token, User, World};

/// How the instance is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// Closes every connection without a word.
    Down,
    /// Answers every call with this status.
    Failing(u16),
    /// Takes this long for every answer.
    Slow(Duration),
    /// Sends a body that never ends.
    Endless,
    /// Sends every caller elsewhere.
    Moved,
}

/// A running stub. Dropping it closes its port and every socket.
pub struct GitlabStub {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    world: World,
    mood: Mood,
    calls: Vec<String>,
}

impl GitlabStub {
    /// Starts an instance with the world that [`World::default`] describes.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let state = State { world: World::default(), mood: Mood::Well, calls: Vec::new() };
        let shared = Arc::new(Mutex::new(state));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens, e.g. `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_mood(&self, mood: Mood) {
        lock(&self.shared).mood = mood;
    }

    /// Changes the world; the next answer shows it.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut lock(&self.shared).world);
    }

    /// Makes a token unknown, as GitLab does when it is revoked.
    pub fn revoke(&self, token: &str) {
        self.change(|world| world.tokens.retain(|known| known.text != token));
    }

    /// The calls so far, each as its method and path, without the query.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        lock(&self.shared).calls.clone()
    }

    /// How often a path has been called that ends with `path`.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.calls().iter().filter(|call| call.ends_with(path)).count()
    }
}

impl Drop for GitlabStub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is sent back: a status, the number of the next page of a list, and the body.
struct Answer {
    status: u16,
    next_page: Option<usize>,
    body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, next_page: None, body }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<State>>) {
    // Owned here, so that aborting this task ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, Arc::clone(&shared)));
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Mutex<State>>) {
    let Ok(call) = connection::read_request(&mut socket).await else {
        return;
    };
    let path = call.path.split('?').next().unwrap_or_default();
    let mood = {
        let mut state = lock(&shared);
        state.calls.push(format!("{} {path}", call.method));
        state.mood
    };
    let response = match mood {
        Mood::Well => respond(&shared, &call),
        Mood::Down => return,
        Mood::Failing(status) => head(status, "", 2) + "{}",
        Mood::Moved => head(302, "location: http://127.0.0.1:1/elsewhere\r\n", 0),
        Mood::Slow(time) => {
            tokio::time::sleep(time).await;
            respond(&shared, &call)
        }
        Mood::Endless => return endless(socket).await,
    };
    // A caller that has gone needs no answer.
    let _ = socket.write_all(response.as_bytes()).await;
    let _ = socket.shutdown().await;
    let _ = socket.read(&mut [0]).await;
}

fn respond(shared: &Mutex<State>, call: &Call) -> String {
    let Answer { status, next_page, body } = answers::answer(&lock(shared).world, call);
    let next_page = next_page.map(|page| page.to_string()).unwrap_or_default();
    let body = body.to_string();
    let headers = format!("content-type: application/json\r\nx-next-page: {next_page}\r\n");
    head(status, &headers, body.len()) + &body
}

fn head(status: u16, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} As asked\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n")
}

async fn endless(mut socket: TcpStream) {
    let piece = [b' '; 64 * 1024];
    let mut sent = socket.write_all(b"HTTP/1.1 200 As asked\r\nconnection: close\r\n\r\n").await;
    while sent.is_ok() {
        sent = socket.write_all(&piece).await;
    }
}
