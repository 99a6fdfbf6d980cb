//! `duologue check`: reads everything a start would read, starts nothing, and reports every mistake.

use std::{fmt::Display, path::Path, process::ExitCode};

use super::{actions, output};
use crate::{
    config::{Config, Loaded},
    directory::FileDirectory,
    flags::FileFlags,
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
        catalogue(config),
        directory(&config.directory.path),
        flags(&config.flags.path),
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

fn catalogue(config: &Config) -> Finding {
    let catalogue = actions::load(config).map_err(mistakes)?;
    graphql::sdl(&catalogue).map_err(|error| mistakes(format!("{:#}", anyhow::Error::from(error))))?;
    let names: Vec<&str> = catalogue.iter().map(|action| action.name.as_str()).collect();
    Ok(format!("catalogue      {}", names.join(", ")))
}

fn directory(path: &Path) -> Finding {
    FileDirectory::load(path).map_err(mistakes)?;
    Ok(format!("directory      {}", path.display()))
}

fn flags(path: &Path) -> Finding {
    FileFlags::watch(path).map_err(mistakes)?;
    Ok(format!("flags          {}", path.display()))
}

fn mistakes(mistakes: impl Display) -> String {
    mistakes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_anywhere_fails_the_check() {
        let fine = || Ok("flags".to_owned());
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(format!("{:?}", report(&[fine(), fine()]).unwrap()), success);
        let failure = report(&[Err("c.yaml:1:1: no".to_owned()), fine()]).unwrap();
        assert_ne!(format!("{failure:?}"), success);
    }
}
