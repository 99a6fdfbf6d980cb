use clap::Parser;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::{config::DirectorySource, env_file::Environment};

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    task: Task,
}

struct Terminal {
    _folder: TempDir,
    config: Config,
}

fn terminal(start: &str) -> Terminal {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::from_layers(None, &Environment::default()).unwrap();
    config.flags.path = folder.path().join("flags.yaml");
    config.flags.changes = folder.path().join("data/flags.yaml");
    std::fs::write(&config.flags.path, start).unwrap();
    Terminal { _folder: folder, config }
}

impl Terminal {
    fn run(&self, line: &str) -> anyhow::Result<ExitCode> {
        let arguments = std::iter::once("flags").chain(line.split_whitespace());
        run(&Line::try_parse_from(arguments)?.task, &self.config)
    }

    fn error(&self, line: &str) -> String {
        self.run(line).unwrap_err().to_string()
    }

    /// The row of a flag.
    fn row(&self, flag: &str) -> String {
        let names = Names::of(&actions::load(&self.config).unwrap());
        let table = table(&FileFlags::open(&self.config.flags, names).unwrap());
        let mut rows = table.lines().map(|row| row.split("  ").filter(|cell| !cell.is_empty()));
        let row = rows.find(|row| row.clone().next() == Some(flag));
        row.map(|row| row.map(str::trim).collect::<Vec<_>>().join(" | ")).unwrap_or_default()
    }
}

#[test]
fn the_list_has_what_is_set_and_what_is_not() {
    let terminal = terminal("duo_chat: false\nmine: {actors: [gid://gitlab/Group/10]}\n");
    let rows = ["duo_chat", "mine", "ai_global_switch", "explain_code_ai"].map(|flag| terminal.row(flag));
    let expected = [
        "duo_chat | off | - | file",
        "mine | conditional | Group:10 | file",
        "ai_global_switch | on | - | default",
        "explain_code_ai | off | - | default",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn gates_are_opened_and_closed_by_name() {
    let terminal = terminal("$groups: {team: [gid://gitlab/User/3]}\n");
    let line = "enable duo_chat --user alice --user gid://gitlab/User/9 --group demo --project demo/website \
                --feature-group team --percentage-of-actors 25% --percentage-of-time 0.5";
    terminal.run(line).unwrap();
    let gates = "Group:10, Project:20, User:2, User:9, $team, 25 % of users, 0.5 % of time";
    assert_eq!(terminal.row("duo_chat"), format!("duo_chat | conditional | {gates} | changed"));
    terminal.run("disable duo_chat --user alice --group demo --percentage-of-time").unwrap();
    let gates = "Project:20, User:9, $team, 25 % of users";
    assert_eq!(terminal.row("duo_chat"), format!("duo_chat | conditional | {gates} | changed"));
    terminal.run("disable duo_chat").unwrap();
    assert_eq!(terminal.row("duo_chat"), "duo_chat | off | - | changed");
    terminal.run("delete duo_chat").unwrap();
    assert_eq!(terminal.row("duo_chat"), "duo_chat | on | - | default");
}

#[test]
fn enable_all_switches_on_what_is_behind_a_feature_and_not_the_log_of_prompts() {
    let terminal = terminal("ai_global_switch: false\nduo_chat: {actors: [gid://gitlab/User/2]}\n");
    terminal.run("enable-all").unwrap();
    let features = ["ai_duo_chat_switch", "ai_global_switch", "duo_chat", "explain_code_ai"];
    for flag in features.into_iter().chain(["summarize_comments_ai", "generate_description_ai"]) {
        assert_eq!(terminal.row(flag), format!("{flag} | on | everyone | changed"));
    }
    assert_eq!(terminal.row("expanded_ai_logging"), "expanded_ai_logging | off | - | default");
}

#[rstest]
#[case("enable duo_chatt", "there is no flag `duo_chatt`, did you mean `duo_chat`?")]
#[case("disable zzz", "there is no flag `zzz` (--force sets it all the same)")]
#[case("delete zzz", "there is no flag `zzz`")]
#[case("enable ai_chat --force", "`ai_chat` is a licensed feature of the catalogue")]
#[case("enable Duo-Chat --force", "cannot be the name of a flag")]
#[case("enable duo_chat --user ghost", "there is no user `ghost` in ")]
#[case("enable duo_chat --group demo/website", "there is no group `demo/website` in ")]
#[case("enable duo_chat --user gid://gitlab/Group/10", "is not the global id of a User")]
#[case("enable duo_chat --feature-group nobody", "`nobody` is not a feature group")]
#[case("enable duo_chat --percentage-of-actors 101", "a percentage is a number from 0 to 100")]
#[case("enable duo_chat --percentage-of-actors 25%%", "a percentage is a number from 0 to 100")]
#[case("enable duo_chat --percentage-of-actors 25.", "a percentage is a number from 0 to 100")]
#[case("enable duo_chat --percentage-of-time 0", "use `duologue flags disable`")]
#[case(
    "enable ai_global_switch --group demo",
    "cannot be on or off for Group:10: it is asked about the user alone"
)]
#[case("disable ai_duo_chat_switch --project demo/website", "cannot be on or off for Project:20")]
fn a_mistake_is_named_with_its_mend(#[case] line: &str, #[case] said: &str) {
    let terminal = terminal("");
    let error = terminal.error(line);
    assert!(error.contains(said), "{error}");
    assert!(!terminal.config.flags.changes.exists());
}

#[test]
fn without_a_directory_to_look_into_an_actor_is_given_by_its_id() {
    let mut terminal = terminal("");
    terminal.config.directory.source = DirectorySource::Gitlab;
    let error = terminal.error("enable duo_chat --user alice");
    assert!(error.contains("give the global id, such as gid://gitlab/User/2"), "{error}");
    terminal.run("enable duo_chat --user gid://gitlab/User/2").unwrap();
    assert_eq!(terminal.row("duo_chat"), "duo_chat | conditional | User:2 | changed");
}

#[test]
fn a_flag_of_ones_own_is_set_with_force_and_then_known() {
    let terminal = terminal("");
    terminal.run("enable my_own --force").unwrap();
    terminal.run("disable my_own").unwrap();
    assert_eq!(terminal.row("my_own"), "my_own | off | - | changed");
}
