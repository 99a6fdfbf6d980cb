use duologue_actors::ports::Credentials;
use duologue_harness::gitlab::{GitlabStub, Group, Mood, Note};

use super::*;
use crate::{config::DeploymentMode, env_file::Environment};

const SHA: &str = "1f0e3dad99908345f7439f8ffabdffc4d6c7b9a1";

struct Alone {
    stub: GitlabStub,
    directory: GitlabDirectory,
}

async fn alone_with(change: impl FnOnce(&mut Settings)) -> Alone {
    let stub = GitlabStub::start().await.unwrap();
    let mut config = Config::from_layers(None, &Environment::default()).unwrap();
    config.gitlab.url = Some(stub.url());
    let mut settings = Settings::from(&config);
    change(&mut settings);
    let directory = GitlabDirectory::new(Gitlab::new(&config.gitlab).unwrap(), settings, None);
    Alone { stub, directory }
}

/// With this bound on the bytes of an answer.
async fn alone_with_bytes(max_response_bytes: usize) -> Alone {
    let Alone { stub, directory } = alone().await;
    let mut config = Config::from_layers(None, &Environment::default()).unwrap().gitlab;
    config.url = Some(stub.url());
    config.max_response_bytes = max_response_bytes;
    let directory = GitlabDirectory::new(Gitlab::new(&config).unwrap(), directory.settings, None);
    Alone { stub, directory }
}

async fn alone() -> Alone {
    alone_with(|_| {}).await
}

fn caller(token: &str) -> Caller {
    let (id, admin) = match token {
        "glpat-root" => (1, true),
        "glpat-mallory" => (3, false),
        "glpat-bob" => (4, false),
        _ => (2, false),
    };
    let user = User { id: UserId(id), username: token.to_owned(), name: token.to_owned(), admin };
    Caller { user, credentials: Some(Credentials::token(token)) }
}

fn name(id: &str) -> ResourceName {
    ResourceName::from(id.parse::<GlobalId>().unwrap())
}

impl Alone {
    async fn resource(&self, token: &str, id: &str) -> Option<ResourceFacts> {
        self.directory.resource(&caller(token), &name(id)).await.unwrap()
    }

    async fn paths(&self, token: &str) -> Vec<String> {
        let roots = self.directory.root_namespaces(&caller(token)).await.unwrap();
        roots.into_iter().map(|root| root.path).collect()
    }
}

fn containers(facts: &ResourceFacts) -> Vec<String> {
    facts.containers.iter().map(ToString::to_string).collect()
}

fn comments(facts: &ResourceFacts) -> Vec<(&str, &str)> {
    facts.resource.comments.iter().map(|comment| (comment.author.as_str(), comment.text.as_str())).collect()
}

// === Resources ===

#[tokio::test]
async fn an_issue_has_its_text_its_comments_and_its_place() {
    let facts = alone().await.resource("glpat-alice", "gid://gitlab/Issue/52").await.unwrap();
    assert_eq!(facts.resource.title, "Login fails");
    assert_eq!(facts.resource.description, "Since Monday nobody can log in.\u{FFFD}");
    // What GitLab noted itself is no comment; an internal one is shown to those who may see it.
    let expected = [
        ("Bob Example", "Login fails after the upgrade to version 4."),
        ("Alice Example", "The customer is Example Corp."),
        ("Alice Example", "We agreed to roll back to version 3 by Friday.\nBob does it."),
    ];
    assert_eq!(comments(&facts), expected);
    assert!(facts.readable && facts.member && facts.duo_features_enabled);
    assert_eq!(containers(&facts), ["gid://gitlab/Project/20", "gid://gitlab/Group/10"]);
    let root = &facts.root;
    assert_eq!((root.id.to_string().as_str(), root.path.as_str()), ("gid://gitlab/Group/10", "demo"));
    assert_eq!(root.plan.as_deref(), Some("ultimate"));
    assert!(root.duo_features_enabled);
}

