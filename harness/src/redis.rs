//! A real Redis or Valkey on a free loopback port, with data of its own, that can be stopped, killed, frozen, full and
//! slow to load. What it has acknowledged survives a kill.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use redis::{FromRedisValue, Value};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::server::{PATIENCE, free_address};

/// The variable that names another binary, so that the same tests can be run against another version.
const BINARY: &str = "REDIS_SERVER";

/// Keys that are loaded slowly, and how long each of them takes: three seconds for all. It listens after every 2 MiB.
const SLOW_KEYS: usize = 60;
const SLOW_KEY_BYTES: usize = 1_048_576;
const SLOW_KEY_MICROSECONDS: &str = "50000";

/// Where a Redis is, and the process while it runs. Dropping it kills the process.
pub struct RedisServer {
    folder: TempDir,
    address: SocketAddr,
    password: Option<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// One that answers.
    pub async fn start() -> Result<Self> {
        let mut server = Self::stopped()?;
        server.restart().await?;
        Ok(server)
    }

    /// One that has its address and does not run yet.
    pub fn stopped() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        Ok(Self { folder, address: free_address()?, password: None, process: None })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Runs one command on a connection of its own.
    pub async fn run<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let ran = async {
            let credentials =
                self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
            let client = redis::Client::open(format!("redis://{credentials}{}/0", self.address))?;
            let mut connection = client.get_multiplexed_async_connection().await?;
            let (name, arguments) = words.split_first().context("no command")?;
            Ok(redis::cmd(name).arg(arguments).query_async(&mut connection).await?)
        };
        timeout(PATIENCE, ran).await.with_context(|| format!("no answer to {words:?}"))?
    }

    /// Starts the process on the address and data it had, and waits until it serves them.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn(&[])?;
        self.serves().await
    }

    /// The same, but it takes some seconds to load its data and says so to everyone meanwhile. Needs
    /// [`Self::prepare_slow_keys`] before it was stopped. Does not wait.
    pub fn restart_slowly(&mut self) -> Result<()> {
        self.spawn(&["--key-load-delay", SLOW_KEY_MICROSECONDS])
    }

    /// Waits until it serves its data.
    pub async fn serves(&self) -> Result<()> {
        timeout(PATIENCE, async {
            while self.run::<Value>(&["PING"]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .with_context(|| format!("redis never served: {}", self.log()))
    }

    /// Makes data that a restart can be slow with.
    pub async fn prepare_slow_keys(&self) -> Result<()> {
        let value = "x".repeat(SLOW_KEY_BYTES);
        for number in 0..SLOW_KEYS {
            self.run::<Value>(&["SET", &format!("slow:{number}"), &value]).await?;
        }
        // Loading is slow, and listens meanwhile, only with the form that rewriting gives the data.
        self.run::<Value>(&["BGREWRITEAOF"]).await?;
        timeout(PATIENCE, async {
            while !self.run::<String>(&["INFO", "persistence"]).await?.contains("aof_rewrite_in_progress:0") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        })
        .await
        .context("the data were never rewritten")?
    }

    /// Ends the process in an orderly way.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("-TERM").await?;
        let mut process = self.process.take().context("redis does not run")?;
        timeout(PATIENCE, process.wait())
            .await
            .context("redis did not end")?
            .context("cannot wait for redis")?;
        Ok(())
    }

    /// Kills the process at once.
    pub async fn kill9(&mut self) -> Result<()> {
        let mut process = self.process.take().context("redis does not run")?;
        process.kill().await.context("cannot kill redis")
    }

    /// Takes its time away: connections to it are made, and nothing is answered.
    pub async fn freeze(&self) -> Result<()> {
        self.signal("-STOP").await
    }

    pub async fn thaw(&self) -> Result<()> {
        self.signal("-CONT").await
    }

    /// Makes it refuse every write for want of memory.
    pub async fn fill(&self) -> Result<()> {
        self.run::<Value>(&["CONFIG", "SET", "maxmemory", "1"]).await.map(drop)
    }

    pub async fn make_room(&self) -> Result<()> {
        self.run::<Value>(&["CONFIG", "SET", "maxmemory", "0"]).await.map(drop)
    }

    /// Lets nobody in any more who does not know `password`.
    pub async fn require(&mut self, password: &str) -> Result<()> {
        self.run::<Value>(&["CONFIG", "SET", "requirepass", password]).await?;
        self.password = Some(password.to_owned());
        Ok(())
    }

    fn spawn(&mut self, further: &[&str]) -> Result<()> {
        if self.process.is_some() {
            bail!("redis runs already");
        }
        let binary = std::env::var_os(BINARY).map_or_else(|| PathBuf::from("redis-server"), PathBuf::from);
        let mut command = Command::new(&binary);
        command.args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--rdbcompression", "no"]);
        command.arg("--dir").arg(self.folder.path());
        command.args(["--logfile", LOG]).args(further).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.kill_on_drop(true).spawn();
        self.process = Some(process.with_context(|| format!("cannot start {}", binary.display()))?);
        Ok(())
    }

    /// To this very process.
    async fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.process.as_ref().and_then(Child::id).context("redis does not run")?;
        let status = Command::new("kill").args([signal, &pid.to_string()]).status().await?;
        if !status.success() {
            bail!("kill {signal} {pid} ended with {status}");
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }
}

/// In the folder of the data.
const LOG: &str = "redis.log";
