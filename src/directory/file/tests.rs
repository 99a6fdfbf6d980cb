use super::*;
use crate::{config::Config, env_file::Environment};

fn faults(documents: &[&str]) -> Vec<String> {
    let deployment = Config::from_layers(None, &Environment::default()).unwrap().deployment;
    let named = ["d", "e"].into_iter().zip(documents);
    let documents: Vec<_> = named.map(|(name, text)| (name.to_owned(), (*text).to_owned())).collect();
    let faults = read(&documents, &deployment).err().map(|faults| faults.to_string()).unwrap_or_default();
    faults.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn all_faults_are_named_with_line_and_column() {
    let text = "\
users:
  - {id: 1, username: root, name: Root, development_token: t}
  - {id: 1, username: root, name: Again, development_token: t}
  - {id: x, username: eve, name: Eve, nick: e}
groups:
  - {id: 10, path: demo, name: Demo, plan: gold, members: {bob: developer, root: king}}
projects:
  - {id: 20, path: nowhere/site, name: Site}
resources:
  - {id: Issue/52, group: demo, title: T}
  - {id: gid://gitlab/Issue/1, title: T}
";
    let expected = [
        "d:3:10: there are two users with the id 1",
        "d:3:23: there are two users called `root`",
        "d:3:61: a development token must be somebody's own, and not empty",
        "d:4:10: `id` must be a whole number above 0",
        "d:4:39: unknown key `nick`; known here: id, username, name, admin, development_token, \
         identities, global_user_id",
        "d:6:44: unknown plan `gold`; known: free, premium, ultimate",
        "d:6:60: there is no user called `bob`",
        "d:6:82: unknown role `king`; known: guest, reporter, developer, maintainer, owner",
        "d:8:20: there is no group `nowhere`; declare it before what lies in it",
        "d:10:10: \"Issue/52\" is not a global id such as gid://gitlab/Issue/52",
        "d:11:5: a resource needs its `project` or `group`",
    ];
    assert_eq!(faults(&[text]), expected);
}

#[test]
fn a_group_or_project_that_cannot_be_where_it_says_is_a_fault() {
    let text = "\
groups:
  - {id: 1, path: a, name: A}
  - {id: 2, path: a/b/c, name: C}
  - {id: 3, path: a/b, name: B, plan: ultimate, add_ons: [duo_pro], experiment_features_enabled: true}
  - {id: 4, path: a, name: A}
  - {id: 3, path: a/e, name: E}
projects:
  - {id: 5, path: site, name: Site}
  - {id: 6, path: a/site, name: Site, lock_duo_features_enabled: true}
  - {id: 7, path: a/site/sub, name: Sub}
  - {id: 8, path: a/b, name: B}
resources:
  - {id: gid://gitlab/Issue/1, project: a/nothing, title: T}
";
    let known = "id, path, name, description, public, duo_features_enabled, members";
    let expected = [
        "d:3:19: there is no group `a/b`; declare it before what lies in it".to_owned(),
        "d:4:39: `plan` is the top-level group's and counts for all in it: give it to `a`".to_owned(),
        "d:4:58: `add_ons` is the top-level group's and counts for all in it: give it to `a`".to_owned(),
        "d:4:98: `experiment_features_enabled` is the top-level group's and counts for all in it: give it to `a`"
            .to_owned(),
        "d:5:19: there is a group or project at `a` already".to_owned(),
        "d:6:10: gid://gitlab/Group/3 is there twice".to_owned(),
        "d:8:19: a project lies in a group: GROUP/site".to_owned(),
        format!("d:9:39: unknown key `lock_duo_features_enabled`; known here: {known}"),
        "d:10:19: `a/site` is a project, and nothing lies in a project".to_owned(),
        "d:11:19: there is a group or project at `a/b` already".to_owned(),
        "d:13:41: there is no group or project `a/nothing`".to_owned(),
    ];
    assert_eq!(faults(&[text]), expected);
}

const FIRST: &str = "\
users:
  - {id: 1, username: a, name: A, development_token: one}
  - {id: 2, username: b, name: B, development_token: two}
groups: [{id: 1, path: g, name: G, members: {a: owner}}]
projects: [{id: 1, path: g/p, name: P}]
";

#[test]
fn a_fault_of_a_later_file_is_named_as_that_files() {
    let second = "\
users:
  - {id: 2, username: c, name: C}
  - {username: a, development_token: two}
  - {username: d}
groups:
  - {path: g, id: 7}
  - {id: 1, path: h, name: H}
  - {path: g/p, id: 9, name: P}
projects:
  - {path: g/p, colour: red, members: {e: owner}}
";
    let known = "id, path, name, description, public, duo_features_enabled, members";
    let expected = [
        "e:2:10: there are two users with the id 2".to_owned(),
        "e:3:38: a development token must be somebody's own, and not empty".to_owned(),
        "e:4:5: `id` is missing".to_owned(),
        "e:4:5: `name` is missing".to_owned(),
        "e:6:19: `g` has an id already, which is 1: leave `id` out here".to_owned(),
        "e:7:10: gid://gitlab/Group/1 is there twice".to_owned(),
        "e:8:12: there is a group or project at `g/p` already".to_owned(),
        format!("e:10:17: unknown key `colour`; known here: {known}"),
        "e:10:40: there is no user called `e`".to_owned(),
    ];
    assert_eq!(faults(&[FIRST, second]), expected);
}

#[test]
fn an_entry_is_completed_once_a_file_and_may_keep_or_change_its_token() {
    assert_eq!(faults(&[FIRST, ""]), [] as [String; 0]);
    let same = "users: [{username: a, development_token: one}, {username: b, development_token: three}]";
    assert_eq!(faults(&[FIRST, same]), [] as [String; 0]);
    let twice = "groups: [{path: g, description: x}, {path: g, id: 1, name: G}]";
    assert_eq!(faults(&[FIRST, twice]), ["e:1:44: there is a group or project at `g` already"]);
}

#[test]
fn a_later_file_is_not_read_while_an_earlier_one_is_wrong() {
    let faults = faults(&["users: [{id: 1}]", "users: 7"]);
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with("d:")), "{faults:?}");
}

#[test]
fn a_name_that_somebody_has_outside_is_theirs_alone() {
    let text = "\
users:
  - {id: 1, username: a, name: A, global_user_id: g, identities: {https://i.example/: '7', https://j.example: '7'}}
  - {id: 2, username: b, name: B, global_user_id: g, identities: {https://i.example: '7'}}
  - {id: 3, username: c, name: C, global_user_id: '', identities: {i.example: '8', https://i.example: 9}}
";
    let expected = [
        "d:3:51: a global_user_id must be somebody's own, and not empty",
        "d:3:86: a subject of https://i.example must be somebody's own, and not empty",
        "d:4:51: a global_user_id must be somebody's own, and not empty",
        "d:4:68: `i.example` is no URL of an issuer",
        "d:4:103: `identities` must be a text, not a number",
    ];
    assert_eq!(faults(&[text]), expected);
}

#[test]
fn a_completed_user_keeps_their_names_outside_and_may_get_more() {
    let first =
        "users: [{id: 1, username: a, name: A, global_user_id: g, identities: {https://i.example: '7'}}]";
    let more = "users: [{username: a, identities: {https://i.example/: '7', https://j.example: '8'}}]";
    assert_eq!(faults(&[first, more]), [] as [String; 0]);
    let anothers = "users: [{username: a, name: B}, {id: 2, username: b, name: B, global_user_id: g}]";
    assert_eq!(
        faults(&[first, anothers]),
        ["e:1:79: a global_user_id must be somebody's own, and not empty"]
    );
}