#[rstest::rstest]
#[case::merge_request("gid://gitlab/MergeRequest/52", "demo", &["gid://gitlab/Project/20", "gid://gitlab/Group/10"])]
#[case::issue_in_a_subgroup("gid://gitlab/Issue/60", "demo", &["gid://gitlab/Project/21", "gid://gitlab/Group/12", "gid://gitlab/Group/10"])]
#[case::work_item_of_a_project("gid://gitlab/WorkItem/91", "demo", &["gid://gitlab/Project/20", "gid://gitlab/Group/10"])]
#[case::work_item_of_a_group("gid://gitlab/WorkItem/90", "demo", &["gid://gitlab/Group/12", "gid://gitlab/Group/10"])]
#[case::epic("gid://gitlab/Epic/5", "demo", &["gid://gitlab/Group/12", "gid://gitlab/Group/10"])]
#[tokio::test]
async fn what_is_discussed_has_its_text_one_comment_and_its_containers_nearest_first(
    #[case] id: &str,
    #[case] root: &str,
    #[case] expected: &[&str],
) {
    let facts = alone().await.resource("glpat-alice", id).await.unwrap();
    let words = id.trim_start_matches("gid://gitlab/").replace('/', " ");
    assert_eq!(facts.resource.title, words);
    assert_eq!(facts.resource.description, format!("What {words} is about."));
    assert_eq!(comments(&facts), [("Bob Example", "We should decide this today.")]);
    assert_eq!(
        (containers(&facts).as_slice(), facts.root.path.as_str()),
        (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], root)
    );
    assert!(facts.member);
}

#[rstest::rstest]
#[case("gid://gitlab/Project/20", "demo / duologue", "About demo/duologue.", 2)]
#[case("gid://gitlab/Group/12", "demo / tools", "About demo/tools.", 2)]
#[case("gid://gitlab/Group/10", "demo", "About demo.", 1)]
#[tokio::test]
async fn a_project_or_group_is_a_resource_too(
    #[case] id: &str,
    #[case] title: &str,
    #[case] description: &str,
    #[case] places: usize,
) {
    let facts = alone().await.resource("glpat-alice", id).await.unwrap();
    assert_eq!((facts.resource.title.as_str(), facts.resource.description.as_str()), (title, description));
    assert_eq!((facts.containers.len(), facts.containers[0].to_string().as_str()), (places, id));
}

#[tokio::test]
async fn a_commit_is_found_in_the_project_that_is_named_with_it() {
    let alone = alone().await;
    let id: GlobalId = format!("gid://gitlab/Commit/{SHA}").parse().unwrap();
    let within = |project: Option<&str>| ResourceName {
        id: id.clone(),
        project: project.map(|project| project.parse().unwrap()),
    };
    let alice = caller("glpat-alice");
    let facts =
        alone.directory.resource(&alice, &within(Some("gid://gitlab/Project/20"))).await.unwrap().unwrap();
    assert!(facts.resource.description.contains(&format!("What Commit {SHA} is about.")));
    assert_eq!(comments(&facts), [("Bob Example", "We should decide this today.")]);
    assert_eq!(containers(&facts), ["gid://gitlab/Project/20", "gid://gitlab/Group/10"]);
    for elsewhere in [None, Some("gid://gitlab/Project/21"), Some("gid://gitlab/Group/10")] {
        assert_eq!(
            alone.directory.resource(&alice, &within(elsewhere)).await.unwrap(),
            None,
            "{elsewhere:?}"
        );
    }
}

