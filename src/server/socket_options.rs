//! The options every accepted connection gets.

use std::{any::Any, time::Duration};

use actix_web::rt::net::TcpStream;
use socket2::SockRef;

#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    /// What the kernel keeps for a client that does not read: without a bound, megabytes.
    pub send_buffer_bytes: usize,
    /// How long sent bytes may stay unacknowledged before the connection is given up.
    pub user_timeout: Duration,
}

impl SocketOptions {
    pub(super) fn apply(self, connection: &dyn Any) {
        let Some(stream) = connection.downcast_ref::<TcpStream>() else {
            return;
        };
        if let Err(cause) = self.set(SockRef::from(stream)) {
            tracing::warn!(%cause, "a connection's options could not be set");
        }
    }

    fn set(self, socket: SockRef<'_>) -> std::io::Result<()> {
        // With Nagle's algorithm a streamed token waits some 40 ms for its predecessor's acknowledgement.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(self.send_buffer_bytes)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_has_them() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        SocketOptions { send_buffer_bytes: 131_072, user_timeout: Duration::from_secs(15) }.apply(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        // Linux keeps its own books in as much again.
        assert!((131_072..=262_144).contains(&socket.send_buffer_size().unwrap()));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(15)));
    }
}
