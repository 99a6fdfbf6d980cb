//! `duologue setup`, and what groups and projects say about AI features, through the server that reads it.

use std::fs;

use duologue_harness::server::Run;
use rstest::rstest;
use serde_json::json;

use crate::support::{ALICE, MALLORY, NOT_FOUND, ask, chat, explain, home, try_ask};

const ADDITIONS: &str = "data/directory.yaml";
const DUO_OFF: &str = "I am sorry, I cannot access the information you are asking about. A group or project owner has \
                       turned off Duo features in this group or project. Error code: M3002";

/// What a run printed under `verb`.
fn lines<'r>(run: &'r Run, verb: &str) -> Vec<&'r str> {
    run.stdout.lines().filter_map(|line| line.strip_prefix(verb)).map(str::trim).collect()
}

/// The last command a run suggests.
fn suggested(run: &Run) -> &str {
    run.stdout
        .lines()
        .rfind(|line| line.contains("DUOLOGUE_TOKEN="))
        .unwrap_or_else(|| panic!("{}", run.stdout))
        .trim()
}

#[tokio::test]
async fn a_group_is_set_up_and_its_user_asks_what_the_last_line_says() {
    let mut home = home();
    home.fix_port().unwrap();
    let demo = home.read("demo/directory.yaml").unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
    let made = lines(&run, "made");
    assert_eq!(
        made[..3],
        [
            "group demo2 (gid://gitlab/Group/12)",
            "project demo2/test-project (gid://gitlab/Project/21)",
            "user demo2-tester (gid://gitlab/User/4)",
        ]
    );
    assert!(made[3].starts_with("development token of demo2-tester: dev-"), "{made:?}");
    assert_eq!(made[4..], ["membership of demo2-tester in demo2, as developer"]);
    assert!(run.stdout.contains("5 membership") && run.stdout.contains("\nallowed\n"), "{}", run.stdout);
    assert!(run.stdout.contains("restart"), "{}", run.stdout);
    assert_eq!(home.read("demo/directory.yaml").unwrap(), demo, "only the additions are written");

    // The command as it is printed, by the binary under test.
    let command = suggested(&run);
    let (variable, rest) = command.split_once(' ').unwrap();
    let token = variable.strip_prefix("DUOLOGUE_TOKEN=").unwrap().to_owned();
    assert_eq!(rest, "duologue ask --resource gid://gitlab/Project/21 'What is this project for?'");
    let arguments = ["ask", "--resource", "gid://gitlab/Project/21", "What is this project for?"];
    let output = home.command(&arguments).env("DUOLOGUE_TOKEN", &token).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());

    let mut server = home.serve().await.unwrap();
    let client = server.graphql(&token).unwrap();
    ask(&client, chat("What is this project for?", None)).await;
    ask(&client, explain("gid://gitlab/Project/21", None)).await;
    let stranger = try_ask(&server.graphql(ALICE).unwrap(), explain("gid://gitlab/Project/21", None)).await;
    assert_eq!(stranger.error_messages(), [NOT_FOUND]);
    assert!(!server.whole_log().await.unwrap().contains(&token), "the token is in the log");
}

#[tokio::test]
async fn a_second_run_says_that_everything_is_there_and_changes_nothing() {
    let home = home();
    let first = home.run(&["setup", "demo2", "--project", "site", "--user", "mallory"]).await.unwrap();
    assert_eq!(first.code(), Some(0), "{}{}", first.stdout, first.stderr);
    let written = home.read(ADDITIONS).unwrap();
    let changed = fs::metadata(home.path().join(ADDITIONS)).unwrap().modified().unwrap();
    let second = home.run(&["setup", "demo2", "--project", "demo2/site", "--user", "mallory"]).await.unwrap();
    assert_eq!(second.code(), Some(0), "{}{}", second.stdout, second.stderr);
    assert_eq!((lines(&second, "made").len(), lines(&second, "changed").len()), (0, 0), "{}", second.stdout);
    let kept = [
        "group demo2 (gid://gitlab/Group/12), already there",
        "project demo2/site (gid://gitlab/Project/21), already there",
        "user mallory (gid://gitlab/User/3), already there",
        "development token of mallory, already there",
        "membership of mallory in demo2, already there",
    ];
    assert_eq!(lines(&second, "kept"), kept);
    assert!(!second.stdout.contains("restart"), "{}", second.stdout);
    assert_eq!(home.read(ADDITIONS).unwrap(), written);
    assert_eq!(fs::metadata(home.path().join(ADDITIONS)).unwrap().modified().unwrap(), changed);
}