#[rstest::rstest]
#[case::missing("glpat-alice", "gid://gitlab/Issue/404404")]
#[case::missing_merge_request("glpat-alice", "gid://gitlab/MergeRequest/404404")]
#[case::missing_work_item("glpat-alice", "gid://gitlab/WorkItem/404404")]
#[case::missing_epic("glpat-alice", "gid://gitlab/Epic/404404")]
#[case::missing_project("glpat-alice", "gid://gitlab/Project/404404")]
#[case::no_number("glpat-alice", "gid://gitlab/Project/demo")]
#[case::a_kind_that_is_no_resource("glpat-alice", "gid://gitlab/User/3")]
#[case::a_strangers_issue("glpat-mallory", "gid://gitlab/Issue/52")]
#[case::a_strangers_merge_request("glpat-mallory", "gid://gitlab/MergeRequest/52")]
#[case::a_strangers_work_item("glpat-mallory", "gid://gitlab/WorkItem/90")]
#[case::a_strangers_epic("glpat-mallory", "gid://gitlab/Epic/5")]
#[case::a_strangers_project("glpat-mallory", "gid://gitlab/Project/20")]
#[case::a_strangers_group("glpat-mallory", "gid://gitlab/Group/10")]
#[case::a_token_that_may_not_read("glpat-alice-asks", "gid://gitlab/Issue/52")]
#[tokio::test]
async fn what_gitlab_does_not_show_to_the_caller_is_not_there(#[case] token: &str, #[case] id: &str) {
    assert_eq!(alone().await.resource(token, id).await, None);
}

#[tokio::test]
async fn what_is_public_is_readable_for_strangers_who_are_no_members() {
    let facts = alone().await.resource("glpat-mallory", "gid://gitlab/Issue/61").await.unwrap();
    assert!(facts.readable && !facts.member);
    assert_eq!(facts.root.path, "site");
}

#[tokio::test]
async fn an_internal_comment_is_not_shown_to_a_guest() {
    let alone = alone().await;
    alone.stub.change(|world| {
        world.groups.iter_mut().find(|group| group.path == "demo").unwrap().members.push((4, 10));
    });
    let facts = alone.resource("glpat-bob", "gid://gitlab/Issue/52").await.unwrap();
    assert!(!comments(&facts).iter().any(|(_, text)| text.contains("customer")), "{:?}", comments(&facts));
    assert_eq!(facts.resource.comments.len(), 2);
}

#[rstest::rstest]
#[case::none(0)]
#[case::two(2)]
#[case::a_page(100)]
#[case::more_than_a_page(150)]
#[case::more_than_there_are(1_000)]
#[tokio::test]
async fn the_newest_comments_are_read_as_far_as_wanted(#[case] max: usize) {
    const ALL: usize = 250;
    let alone = alone_with(|settings| settings.max_comments = max).await;
    let items = [("Issue", "52"), ("Epic", "5"), ("WorkItem", "90"), ("Commit", SHA)];
    alone.stub.change(|world| {
        for (model, id) in items {
            world.item(model, id).unwrap().notes =
                (0..ALL).map(|number| Note::by("Bob Example", &number.to_string())).collect();
        }
    });
    let expected: Vec<String> = (ALL.saturating_sub(max)..ALL).map(|number| number.to_string()).collect();
    for (model, id) in items {
        let name = ResourceName {
            id: format!("gid://gitlab/{model}/{id}").parse().unwrap(),
            project: Some(GlobalId::of("Project", 20)),
        };
        let facts = alone.directory.resource(&caller("glpat-alice"), &name).await.unwrap().unwrap();
        let texts: Vec<String> = facts.resource.comments.iter().map(|comment| comment.text.clone()).collect();
        assert_eq!(texts, expected, "{model}");
    }
}

#[rstest::rstest]
#[case::issue("gid://gitlab/Issue/52", true)]
#[case::epic("gid://gitlab/Epic/5", true)]
#[case::work_item("gid://gitlab/WorkItem/90", false)]
#[tokio::test]
async fn a_comment_that_is_too_long_is_marked_and_the_others_are_read(
    #[case] id: &str,
    #[case] goes_on: bool,
) {
    let alone = alone_with_bytes(8_000).await;
    alone.stub.change(|world| {
        for item in &mut world.items {
            item.notes = (0..95).map(|number| Note::by("Bob Example", &number.to_string())).collect();
            item.notes[70].body = "x".repeat(9_000);
        }
    });
    let facts = alone.resource("glpat-alice", id).await.unwrap();
    let texts: Vec<&str> = facts.resource.comments.iter().map(|comment| comment.text.as_str()).collect();
    let mark = "[What was written here is left out: it is too long to be read.]";
    assert_eq!((texts[0], texts[69], texts[70]), ("0", "69", mark));
    // GraphQL has no way past it.
    assert_eq!(texts.len(), if goes_on { 95 } else { 71 });
}

