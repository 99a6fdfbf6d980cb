//! An address where nobody listens. Its port is bound all the while, so that no other test can be given it and
//! answer in its place.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

use super::{FakeProvider, Manner, Script, Standing};

pub struct Refusing {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Refusing {
    pub(super) fn new() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?).context("no free port")?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen at this address.
    pub fn open(self, standing: Script) -> Result<FakeProvider> {
        FakeProvider::accepting(self.socket.listen(1024)?, Manner::Plain, Standing::Script(standing))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Client;

    use super::*;

    #[tokio::test]
    async fn nobody_listens_until_the_address_is_opened() {
        let refusing = FakeProvider::refusing().unwrap();
        let (url, client) = (refusing.url(), Client::builder().no_proxy().build().unwrap());
        assert!(client.get(&url).send().await.unwrap_err().is_connect());

        let provider = refusing.open(Script::status(204)).unwrap();
        assert_eq!(provider.url(), url);
        assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 204);
    }
}
