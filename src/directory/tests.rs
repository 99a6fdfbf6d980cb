//! What the files say, as those see it who ask the directory.

use super::*;

use crate::{config::DuoFeatures, env_file::Environment};

fn demo() -> FileDirectory {
    FileDirectory::demo()
}

fn saas() -> DeploymentConfig {
    crate::config::Config::from_layers(None, &Environment::default()).unwrap().deployment
}

async fn caller(directory: &FileDirectory, id: u64) -> Caller {
    let user = directory.user(UserId(id)).await.unwrap().unwrap();
    Caller { user, credentials: None }
}

async fn facts(id: &str, user: u64) -> Option<ResourceFacts> {
    let directory = demo();
    let caller = caller(&directory, user).await;
    directory.resource(&caller, &ResourceName::from(id.parse::<GlobalId>().unwrap())).await.unwrap()
}

#[tokio::test]
async fn a_member_of_the_group_is_a_member_of_its_project_and_reads_what_is_there() {
    let facts = facts("gid://gitlab/Issue/52", 2).await.unwrap();
    assert!(facts.member && facts.readable);
    let containers: Vec<String> = facts.containers.iter().map(ToString::to_string).collect();
    assert_eq!(containers, ["gid://gitlab/Project/20", "gid://gitlab/Group/10"]);
    assert_eq!((facts.root.path.as_str(), facts.root.plan.as_deref()), ("demo", Some("ultimate")));
    assert!(facts.root.experiment_features_enabled);
    assert_eq!(facts.resource.comments.len(), 6);
    assert!(!facts.resource.title.is_empty() && facts.resource.description.len() > 200);
}

#[tokio::test]
async fn an_admin_belongs_everywhere_and_a_stranger_nowhere() {
    let admin = facts("gid://gitlab/MergeRequest/52", 1).await.unwrap();
    assert!(admin.member && admin.readable);
    let stranger = facts("gid://gitlab/MergeRequest/52", 3).await.unwrap();
    assert!(!stranger.member && !stranger.readable);
}