#[tokio::test]
async fn a_text_that_is_too_long_by_itself_is_no_answer() {
    let alone = alone_with_bytes(8_000).await;
    alone.stub.change(|world| world.item("Issue", "52").unwrap().description = "x".repeat(9_000));
    let answer = alone.directory.resource(&caller("glpat-alice"), &name("gid://gitlab/Issue/52")).await;
    assert_eq!(answer.unwrap_err(), DirectoryError::Unavailable);
}

#[rstest::rstest]
#[case(0)]
#[case(100)]
#[tokio::test]
async fn an_epic_is_found_in_its_own_one_of_several_top_level_groups(#[case] max_comments: usize) {
    let alone = alone_with(|settings| settings.max_comments = max_comments).await;
    alone.stub.change(|world| {
        let demo = world.groups.iter().find(|group| group.path == "demo").cloned().unwrap();
        // Before and after it by name.
        world.groups.insert(0, Group { id: 30, path: "aaa", ..demo.clone() });
        world.groups.push(Group { id: 31, path: "zzz", ..demo });
    });
    let facts = alone.resource("glpat-alice", "gid://gitlab/Epic/5").await.unwrap();
    assert_eq!((facts.root.path.as_str(), facts.resource.title.as_str()), ("demo", "Epic 5"));
    assert_eq!(facts.resource.comments.len(), max_comments.min(1));
}

// === Members ===

#[rstest::rstest]
#[case::by_the_group_above("glpat-alice", &["gid://gitlab/Epic/5", "gid://gitlab/WorkItem/90", "gid://gitlab/Group/12"], true)]
#[case::directly("glpat-bob", &["gid://gitlab/Epic/5", "gid://gitlab/WorkItem/90", "gid://gitlab/Group/12"], true)]
#[case::of_something_below_only("glpat-bob", &["gid://gitlab/Group/10"], false)]
#[tokio::test]
async fn who_belongs_to_a_group_belongs_to_the_groups_below_it(
    #[case] token: &str,
    #[case] ids: &[&str],
    #[case] member: bool,
) {
    let alone = alone().await;
    for id in ids {
        assert_eq!(alone.resource(token, id).await.unwrap().member, member, "{id}");
    }
}

#[tokio::test]
async fn what_the_caller_is_in_a_group_that_its_own_members_do_not_tell_gitlab_is_asked() {
    let alone = alone().await;
    let public = || alone.stub.change(|world| world.groups.iter_mut().for_each(|group| group.public = true));
    public();
    assert!(!alone.resource("glpat-mallory", "gid://gitlab/Group/12").await.unwrap().member);
    assert_eq!(alone.stub.count("/api/v4/groups/demo%2Ftools/members/all/3"), 1);
    // Of a group that is invited to it, GitLab alone knows.
    alone.stub.change(|world| world.invited.push((3, "demo/tools", 30)));
    assert!(alone.resource("glpat-mallory", "gid://gitlab/WorkItem/90").await.unwrap().member);
}

#[tokio::test]
async fn a_project_without_a_group_allows_nothing() {
    let facts = alone().await.resource("glpat-mallory", "gid://gitlab/Issue/62").await.unwrap();
    assert!(facts.readable && facts.member && !facts.duo_features_enabled);
    let root = facts.root;
    assert_eq!(
        (root.id.to_string().as_str(), root.path.as_str()),
        ("gid://gitlab/Namespaces::UserNamespace/3", "mallory")
    );
    assert!(root.plan.is_none() && !root.duo_features_enabled && !root.experiment_features_enabled);
}

// === Settings ===

#[tokio::test]
async fn the_switch_of_the_nearest_container_counts() {
    let alone = alone().await;
    let off = alone.resource("glpat-alice", "gid://gitlab/Issue/60").await.unwrap();
    assert!(!off.duo_features_enabled && off.root.duo_features_enabled);
    alone.stub.change(|world| world.groups.iter_mut().for_each(|group| group.duo_features_enabled = false));
    let on = alone.resource("glpat-alice", "gid://gitlab/Issue/52").await.unwrap();
    assert!(on.duo_features_enabled && !on.root.duo_features_enabled);
}

