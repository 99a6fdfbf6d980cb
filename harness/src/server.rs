//! A real `duologue` process: its own folder, a free loopback port, signals, restarts on the same data.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    action_cable,
    graphql::{GraphqlClient, Reply, send},
    transport_ws::Connect,
};

/// The longest any single wait of a test may take; long enough for a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How the variables begin that the binary looks at.
const OURS: [&str; 6] = ["DUOLOGUE", "AIGW", "AI_GATEWAY", "ANTHROPIC", "OPENAI", "GOOGLE"];

/// A folder with everything a server needs: `config.yaml`, `catalogue/`, `demo/`, `data/`. It is the
/// test's own, to edit before and while a server runs on it.
pub struct Home {
    binary: PathBuf,
    folder: TempDir,
    config: Map<String, Value>,
}

impl Home {
    /// Copies the catalogue and the demo of the repository at `repository` into a new folder.
    pub fn new(binary: impl Into<PathBuf>, repository: impl AsRef<Path>) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        for part in ["catalogue", "demo"] {
            copy_folder(&repository.as_ref().join(part), &folder.path().join(part))?;
        }
        let mut home = Self { binary: binary.into(), folder, config: Map::new() };
        home.set("server", "listen", "127.0.0.1:0")?;
        home.set("storage", "path", "data/")?;
        Ok(home)
    }

    /// Sets one key of `config.yaml`. JSON is YAML, so that is what is written.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) -> Result<()> {
        let section = self.config.entry(section).or_insert_with(|| json!({}));
        let section = section.as_object_mut().context("not a section")?;
        section.insert(key.to_owned(), value.into());
        let text = serde_json::to_string_pretty(&self.config)?;
        fs::write(self.config_path(), text).context("cannot write config.yaml")
    }

    /// Listens on a port known beforehand, for those who must find the server by its configuration.
    pub fn fix_port(&mut self) -> Result<SocketAddr> {
        let address = free_address()?;
        self.set("server", "listen", address.to_string())?;
        Ok(address)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path().join("config.yaml")
    }

    /// Leaves the folder where it is when this is dropped, for a look at it.
    pub fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Reads a file of the folder.
    pub fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.path().join(file)).with_context(|| format!("cannot read {file}"))
    }

    /// Writes a file of the folder.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path().join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// The binary with `arguments`, in this folder, with an environment that says nothing to it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars() {
            if OURS.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs `binary` from now on: what the old one left in the folder is the new one's.
    pub fn set_binary(&mut self, binary: impl Into<PathBuf>) {
        self.binary = binary.into();
    }

    /// Runs the binary with `arguments` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Run> {
        let mut command = self.command(arguments);
        let output = timeout(PATIENCE, command.output()).await;
        let output =
            output.with_context(|| format!("{arguments:?} did not end"))?.context("cannot run the binary")?;
        Ok(Run {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts a server on this folder.
    pub async fn serve(self) -> Result<TestServer> {
        let process = Process::start(&self).await?;
        Ok(TestServer { home: self, process })
    }
}

/// How a run of the binary ended.
#[derive(Clone, Debug)]
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A running server. Dropping it kills it.
pub struct TestServer {
    home: Home,
    process: Process,
}

impl TestServer {
    /// A server with the repository's own catalogue and demo, and defaults otherwise.
    pub async fn start(binary: &str, repository: &str) -> Result<Self> {
        Home::new(binary, repository)?.serve().await
    }

    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// To change what the next start finds.
    pub fn home_mut(&mut self) -> &mut Home {
        &mut self.home
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// `path` of this server, over HTTP.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.child.id()
    }

    /// A GraphQL client that shows `token`.
    pub fn graphql(&self, token: &str) -> Result<GraphqlClient> {
        GraphqlClient::new(self.url("/api/graphql"), Some(token))
    }

    /// A GraphQL client without a token.
    pub fn anonymous(&self) -> Result<GraphqlClient> {
        GraphqlClient::new(self.url("/api/graphql"), None)
    }

    /// The way to this server's websocket.
    #[must_use]
    pub fn websocket(&self) -> Connect {
        Connect::to(format!("ws://{}/api/graphql", self.address()))
    }

    /// The way to this server's ActionCable.
    #[must_use]
    pub fn cable(&self) -> Connect {
        Connect::to(format!("ws://{}/-/cable", self.address())).subprotocol(Some(action_cable::SUBPROTOCOL))
    }

    /// A plain GET.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        send(client.get(self.url(path))).await
    }

    /// Everything the server has written to its standard error so far.
    pub fn log(&self) -> Result<String> {
        self.home.read(STDERR)
    }

    /// The log, once it contains `text`: a thread of its own writes it.
    pub async fn log_with(&self, text: &str) -> Result<String> {
        let written = async {
            loop {
                let log = self.log()?;
                if log.contains(text) {
                    return Ok(log);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let missing = || format!("{text:?} is not in {}", self.log().unwrap_or_default());
        timeout(PATIENCE, written).await.with_context(missing)?
    }

    /// Ends the process, which writes the rest of its log then: for what must not be in it.
    pub async fn whole_log(&mut self) -> Result<String> {
        self.terminate().await?;
        self.ended().await?;
        self.log()
    }

    /// Writes a line to the process's standard input.
    pub async fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = &mut self.process.stdin;
        stdin.write_all(format!("{line}\n").as_bytes()).await.context("the server reads nothing")
    }

    /// The most memory the process has held at any time, in bytes.
    pub fn highest_memory_bytes(&self) -> Result<u64> {
        let pid = self.pid().context("the server has ended already")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.context("no VmHWM")?.trim().trim_end_matches(" kB").parse::<u64>()?;
        Ok(kibibytes * 1_024)
    }

    /// Kills the process at once, as the kernel does when memory runs out; nothing is flushed.
    pub async fn kill9(&mut self) -> Result<()> {
        self.process.child.kill().await.context("cannot kill the server")
    }

    /// Asks the process to end, as an orchestrator does, and does not wait.
    pub async fn terminate(&self) -> Result<()> {
        let pid = self.pid().context("the server has ended already")?;
        let status = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        if !status.success() {
            bail!("kill -TERM {pid} ended with {status}");
        }
        Ok(())
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.process.child.wait()).await;
        ended.context("the server did not end")?.context("cannot wait for the server")
    }

    /// Starts a new process on the same folder; the old one must have ended.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = Process::start(&self.home).await?;
        Ok(())
    }
}

