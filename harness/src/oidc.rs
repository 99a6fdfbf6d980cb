//! An OIDC issuer on a loopback port: it publishes keys, signs tokens, good ones and every kind of bad one,
//! changes its keys, and can be down.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::{
    encoding::AsDer,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What tokens are issued for unless a test says otherwise; the server's own default.
pub const AUDIENCE: &str = "gitlab-ai-gateway";

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";
/// The longest request head that is read.
const MAX_HEAD: usize = 16_384;

/// A running issuer. Dropping it closes its port.
pub struct OidcIssuer {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    keys: Vec<Arc<SigningKey>>,
    mood: Mood,
    discovery: Option<Answer>,
    jwks: Option<Answer>,
    jwks_fetches: u64,
}

/// Status and body.
type Answer = (u16, String);

#[derive(Clone, Copy)]
enum Mood {
    Up,
    Down,
    Silent,
}

impl OidcIssuer {
    /// Starts an issuer with one key.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(State {
            keys: vec![Arc::new(SigningKey::generate()?)],
            mood: Mood::Up,
            discovery: None,
            jwks: None,
            jwks_fetches: 0,
        }));
        let accepting = tokio::spawn(accept(listener, address, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Its `issuer`, e.g. `http://127.0.0.1:4711`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// The key that is signed with now.
    pub fn key(&self) -> Result<Arc<SigningKey>> {
        self.state().keys.last().cloned().context("the issuer has no key")
    }

    /// Publishes a new key instead of all others, and signs with it.
    pub fn rotate(&self) -> Result<()> {
        self.publish(vec![Arc::new(SigningKey::generate()?)]);
        Ok(())
    }

    /// Publishes these keys; the last one signs.
    pub fn publish(&self, keys: Vec<Arc<SigningKey>>) {
        self.state().keys = keys;
    }

    /// Closes every connection without an answer.
    pub fn down(&self) {
        self.state().mood = Mood::Down;
    }

    /// Takes questions and never answers.
    pub fn silent(&self) {
        self.state().mood = Mood::Silent;
    }

    /// Answers again.
    pub fn up(&self) {
        self.state().mood = Mood::Up;
    }

    /// What the discovery document is from now on, instead of the right one.
    pub fn answer_discovery(&self, answer: Option<(u16, String)>) {
        self.state().discovery = answer;
    }

    /// What the key set is from now on, instead of the right one.
    pub fn answer_jwks(&self, answer: Option<(u16, String)>) {
        self.state().jwks = answer;
    }

    /// How often the keys were asked for while it was up.
    #[must_use]
    pub fn jwks_fetches(&self) -> u64 {
        self.state().jwks_fetches
    }

    /// Claims that are good for an hour: `iss`, `aud`, `iat`, `nbf`, `exp`, a `jti` of their own, and `more`,
    /// which wins; a null takes a claim away.
    #[must_use]
    pub fn claims(&self, more: &Value) -> Value {
        static TOKENS: AtomicU64 = AtomicU64::new(1);
        let now = now();
        let mut claims = json!({
            "iss": self.url(), "aud": AUDIENCE, "iat": now, "nbf": now.saturating_sub(5), "exp": now + 3_600,
            "jti": format!("token-{}", TOKENS.fetch_add(1, Ordering::Relaxed)),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            match (value, claims.as_object_mut()) {
                (Value::Null, Some(claims)) => drop(claims.remove(name)),
                (value, Some(claims)) => drop(claims.insert(name.clone(), value.clone())),
                (_, None) => {}
            }
        }
        claims
    }

    /// A token signed with the present key: good claims, and `more` of them.
    pub fn mint(&self, more: &Value) -> Result<String> {
        let key = self.key()?;
        key.sign(&key.header(), &self.claims(more))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

impl Drop for OidcIssuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An RSA key of 2,048 bits with a name of its own.
pub struct SigningKey {
    id: String,
    pair: KeyPair,
}

impl SigningKey {
    pub fn generate() -> Result<Self> {
        static KEYS: AtomicU64 = AtomicU64::new(1);
        Self::named(&format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed)))
    }

    /// A key with a name that another one may have too.
    pub fn named(id: &str) -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        Ok(Self { id: id.to_owned(), pair })
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half, as it is published.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        let (modulus, exponent) = (public.modulus(), public.exponent());
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": encode(modulus.big_endian_without_leading_zero()),
            "e": encode(exponent.big_endian_without_leading_zero()),
        })
    }

    /// The public half as a PEM file: what an attacker would sign a token of HS256 with.
    pub fn pem(&self) -> Result<String> {
        let der = self.pair.public_key().as_der().map_err(|_| anyhow!("no DER"))?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        Ok(pem + "\n-----END PUBLIC KEY-----\n")
    }

    /// The header of an honest token.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": "RS256", "typ": "JWT", "kid": self.id })
    }

    /// A token with any header, signed with RS256 whatever the header says.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let message = message(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{message}.{}", encode(&signature)))
    }
}

/// A token with an empty signature.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", message(header, claims))
}

/// A token of HMAC-SHA256 with any secret.
#[must_use]
pub fn hmac_signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag.as_ref()))
}

/// Seconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a real process reads the same clock")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Mutex<State>>) {
    // Owned here, so that aborting this task ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, address, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// One question on one connection. What goes wrong with it is the caller's to notice.
async fn serve(mut socket: TcpStream, address: SocketAddr, shared: Arc<Mutex<State>>) {
    let mood = lock(&shared).mood;
    match mood {
        Mood::Down => return,
        Mood::Silent => tokio::time::sleep(Duration::from_secs(3_600)).await,
        Mood::Up => {}
    }
    let Some(path) = read_path(&mut socket).await else {
        return;
    };
    let (status, body) = answer(&path, address, &mut lock(&shared));
    let location = if status / 100 == 3 { "Location: /elsewhere\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{location}Connection: close\r\n\r\n",
        body.len()
    );
    if socket.write_all(head.as_bytes()).await.is_ok() && socket.write_all(body.as_bytes()).await.is_ok() {
        socket.shutdown().await.unwrap_or_default();
    }
}

async fn read_path(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

fn answer(path: &str, address: SocketAddr, state: &mut State) -> Answer {
    match path {
        DISCOVERY => state.discovery.clone().unwrap_or_else(|| {
            let issuer = url(address);
            (200, json!({ "issuer": issuer, "jwks_uri": format!("{issuer}{KEYS}") }).to_string())
        }),
        KEYS => {
            state.jwks_fetches += 1;
            let keys: Vec<Value> = state.keys.iter().map(|key| key.jwk()).collect();
            state.jwks.clone().unwrap_or_else(|| (200, json!({ "keys": keys }).to_string()))
        }
        _ => (404, "{}".to_owned()),
    }
}