#[rstest::rstest]
#[case::nothing_said(None, false, None, false)]
#[case::said_instead(Some("premium"), true, Some("premium"), true)]
#[tokio::test]
async fn what_gitlab_shows_to_owners_only_counts_for_others_as_the_settings_say(
    #[case] plan_when_hidden: Option<&str>,
    #[case] experiments_when_hidden: bool,
    #[case] plan: Option<&str>,
    #[case] experiments: bool,
) {
    let alone = alone_with(|settings| {
        settings.plan_when_hidden = plan_when_hidden.map(str::to_owned);
        settings.experiment_features_when_hidden = experiments_when_hidden;
    })
    .await;
    alone.stub.change(|world| world.shows_experiment_features = true);
    let facts = alone.resource("glpat-bob", "gid://gitlab/Issue/60").await.unwrap();
    assert!(facts.member);
    assert_eq!((facts.root.plan.as_deref(), facts.root.experiment_features_enabled), (plan, experiments));
    // Whoever owns the group sees what is so.
    let facts = alone.resource("glpat-alice", "gid://gitlab/Issue/60").await.unwrap();
    assert_eq!(
        (facts.root.plan.as_deref(), facts.root.experiment_features_enabled),
        (Some("ultimate"), true)
    );
}

#[rstest::rstest]
#[case(true)]
#[case(false)]
#[tokio::test]
async fn where_gitlab_shows_experiment_features_to_nobody_the_setting_counts_for_owners_too(
    #[case] when_hidden: bool,
) {
    let alone = alone_with(|settings| settings.experiment_features_when_hidden = when_hidden).await;
    for token in ["glpat-alice", "glpat-root", "glpat-bob"] {
        let facts = alone.resource(token, "gid://gitlab/Issue/60").await.unwrap();
        assert_eq!(facts.root.experiment_features_enabled, when_hidden, "{token}");
    }
    assert!(alone.directory.hidden_experiments.is_completed());
    // A version that shows it does so to owners.
    alone.stub.change(|world| world.shows_experiment_features = true);
    let facts = alone.resource("oauth-alice", "gid://gitlab/Issue/60").await.unwrap();
    assert!(facts.root.experiment_features_enabled);
}

#[rstest::rstest]
#[case(DuoFeatures::OnByDefault, Some(true), true)]
#[case(DuoFeatures::OffByDefault, Some(true), true)]
#[case(DuoFeatures::OnByDefault, Some(false), false)]
#[case(DuoFeatures::OnByDefault, None, false)]
#[case(DuoFeatures::AlwaysOff, Some(true), false)]
fn where_gitlab_does_not_say_that_ai_features_are_on_they_are_off(
    #[case] default: DuoFeatures,
    #[case] own: Option<bool>,
    #[case] expected: bool,
) {
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    let mut settings = Settings::from(&config);
    settings.deployment.mode = DeploymentMode::SelfManaged;
    settings.deployment.duo_features = default;
    assert_eq!(settings.duo_features(own), expected);
}

#[rstest::rstest]
#[case("gold", Some("ultimate"))]
#[case("premium_trial", Some("premium"))]
#[case("default", Some("free"))]
#[case("platinum", Some("platinum"))]
#[tokio::test]
async fn a_plan_of_gitlab_com_counts_as_the_plan_it_stands_for(
    #[case] plan: &'static str,
    #[case] expected: Option<&str>,
) {
    let alone = alone().await;
    alone.stub.change(|world| world.groups.iter_mut().for_each(|group| group.plan = plan));
    let facts = alone.resource("glpat-alice", "gid://gitlab/Issue/52").await.unwrap();
    assert_eq!(facts.root.plan.as_deref(), expected);
}