#[tokio::test]
async fn a_project_and_a_group_are_resources_too() {
    let project = facts("gid://gitlab/Project/20", 2).await.unwrap();
    assert_eq!(project.containers.len(), 2);
    let group = facts("gid://gitlab/Group/11", 2).await.unwrap();
    assert!(!group.member && group.root.plan.is_none() && !group.root.experiment_features_enabled);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    assert_eq!(facts("gid://gitlab/Issue/53", 1).await, None);
    assert_eq!(demo().user(UserId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn a_user_has_the_top_level_groups_they_belong_to() {
    let directory = demo();
    let mut counts = Vec::new();
    for id in [1, 2, 3] {
        let caller = caller(&directory, id).await;
        counts.push(directory.root_namespaces(&caller).await.unwrap().len());
    }
    assert_eq!(counts, [2, 1, 0]);
}

#[tokio::test]
async fn what_is_public_is_readable_for_strangers_who_are_no_members() {
    let text = "users: [{id: 3, username: mallory, name: Mallory}]\ngroups: [{id: 1, path: a, name: A}]\n\
                resources: [{id: gid://gitlab/Epic/5, group: a, title: T, public: true}]\n";
    let directory = FileDirectory::of(&[text], &saas());
    let caller = caller(&directory, 3).await;
    let facts = directory.resource(&caller, &GlobalId::of("Epic", 5).into()).await.unwrap().unwrap();
    assert!(facts.readable && !facts.member);
}

#[test]
fn a_user_is_found_by_every_name_they_have_and_by_nobody_elses() {
    let text = "users:\n  - {id: 3, username: eve, name: E, global_user_id: g, identities: {https://i.example/: '7'}}\n";
    let directory = FileDirectory::of(&[text], &saas());
    let found = |key| directory.account(key).map(|user| user.id.0);
    assert_eq!(found(AccountKey::Username("eve")), Some(3));
    assert_eq!(found(AccountKey::GlobalUserId("g")), Some(3));
    for issuer in ["https://i.example", "https://i.example/"] {
        assert_eq!(found(AccountKey::Subject { issuer, subject: "7" }), Some(3));
    }
    assert_eq!(found(AccountKey::Subject { issuer: "https://j.example", subject: "7" }), None);
    assert_eq!(found(AccountKey::Subject { issuer: "https://i.example", subject: "g" }), None);
    assert_eq!(found(AccountKey::GlobalUserId("eve")), None);
    assert_eq!(found(AccountKey::Username("g")), None);
}

const NESTED: &str = "\
users:
  - {id: 1, username: top, name: T}
  - {id: 2, username: middle, name: M}
  - {id: 3, username: leaf, name: L}
groups:
  - {id: 1, path: a, name: A, plan: premium, add_ons: [duo_pro], members: {top: owner}}
  - {id: 2, path: a/b, name: B, members: {middle: guest}, duo_features_enabled: false}
  - {id: 3, path: a/b/c, name: C}
  - {id: 4, path: a-b, name: A-B}
projects:
  - {id: 7, path: a/b/c/site, name: S, members: {leaf: developer}, duo_features_enabled: true}
  - {id: 8, path: a/b/c/docs, name: D}
resources:
  - {id: gid://gitlab/Issue/5, project: a/b/c/site, title: T}
  - {id: gid://gitlab/Epic/6, group: a/b, title: E}
";

async fn found(directory: &FileDirectory, user: u64, id: &str) -> ResourceFacts {
    let caller = caller(directory, user).await;
    directory.resource(&caller, &id.parse::<GlobalId>().unwrap().into()).await.unwrap().unwrap()
}

#[tokio::test]
async fn membership_comes_down_and_never_goes_up() {
    let directory = FileDirectory::of(&[NESTED], &saas());
    let places = ["Group/1", "Group/2", "Group/3", "Group/4", "Project/7", "Project/8", "Issue/5", "Epic/6"];
    let mut belongs = Vec::new();
    for user in [1, 2, 3] {
        let mut row = String::new();
        for place in places {
            let facts = found(&directory, user, &format!("gid://gitlab/{place}")).await;
            assert_eq!(facts.member, facts.readable);
            row.push(if facts.member { 'x' } else { '.' });
        }
        belongs.push(row);
    }
    assert_eq!(belongs, ["xxx.xxxx", ".xx.xxxx", "....x.x."]);
}

#[tokio::test]
async fn a_member_of_anything_in_a_top_level_group_has_it_among_their_namespaces() {
    let directory = FileDirectory::of(&[NESTED], &saas());
    for user in [1, 2, 3] {
        let caller = caller(&directory, user).await;
        let roots = directory.root_namespaces(&caller).await.unwrap();
        let paths: Vec<&str> = roots.iter().map(|root| root.path.as_str()).collect();
        assert_eq!(paths, ["a"]);
        assert_eq!(
            (roots[0].plan.as_deref(), roots[0].add_ons.as_slice()),
            (Some("premium"), &["duo_pro".to_owned()][..])
        );
    }
}

#[tokio::test]
async fn what_a_resource_lies_in_is_listed_nearest_first_with_the_settings_of_the_nearest() {
    let directory = FileDirectory::of(&[NESTED], &saas());
    let issue = found(&directory, 3, "gid://gitlab/Issue/5").await;
    let containers: Vec<String> = issue.containers.iter().map(ToString::to_string).collect();
    assert_eq!(
        containers,
        ["gid://gitlab/Project/7", "gid://gitlab/Group/3", "gid://gitlab/Group/2", "gid://gitlab/Group/1"]
    );
    assert!(issue.duo_features_enabled && issue.root.duo_features_enabled);
    assert!(!found(&directory, 2, "gid://gitlab/Project/8").await.duo_features_enabled);
    assert!(!found(&directory, 2, "gid://gitlab/Epic/6").await.duo_features_enabled);
}

#[tokio::test]
async fn a_locked_group_decides_for_everything_in_it() {
    let locked = "groups: [{path: a/b, lock_duo_features_enabled: true}]";
    let directory = FileDirectory::of(&[NESTED, locked], &saas());
    assert!(!found(&directory, 3, "gid://gitlab/Issue/5").await.duo_features_enabled);
}

#[tokio::test]
async fn above_the_top_level_groups_stands_the_instance() {
    let mut deployment = saas();
    deployment.mode = crate::config::DeploymentMode::SelfManaged;
    for (duo_features, issue_has, root_has) in [
        (DuoFeatures::OnByDefault, true, true),
        (DuoFeatures::OffByDefault, true, false),
        (DuoFeatures::AlwaysOff, false, false),
    ] {
        deployment.duo_features = duo_features;
        deployment.experiment_features_enabled = root_has;
        let directory = FileDirectory::of(&[NESTED], &deployment);
        let facts = found(&directory, 3, "gid://gitlab/Issue/5").await;
        let seen = (facts.duo_features_enabled, facts.root.duo_features_enabled);
        assert_eq!(seen, (issue_has, root_has), "{duo_features:?}");
        assert_eq!(facts.root.experiment_features_enabled, root_has);
    }
}

#[tokio::test]
async fn a_later_file_completes_what_it_names_and_adds_the_rest() {
    let later = "\
users:
  - {id: 9, username: new, name: New, development_token: tok}
  - {username: leaf, name: Leaf}
groups:
  - {path: a, plan: ultimate, members: {new: developer}}
  - {id: 9, path: z, name: Z, members: {leaf: owner}}
projects:
  - {path: a/b/c/docs, members: {leaf: guest}}
";
    let directory = FileDirectory::of(&[NESTED, later], &saas());
    let issue = found(&directory, 9, "gid://gitlab/Issue/5").await;
    assert!(issue.member);
    assert_eq!((issue.root.plan.as_deref(), issue.root.add_ons.len()), (Some("ultimate"), 1));
    assert!(found(&directory, 1, "gid://gitlab/Group/1").await.member, "the members before are kept");
    assert!(found(&directory, 3, "gid://gitlab/Project/8").await.member);
    assert_eq!(directory.user(UserId(3)).await.unwrap().unwrap().name, "Leaf");
    let leaf = caller(&directory, 3).await;
    assert_eq!(directory.root_namespaces(&leaf).await.unwrap().len(), 2);
    assert_eq!(directory.development_tokens().count(), 1);
}

#[tokio::test]
async fn a_name_stands_for_a_group_or_a_project_as_it_is_asked_for() {
    let directory = FileDirectory::of(&[NESTED], &saas());
    let caller = caller(&directory, 1).await;
    let mut found = Vec::new();
    for name in [
        ActorName::Group("a/b"),
        ActorName::Project("a/b"),
        ActorName::Project("a/b/c/site"),
        ActorName::Group("a/b/c/site"),
        ActorName::User("leaf"),
    ] {
        found.push(directory.actor(&caller, name).await.unwrap().map(|id| id.to_string()));
    }
    let expected = [Some("Group/2"), None, Some("Project/7"), None, Some("User/3")];
    assert_eq!(found, expected.map(|id| id.map(|id| format!("gid://gitlab/{id}"))));
}

#[test]
fn new_ids_follow_the_highest_of_their_kind() {
    let directory = FileDirectory::of(&[NESTED], &saas());
    assert_eq!(["User", "Group", "Project"].map(|model| directory.next_id(model)), [4, 5, 9]);
    assert_eq!(FileDirectory::of(&["users: []"], &saas()).next_id("User"), 1);
}

#[test]
fn the_additions_are_read_if_there_are_any_and_their_faults_are_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::config::Config::from_layers(None, &Environment::default()).unwrap();
    config.directory.path = folder.path().join("demo/directory.yaml");
    config.directory.additions = folder.path().join("data/directory.yaml");
    let load = |config: &crate::config::Config| FileDirectory::load(&config.directory, &config.deployment);
    assert_eq!(load(&config).unwrap().next_id("User"), 4);
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(&config.directory.additions, "users: [{username: alice, id: 3}]").unwrap();
    let faults = load(&config).unwrap_err().to_string();
    assert!(faults.contains("data/directory.yaml:1:31: `alice` has an id already, which is 2"), "{faults}");
    config.directory.path = config.directory.additions.clone();
    let faults = load(&config).unwrap_err().to_string();
    assert!(faults.ends_with("give the additions a file of their own"), "{faults}");
}
