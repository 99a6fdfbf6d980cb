//! A connection that is made when it is needed and dropped when anything is wrong with it.

use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::config::RedisConfig;

/// One connection, or none yet.
#[derive(Default)]
pub(super) struct Line {
    /// Held while connecting, so that many who wait make one connection.
    connecting: Mutex<()>,
    connection: Lock<Option<Connection>>,
}

/// A connection that many may use at once.
#[derive(Clone)]
pub(super) struct Connection(Arc<MultiplexedConnection>);

/// When a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Now,
    Earlier,
}

impl Connection {
    pub(super) fn link(&self) -> MultiplexedConnection {
        MultiplexedConnection::clone(&self.0)
    }
}

impl Line {
    /// The connection, made now if there is none. Takes as long as the server does: for the caller to bound.
    pub(super) async fn connection(&self, client: &Client) -> RedisResult<(Connection, Made)> {
        if let Some(connection) = self.current().clone() {
            return Ok((connection, Made::Earlier));
        }
        let _alone = self.connecting.lock().await;
        if let Some(connection) = self.current().clone() {
            return Ok((connection, Made::Earlier));
        }
        let link = client.get_multiplexed_async_connection_with_config(&unbounded()).await?;
        let connection = Connection(Arc::new(link));
        *self.current() = Some(connection.clone());
        Ok((connection, Made::Now))
    }

    /// Drops `connection`, unless another one is in its place already.
    pub(super) fn drop(&self, connection: &Connection) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.0, &connection.0)) {
            *current = None;
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where and as whom to connect.
pub(super) fn client(config: &RedisConfig, password: Option<&SecretString>) -> RedisResult<Client> {
    let info: ConnectionInfo = config.url.as_str().into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose_secret());
    }
    Client::open(info.set_redis_settings(settings))
}

/// Without the library's own timeouts: each operation has one, from its beginning to its end.
fn unbounded() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}