#[rstest::rstest]
#[case(DeploymentMode::SelfManaged, true)]
#[case(DeploymentMode::Dedicated, false)]
#[tokio::test]
async fn an_instance_of_ones_own_has_its_own_licence_and_consent(
    #[case] mode: DeploymentMode,
    #[case] consent: bool,
) {
    let alone = alone_with(|settings| {
        settings.deployment.mode = mode;
        settings.deployment.experiment_features_enabled = consent;
        settings.deployment.duo_features = DuoFeatures::AlwaysOff;
    })
    .await;
    let facts = alone.resource("glpat-alice", "gid://gitlab/Issue/52").await.unwrap();
    assert_eq!((facts.root.plan, facts.root.experiment_features_enabled), (None, consent));
    assert!(!facts.duo_features_enabled && !facts.root.duo_features_enabled);
    assert_eq!(alone.stub.count("/api/v4/namespaces/demo"), 0);
}

// === Groups and names ===

#[rstest::rstest]
#[case("glpat-alice", &["demo"])]
#[case::of_a_subgroup_only("glpat-bob", &["demo"])]
#[case::of_none("glpat-mallory", &[])]
#[case::an_admin("glpat-root", &["demo", "site"])]
#[tokio::test]
async fn a_caller_has_the_top_level_groups_they_belong_to(#[case] token: &str, #[case] paths: &[&str]) {
    assert_eq!(alone().await.paths(token).await, paths);
}

/// One world, told to both directories: the top-level groups of every caller are the same.
#[tokio::test]
async fn a_caller_has_the_groups_that_the_directory_of_a_file_would_give_them() {
    let file = crate::directory::FileDirectory::of(
        &["users:\n  - {id: 2, username: alice, name: A}\n  - {id: 3, username: mallory, name: M}\n  \
           - {id: 4, username: bob, name: B}\n\
           groups:\n  - {id: 10, path: demo, name: D, members: {alice: owner}}\n  \
           - {id: 12, path: demo/tools, name: T, members: {bob: guest}}\n  - {id: 13, path: site, name: S}\n\
           projects:\n  - {id: 20, path: demo/duologue, name: D}\n  \
           - {id: 22, path: site/www, name: W, members: {bob: developer, mallory: guest}}\n"],
        &Config::from_layers(None, &Environment::default()).unwrap().deployment,
    );
    let alone = alone().await;
    alone.stub.change(|world| {
        let site = world.projects.iter_mut().find(|project| project.path == "site/www").unwrap();
        site.members = vec![(4, 30), (3, 10)];
    });
    for (token, expected) in
        [("glpat-alice", &["demo"][..]), ("glpat-bob", &["demo", "site"]), ("glpat-mallory", &["site"])]
    {
        let groups = file.root_namespaces(&caller(token)).await.unwrap();
        let paths: Vec<&str> = groups.iter().map(|group| group.path.as_str()).collect();
        assert_eq!(
            (paths.as_slice(), alone.paths(token).await),
            (expected, expected.iter().map(ToString::to_string).collect())
        );
    }
}

