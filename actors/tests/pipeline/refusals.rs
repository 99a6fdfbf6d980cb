//! The six checks, each refusing in its own words.

use super::*;

async fn refusal(
    world: &World,
    token: &str,
    action: &str,
    resource: Option<GlobalId>,
) -> (Code, Hop, String) {
    let tree = start(world);
    let mut ask = world.ask(token, action);
    ask.resource_id = resource;
    let failure = tree.entrance().ask(ask).await.unwrap_err().failure;
    assert!(world.store.accepted().is_empty(), "a refused request was journalled");
    assert!(world.models.calls().is_empty(), "a refused request reached the model");
    assert_eq!(world.permits.in_flight(), 0, "a refused request kept its permit");
    (failure.code, failure.hop, failure.text)
}

fn issue() -> Option<GlobalId> {
    Some(GlobalId::of("Issue", 52))
}

#[actix::test]
async fn a_token_nobody_holds_is_refused_by_auth() {
    let refusal = refusal(&world(), "nobody", "chat", None).await;
    assert_eq!(refusal, (Code::Unauthenticated, Hop::Auth, "Invalid token".to_owned()));
}

#[actix::test]
async fn check_1_chat_has_a_switch_of_its_own() {
    let world = world();
    world.flags.set(CHAT_SWITCH, false);
    let refusal = refusal(&world, "alice", "chat", None).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_2_everything_else_has_the_global_switch() {
    let world = world();
    world.flags.set(GLOBAL_SWITCH, false);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_3_the_actions_own_flag_is_off() {
    let world = world();
    world.flags.set("chat_flag", false);
    let refusal = refusal(&world, "alice", "chat", None).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::FeatureFlag, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_3_a_flag_for_another_group_is_off() {
    let world = world();
    world.flags.set_for("summarize_comments_flag", GlobalId::of("Group", 99));
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::FeatureDisabled, Hop::Policy, FLAG_DISABLED.to_owned()));
}

#[actix::test]
async fn check_4_a_member_without_a_licence_hears_that_it_is_not_allowed() {
    let world = world();
    world.licences.withdrawn.store(true, SeqCst);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NOT_ALLOWED.to_owned()));
}

#[actix::test]
async fn check_5_whoever_is_no_member_hears_not_found_and_nothing_else() {
    let world = world();
    // Were the licence decided first, Mallory would learn that the issue exists.
    world.licences.withdrawn.store(true, SeqCst);
    let hidden = refusal(&world, "mallory", "summarize_comments", issue()).await;
    let missing = refusal(&world, "mallory", "summarize_comments", Some(GlobalId::of("Issue", 404))).await;
    assert_eq!(hidden, (Code::NotFound, Hop::Policy, NOT_FOUND.to_owned()));
    assert_eq!(hidden, missing);
}

#[actix::test]
async fn check_6_a_beta_feature_needs_the_groups_consent() {
    let mut world = world();
    let mut action = (*world.actions[1]).clone();
    action.maturity = duologue_actors::action::Maturity::Beta;
    world.actions[1] = Arc::new(action);
    world.directory.experiments.store(false, SeqCst);
    let refusal = refusal(&world, "alice", "summarize_comments", issue()).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NOT_ALLOWED.to_owned()));
}

#[actix::test]
async fn without_a_resource_some_group_of_the_caller_must_allow_it() {
    let refusal = refusal(&world(), "mallory", "chat", None).await;
    assert_eq!(refusal, (Code::Forbidden, Hop::Policy, NO_ACCESS.to_owned()));
}

#[actix::test]
async fn a_directory_or_an_identity_provider_that_is_down_says_when_to_try_again() {
    let world = world();
    world.directory.is_down.store(true, SeqCst);
    assert_eq!(refusal(&world, "alice", "chat", None).await.0, Code::Overloaded);
    let world = World::default();
    world.verifier.is_down.store(true, SeqCst);
    assert_eq!(refusal(&world, "alice", "chat", None).await.0, Code::Overloaded);
}

#[actix::test]
async fn an_admin_counts_as_a_member() {
    let world = world();
    let tree = start(&world);
    let mut ask = world.ask("root", "summarize_comments");
    ask.resource_id = issue();
    assert!(tree.entrance().ask(ask).await.is_ok());
}

#[actix::test]
async fn the_callers_own_page_is_no_resource_and_another_users_is_not_found() {
    let world = world();
    let tree = start(&world);
    let about = |user: UserId| {
        let mut ask = world.ask("alice", "chat");
        ask.resource_id = Some(user.global_id());
        tree.entrance().ask(ask)
    };
    assert!(about(ALICE).await.is_ok());
    assert_eq!(about(UserId(3)).await.unwrap_err().failure.code, Code::NotFound);
}

#[actix::test]
async fn a_flag_for_the_resources_group_is_on() {
    let world = world();
    world.flags.set_for("summarize_comments_flag", GlobalId::of("Group", 10));
    let tree = start(&world);
    let mut ask = world.ask("alice", "summarize_comments");
    ask.resource_id = issue();
    assert!(tree.entrance().ask(ask).await.is_ok());
}

#[actix::test]
async fn a_caller_learns_beforehand_what_is_available() {
    let world = world();
    let tree = start(&world);
    world.flags.set(CHAT_SWITCH, false);
    for (token, expected) in [("alice", vec!["summarize_comments"]), ("mallory", vec![])] {
        let user = tree.entrance().identify(Credentials::token(token)).await.unwrap().user;
        let caller = duologue_actors::ports::Caller { user, credentials: None };
        let available = tree.entrance().available_actions(caller, world.actions.clone()).await.unwrap();
        let names: Vec<&str> = available.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(names, expected);
    }
}
