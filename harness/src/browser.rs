//! A headless Chromium with a profile of its own, which reaches nothing but this machine.

use std::{env, path::PathBuf, process::Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Where one is looked for that `CHROMIUM` does not name; `tests/install-tools` looks in the same places.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Without a window, and without anything that Chromium does besides showing pages. The sandbox is nothing for root,
/// as whom tests run in containers, and what is shown is our own. No name is looked up anywhere.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// A browser with one page open. Dropping it ends it.
pub struct Browser {
    process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens the page at `url`.
    ///
    /// # Errors
    /// When there is no browser.
    pub fn open(url: &str) -> Result<Self> {
        let profile = tempfile::tempdir().context("no temporary folder")?;
        let program = program().context("there is no Chromium: run `make test`, or name one in CHROMIUM")?;
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("cannot start the browser")?;
        Ok(Self { process, _profile: profile })
    }

    /// Ends the browser, and with it the processes it has started.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub async fn close(mut self) -> Result<()> {
        self.process.kill().await.context("the browser has ended already")
    }
}

fn program() -> Option<PathBuf> {
    let named = env::var_os("CHROMIUM").filter(|name| !name.is_empty());
    let names = named.into_iter().chain(NAMES.map(Into::into));
    let folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    // A name with a path in it replaces the folder.
    names.flat_map(|name| folders.iter().map(move |folder| folder.join(&name))).find(|path| path.is_file())
}