#[tokio::test]
async fn a_name_that_would_lead_elsewhere_is_nobodys() {
    let alone = alone().await;
    for path in ["", ".", ".."] {
        for name in [ActorName::Group(path), ActorName::Project(path)] {
            assert_eq!(alone.directory.actor(&caller("glpat-root"), name).await.unwrap(), None, "{path:?}");
        }
    }
    assert_eq!(alone.stub.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn users_groups_and_projects_are_known_by_name() {
    let alone = alone().await;
    let alice = caller("glpat-alice");
    for (name, expected) in [
        (ActorName::User("bob"), Some("gid://gitlab/User/4")),
        (ActorName::User("nobody"), None),
        (ActorName::Group("demo/tools"), Some("gid://gitlab/Group/12")),
        (ActorName::Project("demo/duologue"), Some("gid://gitlab/Project/20")),
        (ActorName::Project("demo/tools"), None),
        (ActorName::Project("mallory/pet"), None),
    ] {
        let actor = alone.directory.actor(&alice, name).await.unwrap();
        assert_eq!(actor.map(|id| id.to_string()).as_deref(), expected, "{name:?}");
    }
}

// === Whose token ===

#[tokio::test]
async fn without_the_callers_token_nothing_can_be_asked() {
    let alone = alone().await;
    let mut nobody = caller("glpat-alice");
    nobody.credentials = None;
    let issue = name("gid://gitlab/Issue/52");
    assert_eq!(
        alone.directory.resource(&nobody, &issue).await.unwrap_err(),
        DirectoryError::NeedsCredentials
    );
    assert_eq!(alone.directory.root_namespaces(&nobody).await.unwrap_err(), DirectoryError::NeedsCredentials);
    assert_eq!(alone.directory.user(UserId(2)).await.unwrap_err(), DirectoryError::NeedsCredentials);
    assert_eq!(alone.stub.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let alone = alone().await;
    alone.stub.revoke("glpat-alice");
    let answer = alone.directory.resource(&caller("glpat-alice"), &name("gid://gitlab/Issue/52")).await;
    assert_eq!(answer.unwrap_err(), DirectoryError::CredentialsRefused);
}

#[tokio::test]
async fn an_answer_is_kept_for_the_token_that_fetched_it_and_for_no_other() {
    let alone = alone().await;
    let issue = "gid://gitlab/Issue/52";
    let first = alone.resource("glpat-alice", issue).await.unwrap();
    let calls = alone.stub.calls().len();
    alone.stub.change(|world| "Changed".clone_into(&mut world.item("Issue", "52").unwrap().title));
    assert_eq!(alone.resource("glpat-alice", issue).await.unwrap(), first);
    assert_eq!(alone.stub.calls().len(), calls);
    // Another caller, and another token of the same caller.
    assert_eq!(alone.resource("glpat-mallory", issue).await, None);
    assert_eq!(alone.resource("oauth-alice", issue).await.unwrap().resource.title, "Changed");
    assert!(alone.stub.calls().len() > calls);
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_answer() {
    let alone = alone().await;
    let ask = || alone.resource("glpat-alice", "gid://gitlab/Issue/52");
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    assert!(one == two && two == three);
    assert_eq!(alone.stub.count("/notes"), 1);
}

// === A GitLab that does not answer ===

#[rstest::rstest]
#[case::down(Mood::Down)]
#[case::failing(Mood::Failing(500))]
#[case::busy(Mood::Failing(429))]
#[tokio::test]
async fn while_gitlab_does_not_answer_neither_does_the_directory_and_nothing_of_it_is_kept(
    #[case] mood: Mood,
) {
    let alone = alone().await;
    alone.stub.set_mood(mood);
    for id in ["gid://gitlab/Issue/52", "gid://gitlab/Epic/5", "gid://gitlab/Project/20"] {
        let answer = alone.directory.resource(&caller("glpat-alice"), &name(id)).await;
        assert_eq!(answer.unwrap_err(), DirectoryError::Unavailable, "{id}");
    }
    let groups = alone.directory.root_namespaces(&caller("glpat-alice")).await;
    assert_eq!(groups.unwrap_err(), DirectoryError::Unavailable);
    alone.stub.set_mood(Mood::Well);
    assert!(alone.resource("glpat-alice", "gid://gitlab/Issue/52").await.is_some());
    assert_eq!(alone.paths("glpat-alice").await, ["demo"]);
}

#[test]
fn much_text_weighs_much() {
    use duologue_actors::ports::{Comment, Resource};
    let facts = |bytes: usize| {
        let text = "x".repeat(bytes);
        let id = GlobalId::of("Issue", 1);
        let comments = vec![Comment { author: String::new(), text: text.clone() }];
        let resource = Resource { id: id.clone(), title: String::new(), description: text, comments };
        Ok(Some(ResourceFacts {
            resource: Arc::new(resource),
            readable: true,
            member: true,
            containers: Vec::new(),
            duo_features_enabled: true,
            root: RootNamespace {
                id,
                path: String::new(),
                plan: None,
                add_ons: Vec::new(),
                experiment_features_enabled: false,
                duo_features_enabled: true,
            },
        }))
    };
    let weights = [facts(0), facts(2 * ENTRY_BYTES), Ok(None)].map(|answer| weight_of_resource(&answer));
    assert_eq!(weights, [1, 5, 1]);
}
