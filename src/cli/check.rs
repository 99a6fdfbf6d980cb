//! `duologue check`: reads everything a start would read, starts nothing, and reports every mistake.

use std::{fmt::Display, path::Path, process::ExitCode};

use super::{actions, output};
use crate::{
    builtin, catalogue,
    config::{Config, Loaded},
    directory::{self, FileDirectory},
    flags::{self, FileFlags},
    graphql,
    providers::Registry,
};

/// One thing looked at: what is fine about it, or everything that is not.
type Finding = Result<String, String>;

/// Prints a line for each part that is fine, and every mistake of those that are not; then ends with 1.
///
/// # Errors
/// When nobody reads the output.
pub fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    let findings = [
        Ok(configuration(loaded.file.as_deref())),
        models(config),
        actions_of(config),
        users_of(&config.directory.path),
        flags_of(&config.flags.path),
    ];
    report(&findings)
}

fn report(findings: &[Finding]) -> anyhow::Result<ExitCode> {
    let mut exit = ExitCode::SUCCESS;
    for finding in findings {
        match finding {
            Ok(fine) => output::line(format_args!("ok  {fine}"))?,
            Err(mistakes) => exit = output::failed(mistakes),
        }
    }
    Ok(exit)
}

/// Reached only when the settings are right: they are checked before any subcommand runs.
fn configuration(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("configuration  {}", file.display()),
        None => "configuration  the built-in defaults".to_owned(),
    }
}

fn models(config: &Config) -> Finding {
    Registry::new(&config.models).map_err(mistakes)?;
    let names: Vec<&str> = config.models.keys().map(String::as_str).collect();
    Ok(format!("models         {}", names.join(", ")))
}

fn actions_of(config: &Config) -> Finding {
    let actions = actions::load(config).map_err(mistakes)?;
    graphql::sdl(&actions).map_err(|error| mistakes(format!("{:#}", anyhow::Error::from(error))))?;
    let names: Vec<&str> = actions.iter().map(|action| action.name.as_str()).collect();
    let origin = origin(&config.catalogue.path, catalogue::SHIPPED);
    Ok(format!("catalogue      {origin}: {}", names.join(", ")))
}

fn users_of(path: &Path) -> Finding {
    FileDirectory::load(path).map_err(mistakes)?;
    Ok(format!("directory      {}", origin(path, directory::SHIPPED)))
}

fn flags_of(path: &Path) -> Finding {
    FileFlags::watch(path).map_err(mistakes)?;
    Ok(format!("flags          {}", origin(path, flags::SHIPPED)))
}

/// Where something was read.
fn origin(path: &Path, shipped: &str) -> String {
    if builtin::stands_in_for(path, shipped) { "built in".to_owned() } else { path.display().to_string() }
}

fn mistakes(mistakes: impl Display) -> String {
    mistakes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_file::Environment;

    #[test]
    fn what_is_not_there_is_said_to_be_built_in() {
        let empty = tempfile::tempdir().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.catalogue.path = empty.path().join("catalogue");
        config.directory.path = empty.path().join("demo/directory.yaml");
        config.flags.path = empty.path().join("demo/flags.yaml");
        let catalogue = actions_of(&config).unwrap();
        assert!(catalogue.starts_with("catalogue      built in: chat, "), "{catalogue}");
        assert_eq!(users_of(&config.directory.path).unwrap(), "directory      built in");
        assert_eq!(flags_of(&config.flags.path).unwrap(), "flags          built in");

        std::fs::create_dir(empty.path().join("demo")).unwrap();
        std::fs::write(&config.flags.path, "a: true\n").unwrap();
        let flags = flags_of(&config.flags.path).unwrap();
        assert_eq!(flags, format!("flags          {}", config.flags.path.display()));
    }

    #[test]
    fn one_mistake_anywhere_fails_the_check() {
        let fine = || Ok("flags".to_owned());
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(format!("{:?}", report(&[fine(), fine()]).unwrap()), success);
        let failure = report(&[Err("c.yaml:1:1: no".to_owned()), fine()]).unwrap();
        assert_ne!(format!("{failure:?}"), success);
    }
}
