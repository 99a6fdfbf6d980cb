//! The server that is being mistreated, and where it is right now.

use std::{net::SocketAddr, process::ExitStatus};

use anyhow::Result;
use tokio::sync::watch;

use super::{fact::Fact, ledger::Ledger};
use crate::{
    graphql::Reply,
    server::{Home, TestServer},
};

/// Where the server listens; `None` while there is none. It changes with each start.
pub type Whereabouts = watch::Receiver<Option<SocketAddr>>;

pub struct Subject {
    server: TestServer,
    address: watch::Sender<Option<SocketAddr>>,
    ledger: Ledger,
}

impl Subject {
    pub async fn start(home: Home, ledger: Ledger) -> Result<Self> {
        let server = home.serve().await?;
        let (address, _) = watch::channel(Some(server.address()));
        Ok(Self { server, address, ledger })
    }

    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        self.address.subscribe()
    }

    /// The process itself, for what does not end it.
    pub fn server(&mut self) -> &mut TestServer {
        &mut self.server
    }

    /// A plain GET of the server's.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.server.get(path).await
    }

    /// Kills the process as the kernel does when memory runs out.
    pub async fn kill9(&mut self) -> Result<()> {
        self.server.kill9().await?;
        self.is_gone();
        Ok(())
    }

    /// Asks the process to end and waits until it has.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.server.terminate().await?;
        self.ended().await
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let status = self.server.ended().await?;
        self.is_gone();
        Ok(status)
    }

    /// Starts a process on the same folder.
    pub async fn restart(&mut self) -> Result<()> {
        self.server.restart().await?;
        self.ledger.note(Fact::ServerStarted);
        self.address.send_replace(Some(self.server.address()));
        Ok(())
    }

    fn is_gone(&self) {
        self.ledger.note(Fact::ServerEnded);
        self.address.send_replace(None);
    }
}