/// Where a server's standard error goes, inside its folder.
const STDERR: &str = "stderr.log";

struct Process {
    child: Child,
    /// Not the child's any more: waiting for it would close it.
    stdin: ChildStdin,
    address: SocketAddr,
}

impl Process {
    async fn start(home: &Home) -> Result<Self> {
        let errors = File::options().create(true).append(true).open(home.path().join(STDERR))?;
        let mut command = home.command(&["serve", "--config"]);
        command.arg(home.config_path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().context("cannot start the server")?;
        let stdin = child.stdin.take().context("the server has no standard input")?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        let found = timeout(PATIENCE, address_in(stdout)).await;
        let address = found.map_err(|_| anyhow!("the server never said where it listens")).flatten();
        let address =
            address.with_context(|| format!("standard error: {}", home.read(STDERR).unwrap_or_default()))?;
        let process = Self { child, stdin, address };
        process.answers().await?;
        Ok(process)
    }

    /// The address is printed before or after the first connection is taken; either will do.
    async fn answers(&self) -> Result<()> {
        let url = format!("http://{}/-/liveness", self.address);
        let client = reqwest::Client::builder().no_proxy().build()?;
        timeout(PATIENCE, async {
            while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .context("the server never answered")
    }
}

/// Reads the server's output up to the first loopback address, then keeps on reading it away, so that the
/// server never blocks on a full pipe.
async fn address_in(stdout: ChildStdout) -> Result<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = loopback_address(&line) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address);
        }
    }
    bail!("the server ended without saying where it listens")
}

/// The address in the first `http://127.0.0.1:PORT` of `line`.
fn loopback_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// A loopback address that nobody listened on a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener.local_addr().context("no address")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_wherever_it_stands_in_the_line() {
        let address: SocketAddr = "127.0.0.1:4711".parse().unwrap();
        assert_eq!(loopback_address("GraphQL  http://127.0.0.1:4711/api/graphql"), Some(address));
        assert_eq!(loopback_address("listening on http://127.0.0.1:4711"), Some(address));
        assert_eq!(loopback_address("see http://example.test/"), None);
        assert_eq!(loopback_address("nothing here"), None);
    }
}