#[tokio::test]
async fn two_that_set_up_at_once_lose_nothing() {
    let home = home();
    let (one, two) = tokio::join!(home.run(&["setup", "one"]), home.run(&["setup", "two"]));
    for run in [one.unwrap(), two.unwrap()] {
        assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
    }
    for group in ["one", "two"] {
        let again = home.run(&["setup", group]).await.unwrap();
        assert_eq!((again.code(), lines(&again, "kept").len()), (Some(0), 5), "{}", again.stdout);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_additions_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    home.run(&["setup", "demo2"]).await.unwrap();
    let mode = fs::metadata(home.path().join(ADDITIONS)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_group_that_is_there_is_completed() {
    let home = home();
    let run = home.run(&["setup", "basic", "--user", "mallory"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
    let settings = "experiment_features_enabled: true, plan: ultimate";
    assert_eq!(lines(&run, "changed"), [format!("group basic (gid://gitlab/Group/11): {settings}")]);
    let server = home.serve().await.unwrap();
    ask(&server.graphql(MALLORY).unwrap(), explain("gid://gitlab/Project/21", None)).await;
}

/// A directory in which one group has AI features off, and lets nothing in it turn them on.
const LOCKED: &str = "\
users:
  - {id: 2, username: alice, name: Alice, development_token: demo-alice}
  - {id: 3, username: mallory, name: Mallory, development_token: demo-mallory}
groups:
  - {id: 10, path: demo, name: Demo, plan: ultimate, members: {alice: developer}}
  - {id: 11, path: demo/quiet, name: Quiet, duo_features_enabled: false}
  - {id: 12, path: demo/locked, name: Locked, duo_features_enabled: false, lock_duo_features_enabled: true}
projects:
  - {id: 20, path: demo/quiet/off, name: Silent}
  - {id: 21, path: demo/quiet/on, name: Loud, duo_features_enabled: true}
  - {id: 22, path: demo/locked/site, name: Site, duo_features_enabled: true}
";

#[tokio::test]
async fn a_member_hears_that_ai_features_are_off_and_a_stranger_that_nothing_is_there() {
    let home = home();
    home.write("demo/directory.yaml", LOCKED).unwrap();
    let server = home.serve().await.unwrap();
    let (alice, mallory) = (server.graphql(ALICE).unwrap(), server.graphql(MALLORY).unwrap());
    for (project, expected) in [(20, Some(DUO_OFF)), (21, None), (22, Some(DUO_OFF))] {
        let project = format!("gid://gitlab/Project/{project}");
        let member = try_ask(&alice, explain(&project, None)).await;
        assert_eq!(member.error_messages(), Vec::from_iter(expected), "{project}: {}", member.text);
        if expected.is_some() {
            assert_eq!(member.code().as_deref(), Some("forbidden"), "{}", member.text);
        }
        let stranger = try_ask(&mallory, explain(&project, None)).await;
        assert_eq!(
            (stranger.error_messages(), stranger.code().as_deref()),
            (vec![NOT_FOUND.to_owned()], Some("not_found"))
        );
    }
    // Without a resource the top-level group counts, where they are on.
    ask(&alice, chat("Hello?", None)).await;
}

#[tokio::test]
async fn a_project_under_a_lock_is_wrong_until_the_lock_is_gone() {
    let home = home();
    home.write(
        "demo/directory.yaml",
        &LOCKED.replace("ultimate", "ultimate, experiment_features_enabled: true"),
    )
    .unwrap();
    let run = home.run(&["setup", "demo", "--project", "locked/site", "--user", "alice"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(lines(&run, "WRONG"), ["settings: AI features are locked off in gid://gitlab/Project/22"]);
    assert!(run.stdout.contains("mend: remove lock_duo_features_enabled"), "{}", run.stdout);
    assert!(run.stdout.contains("refused: I am sorry"), "{}", run.stdout);
    home.write(ADDITIONS, "groups: [{path: demo/locked, lock_duo_features_enabled: false}]\n").unwrap();
    let run = home.run(&["setup", "demo", "--project", "locked/site", "--user", "alice"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test]
async fn a_closed_flag_is_named_with_its_mend() {
    let home = home();
    let flags = home.read("demo/flags.yaml").unwrap();
    home.write("demo/flags.yaml", &flags.replace("ai_duo_chat_switch: true", "ai_duo_chat_switch: false"))
        .unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(lines(&run, "WRONG"), ["flag ai_duo_chat_switch: off for demo2-tester"]);
    assert_eq!(lines(&run, "         mend:"), ["duologue flags enable ai_duo_chat_switch"]);
    assert!(run.stdout.contains("1 chat switch"), "{}", run.stdout);
    assert_eq!(run.stderr, "error: 1 thing is WRONG; mend it and run `duologue setup demo2` again\n");
    home.write("demo/flags.yaml", &flags).unwrap();
    let again = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(again.code(), Some(0), "{}{}", again.stdout, again.stderr);
}

#[tokio::test]
async fn what_is_suggested_has_the_options_and_the_files_of_the_run() {
    let home = home();
    let flags = home.read("demo/flags.yaml").unwrap();
    home.write("demo/flags.yaml", &flags.replace("ai_duo_chat_switch: true", "ai_duo_chat_switch: false"))
        .unwrap();
    home.write("my settings.yaml", &home.read("config.yaml").unwrap()).unwrap();
    home.write("some.env", "").unwrap();
    let files = ["--config", "my settings.yaml", "--env-file", "some.env"];
    let arguments = |more: &[&'static str]| [more, &files].concat();
    let options = ["setup", "demo2", "--project", "p2", "--user", "bob"];
    let run = home.run(&arguments(&options)).await.unwrap();
    let start = "duologue --config 'my settings.yaml' --env-file some.env";
    assert_eq!(lines(&run, "         mend:"), [format!("{start} flags enable ai_duo_chat_switch")]);
    let again = format!("mend it and run `{start} setup demo2 --project p2 --user bob` again\n");
    assert!(run.stderr.ends_with(&again), "{}", run.stderr);

    let enabled = home.run(&arguments(&["flags", "enable", "ai_duo_chat_switch"])).await.unwrap();
    assert_eq!(enabled.code(), Some(0), "{}", enabled.stderr);
    let run = home.run(&arguments(&options)).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
    assert_eq!(
        suggested(&run),
        format!(
            "DUOLOGUE_TOKEN=$TOKEN {start} ask --resource gid://gitlab/Project/21 'What is this project for?'"
        )
    );
}

#[tokio::test]
async fn what_the_files_lack_is_named_with_its_mend() {
    let mut home = home();
    home.set("deployment", "unlisted_features", "refuse").unwrap();
    for name in ["summarize_comments", "explain_code"] {
        let file = format!("catalogue/{name}.yaml");
        home.write(&file, &home.read(&file).unwrap().replace("maturity: ga\n", "")).unwrap();
    }
    fs::create_dir(home.path().join("data")).unwrap();
    home.write("data/flags.yaml", "duo_chat: {groups: [gone]}\n").unwrap();
    let shipped = fs::read_to_string(format!("{}/unit_primitives.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let sold = shipped.replacen("duo_chat: {", "duo_chat: {cut_off_date: 2024-10-17, ", 1);
    home.write("unit_primitives.yaml", &sold).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{}{}", run.stdout, run.stderr);
    let (wrong, mends) = (lines(&run, "WRONG"), lines(&run, "         mend:"));
    for (what, mend) in [
        ("action explain_code: it is in no list", "add `maturity:` to catalogue/explain_code.yaml"),
        (
            "action summarize_comments: it is in no list",
            "add `maturity:` to catalogue/summarize_comments.yaml",
        ),
        ("flags: data/flags.yaml: ", "mend demo/flags.yaml (flags.path) or data/flags.yaml (flags.changes)"),
        (
            "licence for chat: ",
            "give demo2 the plan or the add-on that has it: `plan` or `add_ons` of its entry in data/directory.yaml",
        ),
    ] {
        let at =
            wrong.iter().position(|wrong| wrong.starts_with(what)).unwrap_or_else(|| panic!("{wrong:?}"));
        assert_eq!(mends[at], mend);
    }
}

/// The disk fills up after the token: the limit of a file's size lies between what was written with it and what
/// is written next.
#[cfg(unix)]
#[tokio::test]
async fn a_token_that_was_made_is_shown_even_if_what_follows_cannot_be_written() {
    const BLOCK: usize = 512;
    let with_padding = |length: usize| {
        let home = home();
        fs::create_dir(home.path().join("data")).unwrap();
        let user = format!("users: [{{id: 90, username: padding, name: {}}}]\n", "x".repeat(length));
        home.write(ADDITIONS, &user).unwrap();
        home
    };
    let unlimited = with_padding(1);
    assert_eq!(unlimited.run(&["setup", "demo2"]).await.unwrap().code(), Some(0));
    let whole = unlimited.read(ADDITIONS).unwrap().len();
    // The last step writes some forty bytes more than the one before it.
    let blocks = whole / BLOCK + 1;
    let home = with_padding(1 + blocks * BLOCK - whole + 20);

    let binary = home.command(&[]).as_std().get_program().to_owned();
    let limited = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", limited, "sh", &blocks.to_string()]).arg(binary).args(["setup", "demo2"]);
    let output = command.current_dir(home.path()).output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("data/directory.yaml cannot be written"), "{stderr}");
    let token =
        stdout.split("development token of demo2-tester: ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(home.read(ADDITIONS).unwrap().contains(token), "{stdout}");
    assert!(!stdout.contains("membership"), "what was not written is not said to be made: {stdout}");
}

#[rstest]
#[case::of_the_group(&["setup", "DEMO"], "there is demo already, and to GitLab DEMO is the same: write it as demo")]
#[case::of_the_project(&["setup", "demo", "--project", "Website"], "there is demo/website already")]
#[case::of_the_user(&["setup", "demo2", "--user", "Alice"], "there is alice already, and to GitLab Alice")]
#[tokio::test]
async fn the_case_of_letters_makes_no_other_name(#[case] arguments: &[&str], #[case] said: &str) {
    let home = home();
    let run = home.run(arguments).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(!home.path().join(ADDITIONS).exists());
}

#[tokio::test]
async fn an_instance_of_ones_own_is_told_what_its_licence_and_its_settings_lack() {
    let mut home = home();
    home.set("deployment", "mode", "self_managed").unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{}{}", run.stdout, run.stderr);
    let wrong = lines(&run, "WRONG");
    assert!(wrong[0].starts_with("instance: no consent to what is experimental"), "{wrong:?}");
    assert!(wrong.iter().any(|what| what.starts_with("licence for ") && what.contains("chat")), "{wrong:?}");
    let mends = lines(&run, "         mend:");
    assert!(mends.contains(&"set deployment.experiment_features_enabled: true"), "{mends:?}");
    assert!(mends.contains(&"duologue licence upload FILE"), "{mends:?}");
    assert!(!home.read(ADDITIONS).unwrap().contains("plan"), "the licence is the instance's");

    home.set("deployment", "duo_features", "always_off").unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert!(lines(&run, "WRONG").contains(&"instance: AI features are always off"), "{}", run.stdout);
    assert_eq!(lines(&run, "changed"), [] as [&str; 0], "nothing that would be of no use");
}

#[rstest]
#[case::a_subgroup(&["setup", "demo/team"], "top-level group")]
#[case::a_page_of_gitlabs(&["setup", "api"], "reserved")]
#[case::a_space(&["setup", "de mo"], "letters, digits")]
#[case::a_dot_at_the_end(&["setup", "demo."], "begin and end")]
#[case::a_bad_username(&["setup", "demo", "--user", "a/b"], "letters, digits")]
#[case::a_bad_project(&["setup", "demo", "--project", "tree"], "reserved")]
#[case::a_project_in_no_group(&["setup", "demo", "--project", "nowhere/site"], "no group demo/nowhere")]
#[case::a_project_in_a_project(&["setup", "demo", "--project", "website/site"], "no group demo/website")]
#[tokio::test]
async fn a_bad_name_is_refused_and_nothing_is_written(#[case] arguments: &[&str], #[case] said: &str) {
    let home = home();
    let run = home.run(arguments).await.unwrap();
    assert_ne!(run.code(), Some(0), "{run:?}");
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(!home.path().join(ADDITIONS).exists());
}

#[tokio::test]
async fn without_development_tokens_none_is_made_and_something_else_must_say_who_asks() {
    let mut home = home();
    home.set("auth", "development_tokens", false).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(lines(&run, "WRONG"), ["sign-in: no kind of token is taken"]);
    assert!(!home.read(ADDITIONS).unwrap().contains("token:"));

    home.set("auth", "issuers", json!(["https://issuer.example.com"])).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(lines(&run, "WRONG"), ["sign-in: no JWT can speak for demo2-tester"]);
    let named = home.read(ADDITIONS).unwrap().replace(
        "    username: demo2-tester\n",
        "    username: demo2-tester\n    identities: {https://issuer.example.com: '7'}\n",
    );
    home.write(ADDITIONS, &named).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

/// GitLab says a number, and it is the directory that says whose.
#[tokio::test]
async fn a_gitlab_token_speaks_for_whom_the_directory_knows_by_their_number_there() {
    let mut home = home();
    home.set("auth", "development_tokens", false).unwrap();
    home.set("auth", "gitlab_tokens", true).unwrap();
    home.set("gitlab", "url", "https://gitlab.example.com").unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(lines(&run, "WRONG"), ["sign-in: no GitLab token can speak for demo2-tester"]);
    let named = home.read(ADDITIONS).unwrap().replace(
        "    username: demo2-tester\n",
        "    username: demo2-tester\n    identities: {https://gitlab.example.com: '7'}\n",
    );
    home.write(ADDITIONS, &named).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test]
async fn where_every_caller_is_one_user_it_is_that_one_who_is_set_up() {
    let mut home = home();
    home.set("auth", "bypass_external", true).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(lines(&run, "WRONG"), ["sign-in: every caller is alice, by auth.bypass_external"]);
    let run = home.run(&["setup", "demo2", "--user", "alice"]).await.unwrap();
    assert_eq!(run.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test]
async fn gitlabs_groups_are_made_on_gitlab() {
    let mut home = home();
    home.set("directory", "source", "gitlab").unwrap();
    home.set("gitlab", "url", "https://gitlab.example.com").unwrap();
    home.set("auth", "gitlab_tokens", true).unwrap();
    let run = home.run(&["setup", "demo2"]).await.unwrap();
    assert_eq!(run.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("make the group at https://gitlab.example.com"), "{}", run.stderr);
    assert!(!home.path().join(ADDITIONS).exists());
}

#[tokio::test]
async fn faulty_additions_are_refused_with_their_place_and_kept() {
    let home = home();
    fs::create_dir(home.path().join("data")).unwrap();
    home.write(ADDITIONS, "users: [{username: alice, id: 7}]\n").unwrap();
    for arguments in [&["setup", "demo2"][..], &["check"]] {
        let run = home.run(arguments).await.unwrap();
        assert_eq!(run.code(), Some(1), "{run:?}");
        assert!(run.stderr.contains("data/directory.yaml:1:31: `alice` has an id already"), "{}", run.stderr);
    }
    assert_eq!(home.read(ADDITIONS).unwrap(), "users: [{username: alice, id: 7}]\n");
    fs::remove_file(home.path().join(ADDITIONS)).unwrap();
    assert_eq!(home.run(&["setup", "demo2"]).await.unwrap().code(), Some(0));
    let check = home.run(&["check"]).await.unwrap();
    assert!(check.stdout.contains("demo/directory.yaml, with data/directory.yaml"), "{}", check.stdout);
}
