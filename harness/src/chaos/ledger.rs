//! The ledger: a process of its own that is told every fact of a run the moment it is established, keeps them in
//! a file, and judges them at the end. What it knows survives whatever happens to those that are being
//! observed, and to who observes them.

use std::{
    fs::File,
    io::{BufRead, BufWriter, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    fact::{Entry, Fact},
    judge::{Judge, Judgement},
};
use crate::server::PATIENCE;

/// The subcommand under which the binary is the ledger.
pub const SUBCOMMAND: &str = "ledger";

/// What a ledger process does: appends each line of `facts` to `file`, and judges when there are no more.
///
/// # Errors
/// When the file cannot be written, or a line is no fact.
pub fn keep(facts: impl BufRead, file: &Path) -> Result<Judgement> {
    let mut file =
        BufWriter::new(File::create(file).with_context(|| format!("cannot write {}", file.display()))?);
    let mut judge = Judge::default();
    for line in facts.lines() {
        let line = line?;
        writeln!(file, "{line}")?;
        let entry: Entry = serde_json::from_str(&line).with_context(|| format!("not a fact: {line}"))?;
        judge.hear(entry);
    }
    file.flush()?;
    Ok(judge.judge())
}

/// Where facts are told. Cloned for everybody who establishes some.
#[derive(Clone, Debug)]
pub struct Ledger {
    facts: mpsc::UnboundedSender<Line>,
    began: Instant,
}

#[derive(Debug)]
enum Line {
    Fact(Entry),
    End,
}

impl Ledger {
    /// Notes a fact. In order: what one task notes before it acts is written before.
    pub fn note(&self, fact: Fact) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A ledger that is gone is found out when its judgement is asked for.
        let _ = self.facts.send(Line::Fact(Entry { at, fact }));
    }
}

/// The ledger's process, as the driver holds it.
pub struct LedgerProcess {
    child: Child,
    ledger: Ledger,
    writing: JoinHandle<std::io::Result<()>>,
    path: PathBuf,
}

impl LedgerProcess {
    /// Starts this same binary as a ledger that keeps its facts at `path`.
    pub fn start(path: PathBuf) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SUBCOMMAND).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the ledger")?;
        let stdin = child.stdin.take().context("the ledger has no standard input")?;
        let (facts, lines) = mpsc::unbounded_channel();
        let writing = tokio::spawn(write(lines, stdin));
        Ok(Self { child, ledger: Ledger { facts, began: Instant::now() }, writing, path })
    }

    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the ledger and hears its judgement. Facts that are noted from here on are lost.
    pub async fn judgement(&mut self) -> Result<Judgement> {
        let _ = self.ledger.facts.send(Line::End);
        (&mut self.writing).await?.context("the ledger takes no more facts")?;
        let mut stdout = self.child.stdout.take().context("the ledger has no standard output")?;
        let mut text = String::new();
        let judged = timeout(PATIENCE, stdout.read_to_string(&mut text)).await;
        judged.context("the ledger does not judge")??;
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("the ledger ended with {status}");
        }
        serde_json::from_str(&text).context("the ledger's judgement cannot be read")
    }
}

/// Writes lines in the order they come; returns at the end, which closes the ledger's input.
async fn write(mut lines: mpsc::UnboundedReceiver<Line>, mut stdin: ChildStdin) -> std::io::Result<()> {
    while let Some(Line::Fact(entry)) = lines.recv().await {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        stdin.write_all(&line).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_kept_and_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let entry = Entry { at: 1, fact: Fact::Intended { intent: 1, user: 2 } };
        let line = format!("{}\n", serde_json::to_string(&entry).unwrap());
        assert_eq!(keep(line.as_bytes(), &path).unwrap().intended, 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    }

    #[test]
    fn a_line_that_is_no_fact_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = keep(&b"nonsense\n"[..], &folder.path().join("facts")).unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error:#}");
    }
}
