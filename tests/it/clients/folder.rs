//! A folder of its own for the scripts of a test, with what `make test` installed in `tests/clients`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use duologue_harness::server::PATIENCE;
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::support::home;

const INSTALLED: [&str; 2] = ["node_modules", ".venv"];

pub struct Folder(TempDir);

impl Folder {
    /// Without scripts. What is not installed is missed by whoever looks for it.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in INSTALLED {
            symlink(clients().join(name), folder.path().join(name))?;
        }
        let modules = "{\"type\": \"module\"}";
        fs::write(folder.path().join("package.json"), modules)?;
        Ok(Self(folder))
    }

    /// With the scripts of `tests/clients`.
    pub fn of_the_tests() -> Result<Self> {
        let folder = Self::new()?;
        for place in ["", "adapters"] {
            fs::create_dir_all(folder.path().join(place))?;
            for entry in fs::read_dir(clients().join(place))? {
                let entry = entry?;
                let is_package = entry.file_name().to_string_lossy().starts_with("package");
                if entry.file_type()?.is_file() && !is_package {
                    fs::copy(entry.path(), folder.path().join(place).join(entry.file_name()))?;
                }
            }
        }
        Ok(folder)
    }

    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.path().join(file), text).with_context(|| format!("cannot write {file}"))
    }

    /// Runs a script that must end well; what it says on standard output.
    pub async fn node(&self, script: &str, variables: &[(&str, &str)]) -> String {
        self.run("node", &[script], variables).await
    }

    /// Runs a script that is meant for a page, with what pages have.
    pub async fn node_as_a_page(&self, script: &str, variables: &[(&str, &str)]) -> String {
        fs::copy(clients().join("adapters/page.js"), self.path().join("page.js")).unwrap();
        self.run("node", &["--import", "./page.js", script], variables).await
    }

    pub async fn python(&self, script: &str, variables: &[(&str, &str)]) -> String {
        self.run(".venv/bin/python", &[script], variables).await
    }

    /// Has Relay's compiler make its artifacts of the documents here, against the schema as the server prints it.
    pub async fn compile_for_relay(&self) -> Result<()> {
        let printed = home().run(&["schema"]).await?;
        self.write("schema.graphql", &printed.stdout)?;
        self.run("node_modules/.bin/relay-compiler", &[], &[]).await;
        Ok(())
    }

    async fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        for name in INSTALLED {
            assert!(clients().join(name).is_dir(), "{name} is not installed: run `make test`");
        }
        let program = if program.contains('/') { self.path().join(program) } else { program.into() };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).kill_on_drop(true);
        // Nothing here is anywhere but on this machine.
        command.env("NO_PROXY", "127.0.0.1").envs(variables.iter().copied());
        let output = timeout(PATIENCE * 2, command.output()).await.expect("the script does not end").unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {said}{complaint}", output.status);
        said
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
