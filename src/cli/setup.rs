//! `duologue setup GROUP`: a group in which AI features work, with a project and a user to try them with, and a
//! word on everything that keeps them from working.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use duologue_actors::{policy::Explanation, ports::FlagSource, trace::Step};

use super::{ask::TOKEN_VARIABLE, output};
use crate::{
    config::{Config, DirectorySource, Loaded},
    offer::Offer,
};

mod checks;
mod commands;
mod make;
mod names;
mod report;

use checks::Checks;
use commands::Commands;
use make::{Made, Maker, Wanted};
use report::Report;

#[derive(Debug, Args)]
pub struct Setup {
    /// The top-level group to make, or to complete if it is there
    #[arg(value_name = "GROUP", value_parser = names::group)]
    pub group: String,

    /// The path of a project in it [default: test-project]
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,

    /// Who is to be a member of it [default: GROUP-tester]
    #[arg(long, value_name = "USERNAME", value_parser = names::username)]
    pub user: Option<String>,
}

impl Setup {
    fn wanted(&self) -> anyhow::Result<Wanted> {
        let group = self.group.clone();
        let project = self.project.as_deref().unwrap_or("test-project");
        let project = names::project(project, &group).map_err(anyhow::Error::msg).context("--project")?;
        let user = match &self.user {
            Some(user) => user.clone(),
            None => names::username(&format!("{group}-tester"))
                .map_err(anyhow::Error::msg)
                .context("the group's name makes no username; give one with --user")?,
        };
        Ok(Wanted { group, project, user })
    }

    /// The arguments of this very run.
    fn arguments(&self) -> impl Iterator<Item = &str> {
        let options = [("--project", &self.project), ("--user", &self.user)];
        let given = options.into_iter().filter_map(|(option, value)| Some([option, value.as_deref()?]));
        ["setup", &self.group].into_iter().chain(given.flatten())
    }
}

/// Makes what is missing, looks at the rest, and prints both; ends with 1 while anything is left to be mended.
///
/// # Errors
/// When what is configured is faulty, or a file cannot be written; what was done before is printed all the same.
pub fn run(setup: &Setup, loaded: &Loaded, env_file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (config, wanted) = (&loaded.config, setup.wanted()?);
    if config.directory.source == DirectorySource::Gitlab {
        let url = config.gitlab.url.as_deref().unwrap_or("the GitLab instance");
        bail!(
            "directory.source is gitlab: make the group at {url}, or set directory.source: file to try it without"
        );
    }
    // What is faulty is told before anything is written.
    let offer = Offer::load(config)?;
    let commands = Commands::new(named(loaded.file.as_deref()), env_file);
    let mut report = Report::default();
    let outcome = make_and_check(config, &offer, &wanted, &commands, &mut report);
    // Also of a run that came to nothing: what it made is there, and a token is shown this once.
    output::piece(&report.to_string())?;
    let (made, explanation) = outcome?;
    if let Some(explanation) = &explanation {
        output::piece(&proof(explanation, &made))?;
    }
    if report.has_changes() {
        output::line("\nA server that runs reads its directory when it starts: restart it.")?;
    }
    conclude(&report, &try_it(&made, config, &commands), &commands.duologue(setup.arguments()))
}

/// The file of the settings, unless it is the one that is read without being named.
fn named(file: Option<&Path>) -> Option<&Path> {
    file.filter(|file| *file != Path::new("config.yaml"))
}

fn make_and_check(
    config: &Config,
    offer: &Offer,
    wanted: &Wanted,
    commands: &Commands,
    report: &mut Report,
) -> anyhow::Result<(Made, Option<Explanation>)> {
    let made = Maker::new(config, wanted, report)?.make()?;
    let checks = Checks { config, offer, flags: offer.flags.snapshot(), made: &made, commands, report };
    let explanation = futures::executor::block_on(checks.make()).context("the checks cannot be made")?;
    Ok((made, explanation))
}

fn conclude(report: &Report, try_it: &str, repeat: &str) -> anyhow::Result<ExitCode> {
    let things = match report.remaining() {
        0 => {
            output::line(format_args!("\nEverything is right. Try it:\n\n{try_it}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        1 => "1 thing is WRONG".to_owned(),
        count => format!("{count} things are WRONG"),
    };
    Ok(output::failed(format_args!("{things}; mend it and run `{repeat}` again")))
}

/// What a chat of the user about the project would meet.
fn proof(explanation: &Explanation, made: &Made) -> String {
    let rows: Vec<[String; 4]> = explanation.steps.iter().map(row).collect();
    let verdict = match &explanation.refusal {
        None => "allowed".to_owned(),
        Some(refusal) => format!("refused: {}", refusal.text),
    };
    let (user, project, table) = (&made.user.username, &made.project, output::table(&rows));
    format!("\nThe six checks, for a chat of {user} about {project}:\n\n{table}\n{verdict}\n")
}

fn row(step: &Step) -> [String; 4] {
    let check = format!("{} {}", step.check.number(), step.check.name());
    [String::new(), check, step.finding.as_str().to_owned(), step.facts.clone()]
}

/// A command that asks as the new user.
fn try_it(made: &Made, config: &Config, commands: &Commands) -> String {
    let (token, note) = match &made.token {
        Some(token) => (token.as_str(), String::new()),
        None => {
            let kind = if config.auth.development_tokens { "the development" } else { "a" };
            ("$TOKEN", format!("\n\nwith {kind} token of {} in TOKEN", made.user.username))
        }
    };
    let project = made.project.to_string();
    let ask = commands.duologue(["ask", "--resource", &project, "What is this project for?"]);
    format!("  {TOKEN_VARIABLE}={token} {ask}{note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(project: Option<&str>, user: Option<&str>) -> anyhow::Result<Wanted> {
        let [project, user] = [project, user].map(|text| text.map(ToOwned::to_owned));
        Setup { group: "demo".to_owned(), project, user }.wanted()
    }

    #[test]
    fn what_is_not_said_follows_from_the_group() {
        let Wanted { group, project, user } = wanted(None, None).unwrap();
        assert_eq!(
            (group.as_str(), project.as_str(), user.as_str()),
            ("demo", "demo/test-project", "demo-tester")
        );
        let Wanted { project, user, .. } = wanted(Some("team/site"), Some("alice")).unwrap();
        assert_eq!((project.as_str(), user.as_str()), ("demo/team/site", "alice"));
    }

    #[test]
    fn the_command_that_repeats_a_run_has_its_options() {
        let repeat = |project: Option<&str>, user: Option<&str>| {
            let [project, user] = [project, user].map(|text| text.map(ToOwned::to_owned));
            let setup = Setup { group: "demo".to_owned(), project, user };
            Commands::new(None, None).duologue(setup.arguments())
        };
        assert_eq!(repeat(None, None), "duologue setup demo");
        assert_eq!(repeat(Some("p2"), Some("bob")), "duologue setup demo --project p2 --user bob");
        assert_eq!(repeat(None, Some("bob")), "duologue setup demo --user bob");
    }

    #[test]
    fn names_that_gitlab_would_refuse_are_refused_with_the_option_that_mends_it() {
        let error = wanted(Some("demo/-"), None).err().unwrap();
        assert!(format!("{error:#}").starts_with("--project: "), "{error:#}");
        let long = Setup { group: "g".repeat(255), project: None, user: None }.wanted().err().unwrap();
        assert!(format!("{long:#}").contains("--user"), "{long:#}");
    }
}
