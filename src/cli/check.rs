//! `duologue check`: reads everything a start would read, starts nothing, and reports every mistake.

use std::{fmt::Display, path::Path, process::ExitCode};

use duologue_actors::clock::Clock;

use super::{actions, models::settled, output};
use crate::{
    builtin,
    catalogue::{self, Rules},
    config::{Config, DirectoryConfig, DirectorySource, Loaded},
    conversation,
    directory::{self, FileDirectory},
    flags::{self, FileFlags, Names},
    graphql,
    identity::Bypass,
    licence::{self, Status},
    providers::Registry,
    unit_primitives::{self, UnitPrimitives},
};

/// One thing looked at: what is fine about it, or everything that is not.
type Finding = Result<String, String>;

/// Prints a line for each part that is fine, and every mistake of those that are not; then ends with 1.
///
/// # Errors
/// When nobody reads the output.
pub fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    let mut findings = vec![Ok(configuration(loaded.file.as_deref()))];
    findings.push(conversation_of(config));
    findings.extend(models(config));
    findings.extend([
        unit_primitives_of(&config.unit_primitives.path),
        actions_of(config),
        users_of(config),
        flags_of(config),
        licence_of(config),
    ]);
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

fn conversation_of(config: &Config) -> Finding {
    conversation::describe(config).map(|store| format!("conversation   {store}")).map_err(mistakes)
}

/// A line for each feature setting: which model answers, and why those before it do not.
fn models(config: &Config) -> Vec<Finding> {
    if let Err(error) = Registry::new(config) {
        return vec![Err(mistakes(error))];
    }
    let settings = config.feature_settings.keys();
    settings.map(|name| Ok(format!("models         {}", settled(config, name, ": ")))).collect()
}

fn unit_primitives_of(path: &Path) -> Finding {
    let all = UnitPrimitives::load(path).map_err(mistakes)?;
    Ok(format!("primitives     {}: {}", origin(path, unit_primitives::SHIPPED), all.iter().count()))
}

fn actions_of(config: &Config) -> Finding {
    let Ok(unit_primitives) = UnitPrimitives::load(&config.unit_primitives.path) else {
        return Err("the catalogue cannot be checked before the unit primitives are right".to_owned());
    };
    let rules = Rules::of(config, &unit_primitives).to_serve(config);
    let actions = catalogue::load(&config.catalogue.path, &rules).map_err(mistakes)?;
    graphql::sdl(&actions).map_err(|error| mistakes(format!("{:#}", anyhow::Error::from(error))))?;
    let names: Vec<&str> = actions.iter().map(|action| action.name.as_str()).collect();
    let origin = origin(&config.catalogue.path, catalogue::SHIPPED);
    Ok(format!("catalogue      {origin}: {}", names.join(", ")))
}

fn users_of(config: &Config) -> Finding {
    let DirectoryConfig { path, additions, source } = &config.directory;
    if *source == DirectorySource::Gitlab {
        // The settings are right only with a URL.
        let url = config.gitlab.url.as_deref().unwrap_or_default();
        return Ok(format!("directory      GitLab at {url}"));
    }
    let users = FileDirectory::load(&config.directory, &config.deployment).map_err(mistakes)?;
    if config.auth.bypass_external {
        Bypass::new(&config.auth.bypass_user, &users).map_err(mistakes)?;
    }
    let added = if additions.exists() { format!(", with {}", additions.display()) } else { String::new() };
    Ok(format!("directory      {}{added}", origin(path, directory::SHIPPED)))
}

/// Of a faulty catalogue no names are known: that is another finding.
fn flags_of(config: &Config) -> Finding {
    let names = actions::load(config).map(|actions| Names::of(&actions)).unwrap_or_default();
    let flags = FileFlags::open(&config.flags, names).map_err(mistakes)?;
    if let Some(fault) = flags.fault() {
        return Err(fault);
    }
    let origin = origin(&config.flags.path, flags::SHIPPED);
    Ok(match config.flags.changes.exists() {
        true => format!("flags          {origin}, changed by {}", config.flags.changes.display()),
        false => format!("flags          {origin}"),
    })
}

fn licence_of(config: &Config) -> Finding {
    match licence::status(config, Clock::system().now()) {
        Status::ByGroup => Ok("licence        none needed: each top-level group has its own plan".to_owned()),
        Status::InForce { licence, days_left, .. } => {
            let (licensee, plan) = (&licence.terms.licensee, licence.terms.plan.name);
            Ok(format!("licence        {plan}, for {licensee}, {days_left} days left"))
        }
        Status::Nothing(absence) => Err(absence.to_string()),
    }
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
        config.directory.additions = empty.path().join("data/directory.yaml");
        config.flags.path = empty.path().join("demo/flags.yaml");
        config.flags.changes = empty.path().join("data/flags.yaml");
        let catalogue = actions_of(&config).unwrap();
        assert!(catalogue.starts_with("catalogue      built in: chat, "), "{catalogue}");
        assert_eq!(users_of(&config).unwrap(), "directory      built in");
        assert_eq!(flags_of(&config).unwrap(), "flags          built in");

        std::fs::create_dir(empty.path().join("demo")).unwrap();
        std::fs::write(&config.flags.path, "a: true\n").unwrap();
        std::fs::create_dir(empty.path().join("data")).unwrap();
        std::fs::write(&config.flags.changes, "a: false\n").unwrap();
        let (path, changes) = (config.flags.path.display(), config.flags.changes.display());
        assert_eq!(flags_of(&config).unwrap(), format!("flags          {path}, changed by {changes}"));
        std::fs::write(&config.flags.changes, "a: {groups: [gone]}\n").unwrap();
        assert!(flags_of(&config).unwrap_err().contains("the feature group `gone`"));
    }

    #[test]
    fn each_feature_setting_says_which_model_answers_and_why_the_earlier_ones_do_not() {
        let settled = |variables: &[(&str, &str)]| {
            let environment: Environment = variables.iter().copied().collect();
            models(&Config::from_layers(None, &environment).unwrap())
        };
        let gpt = "models         default: gpt (claude: ANTHROPIC_API_KEY is not set)".to_owned();
        assert_eq!(settled(&[("OPENAI_API_KEY", "sk-1")]), [Ok(gpt)]);
        let claude = "models         default: claude".to_owned();
        assert_eq!(settled(&[("ANTHROPIC_API_KEY", "sk-1")]), [Ok(claude)]);
        let broken = settled(&[("ANTHROPIC_API_KEY", "two\nlines")]);
        assert_eq!(broken, [Err("ANTHROPIC_API_KEY does not hold a key".to_owned())]);
    }

    #[test]
    fn an_action_whose_model_is_not_set_up_is_a_mistake_at_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        let chat = builtin::read("catalogue/chat.yaml").unwrap();
        std::fs::write(folder.path().join("chat.yaml"), format!("model: claude\n{}", without_model(&chat)))
            .unwrap();
        config.catalogue.path = folder.path().to_owned();
        let mistake = actions_of(&config).unwrap_err();
        let expected = "chat.yaml:1:8: `claude` is not set up: ANTHROPIC_API_KEY is not set; set it, or name another \
                        model";
        assert!(mistake.ends_with(expected), "{mistake}");
        // Whoever only reads the catalogue need not have the key.
        assert!(actions::load(&config).is_ok());
    }

    fn without_model(file: &str) -> String {
        file.lines().filter(|line| !line.starts_with("model:")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn where_gitlab_is_the_directory_the_file_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.directory.path = folder.path().join("faulty.yaml");
        std::fs::write(&config.directory.path, "users: nobody\n").unwrap();
        assert!(users_of(&config).is_err());
        config.directory.source = DirectorySource::Gitlab;
        config.gitlab.url = Some("https://gitlab.example.com".to_owned());
        assert_eq!(users_of(&config).unwrap(), "directory      GitLab at https://gitlab.example.com");
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
